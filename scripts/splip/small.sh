#!/usr/bin/env bash
# The paper's tables in small, on data for which a backbone ships. table1.sh to table6.sh call it where DATASET is set:
#   DATASET=sketchy25 DATA=../shared/real bash scripts/splip/table5.sh [SEED ...]        (default: seeds 1 2 3)
#   DATASET=sketchmoji bash scripts/splip/table1.sh [SEED ...]
#   ROWS="..."     rows of tables 1 to 4, each a trainer, or TRAINER/RECIPE with a file of configs/trainers (default: SpLIP and all rivals)
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
TABLE=${1:-} DATASET=${DATASET:-sketchy25}
case $TABLE in
    [1-6]) shift ;;
    *) echo "small.sh: the first argument is the table, 1 to 6, got '$TABLE'" >&2; exit 2 ;;
esac
case $DATASET in
    sketchy25) OTHER=sketchmoji ;;
    sketchmoji) OTHER=sketchy25 ;;
    *) echo "small.sh: DATASET must be sketchy25 or sketchmoji, got '$DATASET'" >&2; exit 2 ;;
esac
RIVALS="FrozenCLIP CenteredCLIP ClassNameCLIP LayerNormCLIP VPTSBIR IVLPSBIR MaPLeSBIR PromptSRCSBIR ClipAT ClipAT/sketchy25_released"
RIVALS="$RIVALS ClipPrompt ClipPrompt/sketchy25_sgspl ProjectionCLIP CLIPFitLike SeCoLike"
rows=${ROWS:-$RIVALS SpLIP} folders=()
GALLERY=${GALLERY:-all_seen}
source "$(dirname "${BASH_SOURCE[0]}")/benchmark.sh" "$@"

# recipe ROW NAME: SpLIP and what shares its recipe have one for each data set; the rivals have sketchy25's
recipe() {
    case $1/$2 in
        */*/*) echo "${1#*/}" ;;
        SpLIP/sketchmoji* | LayerNormCLIP/sketchmoji* | FrozenCLIP/sketchmoji*) echo hybrid ;;
        ClipAT/*_fg*) echo sketchy25_fg ;;
        *) echo sketchy25 ;;
    esac
}

# each_row SOURCE train|retest NAME [ARGUMENT ...]: that command for every row, with its recipe for the data of SOURCE
each_row() {
    local source=$1 row cache cfg
    shift
    folders=()
    for row in $rows; do
        cfg=$(recipe "$row" "$source")
        cache=$OUTPUT/tokens
        case $row/$cfg/$2 in
            ClassNameCLIP*_fg*) continue ;;                      # no photo is the only one of its class's name
            SeCoLike* | ClipAT/sketchy25_fg* | *-clip_at_jigsaw) cache= ;;  # their losses read images
        esac
        OPTS="TRAINER.PATCH_CACHE=$cache $OPTS" TRAINER=${row%%/*} CFG=$cfg "$@"
        folders+=("$OUTPUT/$2/${row%%/*}/$cfg")
    done
}

# table NAME: the rows of the last each_row
table() {
    [ "${PLAN:-0}" = 1 ] || "$PYTHON" -m splip table "${folders[@]}" --intervals --csv "$OUTPUT/$1.csv"
}

trained() {
    each_row "$1" train "$1"
}

# retested NAME RULE: the models that `trained $DATASET` has made, on another gallery
retested() {
    each_row "$DATASET" retest "$1-$2" "$DATASET" DATASET.GALLERY "$2"
    table "$1-$2"
}

ablated() {
    local name variant all=()
    rows=SpLIP
    for name in "$DATASET" "${DATASET}_fg"; do
        all=()
        for variant in "$@"; do
            # shellcheck disable=SC2046  # a list of words
            each_row "$name" train "$name$([ "$variant" = full ] || echo "-$variant")" $(variant "$variant")
            all+=("${folders[@]}")
        done
        folders=("${all[@]}")
        table "table$TABLE-$name"
    done
}

case $TABLE in
    1)
        for name in "$DATASET" $([ "$DATASET" = sketchmoji ] || echo sketchy25_sake); do
            trained "$name"
            table "table1-$name"
        done
        ;;
    2)
        need_gallery all_seen sampled_20 classes_20 held_out
        if [ "$GALLERY" = held_out ]; then # seen photos leave training, so the models are others
            each_row "$DATASET" train "${DATASET}_gzs-held_out" DATASET.GALLERY held_out
            table "${DATASET}_gzs-held_out"
        else
            trained "$DATASET"
            retested "${DATASET}_gzs" "$GALLERY"
        fi
        ;;
    3)
        trained "${DATASET}_fg"
        table "table3-${DATASET}_fg"
        ;;
    4)
        trained "$DATASET"
        retested "${DATASET}_cross_$OTHER" unseen_minus_source
        ;;
    5) ablated class triplet class+triplet adaptive_margin clip_at_jigsaw full ;;
    6) ablated no_layernorm no_bv no_bt no_bvt no_visual_prompts no_prompts full ;;
esac
