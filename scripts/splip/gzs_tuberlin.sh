#!/usr/bin/env bash
# Generalised zero-shot SBIR on TU-Berlin (Table 2): the models of zs_tuberlin.sh, seen photos in the gallery.
#   bash scripts/splip/gzs_tuberlin.sh [SEED ...]        (default: seeds 1 2 3)
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
GALLERY=${GALLERY:-all_seen}
source "$(dirname "$0")/benchmark.sh" "$@"

need_gallery all_seen sampled_20 classes_20 held_out
need_data TUBerlin
generalised tuberlin
show_table "tuberlin_gzs-$GALLERY"
