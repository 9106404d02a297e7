"""Tables come from results.json files alone."""

import argparse
import csv
import json
import os

import pytest

from splip.cli import table


def main(arguments):
    """``splip table`` without its one-line errors."""
    parser = argparse.ArgumentParser()
    table.configure(parser)
    return table.run(parser.parse_args(arguments))


def write_run(folder, trainer="SpLIP", seed=1, value=10.0, **change):
    metrics = {name: {"mAP@all": value + i} for i, name in enumerate(("min_r_k", "prefix", "voc"))}
    result = {
        "trainer": trainer,
        "seed": seed,
        "dataset": "Toy",
        "setting": "zs",
        "gallery": "unseen",
        "backbone": "splip-hybrid",
        "selection": "last",
        "split": {"name": "one"},
        "metrics": metrics,
        **change,
    }
    path = folder / trainer / f"seed{seed}" / "results.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(result))


def test_mean_and_deviation_over_seeds_baselines_first(tmp_path, capsys):
    for seed, value in ((1, 20.0), (2, 21.0), (3, 25.0)):
        write_run(tmp_path, seed=seed, value=value)
    write_run(tmp_path, "FrozenCLIP", value=10.0)
    main([str(tmp_path), "--csv", str(tmp_path / "table.csv")])
    lines = capsys.readouterr().out.splitlines()
    assert "convention min_r_k" in lines[0] and "dataset: Toy" in lines[0]
    assert [cell.strip() for cell in lines[-2].split("|")[1:-1]] == ["FrozenCLIP", "1", "10.00"]
    assert [cell.strip() for cell in lines[-1].split("|")[1:-1]] == ["SpLIP", "1 2 3", "22.00 ± 2.65"]
    with (tmp_path / "table.csv").open() as file:
        assert [row["mAP@all"] for row in csv.DictReader(file)] == ["10.00", "22.00 ± 2.65"]


@pytest.mark.parametrize("convention", ["min_r_k", "voc"])
def test_the_modality_swapped_stands_beside_it_and_where_it_was_off(tmp_path, capsys, convention):
    """A key that costs a second test: seeds with and without it are still seeds of one experiment."""
    add = {"min_r_k": 0, "voc": 2}[convention]
    measured = {name: {"mAP@all": 5.0 + i} for i, name in enumerate(("min_r_k", "prefix", "voc"))}
    for trainer, seed, swapped in (("A", 1, "off"), ("A", 2, "off"), ("B", 1, measured), ("B", 2, measured),
                                   ("C", 1, measured), ("C", 2, "off"), ("D", 1, None)):  # fmt: skip
        found = {} if swapped is None else {"swapped": swapped}
        config = {"TEST": {"SWAPPED": swapped == measured}, "OPTIM": {"LR": 0.1}}
        write_run(tmp_path, trainer, seed, config=config, **found)
    main([str(tmp_path), "--convention", convention, "--csv", str(tmp_path / "table.csv")])
    with (tmp_path / "table.csv").open() as file:
        rows = {row["trainer"]: row["mAP@all, swapped"] for row in csv.DictReader(file)}
    value = f"{5 + add}.00"
    assert rows == {"A": "off", "B": f"{value} ± 0.00", "C": f"{value} (1 of 2 seeds)", "D": ""}
    assert "mAP@all, swapped" in capsys.readouterr().out


def test_the_modality_swapped_beside_the_papers_numbers(tmp_path):
    for name, swapped in (("on", None), ("off", "off")):
        write_sketchy2(tmp_path / name, value=70.0)
        path = next((tmp_path / name).rglob("results.json"))
        result = json.loads(path.read_text())
        half = {group: {metric: value / 2 for metric, value in named.items()}
                for group, named in result["metrics"].items()}  # fmt: skip
        path.write_text(json.dumps({**result, "swapped": swapped or half}))
        rows = paper_rows(tmp_path / name, "--convention", "prefix")
        assert [row["swapped"] for row in rows] == (["off"] * 2 if swapped else ["35.00", "40.00"])


def test_fine_grained_swapped(tmp_path):
    metrics = {"all": {"Acc@1": 20.0}, "category": {"Acc@1": 40.0}}
    write_run(tmp_path, metrics=metrics, swapped={"all": {"Acc@1": 10.0}, "category": {"Acc@1": 15.0}})
    main([str(tmp_path), "--csv", str(tmp_path / "table.csv")])
    with (tmp_path / "table.csv").open() as file:
        assert [row["category Acc@1, swapped"] for row in csv.DictReader(file)] == ["15.00"]


def test_the_convention_is_an_argument(tmp_path, capsys):
    write_run(tmp_path, value=30.0)
    main([str(tmp_path), "--convention", "voc"])
    assert "32.00" in capsys.readouterr().out


def test_fine_grained_results_have_no_convention(tmp_path, capsys):
    metrics = {"category": {"Acc@1": 40.0}, "all": {"Acc@1": 20.0}}
    write_run(tmp_path, metrics=metrics)
    main([str(tmp_path)])
    out = capsys.readouterr().out
    assert "category Acc@1" in out and "20.00" in out


def test_a_repeated_seed_is_refused(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b")
    with pytest.raises(ValueError, match=r"seeds \[1, 1\] repeat"):
        main([str(tmp_path)])


def test_an_empty_folder_and_a_foreign_file_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no results\.json below"):
        main([str(tmp_path)])
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ValueError, match=r"results\.json is not the results file of a run"):
        main([str(tmp_path)])


# --------------------------------------------------------------- beside the paper's numbers


def write_sketchy2(folder, seed=1, value=70.0, trainer="SpLIP", setting="zs", **method):
    """A run on Sketchy's split 2: mAP@200 is ``value`` in prefix, 1 more in min_r_k, 2 more in voc."""
    metrics = {
        name: {"mAP@all": 1.0, "mAP@200": value + i, "P@200": value + 10 + i}
        for i, name in enumerate(("prefix", "min_r_k", "voc"))
    }
    if setting == "fg":
        metrics = {scope: {"Acc@1": value, "Acc@5": 2 * value} for scope in ("category", "all")}
    write_run(folder, trainer, seed, metrics=metrics, setting=setting, dataset="Sketchy2", backbone="ViT-B/32",
              split={"name": "sketchy_21_yelamarthi"}, config={"TRAINER": {"SPLIP": method}})  # fmt: skip


def paper_rows(folder, *options):
    main([str(folder), "--paper", "--csv", str(folder / "table.csv"), *options])
    with (folder / "table.csv").open() as file:
        return list(csv.DictReader(file))


def test_ours_the_papers_and_the_gap_under_every_convention(tmp_path, capsys):
    for seed, value in ((1, 70.0), (2, 72.0)):
        write_sketchy2(tmp_path, seed, value)
    rows = paper_rows(tmp_path)
    assert [(row["metric"], row["convention"], row["ours"], row["gap"]) for row in rows] == [
        ("mAP@200", "prefix", "71.00 ± 1.41", "-5.40"),
        ("mAP@200", "min_r_k", "72.00 ± 1.41", "-4.40"),
        ("mAP@200", "voc", "73.00 ± 1.41", "-3.40"),
        ("P@200", "prefix", "81.00 ± 1.41", "+3.70"),
        ("P@200", "min_r_k", "82.00 ± 1.41", "+4.70"),
        ("P@200", "voc", "83.00 ± 1.41", "+5.70"),
    ]
    assert {(row["paper"], row["table"], row["best earlier"]) for row in rows} == {
        ("76.4", "1 (F)", "72.3 (CLIP-AT)"), ("77.3", "1 (F)", "75.5 (MARL)"),
    }  # fmt: skip
    out = capsys.readouterr().out
    assert "split: sketchy_21_yelamarthi" in out and "backbone" in out and "The paper's backbone" not in out
    assert [row["convention"] for row in paper_rows(tmp_path, "--convention", "voc")] == ["voc", "voc"]


def test_an_ablation_stands_beside_its_own_row(tmp_path):
    write_sketchy2(tmp_path / "full", value=76.0)
    write_sketchy2(tmp_path / "class", value=57.0, TRIPLET=False, BETA=0.0, ALPHA=1.0, MARGIN="adaptive")
    write_sketchy2(tmp_path / "other", value=50.0, LAYERNORM="vision")  # which the paper does not have
    write_sketchy2(tmp_path / "frozen", value=20.0, trainer="FrozenCLIP", USE_BT=False)
    shown = [
        (row["trainer"], row["switches"], row["paper"], row["gap"], row["table"])
        for row in paper_rows(tmp_path, "--convention", "prefix") if row["metric"] == "mAP@200"
    ]  # fmt: skip
    assert shown == [
        ("FrozenCLIP", "", "", "", ""),
        ("SpLIP", "TRIPLET False BETA 0.0", "57.5", "-0.50", "5 (N)"),
        ("SpLIP", "", "76.4", "-0.40", "1 (F)"),
        ("SpLIP", "LAYERNORM vision", "", "", ""),
    ]


def test_fine_grained_is_compared_in_both_galleries(tmp_path):
    write_sketchy2(tmp_path, value=30.0, setting="fg")
    rows = paper_rows(tmp_path)
    assert [(row["metric"], row["convention"], row["paper"], row["gap"]) for row in rows] == [
        ("Acc@1", "category gallery", "33.45", "-3.45"), ("Acc@1", "all gallery", "33.45", "-3.45"),
        ("Acc@5", "category gallery", "66.71", "-6.71"), ("Acc@5", "all gallery", "66.71", "-6.71"),
    ]  # fmt: skip


def test_another_backbone_is_pointed_out_and_a_split_without_numbers_is_listed(tmp_path, capsys):
    write_run(tmp_path, value=12.0)
    rows = paper_rows(tmp_path)
    assert [rows[0][name] for name in ("metric", "ours", "paper")] == ["mAP@all", "12.00", ""]
    assert "The paper's backbone is ViT-B/32; these runs have splip-hybrid." in capsys.readouterr().out


def test_the_papers_numbers_are_whole():
    with table.PAPER.open() as file:
        rows = list(csv.DictReader(file))
    keys = [(row["method"], row["setting"], row["split"], row["switches"], row["metric"]) for row in rows]
    assert len(set(keys)) == len(keys), "a number stands there twice"
    assert {row["sure"] for row in rows} == {"F", "N"} and {row["table"] for row in rows} == set("123456")
    ours = [float(row["percent"]) for row in rows if row["method"] == "SpLIP"]
    assert len(ours) == 8 + 4 + 2 + 4 + 16 + 12, ours
    known = {path.stem for path in (table.PAPER.parent / "splits").glob("*.txt")}
    named = {name for row in rows for one in row["split"].split(" or ") for name in one.split(" -> ")}
    assert named <= known, named - known


def test_runs_with_parts_beyond_the_paper_stand_apart(tmp_path):
    plain = {"trainer": "SpLIP", "config": {"TRAINER": {"SPLIP": {"CONTRASTIVE": 0.0, "TRAIN_PROJ": False}}}}
    more = {"trainer": "SpLIP", "config": {"TRAINER": {"SPLIP": {"CONTRASTIVE": 1.0, "TRAIN_PROJ": True}}}}
    assert table.switches(plain) == "" and table.switches(more) == "CONTRASTIVE 1.0 TRAIN_PROJ True"


def test_a_folder_that_cannot_be_looked_into_is_no_table_with_fewer_seeds(tmp_path, monkeypatch):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", seed=2)
    plain = os.scandir

    def scandir(path):
        if str(path).endswith("/b"):
            raise PermissionError(13, "Permission denied", path)
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError, match=r"/b'"):
        main([str(tmp_path)])


def test_two_recipes_of_a_trainer_are_two_rows_named_by_their_folders(tmp_path, capsys):
    for recipe, rate in (("printed", 0.1), ("released", 0.2)):
        for seed in (1, 2):
            write_run(tmp_path / recipe, "ClipAT", seed, 10 * rate, config={"OPTIM": {"LR": rate}})
    main([str(tmp_path), "--csv", str(tmp_path / "table.csv")])
    with (tmp_path / "table.csv").open() as file:
        assert [(row["recipe"], row["seeds"], row["mAP@all"]) for row in csv.DictReader(file)] == [
            ("printed", "1 2", "1.00 ± 0.00"), ("released", "1 2", "2.00 ± 0.00"),
        ]  # fmt: skip
    (tmp_path / "released/ClipAT/seed1").rename(tmp_path / "printed/ClipAT/seed9")
    with pytest.raises(ValueError, match=r"seeds \[1, 1, 2, 2\] repeat"):
        main([str(tmp_path)])


def test_tests_after_several_epochs_are_rows_of_their_own(tmp_path):
    for epoch in (2, 10):
        for seed in (1, 2):
            write_run(tmp_path / str(epoch), seed=seed, value=float(epoch), epoch=epoch)
    main([str(tmp_path), "--csv", str(tmp_path / "table.csv")])
    with (tmp_path / "table.csv").open() as file:
        found = [(row["recipe"], row["seeds"], row["mAP@all"]) for row in csv.DictReader(file)]
    assert found == [("epoch  2", "1 2", "2.00 ± 0.00"), ("epoch 10", "1 2", "10.00 ± 0.00")]


def test_an_embedded_backbone_is_named_before_the_numbers(tmp_path, capsys):
    write_run(tmp_path)
    main([str(tmp_path)])
    assert capsys.readouterr().out.startswith("splip-hybrid is the small embedded backbone: compare methods by its num")
    write_run(tmp_path / "big", backbone="ViT-B/32")
    main([str(tmp_path / "big")])
    assert capsys.readouterr().out.startswith("Percent, convention")


def test_latex_and_html_hold_the_rows(tmp_path):
    for seed, value in ((1, 20.0), (2, 21.0)):
        write_run(tmp_path, "A_B & <C>", seed, value)
    write_run(tmp_path, "FrozenCLIP", value=9.5)
    main([str(tmp_path), "--latex", str(tmp_path / "t.tex"), "--html", str(tmp_path / "t.html")])
    lines = (tmp_path / "t.tex").read_text().splitlines()
    assert lines[0] == r"\begin{table}" and r"\toprule" in lines and lines[-1] == r"\end{table}"
    (row,) = (line for line in lines if line.count("A") and "B" in line and "&" in line)
    assert r"A\_B \& <C>" in row and r"20.50 $\pm$ 0.71" in row and row.endswith(r"\\"), row
    columns = next(line for line in lines if "tabular" in line).split("{")[-1].rstrip("}")
    assert all(line.replace(r"\&", "").count("&") == len(columns) - 1 for line in lines if line.endswith(r"\\"))
    page = (tmp_path / "t.html").read_text()
    assert "A_B &amp; &lt;C&gt;" in page and "<td>9.50" in page and "src=" not in page, "it needs nothing else"
