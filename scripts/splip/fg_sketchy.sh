#!/usr/bin/env bash
# Fine-grained zero-shot SBIR on Sketchy (Table 3): find the photo that was drawn.
#   bash scripts/splip/fg_sketchy.sh [SEED ...]        (default: seeds 1 2 3)
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
source "$(dirname "$0")/benchmark.sh" "$@"

need_data Sketchy2
train sketchy_fg
show_table sketchy_fg
