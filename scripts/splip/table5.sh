#!/usr/bin/env bash
# Table 5: the losses, on Sketchy (split 2), zero-shot and fine-grained.
#   bash scripts/splip/table5.sh [SEED ...]        (default: seeds 1 2 3)
#   DATASET=sketchy25 DATA=... bash scripts/splip/table5.sh [SEED ...]        (in small, with rivals: small.sh)
# Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
[ -z "${DATASET:-}" ] || exec bash "$(dirname "$0")/small.sh" 5 "$@"
source "$(dirname "$0")/benchmark.sh" "$@"

need_data Sketchy2
ablations class triplet class+triplet adaptive_margin clip_at_jigsaw full
