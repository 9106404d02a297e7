#!/usr/bin/env bash
# Zero-shot SBIR on the embedded benchmark: frozen TinyCLIP, LayerNorms only, SpLIP; then a table and pictures.
#   bash scripts/splip/zs_sketchmoji.sh [SEED ...]        (default: 1)
# Finished runs are kept, unfinished ones resumed. Further settings go to train.py through OPTS:
#   OPTS="OPTIM.MAX_EPOCH 2" bash scripts/splip/zs_sketchmoji.sh 1 2 3
set -euo pipefail
cd "$(dirname "$0")/../.."
source scripts/env.sh
use_environment

DATASET=${DATASET:-sketchmoji}
CFG=${CFG:-tinyclip}
OUTPUT=${OUTPUT:-output/$DATASET}
OPTS=${OPTS:-}
SEEDS=${*:-1}
FIRST=${SEEDS%% *}

train() {  # trainer, seed
    local dir=$OUTPUT/$1/seed$2 resume=()
    if [ -f "$dir/results.json" ]; then
        echo "Finished before: $dir"
        return
    fi
    [ -f "$dir/splip/checkpoint" ] && resume=(--resume "$dir")
    # shellcheck disable=SC2086  # OPTS is a list of words
    "$PYTHON" train.py --trainer "$1" --seed "$2" \
        --dataset-config-file "configs/datasets/$DATASET.yaml" \
        --config-file "configs/trainers/SpLIP/$CFG.yaml" \
        --output-dir "$dir" ${resume[@]+"${resume[@]}"} $OPTS
}

train FrozenCLIP "$FIRST"
for SEED in $SEEDS; do
    train LayerNormCLIP "$SEED"
    train SpLIP "$SEED"
done

"$PYTHON" tools/compare_runs.py --output "$OUTPUT" \
    "$OUTPUT/FrozenCLIP/seed$FIRST" "$OUTPUT/LayerNormCLIP/seed$FIRST" "$OUTPUT/SpLIP/seed$FIRST"
echo
"$PYTHON" tools/collect_results.py "$OUTPUT" --csv "$OUTPUT/results.csv"
