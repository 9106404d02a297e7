#!/usr/bin/env bash
# Zero-shot SBIR on TU-Berlin (Table 1), with list A of unseen classes (SAKE) or list B (SEM-PCYC).
#   LIST=b bash scripts/splip/zs_tuberlin.sh [SEED ...]        (default: LIST=a, seeds 1 2 3)
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
LIST=${LIST:-a}
source "$(dirname "$0")/benchmark.sh" "$@"

case $LIST in
    a) DATASET=tuberlin ;;
    b) DATASET=tuberlin_b ;;
    *) echo "LIST must be a or b, got '$LIST'" >&2; exit 1 ;;
esac
need_data TUBerlin
published "$DATASET"
show_table "${ROWS[@]}"
