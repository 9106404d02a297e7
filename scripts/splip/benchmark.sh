# Sourced, with their arguments, by the scripts of the published benchmarks.
#
# Arguments: seeds (default: 1 2 3). Variables, each with a default:
#   DATA      folder that holds Sketchy/, TUBerlin/, QuickDraw/ (data; seen from the repository's folder, as OUTPUT is)
#   TRAINER   one or more of SpLIP and the baselines that docs/EXTEND.md lists (SpLIP)
#   CFG       a file of configs/trainers/<trainer>, or else of configs/trainers/SpLIP (vit_b32)
#   OUTPUT    where runs go: $OUTPUT/<data set>/<trainer>/<CFG>/seed<n> (output; output/fast with FAST)
#   OPTS      further settings for train.py (none), e.g. OPTS="OPTIM.MAX_EPOCH 30"
#   FAST=1    changes sizes only: the embedded backbone, one epoch, small batches; and the precision is the faster one here. To try a script
#             out; its numbers mean nothing.
#   ANYWAY=1  goes on with data that differ from the published counts (FAST does, too)
#   PLAN=1    names every run, and whether it is done, begun or to do; trains nothing
#   PYTHON    a Python that has SpLIP (one is made in .venv)
#
# Finished runs are kept, unfinished ones resumed, so a script that was stopped is just started again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/env.sh
source scripts/splip/runs.sh
check_seeds "$@"
use_environment

DATA=${DATA:-data}
TRAINER=${TRAINER:-SpLIP}
CFG=${CFG:-vit_b32}
SEEDS=${*:-1 2 3}
OPTS=${OPTS:-}
FAST=${FAST:-0}
ANYWAY=${ANYWAY:-$FAST}
if [ "$FAST" = 1 ]; then
    OUTPUT=${OUTPUT:-output/fast}
    OPTS="OPTIM.MAX_EPOCH 1 DATALOADER.TRAIN_X.BATCH_SIZE 64 DATALOADER.NUM_WORKERS 2 $OPTS"
    OPTS="MODEL.BACKBONE.NAME splip-hybrid INPUT.SIZE (160,160) TRAINER.PREC auto $OPTS"
fi
OUTPUT=${OUTPUT:-output}

# need_data NAME ...: stop here unless each data set is as it was published
need_data() {
    local name
    for name in "$@"; do
        if ! "$PYTHON" -m splip data check "$name" --root "$DATA"; then
            echo "DATA=$DATA does not hold $name as it was published. To get it (docs/REPRODUCE.md):" >&2
            echo "  $PYTHON -m splip data download ${name%[12]} --root $DATA" >&2
            [ "$ANYWAY" = 1 ] || exit 1
        fi
    done
}

# need_gallery RULE ...: stop here, before hours of training, unless $GALLERY is one of these rules of the setting
need_gallery() {
    local rule
    for rule in "$@"; do
        [ "$rule" != "$GALLERY" ] || return 0
    done
    echo "$0: GALLERY must be one of $* (docs/DATASETS.md), got '$GALLERY'" >&2
    exit 2
}

# train NAME [KEY VALUE ...]: train and test every trainer with every seed
#   NAME: <data set>, a file of configs/datasets, or <data set>-<variant> where settings follow
train() {
    each "$1" "" "${@:2}"
}

# retest NAME SOURCE [KEY VALUE ...]: test on NAME what `train SOURCE` has trained
retest() {
    each "$@"
}

# published NAME: `train NAME`, and test the same models on the gallery of the published numbers as well: ZSE-SBIR's file
# lists where they lie below $DATA, and Sketchy's original photos twice. Both names are added to ROWS.
published() {
    local name=$1 folder opts=()
    case $name in
        sketchy1*) folder=Sketchy/zeroshot1 ;;
        sketchy2*) folder=Sketchy/zeroshot0 ;;
        tuberlin) folder=TUBerlin/zeroshot ;;
        quickdraw) folder=QuickDraw/zeroshot ;;
        *) folder= ;;
    esac
    case $name in sketchy*) opts+=(DATASET.PHOTOS zse) ;; esac
    [ -n "$folder" ] && [ -f "$DATA/$folder/cname_cid.txt" ] && opts+=(DATASET.FILE_LISTS zse)
    train "$name"
    ROWS+=("$name")
    if [ ${#opts[@]} -gt 0 ]; then
        retest "$name-zse" "$name" "${opts[@]}"
        ROWS+=("$name-zse")
    fi
}

each() {  # NAME, SOURCE or "", KEY VALUE ...
    local name=$1 source=$2 trainer seed model
    shift 2
    for trainer in $TRAINER; do
        for seed in $SEEDS; do
            model=()
            if [ "$trainer" = FrozenCLIP ] || [ "$trainer" = ClassNameCLIP ]; then
                [ "$seed" = "${SEEDS%% *}" ] || continue  # nothing is trained: every seed gives the same
            elif [ -n "$source" ]; then
                model=(--eval-only --model-dir "$OUTPUT/$source/$trainer/$CFG/seed$seed")
            fi
            run_once "$OUTPUT/$name/$trainer/$CFG/seed$seed" "$trainer" "$seed" "${name%%-*}" \
                --root "$DATA" ${model[@]+"${model[@]}"} "$@"
        done
    done
}

ROWS=()  # what show_table is to show

# show_table NAME ...: ours, the paper's, the gap; also as <this script>.csv
show_table() {
    local folders=() name trainer
    [ "${PLAN:-0}" = 0 ] || return 0
    for name in "$@"; do
        for trainer in $TRAINER; do
            folders+=("$OUTPUT/$name/$trainer/$CFG")
        done
    done
    echo
    "$PYTHON" -m splip table "${folders[@]}" --paper --csv "$OUTPUT/$(basename "$0" .sh).csv"
}

# generalised DATASET: the models of the zero-shot setting, tested with seen photos in the gallery, by the rule $GALLERY
generalised() {
    if [ "$GALLERY" = held_out ]; then
        train "$1_gzs-held_out" DATASET.GALLERY held_out  # seen photos leave training, so its models are others
    else
        train "$1"
        retest "$1_gzs-$GALLERY" "$1" DATASET.GALLERY "$GALLERY"
    fi
}

# variant NAME: the settings of a row of Table 5 (losses) or 6 (modules), or of what is not in the paper (sweep.sh options)
variant() {
    case $1 in
        class) echo TRAINER.SPLIP.TRIPLET False TRAINER.SPLIP.BETA 0.0 ;;
        triplet) echo TRAINER.SPLIP.MARGIN fixed TRAINER.SPLIP.ALPHA 0.0 TRAINER.SPLIP.BETA 0.0 ;;
        class+triplet) echo TRAINER.SPLIP.MARGIN fixed TRAINER.SPLIP.BETA 0.0 ;;
        adaptive_margin) echo TRAINER.SPLIP.BETA 0.0 ;;
        clip_at_jigsaw) echo TRAINER.SPLIP.BETA 0.0 TRAINER.SPLIP.PATCH_SHUFFLE 1.0 ;;  # without a PATCH_CACHE
        no_layernorm) echo TRAINER.SPLIP.LAYERNORM none ;;
        no_bv) echo TRAINER.SPLIP.USE_BV False ;;
        no_bt) echo TRAINER.SPLIP.USE_BT False ;;
        no_bvt) echo TRAINER.SPLIP.USE_BVT False ;;
        no_visual_prompts) echo TRAINER.SPLIP.USE_BV False TRAINER.SPLIP.USE_BVT False ;;
        no_prompts) echo TRAINER.SPLIP.USE_BT False TRAINER.SPLIP.USE_BV False TRAINER.SPLIP.USE_BVT False ;;
        anchor_*) echo TRAINER.SPLIP.ANCHOR "${1#anchor_}.0" ;;
        average_Gaussian) echo OPTIM.AVERAGE_EPOCHS 5 OPTIM.AVERAGE_MEAN 4.0 OPTIM.AVERAGE_STD 1.0 ;;
        prompts_after_*) echo TRAINER.SPLIP.PROMPTS_AFTER "${1#prompts_after_}" ;;
        start_*) echo TRAINER.SPLIP.PROMPT_START "token_${1#start_}" ;;
        full) ;;
        *) echo "no row is called '$1'" >&2; return 2 ;;
    esac
}

# ablations VARIANT ...: rows of Table 5 or 6, zero-shot and fine-grained, and a table
ablations() {
    local dataset name settings
    for name in "$@"; do
        settings=$(variant "$name")
        for dataset in sketchy2 sketchy_fg; do
            # shellcheck disable=SC2086  # a list of words
            train "$dataset${settings:+-$name}" $settings
            ROWS+=("$dataset${settings:+-$name}")
        done
    done
    show_table "${ROWS[@]}"
}
