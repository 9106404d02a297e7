#!/usr/bin/env bash
# Trained on a part of Sketchy, tested on Sketchmoji, and the other way round. The first models are those of zs_sketchy25.sh, the others
# are trained with Sketchmoji's own recipes (hybrid, hybrid_plus). Classes that training has seen are not tested (docs/DATASETS.md).
#   DATA=../shared/real bash scripts/splip/cross_sketchy25.sh [SEED ...]        (default: seeds 1 2 3)
# Other variables, and what is kept or resumed: sketchy25.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
GALLERY=${GALLERY:-unseen_minus_source}
source "$(dirname "$0")/sketchy25.sh" "$@"

# across SOURCE NAME: train on SOURCE, test as NAME says
across() {
    rows train "$1"
    rows retest "$2-$GALLERY" "$1" DATASET.GALLERY "$GALLERY"
    show_rows "$2-$GALLERY"
}

need_gallery unseen_minus_source unseen_minus_related all_unseen
across sketchy25 sketchy25_cross_sketchmoji
CFG=hybrid PLUS=${PLUS:+hybrid_plus} across sketchmoji sketchmoji_cross_sketchy25
