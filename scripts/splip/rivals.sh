#!/usr/bin/env bash
# Rivals of SpLIP on a part of Sketchy, each with its own recipe in one frame, and a table (docs/RESULTS.md): VPT, IVLP, MaPLe, PromptSRC,
# CLIP-AT as printed and as released, ClipPrompt with two settings, projection only, CLIPFit-like, and rows that train nothing.
# zs_sketchy25.sh trains SpLIP itself.
#   DATA=../shared/real bash scripts/splip/rivals.sh [SEED ...]        (default: seeds 1 2 3)
# Other variables, and what is kept or resumed: sketchy25.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
TRAINER=${TRAINER:-FrozenCLIP CenteredCLIP ClassNameCLIP VPTSBIR IVLPSBIR MaPLeSBIR PromptSRCSBIR ClipAT ClipPrompt ProjectionCLIP CLIPFitLike}
PLUS=
source "$(dirname "$0")/sketchy25.sh" "$@"

train sketchy25
# a second setting of the same trainer
TRAINER=ClipAT CFG=sketchy25_released train sketchy25
TRAINER=ClipPrompt CFG=sketchy25_sgspl train sketchy25
# its loss reads images, which patch embeddings leave out
OPTS="$OPTS TRAINER.PATCH_CACHE=" TRAINER=SeCoLike train sketchy25

folders=("$OUTPUT/sketchy25/ClipAT/sketchy25_released" "$OUTPUT/sketchy25/ClipPrompt/sketchy25_sgspl" "$OUTPUT/sketchy25/SeCoLike/sketchy25")
for trainer in $TRAINER; do
    folders+=("$OUTPUT/sketchy25/$trainer/sketchy25")
done
for folder in "${folders[@]}"; do
    "$PYTHON" -m splip table "$folder"
done
