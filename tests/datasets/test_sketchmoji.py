"""Sketchmoji: the shipped files, and what each setting trains and ranks."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import pickle
import shutil
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import splip
from splip.datasets import PHOTO, SKETCH
from splip.datasets.scenes import SIZE, read_drawing
from splip.datasets.sketchmoji import EMBEDDED, PHOTO_ARTISTS, SKETCH_ARTISTS, read_classes
from splip.engine import build_dataset, get_cfg_default

TOOLS = Path(__file__).parents[2] / "tools" / "sketchmoji"


def load(setting="zs", root="", **keys):
    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    cfg.DATASET.NAME, cfg.DATASET.SETTING, cfg.DATASET.ROOT = "Sketchmoji", setting, str(root)
    cfg.TEST.FINAL_MODEL = keys.pop("final_model", "last_step")
    for key, value in keys.items():
        cfg.DATASET[key] = value
    return build_dataset(cfg)


def artist(item):
    return Path(item.impath).parent.name


def names(stem):
    lines = (EMBEDDED / "splits" / f"{stem}.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# Sketchmoji"), f"{stem}.txt does not say what it is: {lines[0]!r}"
    return lines[1:]


@pytest.fixture(scope="module")
def zs():
    return load()


@pytest.fixture(scope="module")
def fg():
    return load("fg")


# --- the shipped files -------------------------------------------------------------------------------------------


def test_shipped_files_are_those_of_the_sums():
    lines = (EMBEDDED / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    wanted = {name: sha for sha, name in (line.split("  ", 1) for line in lines)}
    wrong = [n for n, sha in wanted.items() if hashlib.sha256((EMBEDDED / n).read_bytes()).hexdigest() != sha]
    assert not wrong, f"{len(wrong)} files are not as built, first {wrong[:3]}"
    drawings = {p.relative_to(EMBEDDED).as_posix() for p in EMBEDDED.rglob("*.png")}
    assert drawings <= set(wanted), f"drawings that no one built: {sorted(drawings - set(wanted))[:3]}"
    size = sum(p.stat().st_size for p in EMBEDDED.rglob("*") if p.is_file())
    assert size < 12e6, f"{size / 1e6:.1f} MB"


@pytest.mark.parametrize("name", SKETCH_ARTISTS)
def test_sketches_are_dark_lines_on_white(name):
    for path in sorted((EMBEDDED / "sketch" / name).glob("*.png")):
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("L", (SIZE, SIZE)), f"{path}: {image.mode} {image.size}"
            pixels = np.asarray(image)
        ink = float((pixels < 128).mean())
        assert 0.01 < ink < 0.6, f"{path}: {ink:.1%} ink"
        frame = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert frame.min() > 200, f"{path} is cut off: {frame.min()} in the frame"


@pytest.mark.parametrize("name", PHOTO_ARTISTS)
def test_photo_drawings_are_whole(name):
    for path in sorted((EMBEDDED / "photo" / name).glob("*.png")):
        alpha = read_drawing(path)[..., 3]
        assert (alpha > 128).mean() > 0.03, f"{path} is nearly blank: {(alpha > 128).mean():.1%}"
        frame = max(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max())
        assert frame < 100, f"{path} is cut off: alpha {frame} in the frame"


def test_splits_divide_the_classes():
    known, unseen, pseudo = names("all"), names("unseen"), names("pseudo_unseen")
    rows = read_classes(EMBEDDED / "classes.tsv")
    assert known == sorted(row.slug for row in rows)
    assert set(unseen) | set(pseudo) <= set(known) and not set(unseen) & set(pseudo)
    assert 0.18 < len(unseen) / len(known) < 0.22, f"{len(unseen)} of {len(known)} unseen"
    assert 0.13 < len(pseudo) / (len(known) - len(unseen)) < 0.17, f"{len(pseudo)} pseudo-unseen"
    share = Counter(row.group for row in rows if row.slug in unseen)
    total = Counter(row.group for row in rows)
    parts = {group: share[group] / total[group] for group in total}
    assert len(parts) == 5 and all(0.15 < part < 0.25 for part in parts.values()), f"unseen by group: {parts}"


def test_excluded_emoji_are_no_classes():
    lines = (TOOLS / "excluded.tsv").read_text(encoding="utf-8").splitlines()
    excluded = {line.split("\t")[0] for line in lines if not line.startswith("#")}
    both = excluded & {row.name for row in read_classes(EMBEDDED / "classes.tsv")}
    assert not both, f"excluded, and classes all the same: {sorted(both)}"


# --- settings ----------------------------------------------------------------------------------------------------


def test_zero_shot(zs):
    unseen = set(names("unseen"))
    assert {d.classname for d in zs.test_queries} == {d.classname for d in zs.test_gallery} == unseen
    assert set(zs.classnames) == set(names("all")) - unseen
    for items, domain, artists in ((zs.test_queries, SKETCH, SKETCH_ARTISTS), (zs.test_gallery, PHOTO, PHOTO_ARTISTS)):
        assert {d.domain for d in items} == {domain} and {artist(d) for d in items} == set(artists)
    assert Counter((d.classname, artist(d)) for d in zs.test_gallery).most_common()[-1][1] == 4
    assert (zs.split["seen"], zs.split["unseen"]) == (len(zs.classnames), len(unseen))
    assert zs.gallery_name == "unseen" and zs.embedded and not zs.val_queries and not zs.val_gallery
    assert all(d.label == zs.classnames.index(d.classname) for d in zs.train_x[::97])


def test_sketch_and_photo_artists_differ(zs):
    drawn = defaultdict(set)
    for item in [*zs.train_x, *zs.test_queries, *zs.test_gallery]:
        drawn[item.domain].add(artist(item))
    assert not drawn[SKETCH] & drawn[PHOTO], f"on both sides: {drawn[SKETCH] & drawn[PHOTO]}"


def test_every_class_has_two_photo_artists_and_a_sketch(zs):
    artists = defaultdict(set)
    for item in [*zs.train_x, *zs.test_queries, *zs.test_gallery]:
        artists[item.classname, item.domain].add(artist(item))
    poor = [key for key, value in artists.items() if len(value) < (2 if key[1] == PHOTO else 1)]
    assert not poor and len(artists) == 2 * len(names("all")), f"too few artists: {poor[:5]}"


def test_generalised_gallery_adds_every_seen_photo(zs):
    gzs = load("gzs")
    seen_photos = [d for d in zs.train_x if d.domain == PHOTO]
    assert gzs.gallery_name == "all_seen" and len(gzs.test_gallery) == len(zs.test_gallery) + len(seen_photos)
    assert [d.impath for d in gzs.test_queries] == [d.impath for d in zs.test_queries]
    assert gzs.test_classnames == names("all")


def test_fine_grained_ranks_one_photo_for_each_object(fg):
    assert {d.classname for d in fg.test_gallery} == set(names("fg_unseen"))
    objects = Counter(d.instance for d in fg.test_gallery)
    assert set(objects.values()) == {1} and {d.instance for d in fg.test_queries} == set(objects)
    average = len(fg.test_gallery) / len(fg.test_classnames)
    assert average >= 20, f"{average:.1f} candidates in a category"
    assert {artist(d) for d in fg.test_gallery} == set(PHOTO_ARTISTS)
    category = {row.slug: row.category for row in read_classes(EMBEDDED / "classes.tsv")}
    assert all(category[d.instance] == d.classname for d in [*fg.train_x, *fg.test_queries, *fg.test_gallery])


@pytest.mark.parametrize("setting", ["zs", "gzs", "fg"])
def test_best_val_holds_the_pseudo_unseen_classes_out(setting):
    data = load(setting, final_model="best_val")
    held = set(names("fg_pseudo_unseen" if setting == "fg" else "pseudo_unseen"))
    assert {d.classname for d in data.val_queries} == held
    assert not held & {d.classname for d in data.train_x} and not held & set(data.classnames)
    tested = {d.impath for d in data.test_queries}
    assert not tested & {d.impath for d in data.val_queries}
    if setting == "fg":
        assert set(Counter(d.instance for d in data.val_gallery).values()) == {1}


@pytest.mark.parametrize(
    "setting, keys, message",
    [
        ("cross", {}, "TARGET is one of sketchy_25_sake, .* where Sketchmoji is trained on, got ''"),
        ("zs", {"GALLERY": "all_seen"}, "gallery is one of unseen, got DATASET.GALLERY 'all_seen'"),
        ("fg", {"SPLIT": "mine"}, r"split is 'sketchmoji_fg_.*got DATASET.SPLIT 'mine'"),
    ],
)
def test_what_there_is_not_is_refused(setting, keys, message):
    with pytest.raises(ValueError, match=message):
        load(setting, **keys)


def test_root_is_used_where_it_holds_the_data(tmp_path, zs):
    assert load(root=tmp_path).embedded
    (tmp_path / "sketchmoji").mkdir()
    with pytest.raises(ValueError, match=r"all\.txt, which is not there"):
        load(root=tmp_path)
    for name in ("classes.tsv", "scenes.tsv"):
        shutil.copy(EMBEDDED / name, tmp_path / "sketchmoji")
    for name in ("splits", "sketch", "photo/twemoji", "photo/fxemoji"):
        (tmp_path / "sketchmoji" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "sketchmoji" / name).symlink_to(EMBEDDED / name)
    shutil.copytree(EMBEDDED / "photo" / "noto", tmp_path / "sketchmoji" / "photo" / "noto")
    mine = load(root=tmp_path)
    assert not mine.embedded and mine.root == tmp_path / "sketchmoji" and mine.split == zs.split

    shown = next(item for item in mine.test_gallery if artist(item) == "noto")
    data = Path(shown.impath).read_bytes()
    Path(shown.impath).write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=Path(shown.impath).name):
        mine.load_image(shown)
    (tmp_path / "sketchmoji" / "photo" / "noto" / "cat.png").unlink()
    with pytest.raises(ValueError, match=r"cat\.png"):
        load(root=tmp_path)


def test_a_pickled_data_set_gives_the_same_images(zs):
    copy = pickle.loads(pickle.dumps(zs))
    pairs = list(zip(zs.test, copy.test))
    for item, same in pairs[::150]:
        image = zs.load_image(item)
        assert (image.mode, image.size) == ("RGB", (SIZE, SIZE)) and image.tobytes() == copy.load_image(same).tobytes()


# --- how hard it is ----------------------------------------------------------------------------------------------


def test_pixels_and_edges_do_not_solve_it(zs):
    stored = json.loads((EMBEDDED / "reference.json").read_text(encoding="utf-8"))
    assert stored["split"] == zs.split, "reference.json belongs to another split"
    for row in ("pixels, 32 x 32 grey", "edge map", "oriented edges"):
        assert max(stored["rows"][row].values()) <= 10, f"{row}: {stored['rows'][row]}"
    spec = importlib.util.spec_from_file_location("sketchmoji_reference", TOOLS / "reference.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    features = (tool.extract(zs, items, tool.pixels) for items in (zs.test_queries, zs.test_gallery))
    row, now = stored["rows"]["pixels, 32 x 32 grey"], tool.rate(zs, *features)
    assert now == pytest.approx(row, abs=0.02), f"measured {now}, stored {row}"
    assert f"| {row['all']:.1f} |" in (EMBEDDED / "CARD.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("out", ["openmoji+noto", "fluent+twemoji", "emojione+fxemoji"])
def test_artists_left_out_of_training_are_all_that_is_tested(out):
    data = load(ARTISTS_OUT=out)
    sketcher, photographer = out.split("+")

    def artists(items, domain):
        return {artist(item) for item in items if item.domain == domain}

    assert artists(data.train_x, SKETCH) == set(SKETCH_ARTISTS) - {sketcher}
    assert artists(data.train_x, PHOTO) == set(PHOTO_ARTISTS) - {photographer}
    assert artists(data.test_queries, SKETCH) == {sketcher} and artists(data.test_gallery, PHOTO) == {photographer}
    whole = load()
    assert set(data.test_classnames) <= set(whole.test_classnames) and len(data.test_classnames) > 70
    counts = data.split["unseen"], data.split["seen"]
    assert data.split["name"] == f"sketchmoji_{whole.split['unseen']}, {out} left out" and counts[1] > 400, counts


@pytest.mark.parametrize(
    ("setting", "value"), [("zs", "noto+openmoji"), ("zs", "openmoji"), ("fg", "openmoji+noto"), ("zs", "a+b+c")]
)
def test_artists_that_there_are_not_are_refused(setting, value):
    with pytest.raises(ValueError, match=r"ARTISTS_OUT is one of .*, joined by \+, in the setting zs; got '"):
        load(setting, ARTISTS_OUT=value)
