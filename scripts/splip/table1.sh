#!/usr/bin/env bash
# Table 1: zero-shot SBIR on Sketchy (both splits), TU-Berlin and QuickDraw.
#   bash scripts/splip/table1.sh [SEED ...]        (default: seeds 1 2 3)
#   DATASET=sketchy25 DATA=... bash scripts/splip/table1.sh [SEED ...]        (in small, with rivals: small.sh)
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
[ -z "${DATASET:-}" ] || exec bash "$(dirname "$0")/small.sh" 1 "$@"
source "$(dirname "$0")/benchmark.sh" "$@"

need_data Sketchy1 Sketchy2 TUBerlin QuickDraw
for DATASET in sketchy1 sketchy2 tuberlin quickdraw; do
    published "$DATASET"
done
show_table "${ROWS[@]}"
