#!/usr/bin/env bash
# Run the tests in an environment made for them; arguments go to pytest.
#   bash scripts/test.sh [-k name] ...
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/env.sh
use_environment test
exec "$PYTHON" -m pytest -q "$@"
