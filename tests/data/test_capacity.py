"""Workers, shared memory and memory are taken as the machine has them, and what does not fit is said."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from splip.common.modalities import PHOTO
from splip.data import capacity
from splip.data.base import SBIRDatum
from splip.data.images import open_rgb
from splip.data.transforms import Preprocessing
from splip.data.triplets import ImageDataset, loader


class Files:
    setting = "zs"

    def load_image(self, item):
        return open_rgb(item.impath)


@pytest.fixture
def images(tmp_path):
    items = []
    for number in range(8):
        path = tmp_path / f"{number}.png"
        Image.fromarray(np.full((40, 40, 3), 20 * number, dtype=np.uint8)).save(path)
        items.append(SBIRDatum(str(path), PHOTO, "cat"))
    return ImageDataset(Files(), items, Preprocessing(32))


@pytest.mark.parametrize(
    "asked, on_gpu, cores, processes, expected",
    [(5, True, 2, 1, 5), (0, True, 8, 1, 0), (-1, False, 64, 1, 1), (-1, True, 8, 1, 7), (-1, True, 64, 1, 16),
     (-1, True, 16, 4, 3), (-1, True, 1, 1, 1)],
)  # fmt: skip
def test_workers_come_from_the_cores(monkeypatch, asked, on_gpu, cores, processes, expected):
    monkeypatch.setattr(capacity, "usable_cores", lambda: cores)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    assert capacity.choose_workers(asked, on_gpu) == expected


@pytest.mark.parametrize(
    "free_mb, batch_mb, expected",
    [(10_000, 87, (8, 2)), (64, 87, (0, 1)), (700, 87, (4, 1)), (2784, 87, (8, 2)), (2783, 87, (8, 1))],
)
def test_batches_on_their_way_fit_into_shared_memory(monkeypatch, tmp_path, capsys, free_mb, batch_mb, expected):
    monkeypatch.setattr(capacity.shutil, "disk_usage", lambda folder: SimpleNamespace(free=free_mb * 10**6))
    assert capacity.fit_shared_memory(8, batch_mb * 10**6, str(tmp_path)) == expected
    said = capsys.readouterr().out
    if expected == (8, 2):
        assert not said
    else:
        assert f"{expected[0]} workers with 1 batch ahead instead of 8 with 2" in said and "--shm-size" in said, said


def test_processes_share_what_a_machine_has(monkeypatch, tmp_path, images):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(capacity.shutil, "disk_usage", lambda folder: SimpleNamespace(free=4 * 16 * 10**6 * 2))
    assert capacity.fit_shared_memory(8, 10**6, str(tmp_path)) == (8, 2)
    assert capacity.fit_shared_memory(9, 10**6, str(tmp_path)) == (9, 1)
    monkeypatch.setattr(capacity, "free_memory", lambda: 4 * 8 * images.item_bytes - 1)
    with pytest.raises(ValueError, match="DATASET"):
        capacity.require_memory({"images": 8}, images.item_bytes, "DATASET.CACHE", "DATASET.PIXEL_CACHE")


def test_a_system_without_shared_memory_is_left_alone(tmp_path):
    assert capacity.fit_shared_memory(8, 10**12, str(tmp_path / "none")) == (8, 2)


def test_a_loader_gives_the_same_images_with_whatever_fits(monkeypatch, images, capsys):
    plain = torch.cat(list(loader(images, 3, 0, images.item_bytes)))
    monkeypatch.setattr(capacity.shutil, "disk_usage", lambda folder: SimpleNamespace(free=4 * 3 * images.item_bytes))
    small = loader(images, 3, 4, images.item_bytes)
    assert isinstance(small, DataLoader) and (small.num_workers, small.prefetch_factor) == (2, 1)
    assert torch.equal(torch.cat(list(small)), plain)
    assert images.item_bytes == images[0].numel() == 32 * 32 * 3


def test_images_that_do_not_fit_into_memory_are_refused_before_they_are_read(monkeypatch, images):
    monkeypatch.setattr(capacity, "free_memory", lambda: 8 * images.item_bytes - 1)
    monkeypatch.setattr(images.dataset, "load_image", lambda item: pytest.fail("an image was read"), raising=False)
    with pytest.raises(ValueError, match=r"DATASET.CACHE: 8 images need 0.0 GB of memory, .*PIXEL_CACHE"):
        images.preload()


def test_images_that_are_kept_later_must_fit_too(monkeypatch, images):
    """Else validation would stop a run after its first epoch."""
    monkeypatch.setattr(capacity, "free_memory", lambda: 13 * images.item_bytes - 1)
    with monkeypatch.context() as patch:
        patch.setattr(images.dataset, "load_image", lambda item: pytest.fail("an image was read"), raising=False)
        with pytest.raises(ValueError, match=r"DATASET.CACHE: 8 images and 5 of validation need 0.0 GB of memory"):
            images.preload(later=5)
    images.preload(later=4)
    assert len(images.memory) == 8


def test_free_memory_is_what_the_system_says():
    free, total = capacity.free_memory(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < free <= total, (free, total)
