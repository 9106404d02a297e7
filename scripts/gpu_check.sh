#!/usr/bin/env bash
# Everything that only a GPU can show, by one command, in one report:
#   bash scripts/gpu_check.sh                 leaves gpu_check/<card>.md and a log of each part
# The suite in fp32, and what trains of it in bf16 and fp16; seven benchmarks; two epochs of Sketchy-2's size with a random
# ViT-B/32, resumed between them, and one with torch.compile; NCCL with all GPUs; search and export of a GPU's run.
# About an hour on one GPU; TEST_PROCESSES=4 says in how many processes tests run (half of the cores). A part that fails does not stop the others; then the exit status is 1.
#   PARTS="tests train_step"   only these (tests tests_bf16 tests_fp16 train_step inference evaluation loading trunk index
#                              full_run nccl export)
#   OUTPUT=gpu_check           where it all goes
#   DEVICE=cpu SMALL=1         proves without a GPU, at tiny sizes, that this script runs; TESTS="FILE ..." are its tests then
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/env.sh

DEVICE=${DEVICE:-cuda}
SMALL=${SMALL:-0}
OUTPUT=${OUTPUT:-gpu_check}
ALL="tests tests_bf16 tests_fp16 train_step inference evaluation loading trunk index full_run nccl export"
PARTS=${PARTS:-$ALL}
use_environment test

GPUS=$("$PYTHON" -c 'import torch; print(torch.cuda.device_count())')
if [ "$DEVICE" = cuda ] && [ "$GPUS" = 0 ]; then
    echo "$0: torch sees no GPU here (DEVICE=cpu SMALL=1 proves that the script runs)" >&2
    exit 2
fi
for name in $PARTS; do
    case " $ALL " in *" $name "*) ;; *) echo "$0: no part is called '$name': $ALL" >&2; exit 2 ;; esac
done
mkdir -p "$OUTPUT"
: > "$OUTPUT/parts.tsv"
sizes=()
[ "$SMALL" = 0 ] || sizes=(--small)

# part NAME COMMAND ...: run it if it is wanted; its outcome goes into the report
part() {
    local name=$1 began=$SECONDS status=0
    shift
    [[ " $PARTS " == *" $name "* ]] || return 0
    echo "$name ..." >&2
    rm -f "$OUTPUT/$name.json" "$OUTPUT/$name"_*.json  # of an earlier check
    "$@" > "$OUTPUT/$name.log" 2>&1 || status=$?
    printf '%s\t%s\t%s\n' "$name" "$status" "$((SECONDS - began))" >> "$OUTPUT/parts.tsv"
    [ "$status" = 0 ] || echo "$name failed: $OUTPUT/$name.log" >&2
}

parallel=()  # most tests are small: a few processes share one GPU
if "$PYTHON" -c "import xdist" 2> /dev/null; then parallel=(-n "${TEST_PROCESSES:-$(($(nproc) / 2))}" --dist loadfile); fi

tests() {  # PRECISION FILE ...
    SPLIP_TEST_DEVICE=$DEVICE SPLIP_TEST_PREC=$1 OMP_NUM_THREADS=1 \
        "$PYTHON" -m pytest -q ${parallel[@]+"${parallel[@]}"} "${@:2}"
}

benchmark() {  # NAME ARGUMENT ...
    "$PYTHON" "benchmarks/$1.py" ${sizes[@]+"${sizes[@]}"} --device "$DEVICE" "${@:2}"
}

SETTINGS=(--trainer SpLIP --seed 1 --dataset-config-file configs/datasets/sketchmoji.yaml
    --config-file configs/trainers/SpLIP/hybrid.yaml TRAINER.PATCH_CACHE "$OUTPUT/tokens")
[ "$DEVICE" = cuda ] || SETTINGS+=(USE_CUDA False)
[ "$SMALL" = 0 ] || SETTINGS+=(OPTIM.MAX_EPOCH 1 INPUT.SKETCH_VIEWS 1 INPUT.PHOTO_VIEWS 1 TRAINER.SPLIP.BETA 0)

nccl() {  # a run shared by all GPUs
    local many=$((GPUS > 0 ? GPUS : 1))
    rm -rf "$OUTPUT/shared"
    "$PYTHON" -m torch.distributed.run --nproc_per_node="$many" train.py "${SETTINGS[@]}" --output-dir "$OUTPUT/shared"
}

export_run() {  # a run's encoders, exported, rank as the run does
    rm -rf "$OUTPUT/run" "$OUTPUT/encoders" "$OUTPUT/exported"
    "$PYTHON" train.py "${SETTINGS[@]}" --output-dir "$OUTPUT/run" &&
        "$PYTHON" -m splip export --model "$OUTPUT/run" --output "$OUTPUT/encoders" --format pt2 &&
        SPLIP_TRUST_TORCHSCRIPT=1 "$PYTHON" -m splip evaluate --model "$OUTPUT/encoders" --device cpu \
            --output-dir "$OUTPUT/exported" --dataset-config-file configs/datasets/sketchmoji.yaml &&
        "$PYTHON" benchmarks/gpu_report.py --same "$OUTPUT/run/results.json" "$OUTPUT/exported/results.json"
}

moving=$(grep -rl tiny_cfg tests --include='test_*.py' | sort)  # the tests that train
# shellcheck disable=SC2086  # lists of words
{
    part tests tests fp32 ${TESTS:-}
    part tests_bf16 tests bf16 ${TESTS:-$moving}
    part tests_fp16 tests "$([ "$DEVICE" = cuda ] && echo fp16 || echo fp32)" ${TESTS:-$moving}
}
for name in train_step inference evaluation loading trunk; do
    part "$name" benchmark "$name" --json "$OUTPUT/$name.json"
done
part index benchmark index --engine faiss
part full_run benchmark full_run --json "$OUTPUT/full_run.json" $([ "$SMALL" = 0 ] || echo --no-compile)
part nccl nccl
part export export_run
"$PYTHON" benchmarks/gpu_report.py "$OUTPUT"
! cut -f2 "$OUTPUT/parts.tsv" | grep -qv '^0$'
