"""Sketchy, TU-Berlin and QuickDraw on small trees in the true layout; every count is made by hand.

A class has: Sketchy 4 sketches of 2 photos, 1 photo more (5 with the second copies); the others 2 sketches, 3 photos.
"""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from conftest import make_tiny_clip_file
from tiny_benchmarks import (
    SKETCHY_EXTENSION,
    SKETCHY_PHOTOS,
    SKETCHY_SKETCHES,
    SPLITS,
    make_quickdraw,
    make_sketchy,
    make_tuberlin,
    make_zse_lists,
    read_names,
)
from tiny_sbir import tiny_cfg
from yacs.config import CfgNode

import splip
from splip.cli.data_check import check
from splip.common.modalities import PHOTO, SKETCH
from splip.data.archives import ARCHIVES, SKETCHY, expected_counts, find_split
from splip.data.classes import normalise, read_shipped
from splip.datasets.subsets import SUBSETS
from splip.engine import build_dataset, build_trainer, get_cfg_default, set_random_seed
from splip.training import results

CONFIGS = Path(__file__).parents[2] / "configs" / "datasets"


def config(root, name, *opts):
    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    cfg.merge_from_list(["DATASET.ROOT", str(root), "DATASET.NAME", name])
    cfg.merge_from_list([word if i % 2 else f"DATASET.{word}" for i, word in enumerate(opts)])
    return cfg


def build(root, name, *opts):
    return build_dataset(config(root, name, *opts))


def counts(data):
    """(training sketches, training photos, queries, gallery)."""
    domains = Counter(item.domain for item in data.train_x)
    return domains[SKETCH], domains[PHOTO], len(data.test_queries), len(data.test_gallery)


# ------------------------------------------------------------------------- class lists


@pytest.mark.parametrize(
    ("name", "length"),
    [
        ("sketchy_all", 125), ("tuberlin_all", 250), ("quickdraw_all", 110),
        ("sketchy_25_sake", 25), ("sketchy_25_sempcyc", 25), ("sketchy_21_yelamarthi", 21),
        ("tuberlin_30_sake", 30), ("tuberlin_30_sempcyc", 30), ("quickdraw_30", 30),
    ],
)  # fmt: skip
def test_shipped_lists(name, length):
    assert (SPLITS / f"{name}.txt").read_text().startswith("# "), "the first line says what it is"
    classes = read_shipped(name)
    assert len(read_names(name)) == length == len(set(classes)), "one spelling must not join two classes"


def test_every_list_belongs_to_an_archive():
    listed = [name for archive in ARCHIVES for name in (archive.classes, *archive.splits)]
    assert sorted([*listed, *SUBSETS]) == sorted(path.stem for path in SPLITS.iterdir())
    for archive in ARCHIVES:
        for name in archive.splits:
            split = find_split(archive, name)
            assert set(split.seen) | set(split.unseen) == set(read_shipped(archive.classes))
            assert set(split.pseudo) < set(split.seen) and len(split.pseudo) == len(split.seen) // 10


@pytest.mark.parametrize(
    ("one", "spellings"),
    [
        ("hot air balloon", ["hot-air_balloon", "hot air balloon", "Hot_Air_Balloon"]),
        ("car", ["car_(sedan)", "car (sedan)", "car"]),
        ("mouse", ["mouse (animal)", "mouse"]),
        ("hot dog", ["hotdog", "hot-dog"]),
        ("teddy bear", ["teddy_bear", "teddy-bear"]),
        ("eiffel tower", ["effiel_tower", "eiffel tower"]),
        ("giraffe", ["griaffe"]),
        ("chandelier", ["chandeler"]),
        ("spider", ["spidar"]),
        ("trombone", ["tromobone"]),
        ("diamond", ["diamod"]),
        ("crane machine", ["crane (machine)"]),
        ("jack o lantern", ["jack-o-lantern", "jack_o_lantern"]),
    ],
)
def test_spellings(one, spellings):
    assert {normalise(name) for name in spellings} == {one} == {normalise(one)}


# --------------------------------------------------------------------------- the counts

COUNTS = {
    "Sketchy1": (("SETTING", "zs"), (400, 300, 100, 75), "sketchy_25_sake", "unseen"),
    "Sketchy1 zse": (("PHOTOS", "zse"), (400, 500, 100, 125), "sketchy_25_sake", "unseen, zse repeats"),
    "Sketchy sempcyc": (("SPLIT", "sketchy_25_sempcyc"), (400, 300, 100, 75), "sketchy_25_sempcyc", "unseen"),
    "Sketchy2": ((), (416, 312, 84, 63), "sketchy_21_yelamarthi", "unseen"),
    "TUBerlin": ((), (440, 660, 60, 90), "tuberlin_30_sake", "unseen"),
    "TUBerlin b": (("SPLIT", "tuberlin_30_sempcyc"), (440, 660, 60, 90), "tuberlin_30_sempcyc", "unseen"),
    "QuickDraw": ((), (160, 240, 60, 90), "quickdraw_30", "unseen"),
    # generalised: 104 x 3 seen photos; a fifth of 84 sketches, of 63 photos, of 21 classes; 1 of each class's 3 photos
    "Sketchy2 all_seen": (("SETTING", "gzs"), (416, 312, 84, 63 + 312), "sketchy_21_yelamarthi", "all_seen"),
    "Sketchy2 sampled": (
        ("SETTING", "gzs", "GALLERY", "sampled_20", "GALLERY_SEED", 4), (416, 312, 84 + 16, 63 + 12),
        "sketchy_21_yelamarthi", "sampled_20, seed 4",
    ),
    "Sketchy2 classes": (
        ("SETTING", "gzs", "GALLERY", "classes_20"), (416, 312, 84, 63 + 4 * 3),
        "sketchy_21_yelamarthi", "classes_20, seed 0",
    ),
    "Sketchy2 held_out": (
        ("SETTING", "gzs", "GALLERY", "held_out"), (416, 312 - 104, 84, 63 + 104),
        "sketchy_21_yelamarthi", "held_out, seed 0",
    ),
    # fine-grained: the two photos of a class that were drawn
    "Sketchy2 fg": (("SETTING", "fg"), (416, 208, 84, 42), "sketchy_21_yelamarthi", "category"),
    "Sketchy2 fg all": (("SETTING", "fg", "GALLERY", "all"), (416, 208, 84, 42), "sketchy_21_yelamarthi", "all"),
    # cross: 21 of TU-Berlin's 30 classes and 11 of QuickDraw's are not among the 100 that are trained on
    "Sketchy1 tuberlin": (
        ("SETTING", "cross", "TARGET", "tuberlin_30_sake"), (400, 300, 21 * 2, 21 * 3),
        "sketchy_25_sake -> tuberlin_30_sake", "unseen_minus_source",
    ),
    "Sketchy1 tuberlin all": (
        ("SETTING", "cross", "TARGET", "tuberlin_30_sake", "GALLERY", "all_unseen"), (400, 300, 60, 90),
        "sketchy_25_sake -> tuberlin_30_sake", "all_unseen",
    ),
    "Sketchy1 quickdraw": (
        ("SETTING", "cross", "TARGET", "quickdraw_30"), (400, 300, 11 * 2, 11 * 3),
        "sketchy_25_sake -> quickdraw_30", "unseen_minus_source",
    ),
    "Sketchy1 quickdraw all": (
        ("SETTING", "cross", "TARGET", "quickdraw_30", "GALLERY", "all_unseen"), (400, 300, 60, 90),
        "sketchy_25_sake -> quickdraw_30", "all_unseen",
    ),
    "QuickDraw sketchy": (  # none of the 21 is trained on there
        ("SETTING", "cross", "TARGET", "sketchy_21_yelamarthi", "PHOTOS", "zse"), (160, 240, 21 * 4, 21 * 5),
        "quickdraw_30 -> sketchy_21_yelamarthi", "unseen_minus_source, zse repeats",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", COUNTS)
def test_counts_split_and_gallery(benchmark_root, case):
    opts, wanted, split, gallery = COUNTS[case]
    data = build(benchmark_root, case.split()[0].replace("Sketchy", "Sketchy1") if case.startswith("Sketchy ")
                 else case.split()[0], *opts)  # fmt: skip
    assert counts(data) == wanted
    assert (data.split["name"], data.gallery_name) == (split, gallery)
    assert len(data.split["sha256"]) == 64 and data.setting == dict(zip(opts[::2], opts[1::2])).get("SETTING", "zs")
    if data.setting == "zs":
        assert set(data.test_classnames) == set(read_shipped(split)), "the list's classes, all of them"
    if "all_unseen" not in gallery and data.setting in ("zs", "fg", "cross"):
        assert not set(data.test_classnames) & set(data.classnames)


@pytest.mark.parametrize("name", ["sketchy1", "tuberlin", "quickdraw", "sketchy_fg"])
def test_class_and_modality_are_those_of_the_folder(benchmark_root, name):
    cfg = config(benchmark_root, "")
    cfg.merge_from_file(str(CONFIGS / f"{name}.yaml"))
    data = build_dataset(cfg)
    for item in [*data.train_x, *data.test_queries, *data.test_gallery]:
        assert normalise(Path(item.impath).parent.name) == item.classname and os.path.isfile(item.impath), item.impath
        assert item.domain == (SKETCH if item.impath.endswith(".png") else PHOTO), item.impath
    assert all(data.classnames[item.label] == item.classname for item in data.train_x)
    assert all(data.test_classnames[item.label] == item.classname for item in data.test)


def test_each_photo_once_takes_the_original(benchmark_root):
    once, twice = build(benchmark_root, "Sketchy2"), build(benchmark_root, "Sketchy2", "PHOTOS", "zse")
    names = Counter((d.classname, Path(d.impath).name) for d in once.test_gallery)
    assert set(names.values()) == {1}
    assert {(d.classname, Path(d.impath).name) for d in twice.test_gallery} == set(names)
    places = Counter(Path(d.impath).relative_to(benchmark_root).parts[1] for d in once.test_gallery)
    assert places == {"256x256": 42, "EXTEND_image_sketchy_ready": 21}


def test_the_published_counts_follow_from_the_switches():
    split = find_split(SKETCHY, "sketchy_21_yelamarthi")
    assert expected_counts(split, "zse", "zse") == [57587, 72949, 12694, 12553], "PROTOCOLS: the lists as they are"
    assert expected_counts(split, "once", "zse") == [57587, 62550, 12694, 10453], "10,453 + 21 x 100 = 12,553"
    assert expected_counts(split) == [57587 + 104 * 50, 62550, 12694, 10453], "the archive's 75,481 sketches in all"
    other = find_split(SKETCHY, "sketchy_25_sake")
    assert sum(expected_counts(split)[::2]) == 75481 == sum(expected_counts(other)[::2])


def test_selection_holds_out_a_tenth_of_the_seen_classes(benchmark_root):
    cfg = config(benchmark_root, "QuickDraw")
    cfg.TEST.FINAL_MODEL = "best_val"
    data = build_dataset(cfg)
    assert len(data.val_classnames) == 8 and counts(data)[0] == 160 - 8 * 2
    assert not set(data.val_classnames) & {*data.classnames, *data.test_classnames}
    assert data.val_classnames == build_dataset(cfg).val_classnames


# ------------------------------------------------------------- spellings, pairs, own splits


@pytest.fixture
def sketchy(tmp_path):
    """A tree of one's own to change: 1 sketch of each of 2 photos."""
    return make_sketchy(tmp_path / "data", sketches=1)


def test_another_spelling_of_the_folders_changes_no_number(sketchy):
    before = build(sketchy, "Sketchy1")
    for place in (SKETCHY_SKETCHES, SKETCHY_PHOTOS, SKETCHY_EXTENSION):
        for old, new in (("giraffe", "griaffe"), ("teddy_bear", "Teddy-Bear"), ("car_(sedan)", "car (sedan)")):
            (sketchy / place / old).rename(sketchy / place / new)
    after = build(sketchy, "Sketchy1")
    assert after.split == before.split and after.classnames == before.classnames and counts(after) == counts(before)
    assert {Path(d.impath).parts[-2] for d in after.train_x if d.classname == "giraffe"} == {"griaffe"}
    (sketchy / SKETCHY_PHOTOS / "giraffe").mkdir()
    with pytest.raises(ValueError, match="'giraffe' and 'griaffe' are both class 'giraffe'"):
        build(sketchy, "Sketchy1")


def test_a_sketch_asks_for_the_photo_that_it_names(benchmark_root):
    data = build(benchmark_root, "Sketchy2", "SETTING", "fg")
    for query in data.test_queries:
        right = [d for d in data.test_gallery if (d.classname, d.instance) == (query.classname, query.instance)]
        assert [Path(d.impath).name for d in right] == [Path(query.impath).name.rsplit("-", 1)[0] + ".jpg"]
    assert all("EXTEND" not in d.impath for d in [*data.train_x, *data.test_gallery])


def test_sketches_without_their_photo_are_reported_and_left_out(sketchy):
    folder = sketchy / SKETCHY_SKETCHES / "bat"
    shutil.copy(next(folder.iterdir()), folder / "n00000001_9-1.png")
    with pytest.warns(UserWarning, match=r"1 sketches have no photo of their own .*bat/n00000001_9-1\.png"):
        data = build(sketchy, "Sketchy2", "SETTING", "fg")
    assert counts(data) == (208, 208, 42, 42)
    assert counts(build(sketchy, "Sketchy2"))[2] == 43, "at category level it is a sketch like any other"


def test_fine_grained_needs_no_extension(sketchy):
    shutil.rmtree(sketchy / SKETCHY_EXTENSION)
    assert counts(build(sketchy, "Sketchy2", "SETTING", "fg")) == (208, 208, 42, 42)
    with pytest.raises(ValueError, match=r"EXTEND_image_sketchy_ready/<class>/  MISSING"):
        build(sketchy, "Sketchy2")


def test_a_split_of_ones_own(sketchy):
    path = sketchy.parent / "mine.txt"
    path.write_text("# held out\nbat\nTeddy Bear\npseudo: car (sedan)\n")
    data = build(sketchy, "Sketchy1", "SPLIT", str(path))
    assert data.test_classnames == ["bat", "teddy bear"] and data.num_classes == 123
    assert (data.split["name"], data.split["seen"], data.split["unseen"]) == ("mine", 123, 2)
    cfg = config(sketchy, "Sketchy1", "SPLIT", str(path))
    cfg.TEST.FINAL_MODEL = "best_val"
    assert build_dataset(cfg).val_classnames == ["car"]
    path.write_text("bat\nunicorn\n")
    with pytest.raises(ValueError, match=r"mine\.txt names classes that Sketchy has not: \['unicorn'\]"):
        build(sketchy, "Sketchy1", "SPLIT", str(path))


def test_the_root_may_be_the_folder_itself(sketchy):
    assert counts(build(sketchy / "Sketchy", "Sketchy1")) == counts(build(sketchy, "Sketchy1"))


# ----------------------------------------------------------------------------- bad input

REFUSED = {
    "no root": ("Sketchy1", {"ROOT": ""}, r"Sketchy needs --root \(DATASET.ROOT\): the folder that holds Sketchy/"),
    "wrong root": ("QuickDraw", {"ROOT": "/nowhere"}, r"(?s)not below /nowhere in the .*images/<class>/ +MISSING"),
    "split": ("TUBerlin", {"SPLIT": "sketchy_25_sake"}, "one of tuberlin_30_sake, tuberlin_30_sempcyc for TUBerlin"),
    "setting": ("TUBerlin", {"SETTING": "fg"}, "TUBerlin has the settings zs, gzs, cross, got DATASET.SETTING 'fg'"),
    "gallery": ("Sketchy1", {"SETTING": "gzs", "GALLERY": "unseen"}, "gzs gallery is one of all_seen, sampled_20, "),
    "photos": ("Sketchy1", {"PHOTOS": "twice"}, r"PHOTOS must be one of \('once', 'zse', 'original'\), got 'twice'"),
    "repeats of none": ("QuickDraw", {"PHOTOS": "zse"}, "QuickDraw does not read DATASET.PHOTOS in the setting zs"),
    "fine repeats": ("Sketchy1", {"SETTING": "fg", "PHOTOS": "zse"}, "does not read DATASET.PHOTOS in the setting fg"),
    "target": ("Sketchy1", {"TARGET": "quickdraw_30"}, "does not read DATASET.TARGET in the setting zs"),
    "no target": ("Sketchy1", {"SETTING": "cross"}, "TARGET is one of tuberlin_30_sake, .* got ''"),
    "own target": ("TUBerlin", {"SETTING": "cross", "TARGET": "tuberlin_30_sempcyc"}, "where TUBerlin is trained on"),
    "no lists": ("Sketchy1", {"FILE_LISTS": "zse"}, "FILE_LISTS is 'zse', but .*Sketchy/zeroshot1 lacks cname_cid.txt"),
    "no such lists": (
        "TUBerlin", {"FILE_LISTS": "zse", "SPLIT": "tuberlin_30_sempcyc"},
        "has file lists of the splits tuberlin_30_sake, not of 'tuberlin_30_sempcyc'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_settings_are_refused(benchmark_root, case):
    name, node, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        build(benchmark_root, name, *[word for pair in node.items() for word in pair])


def test_classes_without_images_are_named(tmp_path):
    but_ant = [name for name in read_names("quickdraw_all") if name != "ant"]
    root = make_quickdraw(tmp_path, sketches=1, photos=1, classes=but_ant)
    shutil.rmtree(root / "QuickDraw" / "images" / "bat")
    with pytest.raises(ValueError, match=r"holds no sketch of 1 classes that are needed: \['ant'\]"):
        build(root, "QuickDraw")
    (root / "QuickDraw" / "sketches" / "ant").mkdir()
    shutil.copy(root / "QuickDraw" / "images" / "axe" / "image_00001.jpg", root / "QuickDraw" / "sketches" / "ant")
    with pytest.raises(ValueError, match=r"holds no photo of 2 classes that are needed: \['ant', 'bat'\]"):
        build(root, "QuickDraw")


def test_a_broken_image_is_named_when_it_is_read(sketchy):
    path = next((sketchy / SKETCHY_SKETCHES / "bat").iterdir())
    path.write_bytes(path.read_bytes()[:60])
    data = build(sketchy, "Sketchy2")
    (item,) = [item for item in data.test_queries if item.impath == str(path)]
    with pytest.raises(ValueError, match=f"cannot read image '{path}'"):
        data.load_image(item)


# ------------------------------------------------------------------ ZSE-SBIR's file lists

LISTED = {  # a sketch of each seen class is not listed
    "sketchy_25_sake": ("Sketchy1", (300, 300, 100, 75)),
    "tuberlin_30_sake": ("TUBerlin", (220, 660, 60, 90)),
    "quickdraw_30": ("QuickDraw", (80, 240, 60, 90)),
}


@pytest.mark.parametrize("split", LISTED)
def test_file_lists_stand_in_for_folders(benchmark_root, tmp_path, split):
    name, wanted = LISTED[split]
    make_zse_lists(benchmark_root, split, tmp_path)
    data = build(benchmark_root, name, "FILE_LISTS", str(tmp_path))
    assert counts(data) == wanted and data.gallery_name == "unseen, zse file lists"
    folders = build(benchmark_root, name)
    assert data.split == folders.split
    test = [{d.impath for d in side.test} for side in (data, folders)]
    assert test[0] == test[1], test[0] ^ test[1]


def test_lists_with_repeats_fine_grained_and_across(benchmark_root, tmp_path):
    for split in ("sketchy_25_sake", "quickdraw_30"):
        make_zse_lists(benchmark_root, split, tmp_path)
    lists = ("FILE_LISTS", str(tmp_path))
    assert counts(build(benchmark_root, "Sketchy1", *lists, "PHOTOS", "zse")) == (300, 500, 100, 125)
    assert counts(build(benchmark_root, "Sketchy1", *lists, "SETTING", "fg")) == (300, 200, 100, 50)
    across = build(benchmark_root, "Sketchy1", *lists, "SETTING", "cross", "TARGET", "quickdraw_30")
    assert counts(across) == (300, 300, 22, 33)


BROKEN_LISTS = {  # file: what is replaced in it, by what; the message
    "missing image": (
        "all_photo_zero.txt", "images/bat/image_00001.jpg 0", "images/bat/image_7.jpg 0",
        r"1 images of the lists in .* are not below .*, the first of them images/bat/image_7\.jpg",
    ),
    "other class": (
        "sketch_zero.txt", " 1\n", " 2\n", r"sketch_zero\.txt: 'sketches/cow/.*' has label 2, which is 'dolphin'",
    ),
    "no label": (
        "sketch_train.txt", " 0\n", "\n", r"sketch_train\.txt, line 1: wanted a name and a number, got 'sketches/air",
    ),
    "other place": ("sketch_zero.txt", "sketches/bat", "images/bat", r"'images/bat/.*' is not below sketches"),
    "other classes": (
        "cname_cid_zero.txt", "bat 0", "ant 0", r"cname_cid_zero\.txt and split quickdraw_30 differ .*\['ant', 'bat'\]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_LISTS)
def test_broken_lists_are_refused(benchmark_root, tmp_path, case):
    file, old, new, message = BROKEN_LISTS[case]
    path = make_zse_lists(benchmark_root, "quickdraw_30", tmp_path) / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        build(benchmark_root, "QuickDraw", "FILE_LISTS", str(tmp_path))


# ------------------------------------------------------------------------ the user's path

RUNS = {  # configs/datasets: name for the check, its test sketches and photos; the gallery
    "sketchy1": ("Sketchy1", 50, 75, 75),
    "sketchy_fg": ("Sketchy2", 42, 63, 42),
    "tuberlin_b": ("TUBerlin", 30, 30, 30),
    "quickdraw": ("QuickDraw", 30, 30, 30),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(the three data sets with the fewest images, a tiny CLIP)."""
    root = make_sketchy(tmp_path_factory.mktemp("data"), sketches=1)
    make_quickdraw(make_tuberlin(root, sketches=1, photos=1), sketches=1, photos=1)
    return root, make_tiny_clip_file(tmp_path_factory.mktemp("clip") / "clip.pt")


@pytest.mark.parametrize("name", RUNS)
def test_check_train_results(files, tmp_path, monkeypatch, name):
    monkeypatch.setattr(results, "draw_sheet", lambda *args, **kwargs: None)
    monkeypatch.setattr(results, "draw_curve", lambda *args, **kwargs: None)
    checked, queries, photos, gallery = RUNS[name]
    node = CfgNode.load_cfg((CONFIGS / f"{name}.yaml").read_text()).DATASET
    report, _ = check(checked, str(files[0]))
    assert f"  test sketches {queries:>10} " in report and f"  test photos   {photos:>10} " in report, report
    cfg = tiny_cfg(
        *files, tmp_path, *[word for key in node for word in (f"DATASET.{key}", node[key])],
        "OPTIM.MAX_EPOCH", 1, "DATALOADER.TRAIN_X.BATCH_SIZE", 80, "DATALOADER.TEST.BATCH_SIZE", 128,
    )  # fmt: skip
    set_random_seed(1)
    trainer = build_trainer(cfg)
    trainer.train()
    left = json.loads((tmp_path / "results.json").read_text())
    assert (left["num_queries"], left["num_gallery"]) == (queries, gallery)
    assert (left["dataset"], left["setting"], left["epoch"]) == (node.NAME, node.SETTING, 1)
    assert left["split"] == trainer.dataset.split and left["gallery"] == trainer.dataset.gallery_name
    assert set(left["metrics"]) == ({"category", "all"} if node.SETTING == "fg" else {"prefix", "min_r_k", "voc"})


def test_the_fine_grained_gallery_says_which_accuracy_counts(files, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "draw_sheet", lambda *args, **kwargs: None)
    for rule in ("category", "all"):
        opts = ("DATASET.NAME", "Sketchy2", "DATASET.SETTING", "fg", "DATASET.GALLERY", rule)
        trainer = build_trainer(tiny_cfg(*files, tmp_path / rule, *opts, "TRAINER.NAME", "FrozenCLIP"))
        value = trainer.test()
        left = json.loads((tmp_path / rule / "results.json").read_text())
        assert left["gallery"] == rule and value == left["metrics"][rule]["Acc@1"]
    assert left["metrics"]["all"]["Acc@1"] < left["metrics"]["category"]["Acc@1"], "or the rules could be mixed up"
