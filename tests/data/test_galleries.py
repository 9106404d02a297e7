"""datasets/galleries.py: 5 unseen classes of 4 sketches and 3 photos, 10 seen ones of 4 and 5, counted by hand."""

from collections import Counter
from types import SimpleNamespace

import pytest

from splip.common.modalities import PHOTO, SKETCH
from splip.data.base import SBIRDatum
from splip.data.galleries import DRAWN, GALLERIES, name_gallery, read_setting, split_classes

UNSEEN, SEEN = [f"unseen {i}" for i in range(5)], [f"seen {i}" for i in range(10)]


def datum(name, domain, number, folder="data"):
    return SBIRDatum(f"{folder}/{domain}/{name}/{number}.png", domain, name, listed=True)


@pytest.fixture
def items():
    numbers = {(name, domain): 4 for name in (*UNSEEN, *SEEN) for domain in (SKETCH, PHOTO)}
    numbers.update({(name, PHOTO): 3 for name in UNSEEN})
    numbers.update({(name, PHOTO): 5 for name in SEEN})
    return [datum(*key, number) for key, count in numbers.items() for number in range(count)]


# rule: (training photos, queries, of them seen, gallery, of them seen)
COUNTS = {
    "unseen": (50, 20, 0, 15, 0),
    "all_seen": (50, 20, 0, 65, 50),
    "sampled_20": (50, 24, 4, 18, 3),  # 20 // 5 sketches, 15 // 5 photos
    "classes_20": (50, 20, 0, 20, 5),  # 5 // 5 classes of 5 photos
    "held_out": (40, 20, 0, 25, 10),  # 5 // 5 photos of each of 10 classes
}


@pytest.mark.parametrize("rule", COUNTS)
def test_counts(items, rule):
    parts = split_classes(items, UNSEEN, rule)
    photos, sketches = ([d for d in parts["train"] if d.domain == domain] for domain in (PHOTO, SKETCH))
    seen = [sum(d.classname in SEEN for d in parts[part]) for part in ("queries", "gallery")]
    counted = (len(photos), len(parts["queries"]), seen[0], len(parts["gallery"]), seen[1])
    assert counted == COUNTS[rule] and len(sketches) == 40
    assert {d.domain for d in parts["queries"]} == {SKETCH} and {d.domain for d in parts["gallery"]} == {PHOTO}
    assert not {d.classname for d in parts["train"]} & set(UNSEEN)
    for part in parts.values():
        assert len({d.impath for d in part}) == len(part), "nothing twice"


def test_whole_classes_are_whole_and_held_out_photos_are_of_every_class(items):
    classes = Counter(d.classname for d in split_classes(items, UNSEEN, "classes_20")["gallery"] if d.classname in SEEN)
    assert list(classes.values()) == [5]
    parts = split_classes(items, UNSEEN, "held_out")
    assert Counter(d.classname for d in parts["gallery"] if d.classname in SEEN) == Counter(SEEN)
    assert not {d.impath for d in parts["gallery"]} & {d.impath for d in parts["train"]}


def added(items, rule, seed):
    parts = split_classes(items, UNSEEN, rule, seed)
    return {(d.domain, d.classname, d.impath.split("/")[-1]) for part in ("queries", "gallery")
            for d in parts[part] if d.classname in SEEN}  # fmt: skip


@pytest.mark.parametrize("rule", DRAWN)
def test_a_draw_depends_on_its_seed_alone(items, rule):
    moved = [datum(d.classname, d.domain, d.impath[-5:-4], "elsewhere") for d in reversed(items)]
    assert added(items, rule, 0) == added(moved, rule, 0)
    assert len({frozenset(added(items, rule, seed)) for seed in range(5)}) > 1


def test_both_copies_of_a_photo_are_held_out_together(items):
    copies = [datum(d.classname, PHOTO, d.impath[-5:-4], "extension") for d in items if d.domain == PHOTO]
    parts = split_classes([*items, *copies], UNSEEN, "held_out")
    trained, held = ({(d.classname, d.impath[-5:]) for d in parts[part] if d.domain == PHOTO and d.classname in SEEN}
                     for part in ("train", "gallery"))  # fmt: skip
    assert len(held) == 10 and not held & trained


def test_a_fifth_is_at_least_one():
    few = [datum(name, domain, 0) for name in "abcd" for domain in (SKETCH, PHOTO)]
    parts = split_classes(few, ["a"], "sampled_20")
    assert (len(parts["queries"]), len(parts["gallery"])) == (2, 2)
    assert len(split_classes(few, ["a"], "classes_20")["gallery"]) == 2
    with pytest.raises(ValueError, match="held_out: class 'b' has one photo, which training needs"):
        split_classes(few, ["a"], "held_out")


def config(**node):
    return SimpleNamespace(DATASET=SimpleNamespace(**{"SETTING": "zs", "GALLERY": "", **node}))


@pytest.mark.parametrize("setting", GALLERIES)
def test_the_first_rule_is_the_default_and_each_can_be_named(setting):
    assert read_setting(config(SETTING=setting), "Data") == (setting, GALLERIES[setting][0])
    for rule in GALLERIES[setting]:
        assert read_setting(config(SETTING=setting, GALLERY=rule), "Data") == (setting, rule)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"SETTING": "few"}, "Data has the settings zs, gzs, fg, cross, got DATASET.SETTING 'few'"),
        ({"GALLERY": "all_seen"}, "Data's zs gallery is one of unseen, got DATASET.GALLERY 'all_seen'"),
        ({"PHOTOS": "zse"}, "Data does not read DATASET.PHOTOS in the setting zs, got 'zse'"),
        ({"TARGET": "quickdraw_30"}, "does not read DATASET.TARGET in the setting zs, got 'quickdraw_30'"),
        ({"FILE_LISTS": "lists"}, "does not read DATASET.FILE_LISTS"),
    ],
)
def test_what_would_be_ignored_is_refused(node, message):
    with pytest.raises(ValueError, match=message):
        read_setting(config(**node), "Data")


def test_names_say_what_changes_the_numbers():
    assert name_gallery("all_seen", seed=7) == "all_seen"
    assert name_gallery("sampled_20", seed=7) == "sampled_20, seed 7"
    assert name_gallery("unseen", 0, "zse", "zse") == "unseen, zse repeats, zse file lists"
