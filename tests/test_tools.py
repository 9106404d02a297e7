"""Tables come from results.json files alone."""

import csv
import importlib.util
import json
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"


def load(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


collect = load("collect_results")


def write_run(folder, trainer="SpLIP", seed=1, value=10.0, **change):
    metrics = {name: {"mAP@all": value + i} for i, name in enumerate(("prefix", "min_r_k", "voc"))}
    result = {
        "trainer": trainer, "seed": seed, "dataset": "Toy", "setting": "zs", "gallery": "unseen",
        "backbone": "TinyCLIP", "selection": "last", "split": {"name": "one"}, "metrics": metrics, **change,
    }
    path = folder / trainer / f"seed{seed}" / "results.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(result))


def test_mean_and_deviation_over_seeds_baselines_first(tmp_path, capsys):
    for seed, value in ((1, 20.0), (2, 21.0), (3, 25.0)):
        write_run(tmp_path, seed=seed, value=value)
    write_run(tmp_path, "FrozenCLIP", value=10.0)
    collect.main([str(tmp_path), "--csv", str(tmp_path / "table.csv")])
    lines = capsys.readouterr().out.splitlines()
    assert "convention prefix" in lines[0] and "dataset: Toy" in lines[0]
    assert [cell.strip() for cell in lines[-2].split("|")[1:-1]] == ["FrozenCLIP", "1", "10.00"]
    assert [cell.strip() for cell in lines[-1].split("|")[1:-1]] == ["SpLIP", "1 2 3", "22.00 ± 2.65"]
    with (tmp_path / "table.csv").open() as file:
        assert [row["mAP@all"] for row in csv.DictReader(file)] == ["10.00", "22.00 ± 2.65"]


def test_the_convention_is_an_argument(tmp_path, capsys):
    write_run(tmp_path, value=30.0)
    collect.main([str(tmp_path), "--convention", "voc"])
    assert "32.00" in capsys.readouterr().out


def test_fine_grained_results_have_no_convention(tmp_path, capsys):
    metrics = {"category": {"Acc@1": 40.0}, "all": {"Acc@1": 20.0}}
    write_run(tmp_path, metrics=metrics)
    collect.main([str(tmp_path)])
    out = capsys.readouterr().out
    assert "category Acc@1" in out and "20.00" in out


def test_a_repeated_seed_is_refused(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b")
    with pytest.raises(SystemExit, match=r"seeds \[1, 1\] repeat"):
        collect.main([str(tmp_path)])


def test_an_empty_folder_and_a_foreign_file_are_named(tmp_path):
    with pytest.raises(SystemExit, match=r"no results\.json below"):
        collect.main([str(tmp_path)])
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(SystemExit, match=r"results\.json is not the results file of a run"):
        collect.main([str(tmp_path)])
