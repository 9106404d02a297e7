"""Testing: embed the images of a split, rank, write what a run leaves."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from splip.common import distributed
from splip.common.modalities import MODALITIES
from splip.data.base import SBIRDataset, SBIRDatum
from splip.data.transforms import Preprocessing
from splip.data.triplets import ImageDataset, loader
from splip.models.base import RetrievalModel
from splip.models.seen import require_unseen, trained_classes
from splip.training import results
from splip.training.precision import autocast

Sets = Tuple[Sequence[SBIRDatum], Sequence[SBIRDatum]]


@torch.no_grad()
def embed(
    model: RetrievalModel, batches: Iterable[Tensor], modality: str, device: torch.device, precision: str = "fp32"
) -> Tensor:
    """Embeddings of batches of normalised images, (n, d) float32 on the CPU."""
    with autocast(device, precision):
        return torch.cat([model.encode(batch, modality).float().cpu() for batch in batches])


class Evaluation:
    """Mix-in for a trainer: :meth:`test` ranks a split's gallery for each of its queries."""

    cfg: Any
    model: RetrievalModel
    dataset: SBIRDataset
    preprocessing: Preprocessing
    precision: str
    device: torch.device
    workers: int  # of data loaders
    output_dir: str
    seed: int
    tested_epoch: int
    history: List[Dict[str, float]]
    patch_cache: Any  # the trainer's
    identity: Any
    allow_seen: bool = False  # whether test classes may be such that the model was trained on
    _kept: Dict[Any, Any] = {}  # E_0 of the last two sets of images

    def encode(
        self, items: Sequence[SBIRDatum], images: Optional[ImageDataset] = None, modality: Optional[str] = None
    ) -> Tensor:
        """Embeddings (n, d) of sketches or of photos (all of one modality), float32, on the CPU.

        Each process embeds some of the batches that a single one would have formed, and gets all embeddings.

        Args:
            images: of the items that fall to this process (`_shard`), where they are at hand.
            modality: as which they are embedded; default their own.
        """
        self.model.eval()
        images = images or ImageDataset(self.dataset, self._shard(items), self.preprocessing)
        modality, node = modality or MODALITIES[items[0].domain], self.cfg.DATALOADER
        batches = self._inputs(images, node.TEST.BATCH_SIZE, self.workers)
        features = embed(self.model, batches, modality, self.device, self.precision)
        return distributed.gather(features, len(items), node.TEST.BATCH_SIZE)

    def _inputs(self, images: ImageDataset, batch_size: int, workers: int) -> Iterator[Tensor]:
        """Batches for `model.encode`: normalised images, or with TRAINER.PATCH_CACHE their kept E_0."""
        if not self.cfg.TRAINER.PATCH_CACHE:
            for batch in loader(images, batch_size, workers, images.item_bytes):
                yield self.preprocessing.normalize(batch.to(self.device))
            return
        key = tuple((item.impath, repr(item.spec)) for item in images.items)
        if key not in self._kept:  # swapped and repeated tests embed the same images again
            tokens = self.patch_cache().compute(images, images.lines(), "test images")
            self._kept = {**dict([*self._kept.items()][-1:]), key: tokens}
        for index in torch.arange(len(images)).split(batch_size):
            yield self._kept[key].take(index, self.device)

    def _shard(self, items: Sequence[SBIRDatum]) -> Sequence[SBIRDatum]:
        """Those that this process embeds, in whole batches."""
        return distributed.shard(items, self.cfg.DATALOADER.TEST.BATCH_SIZE)

    def test(self, split: Optional[str] = None) -> float:
        """Rank the gallery for every query; on the test split also write what a run leaves.

        There, a method that knows the modality is also measured with it swapped, sketches embedded as photos and photos
        as sketches: the less that costs, the less the method makes of it.

        Args:
            split: "test" (default), unseen classes, or "val", the pseudo-unseen ones.

        Returns:
            mAP@all, or Acc@1 within the category where fine-grained, in percent.
        """
        split, began = split or "test", time.time()
        if split not in ("test", "val"):
            raise ValueError(f"split must be 'test' or 'val', got {split!r}")
        seen = require_unseen(self.trained_classes(), self.dataset, self.allow_seen) if split == "test" else None
        sets, images = self._evaluation_sets(split)
        query, gallery = (self.encode(items, held) for items, held in zip(sets, images))
        metrics, (group, column) = results.score(query, gallery, *sets, self.dataset.setting, self.device)
        if self.cfg.DATASET.GALLERY in metrics:  # fine-grained galleries are measured together: this one speaks
            group = self.cfg.DATASET.GALLERY
        for name, value in metrics[group].items():
            self.write_scalar(f"{split}/{name}", value, self.tested_epoch)  # type: ignore[attr-defined]  # the engine's
        if split == "test":
            extra = {**self.model.describe(), "seen_test_classes": seen}
            if self.model.knows_modality:
                query_as, gallery_as = (self.encode(some, None, other) for some, other in zip(sets, MODALITIES[::-1]))
                extra["swapped"], _ = results.score(query_as, gallery_as, *sets, self.dataset.setting, self.device)
            if distributed.is_main():
                with self.alone():  # type: ignore[attr-defined]  # the trainer's
                    self._write_results(metrics, extra, query, gallery, time.time() - began)
        return metrics[group][column]

    def trained_classes(self) -> Optional[List[str]]:
        """Classes that the model was trained on; None where it is not known."""
        return trained_classes(self.model)

    def _evaluation_sets(self, split: str) -> Tuple[Sets, Tuple[Optional[ImageDataset], Optional[ImageDataset]]]:
        """(queries, gallery) of a split, and their images; those of "val" are kept between epochs."""
        sets = getattr(self.dataset, f"{split}_queries"), getattr(self.dataset, f"{split}_gallery")
        if not all(sets):
            raise ValueError(f"data set {self.cfg.DATASET.NAME!r} holds no {split} images")
        if split == "test":
            return sets, (None, None)
        if not hasattr(self, "_val_images"):
            made = [ImageDataset(self.dataset, self._shard(items), self.preprocessing) for items in sets]
            for images, name in zip(made, ("queries", "photos")):
                self.preload(images, f"validation {name}")  # type: ignore[attr-defined]  # the trainer's
            self._val_images = made[0], made[1]
        return sets, self._val_images

    def _write_results(
        self, metrics: results.Metrics, extra: Dict[str, Any], query: Tensor, gallery: Tensor, seconds: float
    ) -> None:
        cfg, data = self.cfg, self.dataset
        name = cfg.TRAINER.NAME
        best = cfg.TEST.FINAL_MODEL == "best_val"
        os.makedirs(self.output_dir, exist_ok=True)
        heading = f"{name}, {cfg.DATASET.NAME} ({data.setting}): a query and the nearest of {len(gallery)} photos"
        results.draw_sheet(data, query, gallery, self.output_dir, heading)
        results.write_json(os.path.join(self.output_dir, "results.json"), {  # last: who finds it finds a finished run
            "trainer": name,
            "dataset": cfg.DATASET.NAME,
            "setting": data.setting,
            "split": data.split,
            "gallery": data.gallery_name,
            "backbone": cfg.MODEL.BACKBONE.NAME,
            "seed": self.seed,
            "epoch": self.tested_epoch,
            "num_queries": len(query),
            "num_gallery": len(gallery),
            "metrics": metrics,
            "selection": "pseudo_unseen" if best else "last",
            "precision": self.precision,
            "preprocessing": self.preprocessing.describe(),
            "versions": results.versions(),
            "identity": {key: value for key, value in self.identity().items() if key != "settings"},
            "config": cfg,
            "seconds": {"train": sum(epoch["seconds"] for epoch in self.history), "test": seconds},
            **extra,
        })
        print(f"{name} on {cfg.DATASET.NAME} ({data.setting}, {len(query)} queries, {len(gallery)} "
              f"photos, epoch {self.tested_epoch}), percent:\n{results.table(metrics)}")
        if "swapped" in extra:
            print(f"modality swapped, percent:\n{results.table(extra['swapped'])}")
        print(f"In {self.output_dir}: {results.describe_files(self.output_dir)}")
