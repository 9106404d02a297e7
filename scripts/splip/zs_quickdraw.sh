#!/usr/bin/env bash
# Zero-shot SBIR on QuickDraw (Table 1).
#   bash scripts/splip/zs_quickdraw.sh [SEED ...]        (default: seeds 1 2 3)
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
source "$(dirname "$0")/benchmark.sh" "$@"

need_data QuickDraw
published quickdraw
show_table "${ROWS[@]}"
