#!/usr/bin/env bash
# Table 6: the modules, on Sketchy (split 2), zero-shot and fine-grained.
#   bash scripts/splip/table6.sh [SEED ...]        (default: seeds 1 2 3)
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
source "$(dirname "$0")/benchmark.sh" "$@"

need_data Sketchy2
ablation no_layernorm TRAINER.SPLIP.LAYERNORM none
ablation no_bv TRAINER.SPLIP.USE_BV False
ablation no_bt TRAINER.SPLIP.USE_BT False
ablation no_bvt TRAINER.SPLIP.USE_BVT False
ablation no_visual_prompts TRAINER.SPLIP.USE_BV False TRAINER.SPLIP.USE_BVT False
ablation no_prompts TRAINER.SPLIP.USE_BT False TRAINER.SPLIP.USE_BV False TRAINER.SPLIP.USE_BVT False
train sketchy2
train sketchy_fg
show_table "${ROWS[@]}" sketchy2 sketchy_fg
