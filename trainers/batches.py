"""Training triplets and evaluation batches from an `SBIRDataset`.

A training item is a function of (seed, epoch, index) alone. So batches do not depend on the number of
workers, and a resumed run sees what an unbroken one would have seen.
"""

from __future__ import annotations

import random
from collections import defaultdict
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from splip.datasets.base import PHOTO, SKETCH, SBIRDataset, SBIRDatum
from splip.trainers.transforms import Augmentation, to_pixels, to_tensor


class Pictures(Dataset):
    """The images of `items` at input size, uint8; `remember` keeps them all in memory.

    Args:
        size: side in pixels.
    """

    def __init__(self, dataset: SBIRDataset, items: Sequence[SBIRDatum], size: int) -> None:
        self.dataset, self.items, self.size = dataset, items, size
        self.memory: Optional[np.ndarray] = None  # (n, size, size, 3) uint8

    def __len__(self) -> int:
        return len(self.items)

    def pixels(self, index: int) -> np.ndarray:
        """(size, size, 3) uint8; ValueError naming the file if it cannot be read."""
        if self.memory is not None:
            return self.memory[index]
        return to_pixels(self.dataset.load_image(self.items[index]), self.size)

    def __getitem__(self, index: int) -> Tensor:
        return to_tensor(self.pixels(index))

    def remember(self, num_workers: int = 0) -> None:
        """Read every image once, now, and serve it from memory from then on."""
        if self.memory is not None:
            return
        memory = np.empty((len(self), self.size, self.size, 3), dtype=np.uint8)
        done = 0
        for batch in loader(self, 64, num_workers):
            memory[done : done + len(batch)] = batch.permute(0, 2, 3, 1).numpy()
            done += len(batch)
        self.memory = memory


class Triplets(Dataset):
    """One item for each training sketch: the sketch, a positive and a negative photo.

    Category level: the positive is a photo of the sketch's class; the negative's class is drawn evenly
    from the others, then its photo. Fine-grained: the positive is a photo of the sketch's own instance,
    the negative one of another instance of the same class.

    Args:
        pictures: of `dataset.train_x`.
        augmentation: applied to each image on its own.
        num_permutations: size of the jigsaw's bank, from which each item draws an index.
        seed: of everything that is drawn.

    Items are addressed as (epoch, index of the sketch).
    """

    def __init__(
        self, pictures: Pictures, augmentation: Augmentation, num_permutations: int, seed: int
    ) -> None:
        self.pictures, self.augmentation = pictures, augmentation
        self.num_permutations, self.seed = num_permutations, seed
        self.fine_grained = pictures.dataset.setting == "fg"
        self.sketches: List[int] = []
        self.photos: Dict[int, List[int]] = defaultdict(list)  # label -> positions in train_x
        self.instances: Dict[Tuple[int, str], List[int]] = defaultdict(list)
        for position, item in enumerate(pictures.items):
            if item.domain == SKETCH:
                self.sketches.append(position)
            elif item.domain == PHOTO:
                self.photos[item.label].append(position)
                self.instances[item.label, item.instance].append(position)
        self.labels = sorted(self.photos)
        self.instances_of = defaultdict(list)
        for label, instance in sorted(self.instances):
            self.instances_of[label].append(instance)

    def __len__(self) -> int:
        return len(self.sketches)

    def __getitem__(self, address: Tuple[int, int]) -> Dict[str, object]:
        epoch, index = address
        rng = random.Random(f"{self.seed}/{epoch}/{index}")
        sketch = self.sketches[index]
        positive, negative = self.draw_photos(self.pictures.items[sketch], rng)
        images = {"sketch": sketch, "positive": positive, "negative": negative}
        return {
            **{name: self._augmented(position, rng) for name, position in images.items()},
            "permutation": rng.randrange(self.num_permutations),
            "label": self.pictures.items[sketch].label,
            "negative_label": self.pictures.items[negative].label,
        }

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

    def _augmented(self, position: int, rng: random.Random) -> Tensor:
        return to_tensor(self.augmentation(self.pictures.pixels(position), rng))


def _draw_other(choices: Sequence, own, rng: random.Random):
    """One of `choices` (each once), evenly, but not `own`."""
    drawn = choices[rng.randrange(len(choices) - 1)]
    return choices[-1] if drawn == own else drawn


class EpochOrder(Sampler):
    """(epoch, index) of every item, in an order seeded by (seed, epoch); set `epoch` before each pass."""

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed, self.epoch = length, seed, 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Tuple[int, int]]:
        order = list(range(self.length))
        random.Random(f"{self.seed}/{self.epoch}").shuffle(order)
        return iter([(self.epoch, index) for index in order])


def loader(dataset: Dataset, batch_size: int, num_workers: int, **options) -> DataLoader:
    """A DataLoader that leaves torch's global random numbers alone."""
    return DataLoader(
        dataset,
        batch_size=batch_size,
        num_workers=num_workers,
        generator=torch.Generator(),
        pin_memory=torch.cuda.is_available(),
        **options,
    )


def triplet_loader(triplets: Triplets, batch_size: int, num_workers: int) -> DataLoader:
    """Batches in a new seeded order each epoch (`loader.sampler.epoch`); the incomplete last one is dropped.

    Raises:
        ValueError: there are fewer sketches than a batch takes.
    """
    if len(triplets) < batch_size:
        raise ValueError(
            f"DATALOADER.TRAIN_X.BATCH_SIZE is {batch_size}, but there are only {len(triplets)} "
            "training sketches"
        )
    return loader(
        triplets,
        batch_size,
        num_workers,
        sampler=EpochOrder(len(triplets), triplets.seed),
        drop_last=True,
        persistent_workers=num_workers > 0,
    )
