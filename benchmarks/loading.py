"""Images per second from disk to tensor, the pixel cache, sampling, and the time that a run waits for its loader.

    python benchmarks/loading.py [--small] [--device cuda] [--sketchmoji] [--json FILE]

- Files like Sketchy's (256 x 256; photos as JPEG, sketches as PNG) are drawn into a temporary folder, then read in
  batches of 224 x 224 uint8 tensors, decoded each time or from DATASET.PIXEL_CACHE. All files are then already in
  the system's memory: this measures decoding and transfer, not a disk.
- *Decoding*: a JPEG to its pixels on one core, with Pillow and other installed libraries, with the largest difference
  of a pixel; and the resize after it.
- Sampling: the cost of a triplet without its pixels, at the size of Sketchy-2's training set.
- ``--sketchmoji``: an epoch of SpLIP on the embedded benchmark, with the time of its steps and the time they waited.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

import numpy as np
import torch
from common import measure, parser, report
from PIL import Image, ImageDraw, ImageFilter
from torch.utils.data import DataLoader

from splip.common.modalities import PHOTO, SKETCH
from splip.data.base import SBIRDatum
from splip.data.images import open_rgb
from splip.data.transforms import Augmentation, Preprocessing, to_pixels
from splip.data.triplets import EpochOrder, ImageDataset, Triplets, loader

SIDE, SIZE, BATCH = 256, 224, 64
SKETCHES, PHOTOS, CLASSES = 57_587, 72_949, 104  # Sketchy-2's training set
ROOT = Path(__file__).resolve().parents[1]


class Files:
    """The part of a data set that `ImageDataset` and `Triplets` need."""

    setting = "zs"

    def load_image(self, item: SBIRDatum) -> Image.Image:
        return open_rgb(item.impath)


# ------------------------------------------------------------------------- disk to tensor


def write_files(folder: Path, count: int) -> Dict[str, List[SBIRDatum]]:
    """Write `count` photos and sketches with about as much detail as Sketchy's."""
    rng = np.random.default_rng(0)
    items: Dict[str, List[SBIRDatum]] = {"JPEG": [], "PNG": []}
    for number in range(count):
        noise = Image.fromarray(rng.integers(0, 256, (SIDE // 4, SIDE // 4, 3), dtype=np.uint8))
        photo = noise.resize((SIDE, SIDE), Image.BICUBIC).filter(ImageFilter.GaussianBlur(1))
        sketch = Image.new("RGB", (SIDE, SIDE), "white")
        for _ in range(12):
            stroke = (SIDE / 2 + rng.normal(0, 6, (30, 2)).cumsum(axis=0)).flatten().tolist()
            ImageDraw.Draw(sketch).line(stroke, fill="black", width=2)
        for kind, image, domain in (("JPEG", photo, PHOTO), ("PNG", sketch, SKETCH)):
            path = folder / f"{number}.{kind.lower()}"
            image.save(path)
            items[kind].append(SBIRDatum(str(path), domain, "drawn"))
    return items


def exhaust(batches: DataLoader, device: str) -> None:
    for batch in batches:
        batch.to(device, non_blocking=True)


def decoders() -> Dict[str, Callable[[bytes], np.ndarray]]:
    """{installed library: function from a JPEG file's bytes to (H, W, 3) uint8}."""
    from torchvision.io import ImageReadMode, decode_jpeg

    found: Dict[str, Callable[[bytes], np.ndarray]] = {
        "Pillow": lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB")),
        "torchvision": lambda data: decode_jpeg(
            torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB
        ).permute(1, 2, 0).numpy(),
    }  # fmt: skip
    with contextlib.suppress(ModuleNotFoundError):
        import simplejpeg

        found["simplejpeg"] = simplejpeg.decode_jpeg
    with contextlib.suppress(ModuleNotFoundError):
        import cv2

        cv2.setNumThreads(1)
        found["OpenCV"] = lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    return found


def decoding(small: bool, repeats: int, device: str) -> List[Dict[str, Any]]:
    rows, rng = [], np.random.default_rng(0)
    for side in (64,) if small else (256, 500, 1024):
        picture = Image.fromarray(rng.integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8))
        file = io.BytesIO()
        picture.resize((side, side), Image.BICUBIC).save(file, "JPEG", quality=90)
        data, found = file.getvalue(), decoders()
        pixels = {name: decode(data).astype(int) for name, decode in found.items()}
        cases = {name: partial(decode, data) for name, decode in found.items()}
        cases["resize to 224 (Pillow)"] = partial(to_pixels, Image.open(io.BytesIO(data)).convert("RGB"), SIZE)
        if device == "cuda":
            from torchvision.io import ImageReadMode, decode_jpeg

            held = torch.frombuffer(bytearray(data), dtype=torch.uint8)
            cases["torchvision on the GPU, 64 at once"] = partial(decode_jpeg, [held] * 64, ImageReadMode.RGB, device)
            on_gpu = decode_jpeg([held], ImageReadMode.RGB, device)[0].permute(1, 2, 0).cpu().numpy()
            pixels["torchvision on the GPU, 64 at once"] = on_gpu.astype(int)
        differences = {name: int(abs(value - pixels["Pillow"]).max()) for name, value in pixels.items()}
        for name, seconds in measure(cases, 8 * repeats).items():
            rows.append({
                "JPEG": f"{side} x {side}, {len(data) / 1000:.0f} kB",
                "by": name,
                "images/s": (64 if "64" in name else 1) / seconds,
                "largest difference from Pillow": differences.get(name),
            })  # fmt: skip
    return rows


def disk_to_tensor(small: bool, repeats: int, device: str) -> List[Dict[str, Any]]:
    """Each case keeps its workers between rounds, as a training run does."""
    rows, count = [], 24 if small else 2_000
    with tempfile.TemporaryDirectory() as folder:
        items = write_files(Path(folder), count)
        for kind in items:
            size = sum(os.path.getsize(item.impath) for item in items[kind]) / count
            cached = ImageDataset(Files(), items[kind], Preprocessing(SIZE))
            began = time.perf_counter()
            cached.preload(0, os.path.join(folder, "cache"))
            build = time.perf_counter() - began
            sources = {"decoded": ImageDataset(Files(), items[kind], Preprocessing(SIZE)), "cached": cached}
            for workers in (0, 1) if small else (0, 1, 2, 4):
                loaders = {
                    name: loader(images, BATCH, workers, images.item_bytes, persistent=True)
                    for name, images in sources.items()
                }
                cases = {name: partial(exhaust, batches, device) for name, batches in loaders.items()}
                seconds = measure(cases, repeats)
                rows.append({
                    "files": f"{kind}, {size / 1000:.0f} kB",
                    "workers": workers,
                    "decoded images/s": count / seconds["decoded"],
                    "from the cache images/s": count / seconds["cached"],
                    "ratio": seconds["decoded"] / seconds["cached"],
                    "making the cache images/s": count / build if workers == 0 else None,
                })  # fmt: skip
    return rows


# ------------------------------------------------------------------------- sampling


class Blank(ImageDataset):
    """Images of one pixel, to measure a triplet without the cost of its images."""

    def pixels(self, index: int) -> np.ndarray:
        return np.zeros((1, 1, 3), dtype=np.uint8)


def sampling(small: bool) -> List[Dict[str, Any]]:
    sketches, photos = (200, 300) if small else (SKETCHES, PHOTOS)
    items = [
        SBIRDatum(f"{i}", domain, f"{i % CLASSES}", label=i % CLASSES, listed=True)
        for count, domain in ((sketches, SKETCH), (photos, PHOTO))
        for i in range(count)
    ]
    marks = [time.perf_counter()]
    triplets = Triplets(Blank(Files(), items, Preprocessing(1)), Augmentation([]), num_permutations=100, seed=0)
    marks.append(time.perf_counter())
    order = list(EpochOrder(len(triplets), seed=0))
    marks.append(time.perf_counter())
    for address in order:
        triplets[address]
    marks.append(time.perf_counter())
    index, shuffle, draw = np.diff(marks)
    return [{
        "sketches": sketches,
        "photos": photos,
        "index of the set, once, s": index,
        "order of an epoch s": shuffle,
        "triplets of an epoch s": draw,
        "a triplet without its pixels us": 1e6 * (shuffle + draw) / sketches,
    }]  # fmt: skip


# ------------------------------------------------------------------------- a run


class Watched:
    """At most `limit` batches of a loader, and the waiting time for each of them."""

    def __init__(self, batches: DataLoader, limit: int) -> None:
        self.batches, self.limit = batches, min(limit, len(batches))
        self.sampler, self.dataset, self.waited = batches.sampler, batches.dataset, []

    def __len__(self) -> int:
        return self.limit

    def __iter__(self) -> Iterator[Dict[str, Any]]:
        batches = iter(self.batches)
        for _ in range(self.limit):
            began = time.perf_counter()
            batch = next(batches)
            self.waited.append(time.perf_counter() - began)
            yield batch


def sketchmoji_run(small: bool) -> List[Dict[str, Any]]:
    """SpLIP with the demo's settings; steps on one batch in memory show how much the workers slow down the others."""
    sys.path.insert(0, str(ROOT))
    import train

    steps, rows = 2 if small else 40, []
    for cache in (False,) if small else (False, True):
        with tempfile.TemporaryDirectory() as folder:
            trainer = train.main([
                "--trainer", "SpLIP", "--seed", "1", "--output-dir", folder, "--no-train",
                "--dataset-config-file", str(ROOT / "configs/datasets/sketchmoji.yaml"),
                "--config-file", str(ROOT / "configs/trainers/SpLIP/hybrid.yaml"),
                "DATASET.CACHE", str(cache), "OPTIM.MAX_EPOCH", "1", "TEST.NO_TEST", "True", "TRAINER.PATCH_CACHE", "",
                "INPUT.SKETCH_VIEWS", "0", "INPUT.PHOTO_VIEWS", "0",  # augment all again: the loader's full work
                *(["DATALOADER.TRAIN_X.BATCH_SIZE", "4"] if small else []),
            ])  # fmt: skip
            watched = trainer.train_loader_x = Watched(trainer.train_loader_x, steps)
            began = time.perf_counter()
            trainer.before_train()
            kept = time.perf_counter() - began
            trainer.epoch = 0
            began = time.perf_counter()
            trainer.run_epoch()
            seconds = time.perf_counter() - began
            batch, trainer.batch_idx = next(iter(watched)), 0
            alone = measure({"step": partial(trainer.forward_backward, batch)}, 1 if small else 10)["step"]
            first, *others = watched.waited[: len(watched)]
            rows.append({
                "DATASET.CACHE": str(cache),
                "reading ahead s": kept,
                "steps": len(watched),
                "first wait s": first,
                "later waits, each, s": sum(others) / len(others),
                "a step s": (seconds - first - sum(others)) / len(watched),
                "on one batch in memory s": alone,
                "waited, share": sum(others) / (seconds - first),
            })  # fmt: skip
    return rows


def main(argv: Optional[Sequence[str]] = None) -> None:
    arguments = parser(__doc__.split("\n")[0])
    arguments.add_argument("--sketchmoji", action="store_true", help="also a short training run")
    args = arguments.parse_args(argv)
    repeats = args.repeats or (1 if args.small else 3)
    tables = {
        "disk": ("From disk to tensor", disk_to_tensor(args.small, repeats, args.device)),
        "decoding": ("Decoding on one core", decoding(args.small, repeats, args.device)),
        "sampling": ("Drawing positives and negatives", sampling(args.small)),
    }
    if args.sketchmoji:
        tables["sketchmoji"] = ("Waiting for data on Sketchmoji", sketchmoji_run(args.small))
    for name, (title, rows) in tables.items():
        report(rows, title, args.json and args.json.with_name(f"{args.json.stem}_{name}.json"))


if __name__ == "__main__":
    main()
