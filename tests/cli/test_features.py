"""`splip evaluate --features`: the metrics of somebody's embeddings, under every convention, or a clear refusal."""

import json
import pickle
import zipfile

import numpy as np
import pytest
import torch

from splip import cli
from splip.retrieval import CONVENTIONS, retrieval_metrics
from splip.retrieval.features import read_features, remarks, score_features

NAMES = ["ant", "ice cream cone", "hot dog"]


def arrays(queries=9, gallery=30, width=8, seed=0):
    """Embeddings around three directions, with their classes as names."""
    rng = np.random.default_rng(seed)
    centres, found = rng.standard_normal((3, width)), {}
    for name, count in (("query", queries), ("gallery", gallery)):
        labels = np.arange(count) % 3
        noise = rng.standard_normal((count, width))
        found[name] = (centres[labels] + 1.5 * noise).astype(np.float32)
        found[f"{name}_labels"] = np.array(NAMES)[labels]
    return found


@pytest.fixture
def saved(tmp_path):
    def save(**changes):
        content = {name: value for name, value in {**arrays(), **changes}.items() if value is not None}
        np.savez(tmp_path / "mine.npz", **content)
        return tmp_path / "mine.npz"

    return save


def command(*words):
    return cli.main(["evaluate", *map(str, words)])


def test_the_numbers_are_those_of_the_library_in_every_convention(saved, tmp_path, capsys):
    own = arrays()
    wanted = retrieval_metrics(
        torch.from_numpy(own["query"]), torch.from_numpy(own["gallery"]), own["query_labels"], own["gallery_labels"]
    )
    path = saved()
    assert command("--features", path) == 0
    shown = capsys.readouterr().out
    assert "9 queries, 30 in the gallery, percent:" in shown
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.split()[0] in CONVENTIONS}
    assert set(rows) == set(CONVENTIONS)
    for name, values in rows.items():
        assert [float(value) for value in values] == pytest.approx([100 * v for v in wanted[name].values()], abs=0.005)
    assert not list(tmp_path.glob("**/results.json"))

    assert command("--features", path, "--output-dir", tmp_path / "out") == 0
    left = json.loads((tmp_path / "out" / "results.json").read_text())
    assert left["metrics"]["voc"]["mAP@all"] == pytest.approx(100 * wanted["voc"]["mAP@all"])
    assert (left["trainer"], left["num_queries"], left["seen_test_classes"]) == ("mine", 9, None)
    assert command("--features", path, "--output-dir", tmp_path / "out") == 0, "the same again"
    capsys.readouterr()
    assert cli.main(["table", str(tmp_path / "out")]) == 0
    assert "mine" in capsys.readouterr().out


def test_classes_may_be_the_folders_of_file_names(saved):
    own = arrays()
    folders = {"ant": "sketch/Ant", "ice cream cone": "C:\\data\\Ice-Cream_Cone", "hot dog": "/a/hot dog"}
    files = {
        f"{name}_files": np.array([f"{folders[label]}/{i}.png" for i, label in enumerate(own[f"{name}_labels"])])
        for name in ("query", "gallery")
    }
    by_files = read_features(saved(**files, query_labels=None, gallery_labels=None))
    by_labels = read_features(saved())
    assert by_files.labels == by_labels.labels and score_features(by_files) == score_features(by_labels)
    both = read_features(saved(**files))
    assert both.labels == by_labels.labels and "not read: gallery_files, query_files" in remarks(both)


@pytest.mark.parametrize("change", ["float16", "float64", ">f4", "bytes", "numbers", "scaled"])
def test_the_same_embeddings_in_another_form_have_the_same_numbers(saved, change):
    own, wanted = arrays(), score_features(read_features(saved()))
    if change == "bytes":
        own.update({f"{name}_labels": own[f"{name}_labels"].astype("S") for name in ("query", "gallery")})
    elif change == "numbers":
        own.update({f"{name}_labels": np.array([NAMES.index(v) for v in own[f"{name}_labels"]], dtype=np.uint8)
                    for name in ("query", "gallery")})  # fmt: skip
    elif change == "scaled":
        own.update(query=own["query"] * 4, gallery=own["gallery"] / 8)
    else:
        own.update({name: own[name].astype(change) for name in ("query", "gallery")})
    found = score_features(read_features(saved(**own)))
    tolerance = 1.0 if change == "float16" else 1e-9
    assert found["min_r_k"]["mAP@all"] == pytest.approx(wanted["min_r_k"]["mAP@all"], abs=tolerance)


def test_fine_grained_features_have_both_kinds_of_numbers(saved, capsys):
    own = arrays(queries=6, gallery=30)
    ids = {"query_instances": np.arange(6), "gallery_instances": np.arange(30)}
    own["gallery"][:6] = own["query"] + 0.01  # each query's own photo is the nearest
    path = saved(**own, **ids)
    assert command("--features", path) == 0
    shown = capsys.readouterr().out
    assert "category" in shown and "Acc@1" in shown and "min_r_k" in shown, shown
    found = score_features(read_features(path))
    assert found["category"]["Acc@1"] == found["all"]["Acc@1"] == 100.0


def test_what_the_reader_of_the_numbers_should_know_is_said(saved):
    own = arrays()
    own["query_labels"] = own["query_labels"].astype("<U20")
    own["query_labels"][:2] = "hot-dog (toy)"
    own["gallery"][4] = own["query"][7]
    said = remarks(read_features(saved(**own, epoch=np.array(3))))
    assert said[0] == "not read: epoch"
    assert "2 of 9 queries score 0" in said[1] and "(near: hot dog)" in said[1], said
    assert "1 of 9 queries have the very vector of an item of the gallery" in said[2], said


REFUSED = {
    "no labels": ({"query_labels": None, "gallery_labels": None}, r"no array 'query_labels', but .'gallery', 'query'"),
    "a misspelt name": ({"query_labels": None, "query_label": np.arange(9)}, r"'query_labels' \(near: query_label\)"),
    "no gallery": ({"gallery": None}, "no array 'gallery'"),
    "one set of files": ({"query_labels": None, "query_files": np.array(["a/1"] * 9)}, "no array 'gallery_files'"),
    "too few labels": ({"query_labels": np.arange(5)}, "query_labels has 5 entries for 9 embeddings"),
    "too many labels": ({"gallery_labels": np.arange(31)}, "gallery_labels has 31 entries for 30 embeddings"),
    "labels of two dimensions": ({"query_labels": np.eye(9, dtype=int)}, "query_labels must have one dimension"),
    "one label": ({"query_labels": np.array("ant")}, "query_labels must have one dimension"),
    "labels that are fractions": ({"query_labels": np.linspace(0, 1, 9)}, "must hold integers or strings, got float"),
    "labels that are objects": ({"query_labels": np.array(["a", None] * 4 + ["b"], dtype=object)},
                                "query_labels holds Python objects: np.array"),
    "numbers and names": ({"query_labels": np.arange(9) % 3}, "whole numbers in one, names in the other"),
    "other names": ({"query_labels": np.array(["Ants"] * 9)}, r"no label of the queries .*'Ants'.*\(near: ant\)"),
    "other widths": ({"query": np.ones((9, 5), np.float32)}, "must have the same size, got 5 and 8"),
    "whole numbers": ({"query": np.ones((9, 8), np.int8)}, r"query must hold floats \(n, d\), got int8 \(9, 8\)"),
    "one dimension": ({"query": np.ones(9, np.float32)}, r"float tensor \(n, d\)"),
    "no queries": ({"query": np.ones((0, 8), np.float32)}, "query embeddings are empty"),
    "no number": ({"query": np.full((9, 8), np.nan, np.float32)}, "query embedding 0 holds NaN or infinity"),
    "only zeros": ({"gallery": np.zeros((30, 8), np.float32)}, "gallery embedding 0 holds only zeros"),
    "files without folders": ({"query_labels": None, "gallery_labels": None, "query_files": np.array(["1.png"] * 9),
                               "gallery_files": np.array(["1.png"] * 30)}, "has no folder that says its class"),
    "instances of one side": ({"query_instances": np.arange(9)}, "no array 'gallery_instances'"),
    "an object without a photo": ({"query_instances": np.arange(9) + 99, "gallery_instances": np.arange(30)},
                                  "has no photo in the gallery"),
    "a complex number": ({"query": np.ones((9, 8), np.complex64)}, "query must hold floats"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_measured_is_said_in_a_line(saved, capsys, case):
    changes, message = REFUSED[case]
    assert command("--features", saved(**changes)) == 2
    said = capsys.readouterr()
    assert len(said.err.splitlines()) == 1 and "mAP" not in said.out
    with pytest.raises(ValueError, match=message):
        score_features(read_features(saved(**changes)))


def other_files(folder):
    """Files of other kinds -> what is said of each."""
    np.save(folder / "array.npy", np.ones(3))
    torch.save({"query": torch.ones(3, 3)}, folder / "torch.pt")
    (folder / "text.npz").write_text("query,gallery")
    (folder / "empty.npz").write_bytes(b"")
    (folder / "pickle.npz").write_bytes(pickle.dumps([1]))
    np.savez(folder / "cut.npz", **arrays())
    (folder / "cut.npz").write_bytes((folder / "cut.npz").read_bytes()[:-300])
    with zipfile.ZipFile(folder / "zip.npz", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    return ["array.npy", "torch.pt", "text.npz", "empty.npz", "pickle.npz", "cut.npz", "zip.npz"]


def test_files_of_other_kinds_are_named(tmp_path, capsys):
    for name in other_files(tmp_path):
        assert command("--features", tmp_path / name) == 2, name
        said = capsys.readouterr().err
        assert f"{name} is no .npz of NumPy's, as np.savez(file, query=..." in said, said
        assert len(said.splitlines()) == 1, said
    assert command("--features", tmp_path / "gone.npz") == 2
    assert capsys.readouterr().err == f"splip evaluate: No such file: {tmp_path / 'gone.npz'}\n"


@pytest.mark.parametrize(
    "words, message",
    [
        (["--backbone", "ViT-B/32"], "--backbone would be ignored"),
        (["--allow-seen"], "--allow-seen would be ignored"),
        (["--dataset-config-file", "x.yaml"], "--dataset-config-file would be ignored"),
        (["DATASET.SETTING", "gzs"], "DATASET.SETTING, gzs would be ignored"),
        (["--output-dir", "{run}"], "holds the results of a run"),
    ],
)  # fmt: skip
def test_arguments_that_would_be_ignored_are_refused(saved, tmp_path, capsys, words, message):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text('{"dataset": "Sketchy"}')
    assert command("--features", saved(), *[word.format(run=tmp_path / "run") for word in words]) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "run" / "results.json").read_text() == '{"dataset": "Sketchy"}'


def test_all_else_needs_a_place_for_its_results(capsys):
    assert command("--model", "splip-hybrid") == 2
    assert "--output-dir is needed" in capsys.readouterr().err
