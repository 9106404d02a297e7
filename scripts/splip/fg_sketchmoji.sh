#!/usr/bin/env bash
# Fine-grained zero-shot SBIR on the embedded benchmark (find the very object); arguments and variables as zs_sketchmoji.sh.
#   bash scripts/splip/fg_sketchmoji.sh [SEED ...]
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
DATASET=sketchmoji_fg exec bash "$(dirname "$0")/zs_sketchmoji.sh" "$@"
