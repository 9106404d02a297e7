"""A few moments of each work; by hand many more: `python tests/faults/kills.py --moments 30`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
@pytest.mark.parametrize("work", ["training", "indexing", "unpacking", "export"])
def test_what_was_killed_ends_as_what_was_not(work):
    """In a process of its own: forks of one whose autograd has run could have no backward pass."""
    if work == "indexing":
        pytest.importorskip("faiss")
    script, environment = Path(__file__).with_name("kills.py"), {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), "--moments", "4", "--work", work],
        capture_output=True, text=True, timeout=300, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    hit = sum(map(int, done.stdout.splitlines()[2].split("|")[3:5]))
    assert hit >= 1, f"none was killed before its end: {done.stdout}"
