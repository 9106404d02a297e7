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

from splip.backbone import CLIP_MEAN, CLIP_STD
from splip.data.transforms import Augmentation, normalize, to_pixels, to_tensor
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
    tiles = permutation_bank(3, 10, 0)[batch["permutation"]]
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
    for name in ("random_resized_crop", "random_crop", "random_flip"):
        augment = Augmentation([name])
        outs = [augment(pixels, random.Random(seed)) for seed in range(8)]
        assert all(out.shape == pixels.shape and out.dtype == np.uint8 for out in outs)
        assert any((out != outs[0]).any() for out in outs), f"{name} does nothing"
        assert (augment(pixels, random.Random(3)) == outs[3]).all()
    assert Augmentation(["normalize"])(pixels, random.Random(0)) is pixels


def test_a_broken_training_image_is_named(build, files, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(files[0], root)
    (root / "tri_1_sketch.png").write_bytes(b"not an image")
    trainer = build("DATASET.ROOT", str(root), "DATASET.CACHE", True)
    with pytest.raises(ValueError, match=r"cannot read image .*tri_1_sketch\.png"):
        trainer.train()
