"""One model trained on sketchy25's names (files of a few pixels), and tested again in every other setting."""

import csv
import json

import pytest
from conftest import make_tiny_clip_file
from test_sketchy25 import CONFIGS
from tiny_sbir import tiny_cfg
from yacs.config import CfgNode

from splip import cli
from splip.engine import build_trainer, set_random_seed
from splip.training import per_query, results


@pytest.fixture(scope="module")
def run(sketchy25_root, tmp_path_factory):
    """The output folder of LayerNorms trained for an epoch."""
    folder = tmp_path_factory.mktemp("run")
    node = CfgNode.load_cfg((CONFIGS / "sketchy25.yaml").read_text()).DATASET
    words = [word for key in node for word in (f"DATASET.{key}", node[key])]
    cfg = tiny_cfg(
        sketchy25_root, make_tiny_clip_file(folder / "clip.pt"), folder / "out", *words,
        "TRAINER.NAME", "LayerNormCLIP", "OPTIM.MAX_EPOCH", 1, "DATALOADER.TRAIN_X.BATCH_SIZE", 650,
        "DATALOADER.TEST.BATCH_SIZE", 256,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "draw_sheet", lambda *args, **kwargs: None)
        patch.setattr(results, "draw_curve", lambda *args, **kwargs: None)
        set_random_seed(1)
        build_trainer(cfg).train()
    return folder / "out"


@pytest.fixture
def again(run, tmp_path, monkeypatch):
    """A function of settings -> the results of testing the run with them, and their folder."""
    monkeypatch.setattr(results, "draw_sheet", lambda *args, **kwargs: None)

    def test(*words):
        folder = tmp_path / "-".join(map(str, words)).replace("DATASET.", "")
        status = cli.main(["evaluate", "--run", str(run), "--output-dir", str(folder), *map(str, words)])
        return json.loads((folder / "results.json").read_text()) if status == 0 else status

    return test


TESTS = {  # settings: queries, gallery, the split's name
    "DATASET.TEST_CLASSES seen": (525, 525, "sketchy_21_yelamarthi, sketchy25, 21 seen classes (seed 0)"),
    "DATASET.SETTING gzs": (525, 3125, "sketchy_21_yelamarthi, sketchy25"),
    "DATASET.SETTING cross DATASET.TARGET sketchmoji_142": (
        328, 1232, "sketchy_21_yelamarthi, sketchy25 -> sketchmoji_142",
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", TESTS)
def test_one_model_is_tested_in_other_settings(run, again, words):
    queries, gallery, split = TESTS[words]
    left = again(*words.split())
    assert (left["num_queries"], left["num_gallery"], left["split"]["name"]) == (queries, gallery, split)
    assert (left["trainer"], left["seed"], left["epoch"]) == ("LayerNormCLIP", 1, 1)
    trained = json.loads((run / "results.json").read_text())
    assert left["metrics"] != trained["metrics"]
    meant = 21 if "TEST_CLASSES seen" in words else 0
    print(left["seen_test_classes"], left["split"])
    assert len(left["seen_test_classes"]) == meant and trained["seen_test_classes"] == []


def test_what_every_query_scores_is_kept(run):
    left = json.loads((run / "results.json").read_text())
    kept = per_query.read(run, left)
    assert len(kept.query) == 525 == len(set(kept.query)) and len(set(kept.classname)) == 21
    assert set(kept.values) == set(left["metrics"]["min_r_k"])
    for name, values in kept.values.items():
        assert values.mean() == pytest.approx(left["metrics"]["min_r_k"][name], abs=1e-4)
    assert kept.query[0] == "bat/n02139199_10196-1.png" and (run / per_query.NAME).stat().st_size < 30_000


def test_classes_that_the_run_was_trained_on_are_not_called_unseen(again, capsys):
    assert again("DATASET.TEST_CLASSES", "pseudo_unseen") == 2
    assert "10 of the 10 test classes were trained on" in capsys.readouterr().err
    assert again("DATASET.SPLIT", "sketchy_25_sake") == 2
    assert "of the 25 test classes were trained on" in capsys.readouterr().err
    assert again("DATASET.SPLIT", "sketchy_25_sake", "DATASET.TEST_CLASSES", "seen") == 2
    assert "TEST_CLASSES seen, but the model was not trained on " in capsys.readouterr().err


def test_the_paper_does_not_stand_beside_a_part(run, tmp_path):
    left = json.loads((run / "results.json").read_text())
    earlier = {}
    for name in (left["split"]["name"], "sketchy_21_yelamarthi"):
        (tmp_path / "results.json").write_text(json.dumps({**left, "split": {**left["split"], "name": name}}))
        assert cli.main(["table", str(tmp_path), "--paper", "--csv", str(tmp_path / "t.csv")]) == 0
        with (tmp_path / "t.csv").open() as file:
            earlier[name] = {row["best earlier"] for row in csv.DictReader(file)}
    print(earlier)
    assert earlier[left["split"]["name"]] == {""} and "" not in earlier["sketchy_21_yelamarthi"]
