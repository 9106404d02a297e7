"""scripts/gpu_check.sh runs without a GPU at tiny sizes, and its report says what failed and what was missed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


def check(output, **variables):
    environment = {**os.environ, "PYTHON": sys.executable, "OUTPUT": str(output), **variables}
    return subprocess.run(
        ["bash", str(ROOT / "scripts/gpu_check.sh")], env=environment, capture_output=True, text=True, timeout=600
    )


@pytest.fixture
def report(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu_report

    return gpu_report


def test_it_runs_and_reports_what_failed(tmp_path):
    tests = "tests/data/test_capacity.py tests/none.py"
    done = check(tmp_path, DEVICE="cpu", SMALL="1", PARTS="tests trunk index full_run", TESTS=tests)
    assert done.returncode == 1, done.stdout + done.stderr
    outcomes = dict(line.split("\t")[:2] for line in (tmp_path / "parts.tsv").read_text().splitlines())
    logs = {name: (tmp_path / f"{name}.log").read_text()[-2000:] for name in outcomes}
    assert outcomes == {"tests": "4", "trunk": "0", "index": "0", "full_run": "0"}, logs
    page = Path(done.stdout.strip()).read_text()
    assert "**failed (4)**" in page and "tests/none.py" in page and "| resumed, second epoch |" in page, page


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so_and_runs_nothing(tmp_path):
    done = check(tmp_path / "none")
    assert done.returncode == 2 and "torch sees no GPU here" in done.stderr and not (tmp_path / "none").exists()


def write(folder, name, rows):
    (folder / f"{name}.json").write_text(json.dumps({"rows": rows}))


def test_the_aims_are_read_from_the_benchmarks(report, tmp_path):
    assert [reached for *_, reached in report.aims(tmp_path)] == [False] * 4, "nothing was measured"
    step = {"case": "SpLIP, compiled", "precision": "bf16", "to the floor": 1.1, "waits": 0}
    write(tmp_path, "train_step", [{"case": "floor", "precision": "bf16", "waits": 9}, step])
    write(tmp_path, "full_run", [{"run": "first epoch", "waited, share": 0.01}])
    write(tmp_path, "evaluation_evaluation", [{"setting": "QuickDraw zs", "GPU: seconds": 12.0}])
    found = report.aims(tmp_path)
    wanted = [(1.1, True), (0, True), (0.01, True), (12.0, False)]
    assert [(figure, reached) for _, _, figure, reached in found] == wanted
    write(tmp_path, "train_step", [{**step, "to the floor": 1.2, "waits": 1}])
    assert [reached for *_, reached in report.aims(tmp_path)] == [False, False, True, False]
