# Sourced by the other scripts.

# run_once DIR TRAINER SEED DATASET [ARGUMENT ...]: one run of train.py. A finished one is kept, an unfinished one resumed.
# Variables: PYTHON; CFG, a file of configs/trainers/<trainer> or else of configs/trainers/SpLIP; OPTS, further settings (KEY VALUE ...).
run_once() {
    local dir=$1 trainer=$2 seed=$3 dataset=$4 config resume=()
    shift 4
    if [ -f "$dir/results.json" ]; then
        echo "Finished before: $dir"
        return
    fi
    [ -f "$dir/splip/checkpoint" ] && resume=(--resume "$dir")
    config=configs/trainers/$trainer/$CFG.yaml  # of its own, else SpLIP's, which the baselines share
    [ -f "$config" ] || config=configs/trainers/SpLIP/$CFG.yaml
    # shellcheck disable=SC2086  # OPTS is a list of words
    "$PYTHON" train.py --trainer "$trainer" --seed "$seed" \
        --dataset-config-file "configs/datasets/$dataset.yaml" \
        --config-file "$config" \
        --output-dir "$dir" ${resume[@]+"${resume[@]}"} "$@" $OPTS
}
