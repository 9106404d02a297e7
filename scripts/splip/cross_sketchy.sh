#!/usr/bin/env bash
# Trained on Sketchy, tested on TU-Berlin and QuickDraw (Table 4): the models of SPLIT=1 zs_sketchy.sh.
#   bash scripts/splip/cross_sketchy.sh [SEED ...]        (default: seeds 1 2 3)
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
GALLERY=${GALLERY:-unseen_minus_source}
source "$(dirname "$0")/benchmark.sh" "$@"

need_gallery unseen_minus_source unseen_minus_related all_unseen
need_data Sketchy1 TUBerlin QuickDraw
train sketchy1
for TARGET in tuberlin quickdraw; do
    retest "sketchy_cross_$TARGET-$GALLERY" sketchy1 DATASET.GALLERY "$GALLERY"
done
show_table "sketchy_cross_tuberlin-$GALLERY" "sketchy_cross_quickdraw-$GALLERY"
