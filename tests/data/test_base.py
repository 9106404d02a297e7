"""datasets/base.py: labels, hold-out, and every refusal."""

import pickle

import pytest
from tiny_sbir import PSEUDO, SEEN, UNSEEN, TinySBIR, tiny_cfg, write_images

from splip.common.modalities import PHOTO, SKETCH
from splip.data.base import SBIRDataset, SBIRDatum, describe_split


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def cfg(root, tmp_path):
    return lambda *opts: tiny_cfg(root, "none", tmp_path, *opts)


@pytest.fixture
def parts(root):
    """Arguments of a small valid data set: classes a, b seen, c unseen, a sketch and a photo of each."""
    path = str(next(root.glob("*.png")))

    def items(*classes):
        return [SBIRDatum(path, domain, name) for name in classes for domain in (SKETCH, PHOTO)]

    return {
        "train": items("a", "b"),
        "queries": items("c")[:1],
        "gallery": items("c")[1:],
        "seen": ["a", "b"],
        "unseen": ["c"],
        "split_name": "abc",
        "gallery_name": "unseen",
    }


def test_labels_index_sorted_class_names(cfg):
    data = TinySBIR(cfg())
    assert data.classnames == sorted(SEEN) and data.test_classnames == sorted(UNSEEN)
    for items, names in ((data.train_x, data.classnames), (data.test, data.test_classnames)):
        assert all(names[item.label] == item.classname for item in items)
    assert data.num_classes == len(SEEN) and data.lab2cname[0] == sorted(SEEN)[0]
    assert not data.val_queries and not data.val and data.setting == "zs"
    assert {d.domain for d in data.test_queries} == {SKETCH}
    assert {d.domain for d in data.test_gallery} == {PHOTO}


def test_split_is_described_by_counts_and_contents(cfg):
    split = TinySBIR(cfg()).split
    assert (split["name"], split["seen"], split["unseen"]) == ("tiny", len(SEEN), len(UNSEEN))
    assert split == describe_split("tiny", reversed(SEEN), reversed(UNSEEN)), "order must not matter"
    assert split["sha256"] != describe_split("tiny", SEEN[1:], [*UNSEEN, SEEN[0]])["sha256"]


@pytest.mark.parametrize("setting", ["zs", "gzs"])
def test_hold_out_moves_pseudo_unseen_classes_to_validation(cfg, setting):
    data = TinySBIR(cfg("TEST.FINAL_MODEL", "best_val", "DATASET.SETTING", setting))
    assert data.classnames == sorted(set(SEEN) - set(PSEUDO))
    assert {d.classname for d in data.val_queries} == set(PSEUDO)
    wanted = set(SEEN) if setting == "gzs" else set(PSEUDO)
    assert {d.classname for d in data.val_gallery} == wanted
    assert not {d.classname for d in data.val} & set(UNSEEN), "selection must not see test classes"


def test_generalised_gallery_holds_seen_photos(cfg):
    data = TinySBIR(cfg("DATASET.SETTING", "gzs"))
    assert {d.classname for d in data.test_gallery} == {*SEEN, *UNSEEN}
    assert {d.classname for d in data.test_queries} == set(UNSEEN)


def test_data_set_and_datum_pickle(cfg):
    data = TinySBIR(cfg())
    copy = pickle.loads(pickle.dumps(data))
    assert copy.classnames == data.classnames
    assert copy.load_image(copy.train_x[0]).tobytes() == data.load_image(data.train_x[0]).tobytes()


def test_valid_parts_are_accepted(parts):
    assert SBIRDataset(**parts).classnames == ["a", "b"]


def without(items, **wanted):
    keep = [d for d in items if any(getattr(d, k) != v for k, v in wanted.items())]
    assert len(keep) < len(items)
    return keep


BROKEN = {
    "one modality only": (
        lambda p: {"train": without(p["train"], classname="b", domain=PHOTO)},
        "seen class 'b' has no photo",
    ),
    "empty seen class": (lambda p: {"seen": ["a", "b", "z"]}, "seen class 'z' has no images"),
    "unseen without sketch": (lambda p: {"queries": []}, "unseen class 'c' has no sketch"),
    "class in both lists": (lambda p: {"unseen": ["c", "a"]}, r"both seen and unseen: \['a'\]"),
    "class outside the split": (lambda p: {"seen": ["a", "d"]}, r"not seen classes of split 'abc': \['b'\]"),
    "one seen class": (lambda p: {"seen": ["a"], "train": p["train"][:2]}, "too few seen classes"),
    "unknown setting": (lambda p: {"setting": "few"}, "DATASET.SETTING must be one of .*'few'"),
    "unknown pseudo-unseen": (lambda p: {"pseudo_unseen": ["q"]}, r"not seen classes: \['q'\]"),
    "all pseudo-unseen": (lambda p: {"pseudo_unseen": ["a", "b"]}, "none is left to train on"),
    "nothing to hold out": (lambda p: {"hold_out": True}, "best_val needs pseudo-unseen classes"),
    "photo as query": (lambda p: {"queries": p["queries"] + p["gallery"]}, "queries hold a photo"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_data_is_refused_by_name(parts, case):
    change, message = BROKEN[case]
    with pytest.raises(ValueError, match=message):
        SBIRDataset(**{**parts, **change(parts)})


def test_fine_grained_needs_own_photo_and_another_instance(root, parts):
    path = str(next(root.glob("*.png")))

    def of(classname, *instances):
        return [SBIRDatum(path, d, classname, i) for i in instances for d in (SKETCH, PHOTO)]

    test = {"queries": of("c", "1")[:1], "gallery": of("c", "1")[1:], "setting": "fg"}
    fine = {**parts, **test, "train": of("a", "1", "2") + of("b", "1", "2")}
    assert SBIRDataset(**fine).setting == "fg"
    alone = {**fine, "train": of("a", "1", "2") + of("b", "1")}
    with pytest.raises(ValueError, match="class 'b' has photos of one instance only"):
        SBIRDataset(**alone)
    orphan = {**fine, "queries": [SBIRDatum(path, SKETCH, "c", "7")]}
    with pytest.raises(ValueError, match="no photo of its instance '7' in class 'c'"):
        SBIRDataset(**orphan)


def test_missing_file_and_bad_domain(root):
    with pytest.raises(ValueError, match=r"no image file at .*nowhere.png.* \(class 'cat'\)"):
        SBIRDatum("nowhere.png", SKETCH, "cat")
    with pytest.raises(ValueError, match="domain must be"):
        SBIRDatum(str(next(root.glob("*.png"))), 2, "cat")
