#!/usr/bin/env bash
# Run the tests in an environment made for them; arguments go to pytest.
#   bash scripts/test.sh [-k name] ...
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/env.sh
use_environment test
# Most of the time goes to single threads and to the start of programs: two processes of one thread each are
# faster than one of two. -n 0 runs them in one.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
parallel=()
if "$PYTHON" -c "import xdist" 2> /dev/null; then parallel=(-n 2 --dist loadfile); fi
exec "$PYTHON" -m pytest -q ${parallel[@]+"${parallel[@]}"} "$@"
