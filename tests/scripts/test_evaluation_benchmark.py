"""The loop that evaluation is compared with is right, and both benchmarks run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def evaluation(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import evaluation

    return evaluation


def test_the_loop_gives_the_numbers_of_the_voc_convention(evaluation):
    from splip.retrieval import retrieval_metrics

    query, gallery, *labels = evaluation.embeddings(20, 900, 3, 3)  # R = 300: above and below the cut-off
    found = retrieval_metrics(query, gallery, *labels)["voc"]
    exact = evaluation.metrics_by_loop(evaluation.product_distances(query.double(), gallery.double()), *labels)
    for name, value in exact.items():
        assert abs(value - found[name]) < 1e-12, (name, value, found[name])
    pairs = evaluation.pair_distances(query, gallery, block=7)
    cosine = torch.nn.functional.cosine_similarity(query[:, None], gallery[None], dim=2)
    torch.testing.assert_close(torch.from_numpy(pairs), (2 - 2 * cosine).sqrt(), rtol=0, atol=1e-4)


def rows(folder):
    return {path.stem: json.loads(path.read_text())["rows"] for path in folder.glob("*.json")}


def test_evaluation_runs(evaluation, tmp_path):
    threads = torch.get_num_threads()
    try:
        evaluation.main(["--small", "--threads", "2", "--json", str(tmp_path / "found.json")])
    finally:
        torch.set_num_threads(threads)
    found = rows(tmp_path)
    assert [row["setting"] for row in found["found_evaluation"]] == ["QuickDraw zs", "Sketchy-2 fg"]
    assert all(row["evaluation s"] > 0 and row["peak MiB"] > 50 for row in found["found_evaluation"])
    assert [row["same bits"] for row in found["found_threads"]] == ["True", "True"], found["found_threads"]
    assert [row["distances from"] for row in found["found_loop"]] == ["pairs", "matrix product"]
    assert all(row["largest difference"] < 1e-9 for row in found["found_loop"]), found["found_loop"]


def test_loading_runs(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "loading.py"), "--small", "--sketchmoji"]
    done = subprocess.run([*command, "--json", str(tmp_path / "found.json")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(tmp_path)
    assert [row["workers"] for row in found["found_disk"]] == [0, 1, 0, 1]
    (sampled,), (ran,) = found["found_sampling"], found["found_sketchmoji"]
    assert sampled["a triplet without its pixels us"] > 0
    assert ran["steps"] == 2 and ran["a step s"] > 0, ran


def test_the_trunks_benchmark_runs(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "trunk.py"), "--small", "--json", str(tmp_path / "found.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    plain, half = rows(tmp_path)["found"]
    assert plain["times fp32"] == 1.0 and plain["images a second"] > 0
    assert 0 < half["relative error"] < 0.1, half


def test_the_threads_benchmark_runs(tmp_path):
    command = [sys.executable, str(BENCHMARKS / "threads.py"), "--small", "--load", "0"]
    done = subprocess.run([*command, "--json", str(tmp_path / "found.json")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(tmp_path)["found"]
    assert [row["work"].split(",")[0] for row in found] == ["indexing", "asking", "training"]
    assert all(row["spinning"] > 0 and row["sleeping"] > 0 for row in found), found
