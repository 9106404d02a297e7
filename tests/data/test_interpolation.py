"""INPUT.INTERPOLATION bilinear, which ClipPrompt's recipe has: only where asked for, then everywhere."""

import random
from pathlib import Path

import numpy as np
import pytest
from conftest import make_tiny_clip_file
from PIL import Image
from tiny_sbir import tiny_cfg, write_images
from torchvision import transforms as reference

from splip.backbone import load_clip
from splip.backbone.weights import TRUST
from splip.common.modalities import PHOTO
from splip.data.base import SBIRDatum
from splip.data.transforms import INTERPOLATIONS, RESIZES, Augmentation, Preprocessing
from splip.data.triplets import ImageDataset
from splip.data.views import Jigsaw, Views
from splip.engine import build_trainer, get_cfg_default
from splip.models.base import RetrievalModel
from splip.models.exported import export_encoder
from splip.models.load import load_model

ROOT = Path(__file__).parents[2]
OWN = "INPUT.OWN_STATISTICS", True, "INPUT.INTERPOLATION", "bilinear"


def noise(width=90, height=60):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def torchvisions(resize, interpolation, size):
    how = reference.InterpolationMode(interpolation)
    if resize == "squash":
        return reference.Resize((size, size), how)
    return reference.Compose([reference.Resize(size, how), reference.CenterCrop(size)])


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("resize", RESIZES)
def test_pixels_are_torchvisions(resize, interpolation):
    pixels = Preprocessing(32, resize, interpolation=interpolation).pixels(noise())
    others = [Preprocessing(32, resize, interpolation=other).pixels(noise()) for other in INTERPOLATIONS]
    differ = [int((pixels.astype(int) != other).sum()) for other in others]
    print(f"{resize}, {interpolation}: values that differ from {tuple(INTERPOLATIONS)}: {differ}")
    assert sorted(map(bool, differ)) == [False, True]
    if resize != "pad":  # of which torchvision knows nothing
        assert np.array_equal(pixels, np.asarray(torchvisions(resize, interpolation, 32)(noise())))


def test_crops_of_training_are_interpolated_alike():
    pixels = np.asarray(noise(32, 32))
    crops = [
        Augmentation(["random_resized_crop"], interpolation=how)(pixels, PHOTO, random.Random(0), random.Random(0))
        for how in INTERPOLATIONS
    ]
    assert not np.array_equal(*crops)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = write_images(tmp_path_factory.mktemp("tiny"))
    return root, make_tiny_clip_file(tmp_path_factory.mktemp("clip") / "clip.pt")


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (["INPUT.INTERPOLATION", "bilinear"], r"must be 'bicubic'.*--config-file.*INPUT.OWN_STATISTICS True takes it"),
        (["INPUT.INTERPOLATION", "nearest"], "INTERPOLATION must be 'bicubic'"),
        (["INPUT.INTERPOLATION", "nearest", "INPUT.OWN_STATISTICS", True], r"one of \('bicubic', 'bilinear'\)"),
    ],
    ids=str,
)
def test_dassls_default_is_not_taken_for_a_wish(files, tmp_path, opts, message):
    with pytest.raises(ValueError, match=message):
        Preprocessing.from_cfg(tiny_cfg(*files, tmp_path, *opts))


def test_clip_prompts_file_has_its_interpolation():
    import splip

    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    cfg.merge_from_file(str(ROOT / "configs/trainers/ClipPrompt/vit_b32.yaml"))
    how = Preprocessing.from_cfg(cfg)
    assert (how.resize, how.interpolation, how.mean[0]) == ("squash", "bilinear", 0.485)


def test_a_run_trains_tests_and_is_read_with_it(files, tmp_path):
    trainer = build_trainer(tiny_cfg(*files, tmp_path, *OWN, "TRAINER.NAME", "FrozenCLIP"))
    assert trainer.preprocessing.interpolation == trainer.preprocessing.describe()["interpolation"] == "bilinear"
    trained = build_trainer(tiny_cfg(*files, tmp_path / "other", *OWN))  # whose Augmentation crops at random
    assert trained.train_loader_x.dataset.augmentation.interpolation == "bilinear"
    trainer.model.save_pretrained(tmp_path / "saved")
    assert load_model(tmp_path / "saved").preprocessing == trainer.preprocessing


def test_caches_of_pixels_do_not_mix(tmp_path):
    noise().save(tmp_path / "a.png")
    item = SBIRDatum(str(tmp_path / "a.png"), PHOTO, "a")

    class Files:
        setting = "zs"

        def load_image(self, datum):
            return Image.open(datum.impath)

    kept, lines, views = [], set(), set()
    for how in INTERPOLATIONS:
        images = ImageDataset(Files(), [item], Preprocessing(16, interpolation=how))
        images.preload(0, str(tmp_path / "cache"))
        kept.append(images.pixels(0).copy())
        lines.update(images.lines())
        views.add(Views(images, Augmentation(["normalize"]), 1, 1, Jigsaw(3, 1, "crop", 0)).line(0))
        assert np.array_equal(kept[-1], images.preprocessing.pixels(noise())), how
    assert len(lines) == len(views) == 2 and not np.array_equal(*kept)


def test_exported_encoders_say_it(files, tmp_path, monkeypatch):
    monkeypatch.setenv(TRUST, "1")
    model, how = RetrievalModel(load_clip(files[1])), Preprocessing(48, interpolation="bilinear")
    for modality in ("sketch", "photo"):
        export_encoder(model, modality, tmp_path / f"{modality}.pt2", preprocessing=how)
    assert load_model(tmp_path).preprocessing == how
    export_encoder(model, "photo", tmp_path / "photo.pt2")
    with pytest.raises(ValueError, match="do not belong together: they differ in interpolation"):
        load_model(tmp_path)
