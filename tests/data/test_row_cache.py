"""Decoded images on disk: the same pixels, nothing read twice, and nothing wrong after a change or a kill."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
from collections import namedtuple

import numpy as np
import pytest
from conftest import make_tiny_clip_file
from PIL import Image
from tiny_sbir import ON_CPU, tiny_cfg, write_images

from splip.common.modalities import PHOTO
from splip.data.base import SBIRDatum
from splip.data.images import READER, open_rgb
from splip.data.transforms import Preprocessing
from splip.data.triplets import ImageDataset
from splip.engine import build_trainer, set_random_seed

SIZE = 16
HOW = Preprocessing(SIZE)


class Counted:
    """The part of a data set that `ImageDataset` needs; it notes what it reads."""

    def __init__(self):
        self.read = []

    def load_image(self, datum):
        self.read.append(os.path.basename(datum.impath))
        return open_rgb(datum.impath)


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(5):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return [SBIRDatum(str(folder / f"{i}.png"), PHOTO, "a") for i in range(5)]


def fill(files, folder):
    images = ImageDataset(Counted(), files, HOW)
    images.preload(0, str(folder))
    return images


def assert_right(images):
    decoded = ImageDataset(Counted(), images.items, HOW)
    for i in range(len(images)):
        assert np.array_equal(images.pixels(i), decoded.pixels(i)), f"image {i} differs"


def test_a_second_run_reads_nothing_and_gets_the_same_pixels(files, tmp_path):
    first = fill(files[:4], tmp_path / "cache")
    assert first.dataset.read == ["0.png", "1.png", "2.png", "3.png"]
    assert_right(first)
    second = fill([files[3], files[4], files[0], files[3]], tmp_path / "cache")  # another list, one item twice
    assert second.dataset.read == ["4.png"], second.dataset.read
    assert_right(second)
    assert os.path.getsize(tmp_path / "cache" / f"pixels{READER}_{SIZE}.raw") == 5 * SIZE * SIZE * 3


def test_sizes_and_specs_do_not_mix(files, tmp_path):
    fill(files, tmp_path)
    other = ImageDataset(Counted(), files, Preprocessing(8))
    other.preload(0, str(tmp_path))
    assert len(other.dataset.read) == 5 and other.pixels(0).shape == (8, 8, 3)
    for item in files:
        item.spec = ("turned", 3)
    assert len(fill(files, tmp_path).dataset.read) == 5


def test_only_a_changed_file_is_read_again(files, tmp_path):
    old = fill(files, tmp_path / "cache")
    before = old.pixels(2).copy()
    Image.new("RGB", (20, 20), "red").save(files[2].impath)
    os.utime(files[3].impath, ns=(1, 1))  # as big as before, but of another time
    new = fill(files, tmp_path / "cache")
    assert new.dataset.read == ["2.png", "3.png"], new.dataset.read
    assert_right(new)
    assert np.array_equal(old.pixels(2), before)  # a run that has begun keeps what it has


def test_an_interrupted_build_goes_on_where_it_stopped(files, tmp_path, monkeypatch):
    monkeypatch.setattr("splip.data.triplets.READ", 2)  # images at a time
    good = (tmp_path / "images" / "4.png").read_bytes()
    (tmp_path / "images" / "4.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"cannot read image .*4\.png"):
        fill(files, tmp_path / "cache")
    (tmp_path / "images" / "4.png").write_bytes(good)
    raw, index = (tmp_path / "cache" / f"pixels{READER}_{SIZE}.{end}" for end in ("raw", "jsonl"))
    assert len(index.read_text().splitlines()) == 4
    raw.write_bytes(raw.read_bytes() + b"\x07" * 100)  # killed in the middle of an image ...
    again = fill(files, tmp_path / "cache")
    assert again.dataset.read == ["4.png"], again.dataset.read
    assert_right(again)
    index.write_text(index.read_text()[:-9])  # ... in the middle of a line ...
    assert fill(files, tmp_path / "cache").dataset.read == ["4.png"]
    raw.write_bytes(raw.read_bytes()[: 3 * SIZE * SIZE * 3 + 1])  # ... or pixels were lost with the power
    again = fill(files, tmp_path / "cache")
    assert again.dataset.read == ["3.png", "4.png"], again.dataset.read
    assert_right(again)


def fill_and_check(items, folder):
    assert_right(fill(items, folder))


@ON_CPU  # it forks
def test_processes_share_a_folder(files, tmp_path):
    context = multiprocessing.get_context("fork")
    others = [context.Process(target=fill_and_check, args=(files[i:], tmp_path / "cache")) for i in range(3)]
    for process in others:
        process.start()
    for process in others:
        process.join()
    assert [process.exitcode for process in others] == [0, 0, 0]
    lines = (tmp_path / "cache" / f"pixels{READER}_{SIZE}.jsonl").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 5, lines


def test_a_pickle_holds_no_pixels(files, tmp_path):
    images = fill(files, tmp_path)
    images.pixels(0)
    copy = pickle.loads(pickle.dumps(images.memory))
    assert len(pickle.dumps(copy)) < SIZE * SIZE * 3
    assert len(copy) == 5 and np.array_equal(copy[3], images.pixels(3))


def test_a_full_disk_is_said_before_and_while_writing(files, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: namedtuple("Usage", "total used free")(9000, 6000, 3000))
        with pytest.raises(OSError, match=r"5 arrays of 16 x 16 x 3 need 0\.00 GB in .*, where 0\.00 GB are free"):
            fill(files, tmp_path / "cache")
    if os.path.exists("/dev/full"):  # every write to it meets a full disk
        os.symlink("/dev/full", tmp_path / "cache" / f"pixels{READER}_{SIZE}.raw")
        with pytest.raises(OSError, match=r"cannot write to .*cache \(.*No space left.*\); what was written before is"):
            fill(files, tmp_path / "cache")


def test_a_run_from_the_cache_is_the_same_run(tmp_path):
    backbone = make_tiny_clip_file(tmp_path / "clip.pt")
    (tmp_path / "images").mkdir()
    root, losses = write_images(tmp_path / "images"), []
    for cache in ("", str(tmp_path / "cache"), str(tmp_path / "cache")):
        cfg = tiny_cfg(root, backbone, tmp_path / f"out{len(losses)}", "DATASET.PIXEL_CACHE", cache,
                       "OPTIM.MAX_EPOCH", 1, "TEST.FINAL_MODEL", "best_val", "TEST.NO_TEST", True)  # fmt: skip
        set_random_seed(1)
        build_trainer(cfg).train()
        history = json.loads((tmp_path / f"out{len(losses)}" / "history.json").read_text())
        losses.append((history[0]["loss"], history[0]["val"]))
    assert losses[0] == losses[1] == losses[2], losses
    lines = (tmp_path / "cache" / f"pixels{READER}_48.jsonl").read_text().splitlines()
    assert len(lines) == 32, len(lines)  # 16 seen classes' sketches and as many photos, in training or validation
