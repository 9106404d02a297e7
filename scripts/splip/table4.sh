#!/usr/bin/env bash
# Table 4: trained on Sketchy, tested on TU-Berlin and QuickDraw. Arguments and variables as cross_sketchy.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
[ -z "${DATASET:-}" ] || exec bash "$(dirname "$0")/small.sh" 4 "$@"
exec bash "$(dirname "$0")/cross_sketchy.sh" "$@"
