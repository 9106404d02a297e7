#!/usr/bin/env bash
# How the result depends on one setting: SpLIP with the paper's losses, and LayerNorms where the setting is one of the data, then a table.
#   DATA=../shared/real bash scripts/splip/sweep.sh NAME [SEED ...]        (default: seeds 1 2 3)
# NAME: classes or sketches (to train on; tested on unseen classes); depth (of prompts), m, n (prompts), alpha, beta (weights), permutations,
# conditioning, distance, margin, options (what is not in the paper, one at a time), all tested on pseudo-unseen classes, so that a value may
# be chosen by them. The recipe's own value is trained once for all sweeps, in $OUTPUT/$DATASET-pseudo_unseen or, on all data, $OUTPUT/$DATASET.
#   VALUES="..."   in place of the usual ones
#   DATASET        sketchy25
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
NAME=${1:-} DATASET=${DATASET:-sketchy25}
[ $# = 0 ] || shift
METHOD=TRAINER.SPLIP KEYS=
rows=SpLIP whole=$DATASET-pseudo_unseen test=(DATASET.TEST_CLASSES pseudo_unseen)
case $NAME in # own: the recipe's value
    classes) KEYS=DATASET.TRAIN_CLASSES usual="13 26 52 0" own=0 ;;
    sketches) KEYS=DATASET.TRAIN_SKETCHES usual="3 6 12 0" own=0 ;;
    depth) KEYS="$METHOD.VISION_DEPTH $METHOD.TEXT_DEPTH" usual="1 2 3 12" own=12 ;;
    m) KEYS=$METHOD.TEXT_PROMPTS usual="1 2 4 8" own=4 ;;
    n) KEYS=$METHOD.VISUAL_PROMPTS usual="1 2 4 8" own=2 ;;
    alpha) KEYS=$METHOD.ALPHA usual="0.0 0.1 0.2 0.5 1.0" own=0.2 ;;
    beta) KEYS=$METHOD.BETA usual="0.0 0.03 0.1 0.3 1.0" own=0.1 ;;
    permutations) KEYS=$METHOD.PERMUTATIONS usual="100 1000 2000" own=2000 ;;
    conditioning) KEYS=$METHOD.TEXT_CONDITIONING usual="batch instance" own=batch ;;
    distance) KEYS=$METHOD.DISTANCE usual="sq_l2 cosine" own=sq_l2 ;;
    margin) KEYS=$METHOD.MARGIN_SHIFT usual="0.0 0.25 0.5 0.75" own=0.5 ;;
    options) usual="none anchor_1 anchor_3 anchor_10 average_Gaussian prompts_after_45 start_mean start_norm" own=none ;;
    -h | --help) sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "sweep.sh: the first argument is what is varied (--help names it), got '$NAME'" >&2; exit 2 ;;
esac
case $NAME in classes | sketches) rows="LayerNormCLIP SpLIP" whole=$DATASET test=() ;; esac
TRAINER=$rows
CFG=${CFG:-sketchy25}
source "$(dirname "${BASH_SOURCE[0]}")/benchmark.sh" "$@"
OPTS="TRAINER.PATCH_CACHE $OUTPUT/tokens $OPTS"

folders=()
for value in ${VALUES:-$usual}; do
    words=() name=$DATASET-$NAME-$value
    for key in $KEYS; do words+=("$key" "$value"); done
    case $NAME/$value in # fewer images, as many steps
        classes/[1-9]*) words+=(OPTIM.MAX_EPOCH $((520 / value))) ;;
        sketches/[1-9]*) words+=(OPTIM.MAX_EPOCH $((125 / value))) ;;
        options/none) ;;
        # shellcheck disable=SC2207  # a list of words
        options/*) words=($(variant "$value")) ;;
    esac
    if [ "$value" = "$own" ] && [ "$CFG" = sketchy25 ]; then name=$whole words=(); fi
    train "$name" ${test[@]+"${test[@]}"} ${words[@]+"${words[@]}"}
    for row in $rows; do folders+=("$OUTPUT/$name/$row/$CFG"); done
done
[ "${PLAN:-0}" = 1 ] || "$PYTHON" -m splip table "${folders[@]}" --csv "$OUTPUT/$DATASET-$NAME.csv"
