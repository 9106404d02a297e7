"""Testing: embeds the images of a split, ranks them, computes metrics."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, Iterator, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from splip.common import distributed
from splip.common.modalities import MODALITIES
from splip.data.base import SBIRDataset, SBIRDatum
from splip.data.transforms import Preprocessing
from splip.data.triplets import ImageDataset, loader
from splip.models.base import RetrievalModel
from splip.models.seen import require_unseen, trained_classes
from splip.training import per_query, results
from splip.training.patch_cache import PatchCache
from splip.training.precision import autocast


@torch.no_grad()
def embed(
    model: Any, batches: Iterable[Tensor], modality: str, device: torch.device, precision: str = "fp32"
) -> Tensor:
    """Embeddings of batches of normalised images, (n, d) float32 on the CPU."""
    with autocast(device, precision):
        return torch.cat([model.encode(batch, modality).float().cpu() for batch in batches])


class Outcome(NamedTuple):
    """The results of a test."""

    metrics: results.Metrics  # percent
    headline: Tuple[str, str]  # (group, column) of the main metric
    query: Tensor  # embeddings (Q, d) and (G, d)
    gallery: Tensor
    per_query: Dict[str, np.ndarray]  # by column of per_query.npz, (Q,)
    extra: Dict[str, Any]  # for results.json: the model's description, metrics with the modality swapped
    seconds: float

    @property
    def value(self) -> float:
        """The main metric: mAP@all, or Acc@1 within the category if fine-grained, in percent."""
        group, column = self.headline
        return self.metrics[group][column]


@dataclass
class Evaluator:
    """Ranks a split's gallery for each of its queries with a model.

    Args:
        model: a :class:`splip.RetrievalModel`, or anything with its ``eval``, ``encode``, ``describe`` and
            ``knows_modality``, and with ``classes`` where it is known what it was trained on.
        preprocessing: of its images: :class:`Preprocessing`, or anything with its ``pixels`` and ``normalize``.
        speaks: fine-grained: the gallery whose accuracy is the main metric; empty = ``category``.
        batch_size, workers: of the loader.
        keep: the folder in which the decoded images of the validation split are kept between epochs; "" = memory,
            None = they are not kept.
        patches: the cache of their patch embeddings; None = each image is embedded again.
        allow_seen: whether the model may have been trained on test classes (:mod:`splip.models.seen`).
    """

    model: Any
    dataset: SBIRDataset
    preprocessing: Preprocessing
    device: torch.device
    precision: str = "fp32"
    batch_size: int = 100
    workers: int = 0
    speaks: str = ""
    keep: Optional[str] = None
    patches: Optional[PatchCache] = None
    allow_seen: bool = False
    _tables: Dict[Any, Any] = field(default_factory=dict)  # E_0 of the last two sets of images
    _val_images: Tuple[Optional[ImageDataset], ...] = ()

    @classmethod
    def from_cfg(
        cls, cfg: Any, model: Any, dataset: SBIRDataset, preprocessing: Any, device: torch.device, precision: str,
        workers: int,
    ) -> Evaluator:  # fmt: skip
        """From a config's DATALOADER.TEST, DATASET.GALLERY, CACHE and PIXEL_CACHE, TRAINER.PATCH_CACHE.

        Raises:
            ValueError: PATCH_CACHE for a model without CLIP's patch embedding, or one that trains it.
        """
        batch_size, data, place = cfg.DATALOADER.TEST.BATCH_SIZE, cfg.DATASET, cfg.TRAINER.PATCH_CACHE
        keep = data.PIXEL_CACHE or ("" if data.CACHE and not place else None)  # patches are kept instead of pixels
        patches = None
        if place:
            if not isinstance(model, RetrievalModel):
                raise ValueError("TRAINER.PATCH_CACHE keeps what CLIP's patch embedding computes: this model has none")
            patches = PatchCache(place, model.clip, preprocessing, precision, device, batch_size, workers)
        speaks = data.GALLERY
        return cls(model, dataset, preprocessing, device, precision, batch_size, workers, speaks, keep, patches)

    def encode(
        self, items: Sequence[SBIRDatum], images: Optional[ImageDataset] = None, modality: Optional[str] = None
    ) -> Tensor:
        """Embeddings (n, d) of sketches or of photos (all of one modality), float32, on the CPU.

        Each process embeds some of the batches that a single process would form. All processes get all embeddings.

        Args:
            images: this process's share of the items, if already loaded.
            modality: the one to embed them as; default their own.
        """
        self.model.eval()
        images = images or self._images(items)
        modality = modality or MODALITIES[items[0].domain]
        features = embed(self.model, self._inputs(images), modality, self.device, self.precision)
        return distributed.gather(features, len(items), self.batch_size)

    def evaluate(self, split: str = "test", swapped: bool = False) -> Outcome:
        """Rank the gallery for every query of a split.

        Args:
            split: "test" (unseen classes) or "val" (pseudo-unseen ones).
            swapped: if the model knows the modality, test it also with sketches embedded as photos and photos as
                sketches. A small loss means that it makes little use of the modality. False: the outcome says "off".

        Raises:
            ValueError: another split, or the data set has no such images; the model was trained on test classes, and
                it is not meant.
        """
        began, data = time.time(), self.dataset
        if split not in ("test", "val"):
            raise ValueError(f"split must be 'test' or 'val', got {split!r}")
        sets = getattr(data, f"{split}_queries"), getattr(data, f"{split}_gallery")
        if not all(sets):
            raise ValueError(f"data set {type(data).__name__!r} holds no {split} images")
        seen = require_unseen(trained_classes(self.model), data, self.allow_seen) if split == "test" else None
        images = self._kept_images(sets) if split == "val" else (None, None)
        query, gallery = (self.encode(items, held) for items, held in zip(sets, images))
        metrics, (group, column), own = results.score(query, gallery, *sets, data.setting, self.device)
        if self.speaks in metrics:  # fine-grained galleries are measured together
            group = self.speaks
        extra: Dict[str, Any] = {}
        if split == "test":
            extra = {**self.model.describe(), "seen_test_classes": seen}
            if self.model.knows_modality and not swapped:
                extra["swapped"] = "off"
            elif self.model.knows_modality:
                query_as, gallery_as = (self.encode(some, None, other) for some, other in zip(sets, MODALITIES[::-1]))
                found = results.score(query_as, gallery_as, *sets, data.setting, self.device)
                extra["swapped"] = found.metrics
                own.update({f"{per_query.SWAPPED}{name}": values for name, values in found.per_query.items()})
        return Outcome(metrics, (group, column), query, gallery, own, extra, time.time() - began)

    def will_keep(self) -> int:
        """Number of images of this process's share that it keeps: of validation, and with ``patches`` of the test."""
        data = self.dataset
        sets = [data.val_queries, data.val_gallery]
        if self.patches is not None:
            sets += [data.test_queries, data.test_gallery]
        return sum(len(distributed.shard(items, self.batch_size)) for items in sets)

    # ----------------------------------------------------------------- internals

    def _images(self, items: Sequence[SBIRDatum]) -> ImageDataset:
        """The images that this process embeds, in whole batches."""
        return ImageDataset(self.dataset, distributed.shard(items, self.batch_size), self.preprocessing)

    def _kept_images(self, sets: Sequence[Sequence[SBIRDatum]]) -> Tuple[Optional[ImageDataset], ...]:
        """The images of the validation split, loaded once for all epochs."""
        if not self._val_images:
            self._val_images = tuple(self._images(items) for items in sets)
            for images, name in zip(self._val_images, ("queries", "photos")):
                if self.keep is not None and images is not None:
                    images.preload(self.workers, self.keep, f"validation {name}")
        return self._val_images

    def _inputs(self, images: ImageDataset) -> Iterator[Tensor]:
        """Batches for `model.encode`: normalised images, or their kept E_0."""
        if self.patches is None:
            for batch in loader(images, self.batch_size, self.workers, images.item_bytes):
                yield self.preprocessing.normalize(batch.to(self.device))
            return
        key = tuple((item.impath, repr(item.spec)) for item in images.items)
        if key not in self._tables:  # swapped and repeated tests embed the same images again
            table = self.patches.compute(images, images.lines(), "test images")
            self._tables = {**dict([*self._tables.items()][-1:]), key: table}
        for index in torch.arange(len(images)).split(self.batch_size):
            yield self._tables[key].take(index, self.device)
