#!/usr/bin/env bash
# Generalised zero-shot SBIR on a part of Sketchy: the models of zs_sketchy25.sh, seen photos in the gallery.
#   DATA=../shared/real bash scripts/splip/gzs_sketchy25.sh [SEED ...]        (default: seeds 1 2 3)
# Other variables, and what is kept or resumed: sketchy25.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
GALLERY=${GALLERY:-all_seen}
source "$(dirname "$0")/sketchy25.sh" "$@"

need_gallery all_seen sampled_20 classes_20 held_out
rows generalised sketchy25
show_rows "sketchy25_gzs-$GALLERY"
