# Sourced, with their arguments, by the scripts of sketchy25 (docs/DATASETS.md#sketchy25): benchmark.sh with other rows.
#
# Arguments and variables as benchmark.sh has them, and these:
#   DATA      folder that holds Sketchy/ as its archive has it, or sketchy25/ (data)
#   TRAINER   rows that are trained with $CFG (FrozenCLIP LayerNormCLIP SpLIP)
#   CFG       with the paper's losses (sketchy25)
#   PLUS      beyond the paper: one more row, SpLIP trained with this; "" for none (sketchy25_plus)
# Patch embeddings of the views are computed once and kept in $OUTPUT/tokens, which may be removed afterwards.
TRAINER=${TRAINER:-FrozenCLIP LayerNormCLIP SpLIP}
CFG=${CFG:-sketchy25}
PLUS=${PLUS-sketchy25_plus}
source "$(dirname "${BASH_SOURCE[0]}")/benchmark.sh" "$@"
OPTS="TRAINER.PATCH_CACHE $OUTPUT/tokens $OPTS"

# rows COMMAND ...: `train`, `retest` or `generalised` for every row
rows() {
    "$@"
    [ -z "$PLUS" ] || TRAINER=SpLIP CFG=$PLUS "$@"
}

# show_rows NAME ...: means over seeds, and paired differences with intervals; also as <NAME>.csv
show_rows() {
    local folders=() name trainer
    for name in "$@"; do
        for trainer in $TRAINER; do
            folders+=("$OUTPUT/$name/$trainer/$CFG")
        done
        [ -z "$PLUS" ] || folders+=("$OUTPUT/$name/SpLIP/$PLUS")
    done
    echo
    "$PYTHON" -m splip table "${folders[@]}" --intervals --csv "$OUTPUT/$1.csv"
}
