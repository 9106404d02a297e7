"""The benchmarks run from their first line to their last at a tiny size, and their shared parts do what they say."""

import json
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def imported(monkeypatch):
    """A function of a benchmark's name -> its module; the number of threads is put back afterwards."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    threads = torch.get_num_threads()
    yield import_module
    torch.set_num_threads(threads)


def test_train_step(imported, tmp_path, capsys):
    imported("train_step").main(["--small", "--device", "cpu", "--json", str(tmp_path / "step.json")])
    literal, ours = re.search(r"literal reading ([\d.]+), SpLIP ([\d.]+)", capsys.readouterr().out).groups()
    assert float(literal) == pytest.approx(float(ours), rel=1e-5)
    rows = json.loads((tmp_path / "step.json").read_text())["rows"]
    assert [(row["precision"], row["batch"]) for row in rows] == [(p, b) for p in ("bf16", "fp32") for b in (2, 3, 192)]
    for row in rows:
        assert row["SpLIP / floor"] == pytest.approx(row["SpLIP s"] / row["floor s"]), row
    (memory,) = json.loads((tmp_path / "step_memory.json").read_text())["rows"]
    assert 0.1 < memory["GiB at 2"] < 4, memory


def test_inference(imported, tmp_path):
    imported("inference").main(["--small", "--device", "cpu", "--json", str(tmp_path / "inference.json")])
    rows = json.loads((tmp_path / "inference.json").read_text())["rows"]
    assert {"CLIP", "SpLIP", "exported, pt2"} <= {row["encoder"] for row in rows}
    for row in rows:
        close = row["encoder"] == "SpLIP" or row["encoder"].startswith("exported")
        assert (row["largest difference from SpLIP"] < 1e-4) == close, row


def test_cases_take_turns_and_the_median_counts(imported, monkeypatch):
    common = imported("common")
    clock, order = iter([0, 1, 10, 30, 100, 107, 200, 202, 300, 303, 400, 401]), []
    monkeypatch.setattr(common.time, "perf_counter", lambda: next(clock))
    cases = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    assert common.measure(cases, repeats=3, warm_up=False) == {"a": 3, "b": 2}  # of 1, 7, 3 and 20, 2, 1
    assert order == ["a", "b"] * 3
    with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
        common.measure(cases, repeats=0)


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_peak_memory_sees_what_is_held_and_not_what_the_parent_holds(imported):
    common = imported("common")
    held = torch.ones(300 * 2**20)  # 1200 MiB here
    peak = common.peak_memory(torch.ones, 300 * 2**18)  # 300 MiB there, and Python with torch
    assert 300 < peak < 1200, peak
    del held


def test_a_table_has_one_column_for_each_key(imported, tmp_path, capsys):
    common = imported("common")
    rows = [{"case": "a", "seconds": 0.01234, "x": None}, {"case": "long name", "seconds": 1234.5, "x": 2}]
    common.report(rows, "Title", tmp_path / "new" / "t.json")
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "Title" and [cell.strip() for cell in lines[3].split("|")[1:-1]] == ["case", "seconds", "x"]
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[5:7]] == [
        ["a", "0.0123", "-"], ["long name", "1,234", "2"],
    ]  # fmt: skip
    left = json.loads((tmp_path / "new" / "t.json").read_text())
    assert left["rows"] == rows and left["machine"]["torch"] == torch.__version__
