#!/usr/bin/env bash
# Build the wheel and the source archive into dist/, install each in an environment of its own, and try it there.
#   bash scripts/release.sh
# Everything that is downloaded is a dependency. Nothing is uploaded.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"
set -euo pipefail
cd "$(dirname "$0")/.."
rm -rf build dist
python3 -m venv build/env
build/env/bin/python -m pip install --quiet --disable-pip-version-check build
build/env/bin/python -m build --outdir dist .
for made in dist/*.whl dist/*.tar.gz; do
    env=build/smoke-$(basename "$made")
    python3 -m venv "$env"
    "$env/bin/python" -m pip install --quiet --disable-pip-version-check "$made"
    (
        cd build  # not where this checkout's own splip/ is found
        python=$PWD/../$env/bin/python
        "$python" -m splip doctor > /dev/null
        "$python" - <<'PY'
from PIL import Image

import splip
import splip.datasets
import splip.trainers

assert "site-packages" in splip.__file__, splip.__file__
found = splip.load_model().embed([Image.new("RGB", (200, 200), "white")], "photo")
assert found.shape == (1, 512) and abs(float(found.norm()) - 1) < 1e-4, found
print(f"splip {splip.__version__} from {splip.__file__} embeds")
PY
    )
    rm -rf "$env"
done
ls -l dist
