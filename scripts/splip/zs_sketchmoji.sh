#!/usr/bin/env bash
# Zero-shot SBIR on the embedded benchmark: the frozen backbone, LayerNorms only, SpLIP; then a table and pictures.
#   bash scripts/splip/zs_sketchmoji.sh [SEED ...]        (default: 1)
# Finished runs are kept, unfinished ones resumed. Further settings go to train.py through OPTS:
#   OPTS="OPTIM.MAX_EPOCH 2" bash scripts/splip/zs_sketchmoji.sh 1 2 3
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/env.sh
source scripts/splip/runs.sh
check_seeds "$@"
use_environment

DATASET=${DATASET:-sketchmoji}
CFG=${CFG:-hybrid}
OUTPUT=${OUTPUT:-output/$DATASET}
OPTS=${OPTS:-}
SEEDS=${*:-1}
FIRST=${SEEDS%% *}

train() {  # trainer, seed; all share the patch embeddings of the same views, which are computed once
    run_once "$OUTPUT/$1/seed$2" "$1" "$2" "$DATASET" TRAINER.PATCH_CACHE "$OUTPUT/tokens"
}

train FrozenCLIP "$FIRST"
for SEED in $SEEDS; do
    train LayerNormCLIP "$SEED"
    train SpLIP "$SEED"
done

"$PYTHON" -m splip compare --output "$OUTPUT" \
    "$OUTPUT/FrozenCLIP/seed$FIRST" "$OUTPUT/LayerNormCLIP/seed$FIRST" "$OUTPUT/SpLIP/seed$FIRST"
echo
"$PYTHON" -m splip table "$OUTPUT" --csv "$OUTPUT/results.csv"
