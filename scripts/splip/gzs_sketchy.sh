#!/usr/bin/env bash
# Generalised zero-shot SBIR on Sketchy (Table 2): the models of zs_sketchy.sh, seen photos in the gallery.
#   SPLIT=1 bash scripts/splip/gzs_sketchy.sh [SEED ...]        (default: SPLIT=2, seeds 1 2 3)
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
SPLIT=${SPLIT:-2}
GALLERY=${GALLERY:-all_seen}
source "$(dirname "$0")/benchmark.sh" "$@"

need_gallery all_seen sampled_20 classes_20 held_out
need_data "Sketchy$SPLIT"
generalised "sketchy$SPLIT"
show_table "sketchy${SPLIT}_gzs-$GALLERY"
