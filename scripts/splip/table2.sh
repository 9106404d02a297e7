#!/usr/bin/env bash
# Table 2: generalised zero-shot SBIR on Sketchy (split 2) and TU-Berlin.
#   bash scripts/splip/table2.sh [SEED ...]        (default: seeds 1 2 3)
#   DATASET=sketchy25 DATA=... bash scripts/splip/table2.sh [SEED ...]        (in small, with rivals: small.sh)
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
[ -z "${DATASET:-}" ] || exec bash "$(dirname "$0")/small.sh" 2 "$@"
GALLERY=${GALLERY:-all_seen}
source "$(dirname "$0")/benchmark.sh" "$@"

need_gallery all_seen sampled_20 classes_20 held_out
need_data Sketchy2 TUBerlin
generalised sketchy2
generalised tuberlin
show_table "sketchy2_gzs-$GALLERY" "tuberlin_gzs-$GALLERY"
