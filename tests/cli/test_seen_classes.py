"""A model's training classes are compared with the test classes in every way in which it is tested; tables say so."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import make_tiny_clip_file
from hub import hub  # noqa: F401  (a fixture)
from tiny_benchmarks import make_sketchy
from world import METHOD, draw

import splip
from splip import cli, engine
from splip.common.modalities import MODALITIES
from splip.data.classes import seen_test_classes
from splip.models import hosts
from splip.models.seen import require_unseen, trained_classes

SIDES = {"ant": 3, "bee": 4, "hot dog": 5, "mouse": 6, "wheel": 40, "tree": 8}
ALONE = "DATALOADER: {NUM_WORKERS: 0}\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """data; own.txt, the split that the run in out was trained on; and two other splits of the same classes."""
    root = tmp_path_factory.mktemp("seen")
    for name, sides in SIDES.items():
        for i in range(2):
            for kind in MODALITIES:
                draw(root / "data" / kind / name / f"{i}.png", sides, kind, i)
    for split, unseen in (("own", "wheel\ntree"), ("other", "Hot-Dog\nwheel\nbee"), ("apart", "tree")):
        (root / f"{split}.txt").write_text(f"{unseen}\n")
    (root / "method.yaml").write_text(METHOD)
    cfg = configured(root, root / "own.txt", root / "out")
    engine.build_trainer(cfg).train()
    return root


def configured(root, split, out):
    import splip.datasets
    import splip.trainers
    from splip.training.options import merge_file

    cfg = engine.get_cfg_default()
    splip.extend_cfg(cfg)
    merge_file(cfg, str(root / "method.yaml"))
    backbone = root / "clip.pt"
    if not backbone.is_file():
        make_tiny_clip_file(backbone)
    cfg.merge_from_list([
        "TRAINER.NAME", "SpLIP", "DATASET.NAME", "SBIRFolder", "DATASET.ROOT", str(root / "data"), "USE_CUDA", False,
        "DATASET.SPLIT", str(split), "OUTPUT_DIR", str(out), "MODEL.BACKBONE.NAME", str(backbone), "SEED", 1,
    ])  # fmt: skip
    return cfg


@pytest.fixture
def folder_yaml(root, tmp_path):
    (tmp_path / "data.yaml").write_text(f'DATASET:\n  NAME: "SBIRFolder"\n  ROOT: "{root / "data"}"\n{ALONE}')
    return tmp_path / "data.yaml"


def command(*words):
    return cli.main([str(word) for word in words])


def left(folder):
    return json.loads((Path(folder) / "results.json").read_text())


def saved_as(way, root, tmp_path, monkeypatch):
    """The run's model in another form -> what --model takes."""
    if way == "a run":
        return root / "out"
    if way == "the hub":
        assert command("export", "--model", root / "out", "--push-to-hub", "somebody/seen") == 0
        return "somebody/seen"
    kind = {"a saved model": "pretrained", "exported encoders": "pt2"}[way]
    assert command("export", "--model", root / "out", "--output", tmp_path / kind, "--format", kind) == 0
    monkeypatch.setenv("SPLIP_TRUST_TORCHSCRIPT", "1")
    return tmp_path / kind


@pytest.mark.parametrize("way", ["a saved model", "exported encoders", "the hub"])
def test_every_way_refuses_by_name_and_goes_on_where_it_is_meant(
    way,
    root,
    folder_yaml,
    tmp_path,
    monkeypatch,
    capsys,
    hub,  # noqa: F811
):
    model = saved_as(way, root, tmp_path, monkeypatch)
    words = ["evaluate", "--model", model, "--dataset-config-file", folder_yaml]

    def tested(out, split, *more):
        return command(*words, "--output-dir", tmp_path / out, *more, "DATASET.SPLIT", root / split)

    assert tested("refused", "other.txt") == 2
    said = capsys.readouterr().err
    assert "2 of the 3 test classes were trained on (bee, hot dog)" in said and "--allow-seen" in said, said
    assert not (tmp_path / "refused" / "results.json").exists()
    assert tested("meant", "other.txt", "--allow-seen") == 0
    assert "Not zero-shot: 2 of the 3 test classes" in capsys.readouterr().out
    assert left(tmp_path / "meant")["seen_test_classes"] == ["bee", "hot dog"]
    for split in ("own.txt", "apart.txt"):
        assert tested(split[:-4], split) == 0, capsys.readouterr().err
        assert left(tmp_path / split[:-4])["seen_test_classes"] == []


def test_a_run_on_another_split_names_its_classes_too(root, tmp_path, capsys):
    for way in ("--run", "--model"):
        assert command("evaluate", way, root / "out", "--output-dir", tmp_path / "o", "DATASET.SPLIT",
                       root / "other.txt") == 2  # fmt: skip
        said = capsys.readouterr().err
        assert "hot dog" in said and "bee" in said, said
    assert left(root / "out")["seen_test_classes"] == []


def test_the_model_that_ships_is_no_exception(tmp_path, capsys):
    trained = json.loads((Path(splip.__file__).parent / "assets/search/splip.json").read_text())["classes"]
    names = [trained[3].replace("_", " "), "a thing that nobody drew"]
    for name in [*names, "first", "second"]:
        for kind in MODALITIES:
            draw(tmp_path / "data" / kind / name / "1.png", 5, kind)
    (tmp_path / "split.txt").write_text("\n".join(names))
    (tmp_path / "data.yaml").write_text(f'DATASET:\n  NAME: "SBIRFolder"\n  ROOT: "{tmp_path / "data"}"\n{ALONE}')
    words = ["evaluate", "--model", "splip-search", "--dataset-config-file", tmp_path / "data.yaml"]
    last = ["DATASET.SPLIT", tmp_path / "split.txt"]
    assert command(*words, "--output-dir", tmp_path / "out", *last) == 2
    assert f"1 of the 2 test classes were trained on ({names[0]})" in capsys.readouterr().err
    assert command(*words, "--output-dir", tmp_path / "out", "--allow-seen", *last) == 0
    assert left(tmp_path / "out")["seen_test_classes"] == names[:1]


def test_what_nobody_can_know_is_said(root, folder_yaml, tmp_path, capsys):
    (tmp_path / "nobody_knows.py").write_text("""
from torchvision.transforms import functional as F
def grey(device):
    return (lambda images: images.flatten(1)), (lambda image: F.pil_to_tensor(image.resize((6, 6))).float() / 255)
""")
    words = ["evaluate", "--encoder", f"{tmp_path / 'nobody_knows.py'}:grey", "--dataset-config-file", folder_yaml]
    assert command(*words, "--output-dir", tmp_path / "out", "DATASET.SPLIT", root / "own.txt") == 0
    assert "What this model was trained on is not known" in capsys.readouterr().out
    assert left(tmp_path / "out")["seen_test_classes"] is None


def test_what_trains_nothing_has_seen_nothing(root, tmp_path):
    cfg = configured(root, root / "other.txt", tmp_path / "frozen")
    cfg.TRAINER.NAME = "FrozenCLIP"
    trainer = engine.build_trainer(cfg)
    assert trained_classes(trainer.model) == [] and require_unseen([], trainer.dataset) == []


def test_tables_and_cards_carry_it(root, tmp_path, capsys):
    from splip.models.pretrained import card

    result = left(root / "out")
    for name, seen in (("none", []), ("some", ["tree"]), ("unknown", None)):
        (tmp_path / "runs" / name).mkdir(parents=True)
        changed = {**result, "seen_test_classes": seen, "trainer": f"SpLIP {name}"}
        (tmp_path / "runs" / name / "results.json").write_text(json.dumps(changed))
    assert command("table", tmp_path / "runs", "--csv", tmp_path / "table.csv") == 0
    assert "1 of 2 test classes" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert {row["trainer"]: row["trained on"] for row in rows} == {
        "SpLIP none": "", "SpLIP some": "1 of 2 test classes", "SpLIP unknown": "not known",
    }  # fmt: skip
    about = {"method": "SpLIP", "backbone": {"name": "x", "fingerprint": {"weights": "y"}}, "trainer": "SpLIP",
             "splip": "0", "classes": [], "settings": {}}  # fmt: skip
    shown = card(about, {**result, "seen_test_classes": ["tree"]})
    assert "Not zero-shot: 1 test classes were trained on (tree)" in shown
    assert "Not zero-shot" not in card(about, result)


# ------------------------------------------------------------------------------- other projects


def suffix_of(names, table, context="X X X X", learned=4):
    """What a host's prompt learner keeps of its class names: the embeddings behind the start and the learned words."""
    from clip import tokenize

    tokens = torch.cat([tokenize(f"{context} {name.replace('_', ' ')}.") for name in names])
    return table[tokens][:, 1 + learned :]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_hosts_checkpoint_says_what_it_was_trained_on(root, dtype):
    table = splip.load_clip(root / "clip.pt").token_embedding.weight.detach().to(dtype)
    names = ["ant", "hot_dog", "ice-cream cone (toy)", "T-shirt", "caf\u00e9"]
    weights = {"ctx": torch.zeros(4, 64), "token_suffix": suffix_of(names, table)}
    found = hosts.class_names(weights, str(root / "clip.pt"))
    assert len(found) == len(names) and seen_test_classes(found, names) == sorted(names), found
    assert hosts.class_names({"prompt_learner.token_suffix": weights["token_suffix"]}, str(root / "clip.pt")) == found
    rest = suffix_of(names, table, "a photo of a", 2)  # MaPLe, whose config learns two of its four words
    assert hosts.class_names({"prompt_learner.token_suffix": rest}, str(root / "clip.pt")) == found
    assert hosts.class_names({"ctx": torch.zeros(4, 64)}, str(root / "clip.pt")) is None
    assert hosts.class_names({"token_suffix": torch.randn(2, 9, 64)}, str(root / "clip.pt")) is None
    assert hosts.class_names(weights, str(root / "gone.pt")) is None


# ------------------------------------------------------------------------------------ the rule


def test_sketchys_two_splits(tmp_path):
    """The published case: the 25-class list's training classes hold 17 of the 21 test classes of the other."""
    from splip.data.classes import read_shipped
    from splip.datasets.sketchy import Sketchy1, Sketchy2

    data = make_sketchy(tmp_path / "data", photos=1, sketches=1)
    first, second = (kind(benchmark_cfg(data)) for kind in (Sketchy1, Sketchy2))
    both = [name for name in read_shipped("sketchy_21_yelamarthi") if name in first.seen]
    assert len(both) == 17
    with pytest.raises(ValueError, match=r"17 of the 21 test classes were trained on \(.*and 12 more\)"):
        require_unseen(first.seen, second)
    assert require_unseen(first.seen, second, allowed=True) == both
    assert require_unseen(second.seen, second) == []
    spelt = [name.title().replace(" ", "-") for name in first.seen]
    assert require_unseen(spelt, second, allowed=True) == both
    shutil.rmtree(data)


def benchmark_cfg(data):
    import splip.datasets

    cfg = engine.get_cfg_default()
    splip.extend_cfg(cfg)
    cfg.DATASET.ROOT = str(data)
    return cfg


def test_a_gallery_that_means_it_is_not_refused(tmp_path, capsys):
    from tiny_benchmarks import make_tuberlin

    from splip.datasets.sketchy import Sketchy1

    data = make_tuberlin(make_sketchy(tmp_path, photos=1, sketches=1), photos=1, sketches=1)
    for rule, some_seen in (("all_unseen", True), ("unseen_minus_source", False)):
        cfg = benchmark_cfg(data)
        cfg.DATASET.SETTING, cfg.DATASET.TARGET, cfg.DATASET.GALLERY = "cross", "tuberlin_30_sake", rule
        dataset = Sketchy1(cfg)
        found = require_unseen(dataset.classnames, dataset)
        assert bool(found) == some_seen and ("Not zero-shot" in capsys.readouterr().out) == some_seen, (rule, found)


def test_names_that_a_data_set_keeps_apart_are_apart():
    """A trained "mouse (animal)" is no "mouse" where the data set has both; elsewhere it is."""
    assert seen_test_classes(["mouse (animal)", "ant"], ["mouse", "bee"], ["Mouse_(animal)", "ant"]) == []
    assert seen_test_classes(["mouse (animal)", "ant"], ["mouse", "bee"]) == ["mouse"]
    assert seen_test_classes(["Hot-Dog", "EFFIEL tower"], ["hotdog", "eiffel_tower", "x"]) == ["eiffel_tower", "hotdog"]
    assert seen_test_classes([], ["a"]) == seen_test_classes(["a"], []) == []


def test_fine_grained_objects_are_classes_elsewhere(capsys):
    """Trained on objects as classes, a model has seen the objects of a fine-grained test."""
    from splip.datasets.sketchmoji import Sketchmoji

    cfg = benchmark_cfg("")
    objects = Sketchmoji(cfg)
    cfg = benchmark_cfg("")
    cfg.DATASET.SETTING = "fg"
    fine = Sketchmoji(cfg)
    asked = {item.instance for item in fine.test_queries}
    found = require_unseen(objects.classnames, fine, allowed=True)
    assert found and set(found) <= asked and require_unseen(fine.classnames, fine) == []
