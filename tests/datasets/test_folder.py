from types import SimpleNamespace

import pytest
from PIL import Image

from splip.common.modalities import PHOTO
from splip.datasets.folder import SBIRFolder


@pytest.fixture
def root(tmp_path):
    for kind in ("sketch", "photo"):
        for name in ("ant", "bee", "cow", "dog"):
            folder = tmp_path / "data" / kind / name
            folder.mkdir(parents=True)
            for i in range(2):
                Image.new("RGB", (8, 8)).save(folder / f"{i}.png")
            (folder / "notes.txt").write_text("no image")
    (tmp_path / "unseen.txt").write_text("# held out\ncow\ndog  # the last\npseudo: bee\n")
    return tmp_path / "data"


def config(root, split="unseen.txt", setting="zs", final="last_step", gallery=""):
    node = {"ROOT": str(root), "SPLIT": str(root.parent / split), "SETTING": setting, "GALLERY": gallery}
    node["GALLERY_SEED"] = 3
    return SimpleNamespace(DATASET=SimpleNamespace(**node), TEST=SimpleNamespace(FINAL_MODEL=final))


def test_classes_and_counts(root):
    data = SBIRFolder(config(root))
    assert data.classnames == ["ant", "bee"] and data.test_classnames == ["cow", "dog"]
    assert len(data.train_x) == 8 and len(data.test_queries) == len(data.test_gallery) == 4
    assert data.split["name"] == "unseen" and (data.split["seen"], data.split["unseen"]) == (2, 2)


def test_generalised_gallery_holds_seen_photos(root):
    data = SBIRFolder(config(root, setting="gzs"))
    assert data.gallery_name == "all_seen" and {item.domain for item in data.test_gallery} == {PHOTO}
    assert sorted(item.classname for item in data.test_gallery) == sorted(["ant", "bee", "cow", "dog"] * 2)
    assert {item.classname for item in data.test_queries} == {"cow", "dog"}


def test_photos_can_be_held_out_of_training(root):
    data = SBIRFolder(config(root, setting="gzs", gallery="held_out"))
    assert data.gallery_name == "held_out, seed 3"
    held = {item.impath for item in data.test_gallery if item.classname in ("ant", "bee")}
    assert len(held) == 2 and not held & {item.impath for item in data.train_x}, held


def test_pseudo_unseen_classes_select_the_model(root):
    (root.parent / "unseen.txt").write_text("dog\npseudo: bee\n")
    data = SBIRFolder(config(root, final="best_val"))
    assert data.classnames == ["ant", "cow"] and data.val_classnames == ["bee"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "nowhere.txt"}, "must be a text file with the unseen classes.*no file at .*nowhere.txt"),
        ({"setting": "fg"}, "settings zs, gzs, got DATASET.SETTING 'fg'"),
        ({"gallery": "sampled_20"}, "zs gallery is one of unseen, got DATASET.GALLERY 'sampled_20'"),
    ],
)
def test_wrong_settings_are_refused(root, change, message):
    with pytest.raises(ValueError, match=message):
        SBIRFolder(config(root, **change))


@pytest.mark.parametrize(
    ("text", "message"),
    [("yak\n", r"names classes that are not below .*\['yak'\]"), ("# empty\n", "names no unseen class")],
)
def test_wrong_split_files_are_refused(root, text, message):
    (root.parent / "unseen.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        SBIRFolder(config(root))


def test_a_wrong_folder_says_what_was_expected(tmp_path):
    (tmp_path / "unseen.txt").write_text("a\n")
    with pytest.raises(ValueError, match=r"no folder .*sketch: expected .*/sketch/<class>"):
        SBIRFolder(config(tmp_path / "nothing"))
