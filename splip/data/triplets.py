"""Training triplets and evaluation batches from an `SBIRDataset`.

A training item depends only on (seed, epoch, index). So batches do not depend on the number of
workers or processes, and a resumed run sees the same items as an uninterrupted one.
"""

from __future__ import annotations

import random
from collections import defaultdict
from functools import partial
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

from splip.common import distributed
from splip.common.modalities import PHOTO, SKETCH
from splip.data import capacity
from splip.data.base import SBIRDataset, SBIRDatum
from splip.data.row_cache import MappedRows, describe, pixel_cache
from splip.data.strokes import StrokeSpec, draw
from splip.data.transforms import Augmentation, Preprocessing, to_tensor

READ = 64  # images at a time when they are preloaded


class ImageDataset(Dataset):
    """The images of `items` at input size, uint8; `preload` keeps them all in memory or on disk.

    Args:
        preprocessing: how an image becomes pixels.
    """

    def __init__(self, dataset: SBIRDataset, items: Sequence[SBIRDatum], preprocessing: Preprocessing) -> None:
        self.dataset, self.items, self.preprocessing = dataset, items, preprocessing
        self.size = preprocessing.size
        self.memory: Union[np.ndarray, MappedRows, None] = None  # (n, size, size, 3) uint8

    def __len__(self) -> int:
        return len(self.items)

    @property
    def item_bytes(self) -> int:
        """Of one item."""
        return 3 * self.size * self.size

    def pixels(self, index: int) -> np.ndarray:
        """(size, size, 3) uint8; a ValueError names a file that cannot be read."""
        if self.memory is not None:
            return self.memory[index]
        return self.preprocessing.pixels(self.dataset.load_image(self.items[index]))

    def __getitem__(self, index: int) -> Tensor:
        return to_tensor(self.pixels(index))

    def augmented(
        self, index: int, augmentation: Augmentation, geometry: random.Random, appearance: random.Random,
        pixels: Optional[np.ndarray] = None,
    ) -> np.ndarray:  # fmt: skip
        """An image after `augmentation`; if that varies strokes, a sketch from strokes is drawn again.

        Args:
            pixels: the unchanged image, if the caller has it.
        """
        item = self.items[index]
        drawn = bool(augmentation.strokes) and isinstance(item.spec, StrokeSpec)
        if drawn:
            image = draw(item.impath, item.spec, augmentation.strokes, appearance)
            pixels = self.preprocessing.pixels(image)
        elif pixels is None:
            pixels = self.pixels(index)
        return augmentation(pixels, item.domain, geometry, appearance, drawn)

    def preload(self, num_workers: int = 0, folder: str = "", name: str = "", later: int = 0) -> None:
        """Read every image once, now, and keep it in memory.

        Args:
            folder: keep the images there instead (`pixel_cache`), and read only the missing ones.
            name: of the images, to print; "" = print nothing.
            later: number of validation images that will also be kept. ValueError if memory is too small for all.
        """
        if self.memory is not None:
            return
        if name:
            print(f"Reading {len(self):,} {name} into {folder or 'memory'}", flush=True)
        if folder:
            self.memory = pixel_cache(folder, self.size).fill(self.lines(), partial(self._read, num_workers))
            return
        counts = {"images": len(self), "of validation": later}
        capacity.require_memory(counts, self.item_bytes, "DATASET.CACHE", "DATASET.PIXEL_CACHE")
        memory, done = np.empty((len(self), self.size, self.size, 3), dtype=np.uint8), 0
        for batch in self._read(num_workers, range(len(self))):
            memory[done : done + len(batch)] = batch
            done += len(batch)
        self.memory = memory

    def lines(self) -> List[str]:
        """Everything that each image depends on, as text (`splip.data.row_cache.describe`)."""
        kind, how = type(self.dataset).__name__, self.preprocessing.resampling
        return [describe(kind, item.impath, item.spec, how) for item in self.items]

    def _read(self, num_workers: int, positions: Sequence[int]) -> Iterator[np.ndarray]:
        """Batches (b, size, size, 3) of the images at these positions."""
        for batch in loader(Subset(self, positions), READ, num_workers, self.item_bytes):
            yield batch.permute(0, 2, 3, 1).numpy()


class Triplets(Dataset):
    """One item for each training sketch: the sketch, a positive and a negative photo.

    Category level: the positive is a photo of the sketch's class; the negative's class is drawn uniformly from
    the others, then its photo. Fine-grained: the positive is a photo of the sketch's own instance, the negative a
    photo of another instance of the same class; sketch and positive are flipped and cropped in the same way.

    Args:
        images: of `dataset.train_x`.
        augmentation: applied to each image.
        num_permutations: number of jigsaw permutations; each item draws the index of one.
        seed: of all random choices.

    Raises:
        ValueError: `augmentation` drops strokes, but no sketch has any.

    Items are addressed as (epoch, index of the sketch).

    Attributes:
        views: if set, images are chosen from these fixed views and not augmented again; with `as_rows` only their
            row numbers are returned, also that of the shuffled copy.
    """

    views: Any = None  # `splip.data.views.Views`, which imports this file
    as_rows: bool = False

    def __init__(self, images: ImageDataset, augmentation: Augmentation, num_permutations: int, seed: int) -> None:
        self.images, self.augmentation = images, augmentation
        self.num_permutations, self.seed = num_permutations, seed
        if "stroke_drop" in augmentation.names and not any(isinstance(d.spec, StrokeSpec) for d in images.items):
            raise ValueError("INPUT.TRANSFORMS stroke_drop: none of the training sketches are strokes (.ndjson)")
        self.fine_grained = images.dataset.setting == "fg"
        self.sketches: List[int] = []
        self.photos: Dict[int, List[int]] = defaultdict(list)  # label -> positions in train_x
        self.instances: Dict[Tuple[int, str], List[int]] = defaultdict(list)
        for position, item in enumerate(images.items):
            if item.domain == SKETCH:
                self.sketches.append(position)
            elif item.domain == PHOTO:
                self.photos[item.label].append(position)
                self.instances[item.label, item.instance].append(position)
        self.labels = sorted(self.photos)
        self.instances_of: Dict[int, List[str]] = defaultdict(list)
        self.instance_ids: Dict[Tuple[int, str], int] = {}
        for label, instance in sorted(self.instances):
            self.instance_ids[label, instance] = len(self.instances_of[label]) if self.fine_grained else -1
            self.instances_of[label].append(instance)

    def __len__(self) -> int:
        return len(self.sketches)

    @property
    def item_bytes(self) -> int:
        """Of one item, a sketch and two photos."""
        return 3 * self.images.item_bytes

    def __getitem__(self, address: Tuple[int, int]) -> Dict[str, object]:
        item, positions, rng = self.draw(address)
        if self.views is not None:
            return {**item, **self._from_views(positions, rng)}
        together = random.Random(rng.random())  # for the sketch and, fine-grained, for its photo
        state = together.getstate()
        for name, position in positions.items():
            geometry = rng
            if name == "sketch" or (self.fine_grained and name == "positive"):
                together.setstate(state)
                geometry = together
            item[name] = to_tensor(self.images.augmented(position, self.augmentation, geometry, rng))
        return item

    def draw(self, address: Tuple[int, int]) -> Tuple[Dict[str, object], Dict[str, int], random.Random]:
        """The item without its images, the images' positions by name, and the generator for further random choices."""
        epoch, index = address
        rng = random.Random(f"{self.seed}/{epoch}/{index}")
        sketch = self.sketches[index]
        positive, negative = self.draw_photos(self.images.items[sketch], rng)
        own, other = (self.images.items[position] for position in (positive, negative))
        item: Dict[str, object] = {
            "permutation": rng.randrange(self.num_permutations),
            "label": own.label,
            "negative_label": other.label,
            "instance": self.instance_ids[own.label, own.instance],
            "negative_instance": self.instance_ids[other.label, other.instance],
        }
        return item, {"sketch": sketch, "positive": positive, "negative": negative}, rng

    def _from_views(self, positions: Dict[str, int], rng: random.Random) -> Dict[str, object]:
        """Images of an item from `views`, or their rows, and the permutation of the sketch's shuffled copy."""
        chosen = {n: rng.randrange(self.views.counts[self.images.items[p].domain]) for n, p in positions.items()}
        if self.fine_grained:
            chosen["positive"] = chosen["sketch"] % self.views.counts[PHOTO]  # same flip and crop
        sketch = positions["sketch"], chosen["sketch"]
        item: Dict[str, object] = {"permutation": self.views.permutation(*sketch)}
        if not self.as_rows:
            return {**item, **{n: to_tensor(self.views.pixels(p, chosen[n])) for n, p in positions.items()}}
        if self.views.jigsaw.permutations > 1:
            item["shuffled"] = self.views.row(*sketch, shuffled=True)
        return {**item, **{n: self.views.row(p, chosen[n]) for n, p in positions.items()}}

    def draw_photos(self, sketch: SBIRDatum, rng: random.Random) -> Tuple[int, int]:
        """Positions of a positive and a negative photo for `sketch`."""
        if self.fine_grained:
            other = _draw_other(self.instances_of[sketch.label], sketch.instance, rng)
            positives = self.instances[sketch.label, sketch.instance]
            negatives = self.instances[sketch.label, other]
        else:
            positives = self.photos[sketch.label]
            negatives = self.photos[_draw_other(self.labels, sketch.label, rng)]
        return rng.choice(positives), rng.choice(negatives)


def _draw_other(choices: Sequence, own, rng: random.Random):
    """One of `choices` (each once), drawn uniformly, but not `own`."""
    drawn = choices[rng.randrange(len(choices) - 1)]
    return choices[-1] if drawn == own else drawn


class EpochOrder(Sampler):
    """(epoch, index) of every item, in an order seeded by (seed, epoch); set `epoch` before each pass.

    Args:
        batch_size, part: keep only this part of each complete batch of the order.
    """

    def __init__(self, length: int, seed: int, batch_size: int = 1, part: slice = slice(None)) -> None:
        self.length, self.seed, self.epoch = length, seed, 0
        whole = range(length - length % batch_size)
        self.kept = [p for first in whole[::batch_size] for p in whole[first : first + batch_size][part]]

    def __len__(self) -> int:
        return len(self.kept)

    def __iter__(self) -> Iterator[Tuple[int, int]]:
        order = list(range(self.length))
        random.Random(f"{self.seed}/{self.epoch}").shuffle(order)
        return iter([(self.epoch, order[position]) for position in self.kept])


def loader(
    dataset: Dataset, batch_size: int, num_workers: int, item_bytes: int, persistent: bool = False, **options
) -> DataLoader:
    """A DataLoader that does not use torch's global random state, and whose workers' batches fit into shared memory.

    Args:
        item_bytes: of one item of ``dataset``.
        persistent: workers stay alive between passes.
    """
    num_workers, ahead = capacity.fit_shared_memory(num_workers, batch_size * item_bytes)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        num_workers=num_workers,
        prefetch_factor=ahead if num_workers else None,
        persistent_workers=persistent and num_workers > 0,
        generator=torch.Generator(),
        pin_memory=torch.cuda.is_available(),
        **options,
    )


def triplet_loader(triplets: Triplets, batch_size: int, num_workers: int) -> DataLoader:
    """Batches in a new seeded order each epoch (`loader.sampler.epoch`); an incomplete last batch is dropped.

    Args:
        batch_size: of all processes together; each gets an equal part of every batch.

    Raises:
        ValueError: there are fewer sketches than a batch needs, or the processes cannot share it equally.
    """
    if len(triplets) < batch_size:
        raise ValueError(
            f"DATALOADER.TRAIN_X.BATCH_SIZE is {batch_size}, but there are only {len(triplets)} training sketches"
        )
    if batch_size % distributed.world():
        raise ValueError(
            f"DATALOADER.TRAIN_X.BATCH_SIZE is the batch of all processes together: {batch_size} "
            f"cannot be shared evenly by {distributed.world()}"
        )
    part = distributed.shard_slice(batch_size)
    return loader(
        triplets,
        part.stop - part.start,
        num_workers,
        triplets.item_bytes,
        sampler=EpochOrder(len(triplets), triplets.seed, batch_size, part),
        drop_last=True,
        persistent=True,
    )
