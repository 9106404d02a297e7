#!/usr/bin/env bash
# Table 5: the losses, on Sketchy (split 2), zero-shot and fine-grained.
#   bash scripts/splip/table5.sh [SEED ...]        (default: seeds 1 2 3)
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
source "$(dirname "$0")/benchmark.sh" "$@"

need_data Sketchy2
ablation class TRAINER.SPLIP.TRIPLET False TRAINER.SPLIP.BETA 0.0
ablation triplet TRAINER.SPLIP.MARGIN fixed TRAINER.SPLIP.ALPHA 0.0 TRAINER.SPLIP.BETA 0.0
ablation class+triplet TRAINER.SPLIP.MARGIN fixed TRAINER.SPLIP.BETA 0.0
ablation adaptive_margin TRAINER.SPLIP.BETA 0.0
train sketchy2
train sketchy_fg
show_table "${ROWS[@]}" sketchy2 sketchy_fg
