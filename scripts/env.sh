# Sourced by the other scripts: leaves in $PYTHON a Python that has SpLIP installed.
#
# Set PYTHON to use an environment of your own (then nothing is installed). Otherwise one is made in
# $SPLIP_ENV (default: .venv beside this folder), once, and again when setup.py has changed.
# SPLIP_TORCH: auto (PyTorch's CPU build where no NVIDIA GPU is seen), cpu, or any (what pip takes by itself)

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SPLIP_ENV=${SPLIP_ENV:-$ROOT/.venv}

# Waiting threads sleep, or they are in the way of every other program (docs/PERFORMANCE.md); what you set yourself stays.
if [ -z "${OMP_WAIT_POLICY+set}${GOMP_SPINCOUNT+set}${KMP_BLOCKTIME+set}" ]; then
    export OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=10000
fi

CPU_BUILDS=https://download.pytorch.org/whl/cpu

# small_torch: install PyTorch's CPU build (0.2 GB to fetch) if the ordinary one (3 GB, most of it CUDA) would be of no use here.
# Whatever torch is there already stays, and so does a pip that has an index of its own.
small_torch() {
    case ${SPLIP_TORCH:-auto} in
        any) return ;;
        cpu) ;;
        auto) ! nvidia-smi > /dev/null 2>&1 || return 0 ;;
        *) echo "SPLIP_TORCH must be auto, cpu or any, got '$SPLIP_TORCH'" >&2; exit 2 ;;
    esac
    [ "$(uname -sm)" = "Linux x86_64" ] || return 0  # elsewhere the ordinary build has no CUDA
    ! "$PYTHON" -c "import torch" 2> /dev/null || return 0
    ! "$PYTHON" -m pip config list 2> /dev/null | grep -q "index-url" || return 0
    if ! "$PYTHON" -c "from urllib.request import urlopen; urlopen('$CPU_BUILDS/torch/', timeout=5)" 2> /dev/null; then
        echo "PyTorch's CPU builds ($CPU_BUILDS) cannot be reached: the ordinary torch is installed, with CUDA (3 GB to fetch)" >&2
        return
    fi
    echo "No GPU is used: installing PyTorch's CPU build (SPLIP_TORCH=any takes the ordinary one)" >&2
    "$PYTHON" -m pip install "${pip_says[@]}" --index-url "$CPU_BUILDS" "torch>=2.6" torchvision
}

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
    local pip_says=(--disable-pip-version-check)
    [ -t 2 ] || pip_says+=(--quiet)  # on a terminal pip shows how far it is
    small_torch
    "$PYTHON" -m pip install "${pip_says[@]}" -e "$ROOT${1:+[$1]}"
    echo "$wanted" > "$stamp"
}
