"""scripts/app.sh: the index that it makes is the one that the page opens."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "app, index",
    [
        ("", []),
        ("--port 8000", []),
        ("--model clip:ViT-B/32 --port 8000", ["--model", "clip:ViT-B/32"]),
        ("--port 1 --device=cuda --index somewhere", ["--device=cuda", "--index", "somewhere"]),
    ],
)
def test_the_model_and_the_place_go_to_both_commands(tmp_path, app, index):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$*" >> "$RECORD"\n')
    python.chmod(0o755)
    env = {**os.environ, "PYTHON": str(python), "RECORD": str(tmp_path / "record"), "APP": app}
    subprocess.run(["bash", "scripts/app.sh", "photos", "more"], cwd=ROOT, env=env, check=True)
    first, second = (tmp_path / "record").read_text().splitlines()
    assert first.split() == ["-m", "splip", "index", "photos", "more", *index], first
    assert second.split() == ["-m", "splip", "app", "--open", *app.split()], second
