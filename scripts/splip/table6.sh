#!/usr/bin/env bash
# Table 6: the modules, on Sketchy (split 2), zero-shot and fine-grained.
#   bash scripts/splip/table6.sh [SEED ...]        (default: seeds 1 2 3)
#   DATASET=sketchy25 DATA=... bash scripts/splip/table6.sh [SEED ...]        (in small, with rivals: small.sh)
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
[ -z "${DATASET:-}" ] || exec bash "$(dirname "$0")/small.sh" 6 "$@"
source "$(dirname "$0")/benchmark.sh" "$@"

need_data Sketchy2
ablations no_layernorm no_bv no_bt no_bvt no_visual_prompts no_prompts full
