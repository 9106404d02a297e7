#!/usr/bin/env bash
# Table 3: fine-grained zero-shot SBIR on Sketchy. Arguments and variables as fg_sketchy.sh.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
[ -z "${DATASET:-}" ] || exec bash "$(dirname "$0")/small.sh" 3 "$@"
exec bash "$(dirname "$0")/fg_sketchy.sh" "$@"
