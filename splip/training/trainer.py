"""The loop around a method: reads the config, builds data and model, trains. No method, no maths.

A subclass says how its model is made (:class:`splip.RetrievalModel`), and may have settings and rates of its own;
docs/EXTEND.md builds one.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from torch import Tensor, nn

from splip.backbone import backbone_info, clip_dims, load_clip
from splip.common import distributed
from splip.data.capacity import choose_workers
from splip.data.transforms import Augmentation, Preprocessing
from splip.data.triplets import ImageDataset, Triplets, triplet_loader
from splip.data.views import Jigsaw, Views
from splip.engine import TrainerX, build_dataset, build_lr_scheduler, build_optimizer
from splip.models.base import Recipe, RetrievalModel
from splip.training import checkpoints, results
from splip.training.config import check_cfg
from splip.training.evaluator import Evaluation
from splip.training.patch_cache import PatchCache, Patches, take_rows
from splip.training.precision import PRECISIONS, autocast, grad_scaler, precision
from splip.training.progress import Losses, Progress, why_slow
from splip.training.resume import ResumableTrainer
from splip.training.run_folder import OwnFolder


class SBIRTrainer(ResumableTrainer, Evaluation, OwnFolder, TrainerX):
    """Trains on triplets of an `SBIRDataset`; tests by ranking its gallery for each of its queries.

    Attributes:
        settings: keys of the method's own node ``cfg.TRAINER.<NODE>``, with their defaults.
        node: that node's name; default the class's name in capitals, as Dassl has it.
        trains: whether there is anything to train; if not, ``train()`` tests, and a run has no checkpoint.
    """

    settings: Mapping[str, Any] = {}
    node: str = ""
    trains: bool = True
    memory_keys: Sequence[str] = ()  # of GRAD_CHECKPOINTING and MICRO_BATCH, those that the method follows
    progress: Progress
    tokens: Optional[Patches]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "settings" in cls.__dict__ and "node" not in cls.__dict__:
            if cls.node:
                raise TypeError(
                    f"{cls.__name__} is built on a trainer that reads TRAINER.{cls.node}: settings of its own go "
                    "into a class built on SBIRTrainer (or say node, and override method_settings, complete_settings)"
                )
            cls.node = cls.__name__.upper()

    # -------------------------------------------------------- what a method says

    @classmethod
    def extend_cfg(cls, cfg: Any) -> None:
        """Add the method's own node with its defaults, in place."""
        from yacs.config import CfgNode

        if cls.settings:
            cfg.TRAINER[cls.node] = CfgNode(dict(cls.settings))

    @classmethod
    def make_model(cls, cfg: Any, clip: Any, classnames: Sequence[str]) -> RetrievalModel:
        """The model around ``clip`` for the seen classes, on the clip's device. A run is rebuilt by this alone."""
        raise TypeError(f"{cls.__name__} does not say how its model is made: make_model(cls, cfg, clip, classnames)")

    @classmethod
    def build(cls, cfg: Any, clip: Any, classnames: Sequence[str], preprocessing: Preprocessing) -> RetrievalModel:
        """:meth:`make_model`'s, which knows how it can be made again."""
        model, settings = cls.make_model(cfg, clip, classnames), checkpoints.plain(cls.method_settings(cfg))
        model.recipe = Recipe(cfg.TRAINER.NAME, settings, list(classnames), asdict(preprocessing))
        return model

    @classmethod
    def param_groups(cls, cfg: Any, model: RetrievalModel) -> Optional[List[Dict[str, Any]]]:
        """Parameters of ``model.trainable`` with rates of their own, in torch's form; None = as OPTIM has it."""
        return None

    @classmethod
    def method_settings(cls, cfg: Any) -> Dict[str, Any]:
        """What the method is configured with; a checkpoint is resumed with these alone."""
        return dict(cfg.TRAINER[cls.node]) if cls.settings else {}

    @classmethod
    def inference_settings(cls, settings: Mapping[str, Any]) -> Dict[str, Any]:
        """Those of ``settings`` that embeddings depend on; a checkpoint is tested with these alone."""
        return dict(settings)

    @classmethod
    def complete_settings(cls, settings: Mapping[str, Any]) -> Dict[str, Any]:
        """A checkpoint's settings, with what it was written without: the values that it meant."""
        return {**cls.settings, **settings}

    num_permutations = 1  # of the jigsaw's bank; 1 where the method has none
    jigsaw = Jigsaw(grid=3, permutations=1, tiles="crop", seed=0)  # by which shuffled copies of fixed views are made

    def parse_batch_train(self, batch: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """To the device; images normalised, or E_0 in place of their row numbers (TRAINER.PATCH_CACHE)."""
        if self.tokens is not None:
            batch = take_rows(batch, self.tokens, ["sketch", "shuffled", "positive", "negative"], self.device)
        batch = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        return {n: self.preprocessing.normalize(v) if v.dtype == torch.uint8 else v for n, v in batch.items()}

    # ------------------------------------------------------------------- set-up

    def check_cfg(self, cfg: Any) -> None:
        """Refuse what this trainer would otherwise ignore, or stumble over later.

        Raises:
            ValueError: naming the key, its value and what is accepted.
        """
        cuda = torch.cuda.is_available() and cfg.USE_CUDA
        chosen = precision(cfg, torch.device("cuda" if cuda else "cpu"))
        # of process 0: `auto` times the processor, and processes may differ
        self.precision = PRECISIONS[distributed.broadcast(PRECISIONS.index(chosen))]
        check_cfg(cfg, self.trains)
        for key in ("GRAD_CHECKPOINTING", "MICRO_BATCH"):
            if cfg.TRAINER[key] and self.trains and key not in self.memory_keys:
                raise ValueError(f"TRAINER.{key} {cfg.TRAINER[key]}: {type(self).__name__} does not follow it")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = cfg.TRAINER.TF32
        distributed.check_launch(cuda)
        self.workers = choose_workers(cfg.DATALOADER.NUM_WORKERS, cuda)

    def build_data_loader(self) -> None:
        cfg = self.cfg
        with distributed.main_first():  # it may be a download
            self.clip = load_clip(cfg.MODEL.BACKBONE.NAME, self.device)
        self.backbone = backbone_info(self.clip).fingerprint
        self.preprocessing = Preprocessing.from_cfg(cfg, self.clip)
        self.size = clip_dims(self.clip).resolution
        if self.preprocessing.size != self.size:
            raise ValueError(
                f"INPUT.SIZE is {tuple(cfg.INPUT.SIZE)}, but backbone {cfg.MODEL.BACKBONE.NAME!r} takes "
                f"{self.size} x {self.size} images"
            )
        self.seed = cfg.SEED if cfg.SEED >= 0 else distributed.broadcast(torch.seed() % 2**32)
        self.dataset = build_dataset(cfg)
        self.num_classes, self.lab2cname = self.dataset.num_classes, self.dataset.lab2cname
        self.images = ImageDataset(self.dataset, self.dataset.train_x, self.preprocessing)
        names, scale, padding = cfg.INPUT.TRANSFORMS, cfg.INPUT.RRCROP_SCALE, cfg.INPUT.CROP_PADDING
        augmentation = Augmentation(names, scale, padding)
        self.tokens, self.train_loader_x = None, None
        if self.trains:
            triplets = Triplets(self.images, augmentation, self.num_permutations, self.seed)
            if cfg.INPUT.SKETCH_VIEWS:
                counts = cfg.INPUT.SKETCH_VIEWS, cfg.INPUT.PHOTO_VIEWS
                triplets.views = Views(self.images, augmentation, *counts, self.jigsaw)
                triplets.as_rows = bool(cfg.TRAINER.PATCH_CACHE)
            workers = 0 if triplets.as_rows else self.workers
            self.train_loader_x = triplet_loader(triplets, cfg.DATALOADER.TRAIN_X.BATCH_SIZE, workers)
        self.train_loader_u = self.val_loader = self.test_loader = self.dm = None  # Dassl's names

    def build_model(self) -> None:
        cfg, name = self.cfg, type(self).__name__
        self.history, self.tested_epoch, self.average = [], 0, None
        self.model = self.build(cfg, self.clip, self.dataset.classnames, self.preprocessing)
        if not self.trains:
            return
        self.loss_of = torch.compile(self.model, fullgraph=True) if cfg.TRAINER.COMPILE else self.model
        distributed.broadcast_tensors(self.model.trainable.state_dict().values())  # an unseeded start differs
        trained = sum(p.numel() for p in self.model.trainable.parameters())
        print(f"{name}: {trained:,} trained parameters, {self.num_classes} classes, "
              f"{len(self.train_loader_x.dataset):,} training sketches, {self.precision}")
        optim_cfg, groups = cfg.OPTIM.clone(), self.param_groups(cfg, self.model)
        if groups is not None:
            optim_cfg.defrost()
            optim_cfg.STAGED_LR = False  # the groups have it in; Dassl's builder would warn
        self.optim = build_optimizer(self.model.trainable, optim_cfg, groups)
        self.sched = build_lr_scheduler(self.optim, cfg.OPTIM, len(self.train_loader_x))
        self.scaler = grad_scaler(enabled=self.precision == "fp16")
        self.register_model("splip", self.model.trainable, self.optim, self.sched)

    def set_model_mode(self, mode: str = "train", names=None) -> None:
        self.model.train(mode == "train")  # not only the registered part

    def init_writer(self, log_dir: str) -> None:
        if distributed.is_main():
            super().init_writer(log_dir)

    # ----------------------------------------------------------------- training

    def train(self) -> None:  # type: ignore[override]  # as Dassl has it
        if not self.trains or checkpoints.newest(os.path.join(self.output_dir, "splip")) is None:
            self.is_finished()  # refuses another run's folder; a checkpoint is compared when it is resumed
        with self.alone():
            if self.trains:
                super().train()
            else:
                self.write_config()
                self.test()

    def before_train(self) -> None:
        os.makedirs(self.output_dir, exist_ok=True)
        super().before_train()
        self.write_config()
        self.check_images()
        distributed.require_same(self.start_epoch, "the number of epochs done, as the output folder shows it,")
        if self.start_epoch < self.max_epoch and self.cfg.TRAINER.PATCH_CACHE:
            views = self.train_loader_x.dataset.views
            lines = [views.line(row) for row in range(len(views))]
            self.tokens = self.patch_cache().compute(views, lines, "training views")
        elif self.start_epoch < self.max_epoch:
            self.preload(self.images, "training images")
        self.progress = Progress(
            self.start_epoch, self.max_epoch, len(self.train_loader_x), self.cfg.TRAIN.PRINT_FREQ,
            lambda: why_slow(self.cfg, self.precision, self.device),
        )  # fmt: skip

    def patch_cache(self) -> PatchCache:
        """Where patch embeddings are kept, as TRAINER.PATCH_CACHE says."""
        cfg = self.cfg
        return PatchCache(
            cfg.TRAINER.PATCH_CACHE, self.clip, self.backbone, self.preprocessing, self.precision, self.device,
            cfg.DATALOADER.TEST.BATCH_SIZE, self.workers,
        )  # fmt: skip

    def preload(self, images: ImageDataset, name: str) -> None:
        """Decode once what is used in every epoch, where the config says so."""
        folder = self.cfg.DATASET.PIXEL_CACHE
        if folder or self.cfg.DATASET.CACHE:
            print(f"Reading {len(images):,} {name} into {folder or 'memory'}")
            images.preload(self.workers, folder)

    def run_epoch(self) -> None:
        self.set_model_mode("train")
        losses, began = Losses(self), time.time()
        self.num_batches = len(self.train_loader_x)
        self.train_loader_x.sampler.epoch = self.epoch
        for batch_idx, batch in enumerate(self.progress.watch(self.train_loader_x)):
            self.batch_idx = batch_idx  # Dassl's name, which `forward_backward` may read
            lr = self.get_current_lr()
            losses.add(self.forward_backward(batch), lr)
            if self.progress.shows(batch_idx):
                losses.fetch()
            self.progress.step(self.epoch, batch_idx, losses.meter, lr)
        means = losses.fetch()
        self.history.append({"epoch": self.epoch + 1, **means, "lr": lr, "seconds": time.time() - began})

    def forward_backward(self, batch: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """One step; returns the loss and its unweighted terms, on the device: nothing here waits for it."""
        batch = self.parse_batch_train(batch)
        with autocast(self.device, self.precision):
            loss, terms = self.loss_of(batch)
        self.optim.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        distributed.average_gradients(self.model.trainable.parameters())
        if self.cfg.OPTIM.GRAD_CLIP > 0:
            self.scaler.unscale_(self.optim)
            nn.utils.clip_grad_norm_(self.model.trainable.parameters(), self.cfg.OPTIM.GRAD_CLIP)
        self.scaler.step(self.optim)
        self.scaler.update()
        if self.cfg.OPTIM.BY_STEP or self.batch_idx + 1 == self.num_batches:
            self.update_lr()
        return {"loss": loss.detach(), **terms}

    def after_epoch(self) -> None:
        done, is_best = self.history[-1], False
        self.tested_epoch = self.epoch + 1
        left = self.max_epoch - self.cfg.OPTIM.AVERAGE_EPOCHS
        if self.epoch >= left:
            weights = self.model.trainable.state_dict()
            self.average = checkpoints.running_mean(self.average, weights, self.epoch - left + 1)
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
            results.draw_curve(self.history, path, title, self.dataset.setting == "fg", self.model.loss_weights)
        if self.average is not None:
            self.model.trainable.load_state_dict(self.average)
        super().after_train()
