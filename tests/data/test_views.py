"""Fixed views: a function of image and number alone, shared by all runs, and their patch embeddings kept exactly."""

import numpy as np
import pytest
import torch
from conftest import make_tiny_clip_file
from tiny_sbir import tiny_cfg, write_images

from splip.common.modalities import SKETCH
from splip.data.views import Jigsaw, Views
from splip.engine import build_trainer, set_random_seed
from splip.training import results


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(folder of images, file of a tiny CLIP)."""
    root = write_images(tmp_path_factory.mktemp("tiny"))
    return root, make_tiny_clip_file(tmp_path_factory.mktemp("clip") / "clip.pt")


@pytest.fixture
def build(files, tmp_path, monkeypatch):
    for name in ("draw_sheet", "draw_curve"):
        monkeypatch.setattr(results, name, lambda *args, **kwargs: None)

    def make(out, *opts, seed=1):
        views = "INPUT.SKETCH_VIEWS", 3, "INPUT.PHOTO_VIEWS", 2, "TRAINER.PREC", "fp32"  # runs are compared to rounding
        cfg = tiny_cfg(*files, tmp_path / out, *views, "SEED", seed, *opts)
        set_random_seed(seed)
        return build_trainer(cfg)

    return make


def test_rows_and_views(build):
    views = build("a").train_loader_x.dataset.views
    sketches = sum(item.domain == SKETCH for item in views.images.items)
    assert len(views) == sketches * 3 * 2 + (len(views.images) - sketches) * 2
    for row, (position, view, shuffled) in enumerate(views.rows):
        assert views.row(position, view, shuffled) == row
    lines = [views.line(row) for row in range(len(views))]
    assert len(set(lines)) == len(lines), "two views would be taken for each other"


def test_views_depend_on_image_and_number_alone(build):
    one, other = (build(f"{s}", seed=s).train_loader_x.dataset.views for s in (1, 2))
    for row in range(0, len(one), 7):
        assert torch.equal(one[row], other[row]), "the run's seed moved a view"
    position = one.rows[0][0]
    assert any((one.pixels(position, 0) != one.pixels(position, v)).any() for v in (1, 2))
    assert not torch.equal(one[one.row(position, 0)], one[one.row(position, 0, shuffled=True)])
    again = Views(one.images, one.augmentation, 3, 2, one.jigsaw, seed=5)
    assert any(not torch.equal(again[row], one[row]) for row in range(6)), "the views' seed moves nothing"


def test_each_seed_may_have_views_of_its_own(build):
    own = "INPUT.OWN_VIEWS", True
    one, other = (build(f"{s}", *own, seed=s).train_loader_x.dataset.views for s in (1, 2))
    lines = [[views.line(row) for row in range(len(views))] for views in (one, other)]
    assert not set(lines[0]) & set(lines[1]), "kept patch embeddings of one would be taken for the other's"
    moved = [not torch.equal(one[row], other[row]) for row in range(0, len(one), 7)]
    print(f"{sum(moved)} of {len(moved)} views differ")
    assert sum(moved) > len(moved) / 2


def test_a_shuffled_view_has_the_tiles_of_its_permutation(build):
    data = build("a").train_loader_x.dataset
    views = data.views
    position = data.sketches[0]
    tiles = views.bank[views.permutation(position, 1)]
    whole, cut = (views[views.row(position, 1, shuffled)] for shuffled in (False, True))
    for place, tile in enumerate(tiles.tolist()):
        (r, c), (fr, fc) = divmod(place, 3), divmod(tile, 3)
        part = whole[:, fr * 16 : fr * 16 + 16, fc * 16 : fc * 16 + 16]
        assert torch.equal(cut[:, r * 16 : r * 16 + 16, c * 16 : c * 16 + 16], part)


def test_fine_grained_a_sketch_has_its_photos_geometry(build, monkeypatch):
    ramp = np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3)
    for name, counts in {"fewer photos": (5, 2), "equal": (3, 3), "more photos": (2, 5)}.items():
        views = ["INPUT.SKETCH_VIEWS", counts[0], "INPUT.PHOTO_VIEWS", counts[1]]
        data = build(name, "DATASET.SETTING", "fg", *views).train_loader_x.dataset
        monkeypatch.setattr(data.images, "pixels", lambda position: ramp)
        items = [data[epoch, index] for epoch in range(3) for index in range(len(data))]
        assert all(torch.equal(item["sketch"], item["positive"]) for item in items), name
        assert not all(torch.equal(item["sketch"], item["negative"]) for item in items), name


def test_views_that_lie_otherwise_are_kept_apart(build, tmp_path):
    """Fine-grained, how a view lies depends on the smaller of the two counts."""
    fine = ["DATASET.SETTING", "fg", "INPUT.SKETCH_VIEWS", 4]
    two, three = (build(str(n), *fine, "INPUT.PHOTO_VIEWS", n).train_loader_x.dataset.views for n in (2, 3))
    for row, (position, view, shuffled) in enumerate(two.rows):
        other = three.row(position, view, shuffled)
        same = torch.equal(two[row], three[other])
        assert same or two.line(row) != three.line(other), (row, two.line(row))


@pytest.mark.parametrize("where", ["memory", "folder"])
def test_kept_patch_embeddings_make_the_same_run(build, tmp_path, where):
    place = where if where == "memory" else str(tmp_path / "tokens")
    plain, kept = build("plain"), build("kept", "TRAINER.PATCH_CACHE", place)
    plain.train()
    kept.train()
    for name, value in plain.model.trainable.state_dict().items():
        other = kept.model.trainable.state_dict()[name]
        torch.testing.assert_close(value, other, rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    losses = [[epoch["loss"] for epoch in trainer.history] for trainer in (plain, kept)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    if where == "folder":
        calls = []
        again = build("again", "TRAINER.PATCH_CACHE", place, seed=2)
        visual = again.clip.visual.conv1
        visual.register_forward_hook(lambda *args: calls.append(1))
        again.train()
        assert len(calls) <= 3, f"{len(calls)} batches were computed although all views were kept"


def test_what_goes_together(build):
    with pytest.raises(ValueError, match=r"SKETCH_VIEWS and INPUT.PHOTO_VIEWS go together, got \(3, 0\)"):
        build("a", "INPUT.PHOTO_VIEWS", 0)
    with pytest.raises(ValueError, match="PATCH_CACHE keeps the patch embeddings of fixed views"):
        build("b", "INPUT.SKETCH_VIEWS", 0, "INPUT.PHOTO_VIEWS", 0, "TRAINER.PATCH_CACHE", "memory")
    with pytest.raises(ValueError, match=r"OWN_VIEWS True needs fixed views"):
        build("b", "INPUT.SKETCH_VIEWS", 0, "INPUT.PHOTO_VIEWS", 0, "INPUT.OWN_VIEWS", True)
    trainer = build("c", "TRAINER.PATCH_CACHE", "memory")
    trainer.clip.visual.conv1.requires_grad_(True)
    with pytest.raises(ValueError, match="this method trains it"):
        trainer.train()


def test_no_jigsaw_no_shuffled_views(build):
    views = build("a", "TRAINER.SPLIP.BETA", 0.0).train_loader_x.dataset.views
    assert views.jigsaw == Jigsaw(3, 1, "crop", 0) and not any(shuffled for *_, shuffled in views.rows)
