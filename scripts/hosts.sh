#!/usr/bin/env bash
# Test SpLIP inside the real CoOp, MaPLe and PromptSRC, and with the real Dassl (docs/HOSTS.md).
#   bash scripts/hosts.sh FOLDER [-k name] ...     FOLDER holds checkouts named CoOp, MaPLe, PromptSRC and Dassl
# What Dassl imports is installed beside the tests' own packages; with PYTHON set, nothing is. Further arguments go to pytest.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
stop() { echo "$1" >&2; exit 2; }

[ -d "${1:-}" ] || stop "usage: bash scripts/hosts.sh FOLDER [-k name] ...: FOLDER holds CoOp, MaPLe, PromptSRC and Dassl"
HOSTS=$(cd "$1" && pwd)
shift
for source in KaiyangZhou/CoOp=CoOp muzairkhattak/multimodal-prompt-learning=MaPLe muzairkhattak/PromptSRC=PromptSRC \
    KaiyangZhou/Dassl.pytorch=Dassl; do
    name=${source#*=}
    [ -d "$HOSTS/$name" ] \
        || stop "$HOSTS has no checkout named $name: git clone https://github.com/${source%=*} $HOSTS/$name"
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
OWN=${PYTHON:-}
source scripts/env.sh
use_environment test
if [ -z "$OWN" ]; then
    "$PYTHON" -m pip install --quiet --disable-pip-version-check tabulate pandas scipy scikit-learn ftfy regex
    "$PYTHON" -m pip install --quiet --disable-pip-version-check --no-deps wilds
fi

export SPLIP_HOSTS=$HOSTS PYTHONPATH=$HOSTS/Dassl${PYTHONPATH:+:$PYTHONPATH}
unset SPLIP_ENGINE
# Without these, tests would be skipped, or test another checkout.
"$PYTHON" -c "import dassl.engine" || stop "$PYTHON cannot import Dassl: docs/HOSTS.md says what that takes"
(cd / && "$PYTHON" -c "import os, splip; assert os.path.samefile(splip.__path__[0], '$ROOT/splip')") \
    || stop "$PYTHON cannot import this checkout's splip from elsewhere: pip install -e $ROOT"
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} \
    exec "$PYTHON" -m pytest -q tests/engine/test_engine.py tests/trainers/test_hosts.py "$@"
