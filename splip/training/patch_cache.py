"""Keeps E_0, the output of the frozen patch embedding, so that it is computed once (TRAINER.PATCH_CACHE)."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Sequence, Union

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset

from splip.backbone import backbone_info
from splip.backbone.encoders import patch_embeddings
from splip.data import capacity
from splip.data.row_cache import MappedRows, RowCache
from splip.data.transforms import Preprocessing
from splip.data.triplets import loader
from splip.training.precision import autocast

MEMORY = "memory"
STORED = {torch.float32: np.float32, torch.float16: np.float16, torch.bfloat16: np.int16}  # numpy has no bfloat16


class Patches:
    """Rows of E_0, (n, N, D), in the type in which they were computed."""

    def __init__(self, rows: Union[np.ndarray, MappedRows], dtype: torch.dtype) -> None:
        self.rows, self.dtype = rows, dtype

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Tensor, device: torch.device) -> Tensor:
        """The rows ``index``, (B,) on the CPU -> (B, N, D) on ``device``."""
        rows = torch.from_numpy(np.ascontiguousarray(self.rows[index.numpy()]))
        return (rows.view(torch.bfloat16) if self.dtype == torch.bfloat16 else rows).to(device, non_blocking=True)


class PatchCache:
    """Computes E_0 and keeps it: in memory, or in a folder for later runs, too.

    Args:
        where: "memory", or the folder.
        clip: the backbone, whose patch embedding must be frozen.
        precision, device: as the run computes.
        batch_size, workers: of the loader.
    """

    def __init__(
        self, where: str, clip: Any, preprocessing: Preprocessing, precision: str, device: torch.device,
        batch_size: int, workers: int,
    ) -> None:  # fmt: skip
        self.where, self.visual, self.preprocessing = where, clip.visual, preprocessing
        self.precision, self.device, self.batch_size, self.workers = precision, device, batch_size, workers
        weights = backbone_info(clip).fingerprint["weights"]
        shown = (weights, preprocessing.size, preprocessing.mean, preprocessing.std, precision, device.type)
        self.how = " ".join(map(str, shown))  # what E_0 of a given image depends on

    def compute(self, images: Any, lines: Sequence[str], name: str, later: int = 0) -> Patches:
        """E_0 of every image.

        Args:
            images: a map-style data set of (3, S, S) uint8 tensors, of ``item_bytes`` each.
            lines: what each image depends on (`splip.data.row_cache.describe` and more).
            name: of the images, for messages.
            later: number of validation and test images that will be kept, too: memory must have room for all.

        Raises:
            ValueError: the patch embedding is trained; memory has no room (found after E_0 of one image).
        """
        if any(parameter.requires_grad for parameter in self.visual.conv1.parameters()):
            raise ValueError("TRAINER.PATCH_CACHE keeps what the patch embedding computes, but this method trains it")
        first = self._encode(next(iter(loader(Subset(images, [0]), 1, 0, images.item_bytes))))
        shape, dtype = tuple(first.shape[1:]), first.dtype
        if self.where != MEMORY:
            stem = f"tokens2_{'x'.join(map(str, shape))}_{str(dtype).split('.')[-1]}"
            cache = RowCache(self.where, stem, shape, STORED[dtype], "TRAINER.PATCH_CACHE")
            keyed = [f"{self.how} {line}" for line in lines]
            missing = len(cache.missing(keyed))
            if missing:
                print(f"Computing the patch embeddings of {missing:,} {name} into {self.where}", flush=True)
            return Patches(cache.fill(keyed, lambda positions: self._batches(images, positions)), dtype)
        counts, key = {name: len(lines), "images of validation and test": later}, "TRAINER.PATCH_CACHE"
        capacity.require_memory(counts, first[0].numel() * first.element_size(), f"{key} {MEMORY}", key)
        print(f"Computing the patch embeddings of {len(lines):,} {name}", flush=True)
        rows, done = np.empty((len(lines), *shape), STORED[dtype]), 0
        for batch in self._batches(images, range(len(lines))):
            rows[done : done + len(batch)] = batch
            done += len(batch)
        return Patches(rows, dtype)

    def _batches(self, images: Any, positions: Sequence[int]) -> Iterator[np.ndarray]:
        for batch in loader(Subset(images, positions), self.batch_size, self.workers, images.item_bytes):
            tokens = self._encode(batch).cpu()
            yield (tokens.view(torch.int16) if tokens.dtype == torch.bfloat16 else tokens).numpy()

    @torch.no_grad()
    def _encode(self, batch: Tensor) -> Tensor:
        with autocast(self.device, self.precision):
            return patch_embeddings(self.visual, self.preprocessing.normalize(batch.to(self.device))).contiguous()


def take_rows(batch: Dict[str, Tensor], tokens: Patches, names: List[str], device: torch.device) -> Dict[str, Tensor]:
    """A batch with E_0 in place of its images' row numbers."""
    return {name: tokens.take(value, device) if name in names else value for name, value in batch.items()}
