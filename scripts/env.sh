# Sourced by the other scripts: leaves in $PYTHON a Python that has SpLIP installed.
#
# Set PYTHON to use an environment of your own (then nothing is installed). Otherwise one is made in
# $SPLIP_ENV (default: .venv beside this folder), once, and again when setup.py has changed.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SPLIP_ENV=${SPLIP_ENV:-$ROOT/.venv}

# Waiting threads sleep, or they are in the way of every other program (docs/PERFORMANCE.md); what you set yourself stays.
if [ -z "${OMP_WAIT_POLICY+set}${GOMP_SPINCOUNT+set}${KMP_BLOCKTIME+set}" ]; then
    export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=10000
fi

# use_environment [EXTRA]: EXTRA is one of setup.py's extras
use_environment() {
    if [ -n "${PYTHON:-}" ]; then
        return
    fi
    local stamp wanted
    PYTHON=$SPLIP_ENV/bin/python
    stamp=$SPLIP_ENV/installed${1:+-$1}
    wanted=$(cksum < "$ROOT/setup.py")
    if [ -x "$PYTHON" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi
    if [ -x "$PYTHON" ]; then
        echo "Checking that $SPLIP_ENV has all that SpLIP needs ..." >&2
    else
        echo "Installing SpLIP into $SPLIP_ENV (a few minutes) ..." >&2
        python3 -m venv "$SPLIP_ENV"
    fi
    "$PYTHON" -m pip install --quiet --disable-pip-version-check -e "$ROOT${1:+[$1]}"
    echo "$wanted" > "$stamp"
}
