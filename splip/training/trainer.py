"""The host side of training and testing a sketch-based retrieval model: no method, no maths.

A subclass makes the model, an `nn.Module` with `forward(batch) -> (loss, terms)`,
`encode(images, modality) -> embeddings` and `trainable`, the part that is optimised and saved.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from splip import distributed
from splip.backbone import CLIP_MEAN, CLIP_STD, clip_dims, load_clip
from splip.config import PRECISIONS
from splip.data.base import MODALITIES, SBIRDatum
from splip.data.transforms import Augmentation, normalize
from splip.data.triplets import ImageDataset, Triplets, loader, triplet_loader
from splip.engine import (
    MetricMeter,
    TrainerX,
    build_dataset,
    build_lr_scheduler,
    build_optimizer,
)
from splip.training import checkpoints, results
from splip.training.progress import Progress
from splip.training.resume import ResumableTrainer

FINAL_MODELS = ("last_step", "best_val")


class SBIRTrainer(ResumableTrainer, TrainerX):
    """Trains on triplets of an `SBIRDataset`; tests by ranking its gallery for each of its queries."""

    num_permutations = 1  # of the jigsaw's bank; 1 where the method has none

    def make_model(self) -> nn.Module:
        """The model, on `self.device`, for `self.clip` and `self.dataset.classnames`."""
        raise TypeError(f"{type(self).__name__} does not say how its model is made")

    def param_groups(self, model: nn.Module) -> Optional[List[Dict[str, Any]]]:
        """Parameters of `model.trainable` with rates of their own, in torch's form; None = as OPTIM has it."""
        return None

    # ------------------------------------------------------------------- set-up

    def check_cfg(self, cfg) -> None:
        """Refuse what this trainer would otherwise ignore, or stumble over later.

        Raises:
            ValueError: naming the key, its value and what is accepted.
        """
        precision = cfg.TRAINER.SPLIP.PREC
        if precision not in PRECISIONS:
            raise ValueError(f"TRAINER.SPLIP.PREC must be one of {PRECISIONS}, got {precision!r}")
        if precision == "fp16" and not (torch.cuda.is_available() and cfg.USE_CUDA):
            raise ValueError("TRAINER.SPLIP.PREC fp16 needs a CUDA device: use fp32 or bf16 on the CPU")
        if precision == "bf16" and not (torch.cuda.is_available() and cfg.USE_CUDA):
            slowdown = _bf16_slowdown()
            if slowdown > 1.5:
                warnings.warn(
                    f"TRAINER.SPLIP.PREC bf16: this CPU multiplies matrices {slowdown:.0f} times as slowly in bf16 as "
                    "in fp32. Use fp32",
                    stacklevel=2,
                )
        if cfg.TEST.FINAL_MODEL not in FINAL_MODELS:
            raise ValueError(
                f"TEST.FINAL_MODEL must be one of {FINAL_MODELS}, got {cfg.TEST.FINAL_MODEL!r}"
            )
        if cfg.INPUT.INTERPOLATION != "bicubic":
            raise ValueError(
                f"INPUT.INTERPOLATION must be 'bicubic', as CLIP has it, got {cfg.INPUT.INTERPOLATION!r}"
            )
        for key, wanted in (("PIXEL_MEAN", CLIP_MEAN), ("PIXEL_STD", CLIP_STD)):
            if max(abs(a - b) for a, b in zip(cfg.INPUT[key], wanted)) > 1e-4:
                raise ValueError(f"INPUT.{key} must be CLIP's {wanted}, got {tuple(cfg.INPUT[key])}")
        distributed.check_launch(cuda=torch.cuda.is_available() and cfg.USE_CUDA)

    def build_data_loader(self) -> None:
        cfg = self.cfg
        with distributed.main_first():  # it may be a download
            self.clip = load_clip(cfg.MODEL.BACKBONE.NAME, self.device)
        self.size = clip_dims(self.clip).resolution
        if tuple(cfg.INPUT.SIZE) != (self.size, self.size):
            raise ValueError(
                f"INPUT.SIZE is {tuple(cfg.INPUT.SIZE)}, but backbone {cfg.MODEL.BACKBONE.NAME!r} takes "
                f"{self.size} x {self.size} images"
            )
        self.seed = cfg.SEED if cfg.SEED >= 0 else distributed.broadcast(torch.seed() % 2**32)
        self.dataset = build_dataset(cfg)
        self.num_classes, self.lab2cname = self.dataset.num_classes, self.dataset.lab2cname
        self.images = ImageDataset(self.dataset, self.dataset.train_x, self.size)
        names, scale, padding = cfg.INPUT.TRANSFORMS, cfg.INPUT.RRCROP_SCALE, cfg.INPUT.CROP_PADDING
        self.train_loader_x = triplet_loader(
            Triplets(
                self.images, Augmentation(names, scale, padding), self.num_permutations, self.seed
            ),
            cfg.DATALOADER.TRAIN_X.BATCH_SIZE,
            cfg.DATALOADER.NUM_WORKERS,
        )
        self.train_loader_u = self.val_loader = self.test_loader = self.dm = None  # Dassl's names

    def build_model(self) -> None:
        cfg = self.cfg
        self.model = self.make_model()
        distributed.broadcast_tensors(self.model.trainable.state_dict().values())  # an unseeded start differs
        trained = sum(p.numel() for p in self.model.trainable.parameters())
        print(f"{type(self).__name__}: {trained:,} trained parameters, {self.num_classes} classes, "
              f"{len(self.train_loader_x.dataset):,} training sketches")
        optim_cfg, groups = cfg.OPTIM.clone(), self.param_groups(self.model)
        if groups is not None:
            optim_cfg.defrost()
            optim_cfg.STAGED_LR = False  # the groups have it in; Dassl's builder would warn
        self.optim = build_optimizer(self.model.trainable, optim_cfg, groups)
        self.sched = build_lr_scheduler(self.optim, cfg.OPTIM)
        self.scaler = _grad_scaler(enabled=cfg.TRAINER.SPLIP.PREC == "fp16")
        self.register_model("splip", self.model.trainable, self.optim, self.sched)
        self.history, self.tested_epoch, self.progress = [], 0, None

    def set_model_mode(self, mode: str = "train", names=None) -> None:
        self.model.train(mode == "train")  # not only the registered part

    def init_writer(self, log_dir: str) -> None:
        if distributed.is_main():
            super().init_writer(log_dir)

    # ----------------------------------------------------------------- training

    def before_train(self) -> None:
        os.makedirs(self.output_dir, exist_ok=True)
        super().before_train()
        if distributed.is_main():  # for `splip search` and `splip evaluate`, also after training inside a host
            checkpoints.write_text(os.path.join(self.output_dir, "config.yaml"), self.cfg.dump())
        distributed.require_same(self.start_epoch, "the number of epochs done, as the output folder shows it,")
        if self.start_epoch < self.max_epoch:
            self._preload(self.images, "training images")
        self.progress = Progress(
            self.start_epoch, self.max_epoch, len(self.train_loader_x), self.cfg.TRAIN.PRINT_FREQ
        )

    def _preload(self, images: ImageDataset, name: str) -> None:
        """Decode once what is used in every epoch, where the config says so."""
        folder = self.cfg.DATASET.PIXEL_CACHE
        if folder or self.cfg.DATASET.CACHE:
            print(f"Reading {len(images):,} {name} into {folder or 'memory'}")
            images.preload(self.cfg.DATALOADER.NUM_WORKERS, folder)

    def run_epoch(self) -> None:
        self.set_model_mode("train")
        losses, began = MetricMeter(), time.time()
        self.num_batches = len(self.train_loader_x)
        self.train_loader_x.sampler.epoch = self.epoch
        for batch_idx, batch in enumerate(self.train_loader_x):
            self.batch_idx = batch_idx  # Dassl's name, which `forward_backward` may read
            lr, step = self.get_current_lr(), self.epoch * self.num_batches + batch_idx
            values = self.forward_backward(batch)
            losses.update(values)
            for name, value in {**values, "lr": lr}.items():
                self.write_scalar(f"train/{name}", value, step)
            self.progress.step(self.epoch, batch_idx, losses, lr)
        means = {name: meter.avg for name, meter in losses.meters.items()}
        self.history.append({"epoch": self.epoch + 1, **means, "lr": lr, "seconds": time.time() - began})

    def forward_backward(self, batch: Dict[str, Tensor]) -> Dict[str, float]:
        """One step; returns the loss and its unweighted terms.

        Raises:
            FloatingPointError: the loss is not finite; the terms are named.
        """
        batch = self.parse_batch_train(batch)
        with self.autocast():
            loss, terms = self.model(batch)
        names, values = ["loss", *terms], distributed.mean(torch.stack([loss.detach(), *terms.values()]))
        values = dict(zip(names, values.tolist()))
        if not math.isfinite(values["loss"]):
            raise FloatingPointError(
                f"the loss is not finite in epoch {self.epoch + 1}, batch {self.batch_idx + 1}: {values}"
            )
        self.optim.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        distributed.average_gradients(self.model.trainable.parameters())
        self.scaler.step(self.optim)
        self.scaler.update()
        if self.batch_idx + 1 == self.num_batches:
            self.update_lr()
        return values

    def parse_batch_train(self, batch: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """To the device; images normalised."""
        batch = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        return {n: normalize(v) if v.dtype == torch.uint8 else v for n, v in batch.items()}

    def autocast(self):
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.cfg.TRAINER.SPLIP.PREC)
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def after_epoch(self) -> None:
        done, is_best = self.history[-1], False
        self.tested_epoch = self.epoch + 1
        if self.cfg.TEST.FINAL_MODEL == "best_val":
            done["val"] = self.test(split="val")
            is_best = done["val"] > self.best_result
            self.best_result = max(self.best_result, done["val"])
        if distributed.is_main():
            self.save_model(self.epoch, self.output_dir, is_best=is_best, val_result=done.get("val"))
            results.write_json(os.path.join(self.output_dir, "history.json"), self.history)
        distributed.barrier()  # all may read it next
        shown = " ".join(f"{name} {value:.4g}" for name, value in done.items() if name != "epoch")
        self.progress.say(f"epoch [{self.epoch + 1}/{self.max_epoch}] done: {shown}")

    def after_train(self) -> None:
        self.progress.close()
        if self.history and distributed.is_main():
            title = f"{type(self).__name__} on {self.cfg.DATASET.NAME}"
            path = os.path.join(self.output_dir, "training_curve.png")
            results.draw_curve(self.history, path, title, self.dataset.setting == "fg")
        super().after_train()

    # ------------------------------------------------------------------ testing

    @torch.no_grad()
    def encode(
        self, items: Sequence[SBIRDatum], images: Optional[ImageDataset] = None, modality: Optional[str] = None
    ) -> Tensor:
        """Embeddings (n, d) of sketches or of photos (all of one modality), float32, on the CPU.

        Each process embeds some of the batches that a single one would have formed, and gets all embeddings.

        Args:
            images: of the items that fall to this process (`_shard`), where they are at hand.
            modality: as which they are embedded; default their own.
        """
        self.set_model_mode("eval")
        images = images or ImageDataset(self.dataset, self._shard(items), self.size)
        modality = modality or MODALITIES[items[0].domain]
        batches = loader(
            images, self.cfg.DATALOADER.TEST.BATCH_SIZE, self.cfg.DATALOADER.NUM_WORKERS
        )
        with self.autocast():
            features = [
                self.model.encode(normalize(batch.to(self.device)), modality).float().cpu()
                for batch in batches
            ]
        return distributed.gather(torch.cat(features), len(items), self.cfg.DATALOADER.TEST.BATCH_SIZE)

    def _shard(self, items: Sequence[SBIRDatum]) -> Sequence[SBIRDatum]:
        """Those that this process embeds, in whole batches."""
        return distributed.shard(items, self.cfg.DATALOADER.TEST.BATCH_SIZE)

    def test(self, split: Optional[str] = None) -> float:
        """Rank the gallery for every query; on the test split also write what a run leaves.

        Args:
            split: "test" (default), unseen classes, or "val", the pseudo-unseen ones.

        Returns:
            mAP@all (`prefix`), or Acc@1 within the category where fine-grained, in percent.
        """
        split, began = split or "test", time.time()
        if split not in ("test", "val"):
            raise ValueError(f"split must be 'test' or 'val', got {split!r}")
        sets, images = self._evaluation_sets(split)
        query, gallery = (self.encode(items, held) for items, held in zip(sets, images))
        metrics, (group, column) = results.score(
            query, gallery, *sets, fine_grained=self.dataset.setting == "fg"
        )
        if self.cfg.DATASET.GALLERY in metrics:  # fine-grained galleries are measured together: this one speaks
            group = self.cfg.DATASET.GALLERY
        for name, value in metrics[group].items():
            self.write_scalar(f"{split}/{name}", value, self.tested_epoch)
        if split == "test" and distributed.is_main():
            self._write_results(metrics, query, gallery, time.time() - began)
        return metrics[group][column]

    def _evaluation_sets(self, split: str) -> Tuple[Any, Any]:
        """(queries, gallery) of a split, and their images; those of "val" are kept between epochs."""
        sets = tuple(getattr(self.dataset, f"{split}_{name}") for name in ("queries", "gallery"))
        if not all(sets):
            raise ValueError(f"data set {self.cfg.DATASET.NAME!r} holds no {split} images")
        if split == "test":
            return sets, (None, None)
        if not hasattr(self, "_val_images"):
            self._val_images = tuple(ImageDataset(self.dataset, self._shard(items), self.size) for items in sets)
            for images, name in zip(self._val_images, ("queries", "photos")):
                self._preload(images, f"validation {name}")
        return sets, self._val_images

    def _write_results(self, metrics, query: Tensor, gallery: Tensor, seconds: float) -> None:
        cfg, data = self.cfg, self.dataset
        name = cfg.TRAINER.NAME
        train_seconds = sum(epoch["seconds"] for epoch in self.history)
        best = cfg.TEST.FINAL_MODEL == "best_val"
        os.makedirs(self.output_dir, exist_ok=True)
        results.write_json(os.path.join(self.output_dir, "results.json"), {
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
            "versions": results.versions(),
            "config": cfg,
            "seconds": {"train": train_seconds, "test": seconds},
        })
        heading = f"{name}, {cfg.DATASET.NAME} ({data.setting}): a query and the nearest of {len(gallery)} photos"
        results.draw_sheet(data, query, gallery, self.output_dir, heading)
        print(f"{name} on {cfg.DATASET.NAME} ({data.setting}, {len(query)} queries, {len(gallery)} "
              f"photos, epoch {self.tested_epoch}), percent:\n{results.table(metrics)}")


def _bf16_slowdown(size: int = 512) -> float:
    """Seconds of a matrix product in bf16 on this CPU, as a multiple of those in fp32; best of three each."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, took = torch.ones(size, size, dtype=dtype), []
        for _ in range(4):  # the first sets things up
            began = time.perf_counter()
            a @ a
            took.append(time.perf_counter() - began)
        seconds[dtype] = min(took[1:])
    return seconds[torch.bfloat16] / seconds[torch.float32]


def _grad_scaler(enabled: bool):
    if hasattr(torch.amp, "GradScaler"):  # torch 2.3 and newer
        return torch.amp.GradScaler("cuda", enabled=enabled)
    return torch.cuda.amp.GradScaler(enabled=enabled)
