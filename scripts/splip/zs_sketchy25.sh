#!/usr/bin/env bash
# Zero-shot SBIR on a part of Sketchy (real sketches, real photos): the frozen backbone, LayerNorms only, SpLIP, beyond the paper;
# then the same models on seen classes, and a table.
#   DATA=../shared/real bash scripts/splip/zs_sketchy25.sh [SEED ...]        (default: SPLIT=2, 21 unseen classes; seeds 1 2 3)
#   SPLIT=1 DATA=../shared/real bash scripts/splip/zs_sketchy25.sh [SEED ...]        (25 unseen classes)
# Other variables, and what is kept or resumed: sketchy25.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
SPLIT=${SPLIT:-2}
source "$(dirname "$0")/sketchy25.sh" "$@"

case $SPLIT in
    1) NAME=sketchy25_sake ;;
    2) NAME=sketchy25 ;;
    *) echo "$0: SPLIT must be 1 or 2, got '$SPLIT'" >&2; exit 2 ;;
esac
rows train "$NAME"
rows retest "$NAME-seen" "$NAME" DATASET.TEST_CLASSES seen
show_rows "$NAME" "$NAME-seen"
