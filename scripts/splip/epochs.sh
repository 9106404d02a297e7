#!/usr/bin/env bash
# Retrieval after each epoch, on classes of the training and on unseen ones: what training gains, and what of it transfers.
#   DATA=../shared/real bash scripts/splip/epochs.sh [SEED ...]        (default: seeds 1 2 3)
#   EPOCHS    length of the run (10: twice the recipe's, to see what comes after it)
#   TRAINER   LayerNormCLIP SpLIP
# Nothing may be chosen by it: it looks at the test classes. Other variables, and what is kept or resumed: benchmark.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
DATASET=sketchy25 EPOCHS=${EPOCHS:-10}
TRAINER=${TRAINER:-LayerNormCLIP SpLIP}
CFG=${CFG:-sketchy25}
source "$(dirname "${BASH_SOURCE[0]}")/benchmark.sh" "$@"
OPTS="TRAINER.PATCH_CACHE $OUTPUT/tokens $OPTS"

train "$DATASET-epochs" OPTIM.MAX_EPOCH "$EPOCHS" TRAIN.CHECKPOINT_FREQ 1
folders=()
for classes in unseen seen; do
    for trainer in $TRAINER; do
        for ((epoch = 1; epoch <= EPOCHS; epoch++)); do
            folder=$OUTPUT/$DATASET-epochs-$classes/$trainer-$epoch/$CFG
            folders+=("$folder")
            for seed in $SEEDS; do
                if [ -f "$folder/seed$seed/results.json" ]; then continue; fi
                if [ "${PLAN:-0}" = 1 ]; then
                    echo "to do: $folder/seed$seed"
                    continue
                fi
                "$PYTHON" -m splip evaluate --run "$OUTPUT/$DATASET-epochs/$trainer/$CFG/seed$seed" --load-epoch "$epoch" \
                    --root "$DATA" --output-dir "$folder/seed$seed" DATASET.TEST_CLASSES "$classes" TEST.SWAPPED False
            done
        done
    done
done
[ "${PLAN:-0}" = 1 ] || "$PYTHON" -m splip table "${folders[@]}" --csv "$OUTPUT/$DATASET-epochs.csv"
