#!/usr/bin/env bash
# Zero-shot SBIR on QuickDraw (Table 1).
#   bash scripts/splip/zs_quickdraw.sh [SEED ...]        (default: seeds 1 2 3)
# Other variables, and what is kept or resumed: benchmark.sh.
DATA=${DATA:-data}
TRAINER=${TRAINER:-SpLIP}
CFG=${CFG:-vit_b32}
source "$(dirname "$0")/benchmark.sh" "$@"

need_data QuickDraw
train quickdraw
show_table quickdraw
