"""sketchy25, the part of Sketchy that a shipped list names, on files of a few pixels that bear the listed names."""

import hashlib
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from tiny_benchmarks import as_archive
from yacs.config import CfgNode

import splip
import splip.trainers  # registers them
from splip.common.modalities import PHOTO, SKETCH
from splip.data.archives import SKETCHY, find_split, instance_of
from splip.data.classes import normalise, read_shipped
from splip.datasets import subsets
from splip.datasets.targets import without_trained
from splip.engine import build_dataset, get_cfg_default
from splip.training.identity import data_digest

CONFIGS = Path(__file__).parents[2] / "configs" / "datasets"
LAYOUTS = ["folder", "folder itself", "archive", "archive itself", "tx_000000000000"]


def config(root, yaml="sketchy25", *opts, final="last_step"):
    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    cfg.merge_from_other_cfg(CfgNode.load_cfg((CONFIGS / f"{yaml}.yaml").read_text()))
    cfg.merge_from_list(["DATASET.ROOT", str(root), "TEST.FINAL_MODEL", final])
    cfg.merge_from_list([word if i % 2 else f"DATASET.{word}" for i, word in enumerate(opts)])
    return cfg


def build(root, yaml="sketchy25", *opts, final="last_step"):
    return build_dataset(config(root, yaml, *opts, final=final))


def root_of(layout, folder, root):
    """What --root is where the files of ``folder`` lie in this layout."""
    if layout.startswith("folder"):
        return folder / "sketchy25" if layout == "folder itself" else folder
    transform = "tx_000000000000" if layout == "tx_000000000000" else "tx_000000000000_ready"
    as_archive(root, folder / "sketchy25", transform)
    return root / "Sketchy" if layout == "archive itself" else root


def shown(items):
    return [(d.domain, d.classname, d.label, d.instance, Path(d.impath).name) for d in items]


def counts(data):
    domains = Counter(item.domain for item in data.train_x)
    return domains[SKETCH], domains[PHOTO], len(data.test_queries), len(data.test_gallery)


# ------------------------------------------------------------------------------ the list


def test_the_list_holds_25_photos_and_25_sketches_of_each_class_and_every_sketchs_own_photo():
    lines = [line.split("/") for line in subsets.read_names("sketchy25")]
    assert set(Counter((modality, name) for modality, name, _ in lines).values()) == {25}
    assert {normalise(name) for _, name, _ in lines} == set(read_shipped("sketchy_all")) and len(lines) == 6250
    photos = {(name, instance_of(PHOTO, file)) for modality, name, file in lines if modality == "photo"}
    drawn = {(name, instance_of(SKETCH, file)) for modality, name, file in lines if modality == "sketch"}
    assert drawn <= photos and len(drawn) == 578, (len(drawn), "photos are drawn")
    assert (subsets.SPLITS / "sketchy25.txt").read_text().startswith("# ")


def test_a_changed_list_is_refused(tmp_path, monkeypatch, sketchy25_root):
    text = (subsets.SPLITS / "sketchy25.txt").read_text()
    (tmp_path / "sketchy25.txt").write_text("# another head\n" + text.replace("\n", "\r\n").split("\n", 1)[1])
    monkeypatch.setattr(subsets, "SPLITS", tmp_path)
    assert len(subsets.read_names("sketchy25")) == 6250, "the head and line ends do not count"
    lines = text.splitlines()
    (tmp_path / "sketchy25.txt").write_text("\n".join(lines[:-1]))
    digest = hashlib.sha256("\n".join(lines[1:-1]).encode()).hexdigest()
    with pytest.raises(ValueError, match=rf"sketchy25\.txt was changed: its SHA-256 is {digest}, .* ships cc4c"):
        build(sketchy25_root)


# --------------------------------------------------------------------------- the layouts

COUNTS = {  # configs/datasets, further keys: training sketches and photos, queries, gallery; names of split and gallery
    "sketchy25": ((2600, 2600, 525, 525), "sketchy_21_yelamarthi, sketchy25", "unseen"),
    "sketchy25_sake": ((2500, 2500, 625, 625), "sketchy_25_sake, sketchy25", "unseen"),
    "sketchy25_gzs": ((2600, 2600, 525, 3125), "sketchy_21_yelamarthi, sketchy25", "all_seen"),
    "sketchy25_gzs GALLERY held_out": (
        (2600, 104 * 20, 525, 525 + 104 * 5), "sketchy_21_yelamarthi, sketchy25", "held_out, seed 0",
    ),
    "sketchy25_fg": ((2600, 2600, 525, 525), "sketchy_21_yelamarthi, sketchy25", "category"),
    "sketchy25 TEST_CLASSES seen": (
        (2600, 2600, 525, 525), "sketchy_21_yelamarthi, sketchy25, 21 seen classes (seed 0)", "seen",
    ),
    "sketchy25 TEST_CLASSES seen GALLERY_SEED 3": (
        (2600, 2600, 525, 525), "sketchy_21_yelamarthi, sketchy25, 21 seen classes (seed 3)", "seen",
    ),
    "sketchy25_fg TEST_CLASSES seen": (
        (2600, 2600, 525, 525), "sketchy_21_yelamarthi, sketchy25, 21 seen classes (seed 0)", "category",
    ),
    "sketchy25 TEST_CLASSES pseudo_unseen": (
        (2350, 2350, 250, 250), "sketchy_21_yelamarthi, sketchy25, 10 pseudo-unseen classes", "pseudo_unseen",
    ),
    "sketchy25 ALSO sketchmoji": (
        (2600 + 1507, 2600 + 5764, 525, 525), "sketchy_21_yelamarthi, sketchy25, with sketchmoji", "unseen",
    ),
    "sketchy25 TRAIN_CLASSES 20": (
        (500, 500, 525, 525), "sketchy_21_yelamarthi, sketchy25, 20 training classes", "unseen",
    ),
    "sketchy25_fg TRAIN_CLASSES 52 TRAIN_SKETCHES 3": (
        (156, 1300, 525, 525), "sketchy_21_yelamarthi, sketchy25, 52 training classes, 3 sketches of each", "category",
    ),
    "sketchy25 TEST_CLASSES pseudo_unseen TRAIN_SKETCHES 5": (
        (470, 2350, 250, 250), "sketchy_21_yelamarthi, sketchy25, 10 pseudo-unseen classes, 5 sketches of each",
        "pseudo_unseen",
    ),
    "sketchy25_cross_sketchmoji": (
        (2600, 2600, 328, 1232), "sketchy_21_yelamarthi, sketchy25 -> sketchmoji_142", "unseen_minus_source",
    ),
    "sketchmoji_cross_sketchy25": (
        (1534, 5876, 275, 275), "sketchmoji_142 -> sketchy_21_yelamarthi, sketchy25", "unseen_minus_source",
    ),
    "sketchmoji_cross_sketchy25 GALLERY all_unseen": (
        (1534, 5876, 525, 525), "sketchmoji_142 -> sketchy_21_yelamarthi, sketchy25", "all_unseen",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", COUNTS)
def test_counts_and_names(sketchy25_root, case):
    wanted, split, gallery = COUNTS[case]
    yaml, *opts = case.split()
    opts = [int(word) if word.isdigit() else word for word in opts]
    data = build(sketchy25_root, yaml, *opts)
    assert (counts(data), data.split["name"], data.gallery_name) == (wanted, split, gallery)


def test_every_yaml_is_counted_here():
    assert {path.stem for path in CONFIGS.glob("*sketchy25*")} == {case.split()[0] for case in COUNTS}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_images_in_the_same_order(sketchy25_root, tmp_path, layout):
    root = root_of(layout, sketchy25_root, tmp_path)
    for yaml in ("sketchy25", "sketchy25_fg"):
        here, there = build(root, yaml), build(sketchy25_root, yaml)
        for name in ("train_x", "test_queries", "test_gallery"):
            assert shown(getattr(here, name)) == shown(getattr(there, name))
        assert (here.split, data_digest(here)) == (there.split, data_digest(there))
        assert here.test_queries[0].impath.startswith(str(root)) and os.path.isfile(here.test_queries[0].impath)


def test_the_archives_other_files_do_not_count(sketchy25_root, tmp_path):
    shutil.copytree(sketchy25_root / "sketchy25", tmp_path / "sketchy25")
    before = data_digest(build(tmp_path))
    for modality, end in (("sketch", "-9.png"), ("photo", ".jpg")):
        folder = tmp_path / "sketchy25" / modality / "bat"
        shutil.copy(next(folder.iterdir()), folder / f"n00000001_1{end}")
        folder.with_name("unicorn").mkdir()
    (tmp_path / "sketchy25/photo/giraffe").rename(tmp_path / "sketchy25/photo/griaffe")
    data = build(tmp_path)
    assert counts(data) == (2600, 2600, 525, 525) and data_digest(data) == before
    assert {Path(d.impath).parent.name for d in data.test_gallery if d.classname == "giraffe"} == {"griaffe"}


def test_missing_files_are_counted_and_named(sketchy25_root, tmp_path):
    shutil.copytree(sketchy25_root / "sketchy25", tmp_path / "sketchy25")
    shutil.rmtree(tmp_path / "sketchy25/sketch/ant")
    (tmp_path / "sketchy25/photo/bat/n02139199_10196.jpg").unlink()
    message = r"^26 of the 6,250 files of sketchy25 are not below .*25: sketch/ant/n02219486_11726-1\.png, .* 21 more$"
    with pytest.raises(ValueError, match=message):
        build(tmp_path)
    with pytest.raises(ValueError, match=r"26 of the 6,250"):  # of classes that this test does not need, too
        build(tmp_path, "sketchmoji_cross_sketchy25")
    with pytest.raises(ValueError, match=r"(?s)sketchy25 is not below /nowhere; .*/nowhere/Sketchy/256x256/photo/tx_0"):
        build("/nowhere")
    with pytest.raises(ValueError, match=r"sketchy25 needs --root .*Sketchy/ or sketchy25/"):
        build("")


# ------------------------------------------------------------------------- who is tested


def test_seen_classes_are_trained_on_as_many_and_depend_on_the_seed(sketchy25_root):
    drawn = []
    for seed in (0, 1):
        data = build(sketchy25_root, "sketchy25", "TEST_CLASSES", "seen", "GALLERY_SEED", seed)
        assert len(data.test_classnames) == 21 and set(data.test_classnames) < set(data.classnames)
        trained = {d.impath for d in data.train_x}
        assert all(d.impath in trained for d in data.test), "the very images of training"
        drawn.append(data.test_classnames)
    assert drawn[0] != drawn[1]
    selected = build(sketchy25_root, "sketchy25", "TEST_CLASSES", "seen", final="best_val")
    assert not set(selected.test_classnames) & set(selected.val_classnames), "held out, so not trained on"
    assert set(selected.test_classnames) < set(selected.classnames)


def test_pseudo_unseen_classes_are_those_of_selection_and_leave_training(sketchy25_root):
    split = find_split(SKETCHY, "sketchy_21_yelamarthi")
    data = build(sketchy25_root, "sketchy25", "TEST_CLASSES", "pseudo_unseen")
    assert data.test_classnames == split.pseudo and len(split.pseudo) == 10
    assert not set(data.classnames) & {*split.pseudo, *split.unseen}
    chosen = build(sketchy25_root, final="best_val")
    assert chosen.val_classnames == split.pseudo and chosen.classnames == data.classnames
    assert shown(chosen.val_queries) == shown(data.test_queries)
    assert chosen.test_classnames == split.unseen


def test_across_only_classes_that_training_has_not_seen_are_tested(sketchy25_root, capsys):
    here = build(sketchy25_root, "sketchmoji_cross_sketchy25")
    assert here.test_classnames == [
        "bat", "cabin", "rhinoceros", "saw", "seagull", "skyscraper", "songbird", "sword", "tree", "wheelchair",
        "windmill",
    ]  # fmt: skip
    said = capsys.readouterr().out
    assert "Tested on 11 of Sketchy's 21 unseen classes; left out by unseen_minus_source: cow, dolphin, door, " in said
    related = build(sketchy25_root, "sketchmoji_cross_sketchy25", "GALLERY", "unseen_minus_related")
    assert set(here.test_classnames) - set(related.test_classnames) == {"tree"}, "palm tree and others are trained on"

    there = build(sketchy25_root, "sketchy25_cross_sketchmoji")
    trained = {normalise(name) for name in there.classnames}
    assert not trained & set(there.test_classnames) and "red apple" in there.test_classnames
    assert there.gallery_name == "unseen_minus_source" and there.split["seen"] == 104 and there.split["unseen"] == 121
    related = build(sketchy25_root, "sketchy25_cross_sketchmoji", "GALLERY", "unseen_minus_related")
    left_out = set(there.test_classnames) - set(related.test_classnames)
    assert {"red apple", "top hat", "closed umbrella"} <= left_out, left_out
    picture = there.load_image(there.test_gallery[0])
    assert there.test_gallery[0].spec is not None and picture.size == (112, 112), "a composed scene"
    assert here.load_image(here.test_gallery[0]).size == (32, 32)


def test_the_rules_of_cross():
    unseen, seen = ["apple", "red apple", "hot dog", "top hat", "cup"], ["Apple", "hat", "dog", "teacup"]
    assert without_trained(unseen, seen, "unseen_minus_source") == ["red apple", "hot dog", "top hat", "cup"]
    assert without_trained(unseen, seen, "unseen_minus_related") == ["cup"]
    assert without_trained(unseen, seen, "all_unseen") == unseen


REFUSED = {  # configs/datasets, keys; the message
    "unknown": ("sketchy25", {"SUBSET": "sketchy26"}, "DATASET.SUBSET must be one of sketchy25, got 'sketchy26'"),
    "repeats": ("sketchy25", {"PHOTOS": "zse"}, "Sketchy2 does not read DATASET.PHOTOS in the setting zs"),
    "lists": ("sketchy25", {"FILE_LISTS": "zse"}, "does not read DATASET.FILE_LISTS in the setting zs"),
    "other data": ("quickdraw", {"SUBSET": "sketchy25"}, "QuickDraw does not read DATASET.SUBSET"),
    "sketchmoji": ("sketchmoji", {"SUBSET": "sketchy25"}, "Sketchmoji does not read DATASET.SUBSET"),
    "sketchmoji's target": (
        "sketchmoji", {"SETTING": "cross", "TARGET": "quickdraw_30", "SUBSET": "sketchy25"},
        "Sketchmoji does not read DATASET.SUBSET in the setting cross",
    ),
    "own target": ("sketchmoji", {"SETTING": "cross", "TARGET": "sketchmoji_142"}, "where Sketchmoji is trained on"),
    "classes": ("sketchy25", {"TEST_CLASSES": "all"}, "CLASSES must be one of unseen, seen, pseudo_unseen, got 'all'"),
    "also": ("sketchy25", {"ALSO": "quickdraw"}, "DATASET.ALSO must be one of sketchmoji, got 'quickdraw'"),
    "also itself": ("sketchmoji", {"ALSO": "sketchmoji"}, "Sketchmoji does not read DATASET.ALSO"),
    "too many": ("sketchy25", {"TRAIN_CLASSES": 105}, "DATASET.TRAIN_CLASSES must be 2 to 104, or 0 for all, got 105"),
    "one class": ("sketchy25", {"TRAIN_CLASSES": 1}, "DATASET.TRAIN_CLASSES must be 2 to 104"),
    "sketches": ("sketchy25", {"TRAIN_SKETCHES": 26}, "DATASET.TRAIN_SKETCHES must be 1 to 25, or 0 for all, got 26"),
    "below 0": ("sketchy25", {"TRAIN_SKETCHES": -1}, "DATASET.TRAIN_SKETCHES must be 1 to 25, or 0 for all, got -1"),
    "fewer of seen": (
        "sketchy25", {"TRAIN_CLASSES": 9, "TEST_CLASSES": "seen"}, "not read DATASET.TRAIN_CLASSES in the setting zs",
    ),
    "fewer, generalised": ("sketchy25_gzs", {"TRAIN_CLASSES": 9}, "not read DATASET.TRAIN_CLASSES in the setting gzs"),
    "fewer emoji": ("sketchmoji", {"TRAIN_SKETCHES": 1}, "Sketchmoji does not read DATASET.TRAIN_SKETCHES"),
    "generalised": ("sketchy25_gzs", {"TEST_CLASSES": "seen"}, "does not read DATASET.TEST_CLASSES in the setting gzs"),
    "sketchmoji's classes": ("sketchmoji", {"TEST_CLASSES": "seen"}, "Sketchmoji does not read DATASET.TEST_CLASSES"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_settings_are_refused(sketchy25_root, case):
    yaml, node, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        build(sketchy25_root, yaml, *[word for pair in node.items() for word in pair])


def test_a_smaller_training_part_is_within_a_larger_one(sketchy25_root):
    def trained(*words):
        return {item.impath for item in build(sketchy25_root, "sketchy25", *words).train_x}

    for key in ("TRAIN_CLASSES", "TRAIN_SKETCHES"):
        parts = [trained(key, number) for number in (3, 12, 20)] + [trained()]
        assert all(small < large for small, large in zip(parts, parts[1:])), [len(part) for part in parts]
    assert trained("TRAIN_CLASSES", 12, "TRAIN_SKETCHES", 3) < trained("TRAIN_CLASSES", 12)


def test_selection_and_test_on_the_same_classes_are_refused(sketchy25_root):
    with pytest.raises(ValueError, match=r"best_val selects by the classes that DATASET\.TEST_CLASSES would test"):
        build(sketchy25_root, "sketchy25", "TEST_CLASSES", "pseudo_unseen", final="best_val")
