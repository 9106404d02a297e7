# Sourced by the other scripts.

# check_seeds SEED ...: stop at what is no seed; --help shows the head of the script.
check_seeds() {
    local seed
    for seed in "$@"; do
        case $seed in
            -h | --help) sed -n '2,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
            *[!0-9]* | '') echo "$0: seeds are whole numbers from 0, got '$seed'" >&2; exit 2 ;;
        esac
    done
}

# run_once DIR TRAINER SEED DATASET [ARGUMENT ...]: one run of train.py. A finished one is kept, an unfinished one resumed, another run's
# folder refused. With PLAN=1 it only says whether the run is done.
# Variables: PYTHON; CFG, a file of configs/trainers/<trainer> or else of configs/trainers/SpLIP; OPTS, further settings (KEY VALUE ...).
run_once() {
    local dir=$1 trainer=$2 seed=$3 dataset=$4 config resume=() state="to do"
    shift 4
    if [ "${PLAN:-0}" = 1 ]; then
        [ -f "$dir/splip/checkpoint" ] && state=begun
        [ -f "$dir/results.json" ] && state=done
        echo "$state: $dir"
        return
    fi
    [ -f "$dir/splip/checkpoint" ] && resume=(--resume "$dir")
    config=configs/trainers/$trainer/$CFG.yaml  # of its own, else SpLIP's, which the baselines share
    [ -f "$config" ] || config=configs/trainers/SpLIP/$CFG.yaml
    # shellcheck disable=SC2086  # OPTS is a list of words
    "$PYTHON" train.py --trainer "$trainer" --seed "$seed" \
        --dataset-config-file "configs/datasets/$dataset.yaml" \
        --config-file "$config" \
        --output-dir "$dir" --skip-finished ${resume[@]+"${resume[@]}"} "$@" $OPTS
}
