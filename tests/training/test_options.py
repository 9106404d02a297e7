"""Settings from files and the command line: what is accepted, and what is refused by name."""

import pytest

import splip
import splip.trainers  # their nodes
from splip.engine import get_cfg_default
from splip.training.options import flat, merge_file, merge_options, pairs


@pytest.fixture
def cfg():
    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    return cfg


@pytest.mark.parametrize(
    "words, key, value",
    [
        (["OPTIM.LR", "0.5"], "OPTIM.LR", 0.5),
        (["OPTIM.LR=1e-3"], "OPTIM.LR", 0.001),
        (["TRAINER.SPLIP.ALPHA", "1"], "TRAINER.SPLIP.ALPHA", 1.0),
        (["OPTIM.LR", "-0.1"], "OPTIM.LR", -0.1),
        (["INPUT.SIZE", "(96,96)"], "INPUT.SIZE", (96, 96)),
        (["INPUT.SIZE", "[96, 96]"], "INPUT.SIZE", (96, 96)),
        (["INPUT.TRANSFORMS", '["random_flip"]'], "INPUT.TRANSFORMS", ("random_flip",)),
        (["DATASET.SPLIT", "5"], "DATASET.SPLIT", "5"),
        (["DATASET.ROOT", "a=b"], "DATASET.ROOT", "a=b"),
        (["OUTPUT_DIR", "2024_01_05"], "OUTPUT_DIR", "2024_01_05"),
        (["OUTPUT_DIR=1.10"], "OUTPUT_DIR", "1.10"),
        (["SEED=3"], "SEED", 3),
        (["DATASET.ROOT=/a=b"], "DATASET.ROOT", "/a=b"),
        (["TRAINER.SPLIP.USE_BT", "False"], "TRAINER.SPLIP.USE_BT", False),
        (["TRAINER.SPLIP.SKETCH_TEMPLATE", "a drawing of a"], "TRAINER.SPLIP.SKETCH_TEMPLATE", "a drawing of a"),
    ],
)
def test_values(cfg, words, key, value):
    merge_options(cfg, words)
    found = flat(cfg)[key]
    assert (tuple(found) if isinstance(found, list) else found) == value


@pytest.mark.parametrize(
    "words, message",
    [
        (["OPTIM.LRR", "1"], r"there is no setting 'OPTIM.LRR': did you mean OPTIM.LR\?"),
        (["optim.lr", "1"], r"there is no setting 'optim.lr': did you mean OPTIM.LR\?"),
        (["OPTIM", "1"], "there is no setting 'OPTIM'"),
        (["--root", "x"], "there is no setting '--root'"),
        (["OPTIM.LR"], "the last setting has no value: 'OPTIM.LR'"),
        (["OPTIM.LR", "abc"], "OPTIM.LR wants a number, got 'abc'"),
        (["OPTIM.LR", "True"], "OPTIM.LR wants a number, got True"),
        (["TRAINER.SPLIP.USE_BT", "no"], "USE_BT wants True or False, got 'no'"),
        (["TRAINER.SPLIP.USE_BT", "1"], "USE_BT wants True or False, got 1"),
        (["TRAINER.SPLIP.VISUAL_PROMPTS", "2.5"], "VISUAL_PROMPTS wants a whole number, got 2.5"),
        (["OPTIM.LR", "None"], "OPTIM.LR wants a number, got None"),
        (["INPUT.PIXEL_MEAN", "['a','b','c']"], "INPUT.PIXEL_MEAN wants a list like"),
        (["INPUT.SIZE", "(224.5, 224)"], "INPUT.SIZE wants a tuple like"),
        (["INPUT.SIZE", "96"], "INPUT.SIZE wants a tuple like .*, got 96"),
        (["OPTIM.LR", "__import__('os')"], "OPTIM.LR wants a number"),
    ],
)
def test_mistakes_are_named(cfg, words, message):
    before = flat(cfg)
    with pytest.raises(ValueError, match=message):
        merge_options(cfg, words)
    assert flat(cfg) == before


def test_pairs():
    assert pairs(["A.B", "c=d", "E.F=g"]) == [("A.B", "c=d"), ("E.F", "g")]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("a.py", "import os", "must end in .yaml, got .*a.py"),
        ("a.yaml", "OPTIM: [", "is no YAML of keys"),
        ("a.yaml", "just words", "is no YAML of keys"),
        ("a.yaml", "!!python/object/apply:os.system [exit]", "is no YAML of keys"),
        ("a.yaml", "OPTIM:\n  LRR: 1", "a.yaml': there is no setting 'OPTIM.LRR'"),
        ("a.yaml", "OPTIM:\n  LR: [1]", "a.yaml': OPTIM.LR wants a number"),
        ("gone.yaml", None, "no config file '.*gone.yaml'"),
    ],
)
def test_files_are_named(cfg, tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        merge_file(cfg, str(tmp_path / name))


def test_every_config_file_of_the_repository_is_read(cfg):
    from pathlib import Path

    found = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))
    assert len(found) > 10
    for path in found:
        merge_file(cfg, str(path))
