#!/usr/bin/env bash
# Generalised zero-shot SBIR on the embedded benchmark (the gallery also holds every seen photo); arguments and variables as zs_sketchmoji.sh.
#   bash scripts/splip/gzs_sketchmoji.sh [SEED ...]
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
DATASET=sketchmoji_gzs exec bash "$(dirname "$0")/zs_sketchmoji.sh" "$@"
