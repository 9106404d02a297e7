#!/usr/bin/env bash
# Check types as the package is installed, with trainers/ and datasets/ inside it:  bash scripts/types.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=$(realpath -s "${1:-.venv/bin/python}")
rm -rf build/types
mkdir -p build/types/splip
cp -r splip/*.py splip/py.typed build/types/splip
for room in splip/*/ trainers/ datasets/; do
    [ "$room" = splip/assets/ ] || cp -r "$room" build/types/splip
done
cd build/types
"$PYTHON" -m mypy --config-file ../../pyproject.toml
