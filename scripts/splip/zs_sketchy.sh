#!/usr/bin/env bash
# Zero-shot SBIR on Sketchy (Table 1): SPLIT 1 has 25 unseen classes, SPLIT 2 has 21.
#   SPLIT=1 bash scripts/splip/zs_sketchy.sh [SEED ...]        (default: SPLIT=2, seeds 1 2 3)
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
SPLIT=${SPLIT:-2}
source "$(dirname "$0")/benchmark.sh" "$@"

need_data "Sketchy$SPLIT"
published "sketchy$SPLIT"
show_table "${ROWS[@]}"
