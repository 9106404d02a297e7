#!/usr/bin/env bash
# Search your own photos with a drawing: environment, index, and a page in your browser.
#   bash scripts/app.sh FOLDER [FOLDER ...]
# The index is kept: with folders it is brought up to date while the page is open, without it is used as it is. Further arguments of splip app go through
# APP, e.g. APP="--port 8000". For photos elsewhere than on this machine see docs/SEARCH.md.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
source "$here/scripts/env.sh"
use_environment app
# shellcheck disable=SC2086  # APP is a list of words
exec "$PYTHON" -m splip app --open "$@" ${APP:-}
