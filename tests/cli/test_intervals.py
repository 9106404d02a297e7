"""`splip table --intervals`: out of results.json and per_query.npz alone."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest

from splip.cli import main as splip_command
from splip.retrieval import bootstrap_means
from splip.retrieval.bootstrap import seeds_interval
from splip.training import per_query

CLASSES = np.repeat(["ant", "bat", "cow"], 4)
FILES = [f"data/{name}/{i:02}.png" for i, name in enumerate(CLASSES)]


def write_run(folder, trainer, seed, values, swapped=None, order=None, ranks=None, **change):
    """values, swapped: AP of each query, fractions; ranks: of each, fine-grained."""
    order = np.arange(len(CLASSES)) if order is None else order
    items = [SimpleNamespace(impath=FILES[i], classname=CLASSES[i], spec=None) for i in order]
    if ranks is None:
        columns, metrics = (
            {"mAP@all": values, "P@100": values / 2},
            {"min_r_k": {"mAP@all": 100 * values.mean(), "P@100": 50 * values.mean()}},
        )
        if swapped is not None:
            columns["swapped mAP@all"] = swapped
    else:
        columns = {"category rank": ranks, "all rank": ranks + 1}
        metrics = {
            name: {f"Acc@{k}": 100 * np.mean(column <= k) for k in (1, 5)}
            for name, column in (("category", ranks), ("all", ranks + 1))
        }
    run = folder / trainer / f"seed{seed}"
    run.mkdir(parents=True)
    per_query.write(str(run), items, {name: np.asarray(column)[order] for name, column in columns.items()})
    result = {
        "trainer": trainer, "seed": seed, "dataset": "Toy", "setting": "zs", "gallery": "unseen", "backbone": "b",
        "selection": "last", "split": {"name": "three"}, "metrics": metrics, "num_queries": len(order),
        "epoch": int(trainer != "FrozenCLIP"), "config": {}, **change,
    }  # fmt: skip
    (run / "results.json").write_text(json.dumps(result))
    return run


def table(capsys, *words):
    """(exit status, title, {row: cells}) of the second table."""
    status = splip_command(["table", *map(str, words)])
    said = capsys.readouterr()
    lines = said.out.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    head = next((i for i, row in enumerate(rows) if "interval" in row), len(rows))
    title = next((line for line in lines if "intervals over classes" in line), said.err)
    return status, title, {row[0]: dict(zip(rows[head], row)) for row in rows[head + 2 :]}


@pytest.fixture
def runs(tmp_path):
    rng = np.random.default_rng(0)
    frozen = rng.uniform(0.1, 0.4, 12)
    seeds = {seed: frozen + 0.1 + 0.02 * seed + rng.uniform(-0.05, 0.05, 12) for seed in (1, 2, 3)}
    write_run(tmp_path, "FrozenCLIP", 1, frozen)
    for seed, values in seeds.items():  # the order of the queries does not count
        write_run(tmp_path, "SpLIP", seed, values, values - 0.03, np.random.default_rng(seed).permutation(12))
    return tmp_path, frozen, seeds


def test_means_differences_and_the_cost_of_swapping(runs, capsys):
    folder, frozen, seeds = runs
    status, title, rows = table(capsys, folder, "--intervals", "--csv", folder / "t.csv")
    assert status == 0 and title.startswith("mAP@all, zs, three, gallery unseen: 12 queries of 3 classes; percent, 95%")
    assert list(rows) == ["FrozenCLIP", "SpLIP", "SpLIP - FrozenCLIP", "SpLIP, modality swapped - as it is"]
    both = 100 * np.stack([frozen, np.mean(list(seeds.values()), axis=0)])
    drawn = bootstrap_means(both, CLASSES)
    for name, values, means, sign in (
        ("FrozenCLIP", both[0], drawn[0], ""), ("SpLIP", both[1], drawn[1], ""),
        ("SpLIP - FrozenCLIP", both[1] - both[0], drawn[1] - drawn[0], "+"),
    ):  # fmt: skip
        low, high = np.quantile(means, [0.025, 0.975])
        print(name, rows[name])
        assert rows[name]["mAP@all"] == f"{values.mean():{sign}.2f}"
        assert rows[name]["interval"] == f"{low:{sign}.2f} to {high:{sign}.2f}"
    gains = [100 * (values - frozen).mean() for values in seeds.values()]
    paired = rows["SpLIP - FrozenCLIP"]
    assert paired["over seeds"] == f"{np.mean(gains):+.2f} ± {np.std(gains, ddof=1):.2f}"
    assert paired["interval over seeds"] == "{:+.2f} to {:+.2f}".format(*seeds_interval(gains))
    assert paired["seeds above 0"] == "3 of 3"
    cost = rows["SpLIP, modality swapped - as it is"]
    assert (cost["mAP@all"], cost["interval"], cost["seeds above 0"]) == ("-3.00", "-3.00 to -3.00", "0 of 3")
    with (folder / "t_intervals.csv").open() as file:
        assert [row["mAP@all"] for row in csv.DictReader(file)] == [row["mAP@all"] for row in rows.values()]


def test_another_metric_and_fine_grained_ranks(runs, tmp_path, capsys):
    folder, frozen, _ = runs
    _, title, rows = table(capsys, folder, "--intervals", "--metric", "P@100")
    assert title.startswith("P@100") and rows["FrozenCLIP"]["P@100"] == f"{50 * frozen.mean():.2f}"
    fine = tmp_path / "fine"
    for seed in (1, 2):
        write_run(fine, "SpLIP", seed, None, ranks=np.arange(12) % 4 + seed, setting="fg", gallery="category")
    _, title, rows = table(capsys, fine, "--intervals")
    assert title.startswith("category Acc@1, fg") and rows["SpLIP"]["category Acc@1"] == "12.50"
    _, _, rows = table(capsys, fine, "--intervals", "--metric", "all Acc@5")
    assert rows["SpLIP"]["all Acc@5"] == "87.50"


def test_drawings_of_one_file_are_told_apart(tmp_path):
    items = [SimpleNamespace(impath=f"a/{name}.ndjson", classname=name, spec="s") for name in ("bat", "bat", "ant")]
    values = np.array([0.1, 0.2, 0.3])
    per_query.write(str(tmp_path), items, {"mAP@all": values})
    kept = per_query.read(tmp_path, {"metrics": {"min_r_k": {"mAP@all": 20.0}}, "num_queries": 3})
    assert kept.query.tolist() == ["a/ant.ndjson#000000", "a/bat.ndjson#000000", "a/bat.ndjson#000001"]
    assert kept.values["mAP@all"].tolist() == pytest.approx([30, 10, 20])


def test_seeds_are_paired_with_their_own(tmp_path, capsys):
    base = np.linspace(0.2, 0.5, 12)
    for seed in (1, 2, 3):
        write_run(tmp_path, "LayerNormCLIP", seed, base + 0.1 * seed)
    for seed in (2, 3, 4):
        write_run(tmp_path, "SpLIP", seed, base + 0.1 * seed + 0.01)
    _, _, rows = table(capsys, tmp_path, "--intervals")
    assert rows["SpLIP - LayerNormCLIP"]["over seeds"] == "+1.00 ± 0.00"


def test_other_tests_stand_alone(runs, capsys):
    folder, frozen, _ = runs
    write_run(folder / "seen", "FrozenCLIP", 1, frozen, split={"name": "three, 3 seen classes"})
    splip_command(["table", str(folder), "--intervals"])
    out = capsys.readouterr().out
    assert out.count("intervals over classes") == 2 and out.count("SpLIP - FrozenCLIP") == 1


def refused(capsys, *words):
    status, said, _ = table(capsys, *words)
    assert status == 2, said
    return said


def test_what_gives_no_interval_is_refused(runs, capsys):
    folder, frozen, _ = runs
    assert "--metric must be one of mAP@all, P@100 for " in refused(capsys, folder, "--intervals", "--metric", "nope")
    assert "--metric must be one of" in refused(capsys, folder, "--intervals", "--metric", "swapped mAP@all")
    assert "--metric belongs to --intervals" in refused(capsys, folder, "--metric", "P@100")
    path = folder / "FrozenCLIP/seed1/results.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps({**result, "metrics": {"min_r_k": {"mAP@all": 1.0, "P@100": 1.0}}}))
    said = refused(capsys, folder, "--intervals")
    assert f"results.json are of different tests: mAP@all {100 * frozen.mean():.4f} and 1.0000" in said
    path.write_text(json.dumps({**result, "num_queries": 11}))
    assert "are of different tests" in refused(capsys, folder, "--intervals")
    path.write_text(json.dumps(result))
    kept = (path.parent / per_query.NAME).read_bytes()
    (path.parent / per_query.NAME).write_bytes(kept[: len(kept) // 2])
    assert "per_query.npz is damaged" in refused(capsys, folder, "--intervals")
    (path.parent / per_query.NAME).unlink()
    assert "has no per_query.npz: an older version tested it" in refused(capsys, folder, "--intervals")
    assert splip_command(["table", str(folder)]) == 0
