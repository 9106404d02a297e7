"""Drawings of strokes as the sketches of a data set: read, kept, and varied in training."""

import random

import numpy as np
import pytest
import torch
from conftest import make_tiny_clip_file
from PIL import Image
from tiny_sbir import tiny_cfg
from tiny_strokes import write_strokes

import splip.datasets  # noqa: F401  (registers them)
from splip.common.modalities import PHOTO, SKETCH
from splip.data.checking import check_images
from splip.data.drawn import VARIETY
from splip.data.strokes import PEN, Pen, StrokeSpec, draw
from splip.data.transforms import Augmentation
from splip.engine import build_dataset, build_trainer

CLASSES = ("ant", "bee", "cow", "dog")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(folder: two drawings and two photos a class, two pictures of sketches of `dog`; file of a tiny CLIP)."""
    root = tmp_path_factory.mktemp("data")
    for number, name in enumerate(CLASSES):
        for k in range(2):
            (root / "photo" / name).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 20), (60 * number, 90 * k, 200)).save(root / "photo" / name / f"{k}.png")
        if name != "dog":
            write_strokes(root / "sketch" / f"{name}.ndjson", name, count=2)
    (root / "sketch" / "dog").mkdir()
    for k in range(2):
        picture = np.full((40, 40, 3), 255, np.uint8)
        picture[8:12, 8 : 20 + 5 * k] = 0
        Image.fromarray(picture).save(root / "sketch" / "dog" / f"{k}.png")
    (root / "unseen.txt").write_text("cow\n")
    return root, make_tiny_clip_file(tmp_path_factory.mktemp("clip") / "clip.pt")


@pytest.fixture
def build(files, tmp_path):
    def make(*opts, transforms=(), make=build_trainer):
        names = ("DATASET.NAME", "SBIRFolder", "DATASET.SPLIT", str(files[0] / "unseen.txt"), "SEED", 1)
        return make(tiny_cfg(*files, tmp_path, *names, "INPUT.TRANSFORMS", transforms, *opts))

    return make


def test_a_folder_of_drawings(files, build):
    data = build(make=build_dataset)
    drawn = [item for item in data.train_x + data.test_queries if item.spec is not None]
    assert sorted({item.classname for item in drawn}) == ["ant", "bee", "cow"] and len(drawn) == 6
    assert all(item.domain == SKETCH for item in drawn) and len(data.test_queries) == 2
    assert len([item for item in data.train_x if item.domain == SKETCH]) == 6, "four drawings, two pictures of dogs"
    for item in drawn:
        assert data.load_image(item).tobytes() == draw(item.impath, item.spec).tobytes()
        assert item.spec.pen == PEN
    assert check_images(item.impath for item in data.train_x) == 4 + 2 + 2 + 2, "pictures and photos, two files"
    thick = build("DATASET.STROKE_WIDTH", 9.0, "DATASET.STROKE_SMOOTH", False, make=build_dataset)
    assert thick.test_queries[0].spec.pen == Pen(9.0, 0.16, False)


def test_a_class_stands_in_one_place(files, build, tmp_path_factory):
    root = tmp_path_factory.mktemp("twice")
    for kind in ("sketch", "photo"):
        for name in ("ant", "bee", "cow"):
            (root / kind / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(root / kind / name / "0.png")
    with pytest.raises(ValueError, match=r"does not read DATASET\.STROKE_WIDTH"):
        build("DATASET.ROOT", str(root), "DATASET.STROKE_WIDTH", 5.0, make=build_dataset)
    write_strokes(root / "sketch" / "._ant.ndjson")  # macOS's
    assert build("DATASET.ROOT", str(root), make=build_dataset).test_queries[0].spec is None
    write_strokes(root / "sketch" / "Ant.ndjson")
    with pytest.raises(ValueError, match=r"'ant' and 'Ant.ndjson': both are class 'ant'"):
        build("DATASET.ROOT", str(root), make=build_dataset)


def test_kept_pixels_are_of_their_own_drawing(build, tmp_path):
    """Drawings of one file, and of another pen, are told apart in the cache on disk."""
    for pen in ((), ("DATASET.STROKE_WIDTH", 8.0)):
        plain, kept = build(*pen).images, build(*pen, "DATASET.PIXEL_CACHE", str(tmp_path / "cache")).images
        kept.preload(folder=str(tmp_path / "cache"))
        assert len(set(plain.lines())) == len(plain)
        for position in range(len(plain)):
            assert (kept.pixels(position) == plain.pixels(position)).all()


@pytest.mark.parametrize("kept", [False, True])
def test_variety_is_drawn_anew_and_by_its_address(build, kept):
    trainer = build(transforms=VARIETY)
    data = trainer.train_loader_x.dataset
    if kept:
        data.images.preload()
    items = [data.images.items[position] for position in data.sketches]
    for index, item in enumerate(items):
        epochs = [data[epoch, index]["sketch"] for epoch in range(6)]
        assert torch.equal(epochs[3], data[3, index]["sketch"])
        different = len({image.numpy().tobytes() for image in epochs})
        assert different >= 5, f"{item.classname}: {different} pictures in six epochs"
    plain = build().train_loader_x.dataset
    assert torch.equal(plain[0, 0]["sketch"], plain[1, 0]["sketch"]), "off by default"
    same = [torch.equal(data[0, 0][name], plain[0, 0][name]) for name in ("positive", "negative")]
    assert same == [True, True], "photos have no strokes"


def test_strokes_are_varied_once(build, monkeypatch):
    """What varies a picture of lines must not come on top of what varied its strokes."""
    data = build(transforms=("stroke_width", "stroke_jitter")).train_loader_x.dataset
    called = []
    for name in ("stroke_width", "stroke_jitter"):
        monkeypatch.setattr(Augmentation, name, lambda self, pixels, rng, name=name: called.append(name) or pixels)
    drawn = [isinstance(data.images.items[position].spec, StrokeSpec) for position in data.sketches]
    for index, strokes in enumerate(drawn):
        called.clear()
        data[0, index]
        assert called == ([] if strokes else ["stroke_width", "stroke_jitter"]), (index, strokes, called)
    assert set(drawn) == {True, False}


def test_views_vary_strokes_too(build):
    trainer = build("INPUT.SKETCH_VIEWS", 4, "INPUT.PHOTO_VIEWS", 1, transforms=VARIETY)
    views = trainer.train_loader_x.dataset.views
    for position, item in enumerate(views.images.items):
        if item.domain == PHOTO:
            continue
        looks = [views.pixels(position, view) for view in range(4)]
        assert len({look.tobytes() for look in looks}) >= 3, f"views of {item.impath} are alike"
        assert (views.pixels(position, 2) == looks[2]).all()


def test_dropping_strokes_needs_some(build, tmp_path_factory):
    from tiny_sbir import write_images

    root = write_images(tmp_path_factory.mktemp("tiny"))
    with pytest.raises(ValueError, match="stroke_drop: none of the training sketches are strokes"):
        build("DATASET.NAME", "TinySBIR", "DATASET.ROOT", str(root), "DATASET.SPLIT", "", transforms=("stroke_drop",))
    assert build(transforms=("stroke_drop",)).train_loader_x is not None


def test_pictures_of_lines_are_varied_as_far_as_they_can_be():
    pixels = np.full((60, 60, 3), 255, np.uint8)
    pixels[20:23, 10:50] = 0
    pixels[20:50, 30:33] = 0
    plain = int((pixels == 0).all(axis=2).sum())

    def outs(name):
        augment = Augmentation([name])
        return [augment(pixels, SKETCH, random.Random(0), random.Random(seed)) for seed in range(30)]

    ink = [int((out < 128).all(axis=2).sum()) for out in outs("stroke_width")]
    assert min(ink) < 0.5 * plain < plain < 1.5 * plain < max(ink) and plain in ink, (plain, sorted(set(ink)))
    moved = outs("stroke_jitter")
    ink = [(255 - out.astype(int)).sum() / 765 for out in moved]
    assert all(abs(amount - plain) < 0.1 * plain for amount in ink), (plain, ink)
    assert len({out.tobytes() for out in moved}) == 30
    assert all(out[0, 0].min() > 250 for out in moved), "white comes in"
