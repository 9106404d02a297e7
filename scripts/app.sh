#!/usr/bin/env bash
# Search your own photos with a drawing: environment, index, and a page in your browser.
#   bash scripts/app.sh FOLDER [FOLDER ...]
# The index is kept: with folders it is brought up to date, without it is used as it is. Further arguments of splip app go through
# APP, e.g. APP="--port 8000". For photos elsewhere than on this machine see docs/SEARCH.md.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
source "$here/scripts/env.sh"
use_environment app
if [ $# -gt 0 ]; then
    index=() next=
    for word in ${APP:-}; do # what names the model and the index goes to both commands
        case $word in
            --model | --run | --backbone | --device | --index | --engine | --uri) next=1 index+=("$word") ;;
            --model=* | --run=* | --backbone=* | --device=* | --index=* | --engine=* | --uri=*) index+=("$word") ;;
            *) [ -z "$next" ] || index+=("$word"); next= ;;
        esac
    done
    "$PYTHON" -m splip index "$@" ${index[@]+"${index[@]}"}
fi
# shellcheck disable=SC2086  # APP is a list of words
exec "$PYTHON" -m splip app --open ${APP:-}
