"""Fixed views of training images: the same few augmented versions of each image in every epoch, other ones per seed.

The backbone's patch embedding, which is frozen and comes before all prompts, can then be computed once for each view
and kept (`splip.training.patch_cache`).
"""

from __future__ import annotations

import os
import random
from typing import Any, List, NamedTuple, Optional, Tuple

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from splip.common.modalities import SKETCH
from splip.data.row_cache import describe
from splip.data.transforms import Augmentation, to_tensor
from splip.data.triplets import ImageDataset, Triplets, triplet_loader
from splip.jigsaw import permutation_bank, shuffle


class Jigsaw(NamedTuple):
    """How sketches are shuffled: the numbers of SpLIP's jigsaw that determine the images."""

    grid: int
    permutations: int  # 1 = no shuffled sketches
    tiles: str
    seed: int


class Views(Dataset):
    """Views of the images of `images`, as uint8 tensors (3, S, S), numbered by `row`.

    For a sketch, every view also has a shuffled copy, if `jigsaw` asks for it. A view depends only on
    its number, the image's name and `seed`. Fine-grained, a sketch and its photos have the same flip
    and crop if their view numbers are equal modulo the smaller of the two counts.

    Args:
        images: of `dataset.train_x`.
        sketches, photos: number of views of each sketch and of each photo.
        seed: the run's seed, so that differences between seeds include the augmentation.
    """

    def __init__(
        self, images: ImageDataset, augmentation: Augmentation, sketches: int, photos: int, jigsaw: Jigsaw,
        seed: int,
    ) -> None:  # fmt: skip
        self.images, self.augmentation, self.jigsaw, self.seed = images, augmentation, jigsaw, seed
        self.fine_grained = images.dataset.setting == "fg"
        self.counts = sketches, photos  # by domain
        self.bank = permutation_bank(jigsaw.grid, jigsaw.permutations, jigsaw.seed)
        self._last: Optional[Tuple[int, np.ndarray]] = None
        self.first: List[int] = []  # row of each image's first view
        self.rows: List[Tuple[int, int, bool]] = []  # (position, view, shuffled)
        for position, item in enumerate(images.items):
            self.first.append(len(self.rows))
            copies = (False, True) if item.domain == SKETCH and jigsaw.permutations > 1 else (False,)
            self.rows += [(position, view, copy) for copy in copies for view in range(self.counts[item.domain])]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def item_bytes(self) -> int:
        """Of one view."""
        return self.images.item_bytes

    def row(self, position: int, view: int, shuffled: bool = False) -> int:
        """Number of a view of the image at ``position``."""
        return self.first[position] + view + shuffled * self.counts[SKETCH]

    def pixels(self, position: int, view: int) -> np.ndarray:
        """(S, S, 3) uint8."""
        name = self._name(position)
        geometry = random.Random(f"{self.seed}/{self._lies(position, view)}/geometry")
        appearance = random.Random(f"{self.seed}/{name}/{view}/appearance")
        if self._last is None or self._last[0] != position:  # rows of one image are adjacent: it is read once
            self._last = position, self.images.pixels(position)
        return self.images.augmented(position, self.augmentation, geometry, appearance, self._last[1])

    def permutation(self, position: int, view: int) -> int:
        """The index of the permutation for the shuffled copy of a sketch's view."""
        rng = random.Random(f"{self.seed}/{self._name(position)}/{view}/jigsaw")
        return rng.randrange(self.jigsaw.permutations)

    def __getitem__(self, row: int) -> Tensor:
        position, view, shuffled = self.rows[row]
        image = to_tensor(self.pixels(position, view))
        if shuffled:
            tiles = self.bank[self.permutation(position, view)]
            image = shuffle(image.float(), tiles, self.jigsaw.grid, self.jigsaw.tiles).round().clamp(0, 255).byte()
        return image

    def line(self, row: int) -> str:
        """Everything that a view depends on, as text: the image file's current state and all settings of the view."""
        position, view, shuffled = self.rows[row]
        item, how, pixels = self.images.items[position], self.augmentation, self.images.preprocessing.resampling
        image = describe(type(self.images.dataset).__name__, item.impath, item.spec, pixels)
        made = f"{how.names} {how.scale} {how.padding} {self.seed} {view} {self._lies(position, view)}"
        return f"{image} {made} {tuple(self.jigsaw) if shuffled else ''}"

    def _lies(self, position: int, view: int) -> str:
        """The seed of a view's geometric transforms."""
        if not self.fine_grained:
            return f"{self._name(position)}/{view}"
        item = self.images.items[position]
        return f"{item.classname}/{item.instance}/{view % min(self.counts)}"

    def _name(self, position: int) -> str:
        item = self.images.items[position]
        folder, name = os.path.split(item.place or item.impath)
        return f"{item.classname}/{os.path.basename(folder)}/{name}/{item.spec!r}"


def training_loader(
    cfg: Any, images: ImageDataset, num_permutations: int, seed: int, jigsaw: Jigsaw, workers: int
) -> DataLoader:
    """Batches of training triplets for the settings INPUT, DATALOADER and TRAINER.PATCH_CACHE; errors as
    :func:`splip.data.triplets.triplet_loader`.

    Args:
        images: of ``dataset.train_x``.
        num_permutations: of :class:`splip.data.triplets.Triplets`.
        seed: of the triplets and of :class:`Views`.
        jigsaw: of the views.
    """
    node = cfg.INPUT
    augmentation = Augmentation(node.TRANSFORMS, node.RRCROP_SCALE, node.CROP_PADDING, node.INTERPOLATION)
    triplets = Triplets(images, augmentation, num_permutations, seed)
    if node.SKETCH_VIEWS:
        triplets.views = Views(images, augmentation, node.SKETCH_VIEWS, node.PHOTO_VIEWS, jigsaw, seed)
        triplets.as_rows = bool(cfg.TRAINER.PATCH_CACHE)
    return triplet_loader(triplets, cfg.DATALOADER.TRAIN_X.BATCH_SIZE, 0 if triplets.as_rows else workers)


def reseed(batches: DataLoader, seed: int) -> None:
    """Give a :func:`training_loader` another seed, as if it was built with it; call before its first batch."""
    sampler: Any = batches.sampler
    triplets: Any = batches.dataset
    for part in (sampler, triplets, triplets.views):
        if part is not None:
            part.seed = seed
