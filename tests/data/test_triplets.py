"""Training batches: what a triplet holds, and that it depends on seed, epoch and index alone."""

import random
import shutil

import numpy as np
import pytest
import torch
from conftest import make_tiny_clip_file
from PIL import Image
from tiny_sbir import SEEN, tiny_cfg, write_images
from torchvision import transforms as T

from splip.backbone.layout import CLIP_MEAN, CLIP_STD
from splip.common.modalities import PHOTO, SKETCH
from splip.data.transforms import (
    APPEARANCE,
    GEOMETRY,
    RESIZES,
    TRANSFORMS,
    Augmentation,
    Preprocessing,
    normalize,
    to_pixels,
    to_tensor,
)
from splip.data.triplets import triplet_loader
from splip.engine import build_trainer
from splip.jigsaw import permutation_bank, shuffle


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(folder of images, file of a tiny CLIP)."""
    root = write_images(tmp_path_factory.mktemp("tiny"))
    return root, make_tiny_clip_file(tmp_path_factory.mktemp("clip") / "clip.pt")


@pytest.fixture
def build(files, tmp_path):
    return lambda *opts: build_trainer(tiny_cfg(*files, tmp_path, *opts))


def triplets(build, *opts, seed=1, augmentation=("random_resized_crop", "random_flip")):
    trainer = build("INPUT.TRANSFORMS", augmentation, "SEED", seed, *opts)
    return trainer, trainer.train_loader_x.dataset


def test_a_triplet_is_of_the_right_classes(build):
    trainer, data = triplets(build)
    items, seen_negatives = trainer.dataset.train_x, set()
    for epoch in range(3):
        for index, sketch in enumerate(data.sketches):
            item = data[epoch, index]
            assert item["label"] == items[sketch].label != item["negative_label"]
            seen_negatives.add((item["label"], item["negative_label"]))
    assert len(seen_negatives) == len(SEEN) * (len(SEEN) - 1), "every other class serves as negative"


def test_a_fine_grained_triplet_is_of_one_class_and_two_instances(build):
    trainer, data = triplets(build, "DATASET.SETTING", "fg")
    items = trainer.dataset.train_x
    for sketch in (items[position] for position in data.sketches):
        positive, negative = (items[p] for p in data.draw_photos(sketch, random.Random(0)))
        assert positive.label == negative.label == sketch.label
        assert positive.instance == sketch.instance != negative.instance
        assert positive.domain == negative.domain == 1


def epochs(trainer, data, workers, count=2):
    loader = triplet_loader(data, batch_size=5, num_workers=workers)
    batches = []
    for epoch in range(count):
        loader.sampler.epoch = epoch
        batches += list(loader)
    return batches


def same(first, second):
    return all(torch.equal(a[k], b[k]) for a, b in zip(first, second) for k in a)


def test_batches_depend_on_seed_and_epoch_alone(build):
    torch.manual_seed(5)
    first = epochs(*triplets(build), workers=0)
    before = torch.get_rng_state()
    assert same(first, epochs(*triplets(build), workers=2)), "number of workers changed a batch"
    cached = triplets(build)
    cached[0].images.preload()
    assert same(first, epochs(*cached, workers=0)), "the cache changed a batch"
    assert not same(first, epochs(*triplets(build, seed=2), workers=0)), "the seed changed nothing"
    assert not same(first[:3], first[3:]), "both epochs are the same"
    assert len(first) == 6 and first[0]["sketch"].shape == (5, 3, 48, 48)
    assert before.shape == torch.get_rng_state().shape


def test_loading_leaves_the_global_random_state_alone(build):
    trainer, data = triplets(build)
    before = torch.get_rng_state()
    epochs(trainer, data, workers=0)
    assert torch.equal(before, torch.get_rng_state())


def test_the_model_gets_normalised_images_and_their_shuffled_copies(build):
    trainer = build()
    batch = trainer.parse_batch_train(next(iter(trainer.train_loader_x)))
    assert batch["sketch"].dtype == torch.float32 and batch["sketch"].max() > 1.5  # white, normalised
    tiles = permutation_bank(3, 10, 0).to(trainer.device)[batch["permutation"]]
    assert torch.equal(batch["shuffled"], shuffle(batch["sketch"], tiles, 3))
    assert {"positive", "negative", "label", "negative_label"} <= set(batch)


def test_pixels_are_clips_own_preprocessing(files):
    image = Image.open(next(files[0].glob("penta_*_photo.png")))
    clips = T.Compose([
        T.Resize(48, interpolation=T.InterpolationMode.BICUBIC), T.CenterCrop(48), T.ToTensor(),
        T.Normalize(CLIP_MEAN, CLIP_STD),
    ])(image)  # fmt: skip
    ours = normalize(to_tensor(to_pixels(image, 48))[None])[0]
    torch.testing.assert_close(ours, clips, rtol=0, atol=1e-6)


def test_augmentation_keeps_shape_and_follows_its_generator():
    pixels = np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3)
    for name in (*GEOMETRY, *APPEARANCE):
        augment = Augmentation([name])

        def draw(seed, domain, augment=augment):
            return augment(pixels, domain, random.Random(seed), random.Random(seed))

        domains = [APPEARANCE[name]] if name in APPEARANCE else [SKETCH, PHOTO]
        for domain in domains:
            outs = [draw(seed, domain) for seed in range(8)]
            assert all(out.shape == pixels.shape and out.dtype == np.uint8 for out in outs), name
            assert any((out != outs[0]).any() for out in outs), f"{name} does nothing"
            assert (draw(3, domain) == outs[3]).all(), name
        for domain in {SKETCH, PHOTO} - set(domains):
            assert all(draw(seed, domain) is pixels for seed in range(8)), f"{name} changes the other modality"
    assert {*TRANSFORMS} - {*GEOMETRY, *APPEARANCE} == {"stroke_drop", "normalize"}, "what pixels are not changed by"
    for name in ("stroke_drop", "normalize"):
        assert Augmentation([name])(pixels, SKETCH, random.Random(0), random.Random(0)) is pixels


def test_geometry_and_appearance_have_generators_of_their_own():
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    augment = Augmentation(["photo_colour", "random_flip"])
    flipped = [augment(pixels, SKETCH, random.Random(seed), random.Random(0)) for seed in range(8)]
    again = [augment(pixels, SKETCH, random.Random(seed), random.Random(1)) for seed in range(8)]
    assert all((a == b).all() for a, b in zip(flipped, again)), "what is drawn for appearance moved the geometry"
    assert len({out.tobytes() for out in flipped}) == 2


def test_a_pen_draws_thinner_thicker_and_hollow():
    pixels = np.full((60, 60, 3), 255, np.uint8)
    pixels[10:40, 10:40] = 0  # solid
    pixels[50:53, 5:55] = 0  # a line
    ink = {augment_ink(pixels, seed) for seed in range(40)}
    plain = int((pixels == 0).sum())
    assert plain in ink and min(ink) < 0.6 * plain < plain < max(ink), (plain, ink)


def augment_ink(pixels, seed):
    out = Augmentation(["sketch_redraw"])(pixels, SKETCH, random.Random(0), random.Random(seed))
    return int((out == 0).sum())


def test_a_fine_grained_sketch_is_flipped_and_cropped_with_its_photo(build, monkeypatch):
    _, data = triplets(build, "DATASET.SETTING", "fg", augmentation=("random_resized_crop", "random_flip"))
    ramp = np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3)
    monkeypatch.setattr(data.images, "pixels", lambda position: ramp)
    items = [data[0, index] for index in range(len(data))]
    assert all(torch.equal(item["sketch"], item["positive"]) for item in items), "the two were drawn apart"
    assert not all(torch.equal(item["sketch"], item["negative"]) for item in items)
    ids = [(item["instance"], item["negative_instance"]) for item in items]
    assert all(own >= 0 and own != other for own, other in ids), ids

    _, data = triplets(build, augmentation=("random_resized_crop", "random_flip"))
    monkeypatch.setattr(data.images, "pixels", lambda position: ramp)
    items = [data[0, index] for index in range(len(data))]
    assert not any(torch.equal(item["sketch"], item["positive"]) for item in items), "categories need no such thing"
    assert all(item["instance"] == item["negative_instance"] == -1 for item in items)


@pytest.mark.parametrize("resize", RESIZES)
def test_resizing_ways(resize):
    wide = Image.new("RGB", (90, 30), "white")
    wide.paste("red", (0, 0, 10, 30))
    out = Preprocessing(30, resize).pixels(wide)
    assert out.shape == (30, 30, 3)
    red = (out[15] == [254, 0, 0]).all(-1) | (out[15] == [255, 0, 0]).all(-1)
    black = (out[0] == 0).all(-1)
    assert red.any() == (resize != "crop"), "the crop drops the ends, the others keep them"
    assert black.all() == (resize == "pad"), "only padding paints a rim"


def test_images_are_normalised_as_asked():
    pixels = torch.full((1, 3, 2, 2), 51, dtype=torch.uint8)
    how = Preprocessing(2, mean=(0.1, 0.2, 0.3), std=(0.5, 0.5, 0.25))
    wanted = torch.tensor([0.2, 0.0, -0.4]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    torch.testing.assert_close(how.normalize(pixels), wanted, rtol=0, atol=1e-6)
    assert not torch.allclose(normalize(pixels), wanted)
    with pytest.raises(ValueError, match=r"INPUT.RESIZE must be one of .*'stretch'"):
        Preprocessing(2, "stretch")
    nan, inf = float("nan"), float("inf")
    for key, value in (("std", 0.0), ("std", -0.5), ("std", nan), ("std", inf), ("mean", inf), ("mean", nan)):
        with pytest.raises(ValueError, match=rf"INPUT.PIXEL_{key.upper()} must be .*, got \(0.5, {value}, 0.5\)"):
            Preprocessing(2, **{key: (0.5, value, 0.5)})


def test_a_broken_training_image_is_named(build, files, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(files[0], root)
    (root / "tri_1_sketch.png").write_bytes(b"not an image")
    trainer = build("DATASET.ROOT", str(root), "DATASET.CACHE", True)
    with pytest.raises(ValueError, match=r"cannot read image .*tri_1_sketch\.png"):
        trainer.train()
