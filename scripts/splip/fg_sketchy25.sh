#!/usr/bin/env bash
# Fine-grained zero-shot SBIR on a part of Sketchy: find the photo that was drawn, among 25 of its class or among all.
#   DATA=../shared/real bash scripts/splip/fg_sketchy25.sh [SEED ...]        (default: seeds 1 2 3)
# Other variables, and what is kept or resumed: sketchy25.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
source "$(dirname "$0")/sketchy25.sh" "$@"

rows train sketchy25_fg
rows retest sketchy25_fg-seen sketchy25_fg DATASET.TEST_CLASSES seen
show_rows sketchy25_fg sketchy25_fg-seen
