#!/usr/bin/env bash
# How the result depends on one setting: SpLIP with the paper's losses, and LayerNorms where the setting is one of the data, then a table.
#   DATA=../shared/real bash scripts/splip/sweep.sh NAME [SEED ...]        (default: seeds 1 2 3)
# NAME: classes or sketches (to train on; tested on unseen classes); depth (of prompts), m, n (prompts), alpha, beta (weights), permutations,
# conditioning, distance, margin (tested on pseudo-unseen classes, so that a value may be chosen by them).
#   VALUES="..."   in place of the usual ones
#   DATASET        sketchy25
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
NAME=${1:-} DATASET=${DATASET:-sketchy25}
[ $# = 0 ] || shift
METHOD=TRAINER.SPLIP
rows=SpLIP test=(DATASET.TEST_CLASSES pseudo_unseen)
case $NAME in
    classes) KEYS=DATASET.TRAIN_CLASSES usual="13 26 52 0" ;;
    sketches) KEYS=DATASET.TRAIN_SKETCHES usual="3 6 12 0" ;;
    depth) KEYS="$METHOD.VISION_DEPTH $METHOD.TEXT_DEPTH" usual="1 2 3 4" ;;
    m) KEYS=$METHOD.TEXT_PROMPTS usual="1 2 4 8" ;;
    n) KEYS=$METHOD.VISUAL_PROMPTS usual="1 2 4 8" ;;
    alpha) KEYS=$METHOD.ALPHA usual="0.0 0.1 0.2 0.5 1.0" ;;
    beta) KEYS=$METHOD.BETA usual="0.0 0.03 0.1 0.3 1.0" ;;
    permutations) KEYS=$METHOD.PERMUTATIONS usual="100 1000 2000" ;;
    conditioning) KEYS=$METHOD.TEXT_CONDITIONING usual="batch instance" ;;
    distance) KEYS=$METHOD.DISTANCE usual="sq_l2 cosine" ;;
    margin) KEYS=$METHOD.MARGIN_SHIFT usual="0.0 0.25 0.5 0.75" ;;
    -h | --help) sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "sweep.sh: the first argument is what is varied (--help names it), got '$NAME'" >&2; exit 2 ;;
esac
case $NAME in classes | sketches) rows="LayerNormCLIP SpLIP" test=() ;; esac
TRAINER=$rows
CFG=${CFG:-sketchy25}
source "$(dirname "${BASH_SOURCE[0]}")/benchmark.sh" "$@"
OPTS="TRAINER.PATCH_CACHE $OUTPUT/tokens $OPTS"

folders=()
for value in ${VALUES:-$usual}; do
    words=()
    for key in $KEYS; do words+=("$key" "$value"); done
    case $NAME/$value in # fewer images, as many steps
        classes/[1-9]*) words+=(OPTIM.MAX_EPOCH $((520 / value))) ;;
        sketches/[1-9]*) words+=(OPTIM.MAX_EPOCH $((125 / value))) ;;
    esac
    name=$DATASET-$NAME-$value
    train "$name" ${test[@]+"${test[@]}"} "${words[@]}"
    for row in $rows; do folders+=("$OUTPUT/$name/$row/$CFG"); done
done
[ "${PLAN:-0}" = 1 ] || "$PYTHON" -m splip table "${folders[@]}" --csv "$OUTPUT/$DATASET-$NAME.csv"
