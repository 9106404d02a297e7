"""Fixed views: a function of image, number and seed, and their patch embeddings kept exactly."""

import weakref

import numpy as np
import pytest
import torch
from conftest import make_tiny_clip_file
from tiny_sbir import tiny_cfg, write_images

from splip.common.modalities import SKETCH
from splip.data import capacity
from splip.data.views import Jigsaw
from splip.engine import build_trainer, set_random_seed
from splip.jigsaw import _bank
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
        set_random_seed(max(seed, 0))
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


def test_views_and_training_share_one_bank(build):
    made = _bank.cache_info().misses
    trainer = build("a", "TRAINER.SPLIP.JIGSAW_SEED", 77)
    made = _bank.cache_info().misses - made
    print(f"banks made: {made}")
    assert made == 1 and torch.equal(trainer.bank.cpu(), trainer.train_loader_x.dataset.views.bank)


def test_each_seed_has_views_of_its_own(build):
    """Else a deviation over seeds would leave the augmentation out."""
    one, again, other = (build(n, seed=s).train_loader_x.dataset.views for n, s in (("a", 1), ("b", 1), ("c", 2)))
    assert all(torch.equal(one[row], again[row]) for row in range(0, len(one), 7)), "two runs of one seed"
    assert [one.line(row) for row in range(len(one))] == [again.line(row) for row in range(len(one))]
    moved = sum(not torch.equal(one[row], other[row]) for row in range(len(one)))
    tiles = sum(one.permutation(p, v) != other.permutation(p, v) for p, v, shuffled in one.rows if shuffled)
    print(f"{moved} of {len(one)} views and {tiles} permutations differ between seeds 1 and 2")
    assert moved > 0.9 * len(one) and tiles
    shared = {one.line(row) for row in range(len(one))} & {other.line(row) for row in range(len(one))}
    assert not shared, "in a folder, views of one seed would be taken for those of another"
    position = one.rows[0][0]
    assert any((one.pixels(position, 0) != one.pixels(position, v)).any() for v in (1, 2))
    assert not torch.equal(one[one.row(position, 0)], one[one.row(position, 0, shuffled=True)])


def test_a_resumed_run_has_its_own_views_though_it_was_not_seeded(build, tmp_path):
    first = build("run", "OPTIM.MAX_EPOCH", 2, seed=-1)
    first.before_epoch = lambda: first.epoch and pytest.fail("killed")
    with pytest.raises(pytest.fail.Exception, match="killed"):
        first.train()
    resumed = build("run", "OPTIM.MAX_EPOCH", 2, "RESUME", str(tmp_path / "run"), seed=-1)
    assert resumed.seed != first.seed
    resumed.train()
    ours, theirs = (trainer.train_loader_x.dataset.views for trainer in (resumed, first))
    assert resumed.seed == first.seed and all(torch.equal(ours[row], theirs[row]) for row in range(0, len(ours), 5))


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
        batches = {}
        for name, seed in (("again", 1), ("another", 2), ("both are kept", 1)):
            trainer, calls = build(name, "TRAINER.PATCH_CACHE", place, seed=seed), []
            trainer.clip.visual.conv1.register_forward_hook(lambda *args, calls=calls: calls.append(1))
            trainer.train()
            batches[name] = len(calls)
        print(f"batches whose patch embeddings were computed: {batches}")
        assert batches["again"] == batches["both are kept"] <= 3 < batches["another"], batches


ROW = (48 // 16) ** 2 * 128 * 4  # bytes of the tiny CLIP's E_0 of one image


def test_patch_embeddings_are_kept_once_while_they_are_made(build, monkeypatch):
    trainer = build("a", "DATALOADER.TEST.BATCH_SIZE", 8, "TRAINER.PATCH_CACHE", "memory")
    views, cache = trainer.train_loader_x.dataset.views, trainer.tester.patches
    made = []
    plain = cache._batches

    def batches(images, positions):
        for batch in plain(images, positions):
            alive = sum(seen() is not None for seen in made)
            assert alive <= 1, f"{alive} batches are held beside what is kept"
            made.append(weakref.ref(batch))
            yield batch

    monkeypatch.setattr(cache, "_batches", batches)
    kept = cache.compute(views, [""] * len(views), "views")
    assert len(made) == len(views) / 8 == 16 and kept.rows.nbytes == len(views) * ROW
    row = torch.tensor([37])
    torch.testing.assert_close(kept.take(row, trainer.device)[0], cache._encode(views[37][None])[0])


@pytest.mark.parametrize("selection", ["last_step", "best_val"])
def test_patch_embeddings_that_do_not_fit_are_refused_before_they_are_made(build, monkeypatch, tmp_path, selection):
    """With those of the images that are validated and tested on: a run shall not stop at its end."""
    opts = ["TRAINER.PATCH_CACHE", "memory", "TEST.FINAL_MODEL", selection]
    trainer, calls = build("a", *opts), []
    data, views = trainer.dataset, len(trainer.train_loader_x.dataset.views)
    later = sum(map(len, (data.val_queries, data.val_gallery, data.test_queries, data.test_gallery)))
    assert later == (16 if selection == "last_step" else 24)
    monkeypatch.setattr(capacity, "free_memory", lambda: (views + later) * ROW - 1)
    trainer.clip.visual.conv1.register_forward_hook(lambda module, given, out: calls.append(len(out)))
    with pytest.raises(ValueError, match=(
        rf"TRAINER.PATCH_CACHE memory: {views} training views and {later} images of validation and test need 0.0 GB of "
        rf"memory, of which 0.0 GB are free. TRAINER.PATCH_CACHE FOLDER keeps them on disk"
    )):  # fmt: skip
        trainer.train()
    assert calls == [1] and not trainer.history, "the size of one is all that is computed"
    build("b", "TRAINER.PATCH_CACHE", str(tmp_path / "kept"), "TEST.FINAL_MODEL", selection).train()
    monkeypatch.setattr(capacity, "free_memory", lambda: (views + later) * ROW)
    enough = build("c", *opts, "DATASET.CACHE", True)
    enough.train()
    assert all(images.memory is None for images in enough.tester._val_images), "kept as E_0 and as pixels, too"


def test_validation_images_that_do_not_fit_are_refused_before_training(build, monkeypatch):
    trainer = build("a", "DATASET.CACHE", True, "TEST.FINAL_MODEL", "best_val")
    monkeypatch.setattr(capacity, "free_memory", lambda: (len(trainer.images) + 8) * 3 * 48 * 48 - 1)
    with pytest.raises(ValueError, match=rf"DATASET.CACHE: {len(trainer.images)} images and 8 of validation need"):
        trainer.train()
    assert not trainer.history


def test_what_goes_together(build):
    with pytest.raises(ValueError, match=r"SKETCH_VIEWS and INPUT.PHOTO_VIEWS go together, got \(3, 0\)"):
        build("a", "INPUT.PHOTO_VIEWS", 0)
    with pytest.raises(ValueError, match="PATCH_CACHE keeps the patch embeddings of fixed views"):
        build("b", "INPUT.SKETCH_VIEWS", 0, "INPUT.PHOTO_VIEWS", 0, "TRAINER.PATCH_CACHE", "memory")
    trainer = build("c", "TRAINER.PATCH_CACHE", "memory")
    trainer.clip.visual.conv1.requires_grad_(True)
    with pytest.raises(ValueError, match="this method trains it"):
        trainer.train()


def test_no_jigsaw_no_shuffled_views(build):
    views = build("a", "TRAINER.SPLIP.BETA", 0.0).train_loader_x.dataset.views
    assert views.jigsaw == Jigsaw(3, 1, "crop", 0) and not any(shuffled for *_, shuffled in views.rows)
