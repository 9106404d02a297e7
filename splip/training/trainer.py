"""The training loop: reads the config, builds data and model, trains. It contains no method and no maths.

A subclass names the class of its model (:class:`splip.RetrievalModel`), which builds the model; docs/EXTEND.md has an
example. A trainer has an `Evaluator`, which tests, and a `RunFolder`, into which it writes.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from typing import Any, Dict, List, Mapping, Optional, Type

import torch
from torch import Tensor, nn

from splip.backbone import load_clip
from splip.common import distributed
from splip.data.capacity import choose_workers
from splip.data.checking import check_images
from splip.data.transforms import Preprocessing
from splip.data.triplets import ImageDataset
from splip.data.views import Jigsaw, training_loader
from splip.engine import TrainerX, build_dataset, build_lr_scheduler, build_optimizer
from splip.models import checkpoints, pretrained
from splip.models.base import Recipe, RetrievalModel
from splip.models.registry import build, register_model
from splip.training import results, resume
from splip.training.config import check_cfg
from splip.training.evaluator import Evaluator
from splip.training.patch_cache import Patches, take_rows
from splip.training.precision import PRECISIONS, autocast, grad_scaler, precision
from splip.training.progress import Losses, Progress, why_slow
from splip.training.run_folder import RunFolder
from splip.tuning import param_groups


class SBIRTrainer(TrainerX):
    """Trains a model on triplets of an `SBIRDataset`; tests by ranking its gallery for each of its queries.

    Attributes:
        model_class: of the model that it trains. Its ``settings`` are keys of the method's node ``cfg.TRAINER.<NODE>``.
        node: that node's name; default the trainer's name in capitals, as Dassl has it.
        fixed: settings of the model that this trainer sets and the config cannot change.
        tester: an `Evaluator` (of ``tester_class``), not Dassl's ``evaluator``. folder: the run's `RunFolder`.
    """

    model_class: Type[RetrievalModel]
    tester_class: Type[Evaluator] = Evaluator
    node: str = ""
    fixed: Mapping[str, Any] = {}
    progress: Progress
    patches: Optional[Patches]
    history: List[Dict[str, float]]
    average: Optional[Dict[str, Tensor]]  # mean of weights, with OPTIM.AVERAGE_EPOCHS

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "settings" in cls.__dict__:
            raise TypeError(f"{cls.__name__}: settings belong to the model's class (model_class)")
        if "node" not in cls.__dict__:
            cls.node = cls.__name__.upper()
        if "model_class" in cls.__dict__:
            register_model(cls.model_class)

    @classmethod
    def method_settings(cls, cfg: Any) -> Dict[str, Any]:
        """The settings of the model.

        Raises:
            ValueError: ``splip.extend_cfg`` was not called on the config.
        """
        if cls.model_class.settings and cls.node not in cfg.TRAINER:
            raise ValueError(f"cfg.TRAINER.{cls.node} is missing: call splip.extend_cfg(cfg) before merging files")
        return {**{key: cfg.TRAINER[cls.node][key] for key in cls.model_class.settings}, **cls.fixed}

    @property
    def trains(self) -> bool:
        """Whether there is anything to train; if not, ``train()`` only tests, and a run has no checkpoint."""
        return self.model_class.trains()

    @property
    def seed(self) -> int:
        """The seed of all random draws."""
        return self.folder.seed

    num_permutations = 1  # of the jigsaw's bank; 1 if the method has none
    jigsaw = Jigsaw(grid=3, permutations=1, tiles="crop", seed=0)  # makes the shuffled copies of fixed views

    def parse_batch_train(self, batch: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """Move to the device; normalise images, or replace row numbers by E_0 (TRAINER.PATCH_CACHE)."""
        if self.patches is not None:
            batch = take_rows(batch, self.patches, ["sketch", "shuffled", "positive", "negative"], self.device)
        batch = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        return {n: self.preprocessing.normalize(v) if v.dtype == torch.uint8 else v for n, v in batch.items()}

    # ------------------------------------------------------------------- set-up

    def check_cfg(self, cfg: Any) -> None:
        """Refuse what this trainer would ignore, or what would fail later.

        Raises:
            ValueError: naming the key, its value and what is accepted.
        """
        cuda = torch.cuda.is_available() and cfg.USE_CUDA
        chosen = precision(cfg, torch.device("cuda" if cuda else "cpu"))
        # process 0 decides: `auto` depends on the processor, and machines may differ
        self.precision = PRECISIONS[distributed.broadcast(PRECISIONS.index(chosen))]
        check_cfg(cfg, self.model_class, type(self).__name__, self.method_settings(cfg))
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = cfg.TRAINER.TF32
        distributed.check_launch(cuda)
        self.workers = choose_workers(cfg.DATALOADER.NUM_WORKERS, cuda)

    def build_data_loader(self) -> None:
        cfg = self.cfg
        with distributed.main_first():  # it may download a file
            self.clip = load_clip(cfg.MODEL.BACKBONE.NAME, self.device)
        self.preprocessing = Preprocessing.from_cfg(cfg, self.clip)
        self.dataset = build_dataset(cfg)
        self.num_classes, self.lab2cname = self.dataset.num_classes, self.dataset.lab2cname
        method = {f"TRAINER.{self.node}.{key}": value for key, value in self.method_settings(cfg).items()}
        seed = cfg.SEED if cfg.SEED >= 0 else distributed.broadcast(torch.seed() % 2**32)
        self.folder = RunFolder(
            self.output_dir, cfg, checkpoints.plain(method), self.dataset, self.clip, self.precision, seed, self.trains
        )
        self.images = ImageDataset(self.dataset, self.dataset.train_x, self.preprocessing)
        self.patches = self.train_loader_x = None
        if self.trains:
            drawn = self.num_permutations, self.seed, self.jigsaw
            self.train_loader_x = training_loader(cfg, self.images, *drawn, self.workers)
        self.train_loader_u = self.val_loader = self.test_loader = self.dm = None  # Dassl's names

    def build_model(self) -> None:
        cfg, name = self.cfg, type(self).__name__
        self.history, self.tested_epoch, self.average = [], 0, None
        settings = checkpoints.plain(self.method_settings(cfg))
        recipe = Recipe(self.model_class.__name__, settings, list(self.dataset.classnames), asdict(self.preprocessing))
        self.model = build(recipe, self.clip, "the config")
        for key in self.model_class.memory_keys:
            setattr(self.model, key.lower(), cfg.TRAINER[key])
        how = self.preprocessing, self.device, self.precision, self.workers
        self.tester = self.tester_class.from_cfg(cfg, self.model, self.dataset, *how)
        if not self.trains:
            return
        self.loss_of = torch.compile(self.model, fullgraph=True) if cfg.TRAINER.COMPILE else self.model
        distributed.broadcast_tensors(self.model.trainable.state_dict().values())  # they differ if there is no seed
        trained = sum(p.numel() for p in self.model.trainable.parameters())
        sketches = f"{len(self.train_loader_x.dataset):,} training sketches"
        print(f"{name}: {trained:,} trained parameters, {self.num_classes} classes, {sketches}, {self.precision}")
        groups = param_groups(self.model.trainable, cfg.OPTIM, self.model.rates, self.model_class.parts)
        optim_cfg = cfg.OPTIM.clone()
        optim_cfg.defrost()
        optim_cfg.STAGED_LR = False  # the groups include it already; Dassl's builder would warn
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
        if not self.trains or checkpoints.newest(self.folder.file("splip")) is None:
            self.folder.is_finished()  # refuses another run's folder; a checkpoint is compared when it is resumed
        with self.folder.locked():
            if self.trains:
                super().train()
            else:
                self.folder.write_start(self.model, pretrained.NO_CHECKPOINT)
                self.test()

    def before_train(self) -> None:
        self.epoch_began = time.time()  # the first epoch's time includes this preparation
        os.makedirs(self.output_dir, exist_ok=True)
        super().before_train()
        self.folder.write_start(self.model, "best" if self.cfg.TEST.FINAL_MODEL == "best_val" else "last")
        if distributed.is_main():
            check_images(item.impath for items in self.dataset.lists() for item in items)
        distributed.require_same(self.start_epoch, "the number of epochs done, as the output folder shows it,")
        patches, keep, views = self.tester.patches, self.tester.keep, self.train_loader_x.dataset.views
        if self.start_epoch < self.max_epoch and patches is not None:
            lines = [views.line(row) for row in range(len(views))]
            self.patches = patches.compute(views, lines, "training views", self.tester.will_keep())
        elif self.start_epoch < self.max_epoch and keep is not None:
            self.images.preload(self.workers, keep, "training images", self.tester.will_keep())
        counts = self.start_epoch, self.max_epoch, len(self.train_loader_x), self.cfg.TRAIN.PRINT_FREQ
        self.progress = Progress(*counts, lambda: why_slow(self.cfg, self.precision, self.device))

    def run_epoch(self) -> None:
        self.set_model_mode("train")
        losses = Losses(self)
        self.num_batches = len(self.train_loader_x)
        self.train_loader_x.sampler.epoch = self.epoch
        for batch_idx, batch in enumerate(self.progress.watch(self.train_loader_x)):
            self.batch_idx = batch_idx  # Dassl's name, which `forward_backward` may read
            lr = self.get_current_lr()
            losses.add(self.forward_backward(batch), lr)
            if self.progress.shows(batch_idx):
                losses.fetch()
            self.progress.step(self.epoch, batch_idx, losses.meter, lr)
        self.history.append({"epoch": self.epoch + 1, **losses.fetch(), "lr": lr, "seconds": 0.0})  # so far

    def forward_backward(self, batch: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """One step; returns the loss and its unweighted terms, on the device: nothing here waits for the device."""
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
        averaged = checkpoints.epochs_averaged(self.cfg.OPTIM, self.epoch + 1)
        if averaged > 0:
            self.average = checkpoints.running_mean(self.average, self.model.trainable.state_dict(), averaged)
        if self.cfg.TEST.FINAL_MODEL == "best_val":
            done["val"] = self.test(split="val")
            is_best = done["val"] > self.best_result
            self.best_result = max(self.best_result, done["val"])
        done["seconds"], self.epoch_began = time.time() - self.epoch_began, time.time()  # with the last checkpoint
        if distributed.is_main():
            self.save_model(self.epoch, self.output_dir, is_best=is_best, val_result=done.get("val"))
            results.write_json(os.path.join(self.output_dir, "history.json"), self.history)
        distributed.barrier()  # all processes may read it next
        shown = " ".join(f"{name} {value:.4g}" for name, value in done.items() if name != "epoch")
        self.progress.say(f"epoch [{self.epoch + 1}/{self.max_epoch}] done: {shown}")

    def after_train(self) -> None:
        self.progress.close()
        if self.history and distributed.is_main():
            title, path = f"{type(self).__name__} on {self.cfg.DATASET.NAME}", self.folder.file("training_curve.png")
            results.draw_curve(self.history, path, title, self.dataset.setting == "fg", self.model.loss_weights)
        if self.average is not None:
            self.model.trainable.load_state_dict(self.average)
        super().after_train()

    # ------------------------------------------------------- checkpoints and tests

    def save_model(
        self, epoch: int, directory: str, is_best: bool = False, val_result: Optional[float] = None,
        model_name: str = "",
    ) -> None:  # fmt: skip
        """Write the checkpoint after `epoch` (from 0); errors as :func:`splip.training.resume.write`."""
        state = resume.state_of(self, epoch + 1, val_result)
        resume.write(state, directory, is_best, model_name, self.cfg.TRAIN.CHECKPOINT_FREQ)

    def load_model(self, directory: str, epoch: Optional[int] = None) -> None:
        """Load trained weights from a run's folder, to test; arguments and errors as
        :func:`splip.training.resume.read_to_test`.
        """
        state = resume.read_to_test(self, directory, epoch)
        pretrained.load_weights(self.model, checkpoints.weights(state))
        self.tested_epoch, self.folder.seed = state["epoch"], state["seed"]
        if not self.history or directory != self.output_dir:  # a best_val run's own history goes on after this epoch
            self.history = state["history"]

    def resume_model_if_exist(self, directory: str) -> int:
        """Continue the run in `directory` -> number of epochs done; errors as
        :func:`splip.training.resume.read_to_go_on`.
        """
        state = resume.read_to_go_on(self, directory)
        if state is None:
            return 0
        resume.restore(self, state)
        if distributed.is_main():
            resume.copy_best(directory, self.output_dir)
        return state["epoch"]

    def test(self, split: Optional[str] = None) -> float:
        """Rank the gallery for every query of a split; on the test split also write the results.

        Args:
            split: "test" (default; unseen classes) or "val" (pseudo-unseen ones).

        Returns:
            mAP@all, or Acc@1 within the category if fine-grained, in percent.
        """
        split = split or "test"
        outcome = self.tester.evaluate(split, self.cfg.TEST.SWAPPED)
        for name, value in outcome.metrics[outcome.headline[0]].items():
            self.write_scalar(f"{split}/{name}", value, self.tested_epoch)
        if split == "test":
            self.folder.write_results(outcome, self.preprocessing, self.tested_epoch, self.history)
        return outcome.value
