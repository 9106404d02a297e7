"""The skeleton of a training run, with the hooks that trainers written for Dassl override."""

from __future__ import annotations

import datetime
import os
import time
from collections import OrderedDict
from typing import Any

import numpy as np
import torch


class TrainerBase:
    """Registered models with their optimisers and schedulers, and the epochs around them."""

    def __init__(self) -> None:
        self._models: OrderedDict = OrderedDict()
        self._optims: OrderedDict = OrderedDict()
        self._scheds: OrderedDict = OrderedDict()
        self._writer: Any = None

    def register_model(self, name="model", model=None, optim=None, sched=None) -> None:
        """Register what is trained and saved under `name`; a name can be registered once."""
        if name in self._models:
            raise ValueError(f"a model named {name!r} is already registered")
        self._models[name], self._optims[name], self._scheds[name] = model, optim, sched

    def get_model_names(self, names=None):
        """All registered names, or `names` (one or a list) after a check that they are registered."""
        if names is None:
            return list(self._models)
        names = names if isinstance(names, list) else [names]
        unknown = [name for name in names if name not in self._models]
        if unknown:
            raise ValueError(f"no registered model {unknown}; registered: {list(self._models)}")
        return names

    def set_model_mode(self, mode="train", names=None) -> None:
        for name in self.get_model_names(names):
            self._models[name].train(mode == "train")

    def update_lr(self, names=None) -> None:
        for name in self.get_model_names(names):
            if self._scheds[name] is not None:
                self._scheds[name].step()

    def get_current_lr(self, names=None) -> float:
        return self._optims[self.get_model_names(names)[0]].param_groups[0]["lr"]

    def init_writer(self, log_dir: str) -> None:
        """Start TensorBoard event files in `log_dir`."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # takes seconds, so only for training

            self._writer = SummaryWriter(log_dir=log_dir)

    def close_writer(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def write_scalar(self, tag: str, scalar_value: float, global_step=None) -> None:
        """Nothing happens before `init_writer`."""
        if self._writer is not None:
            self._writer.add_scalar(tag, scalar_value, global_step)

    def train(self, start_epoch: int, max_epoch: int) -> None:
        self.start_epoch, self.max_epoch = start_epoch, max_epoch
        self.before_train()  # a run that resumes changes start_epoch
        for epoch in range(self.start_epoch, self.max_epoch):
            self.epoch = epoch
            self.before_epoch()
            self.run_epoch()
            self.after_epoch()
        self.after_train()

    def run_epoch(self) -> None:
        """One pass over the data; defined by subclasses."""
        raise TypeError(f"{type(self).__name__} defines no run_epoch")

    def before_train(self) -> None:
        """Hook."""

    def before_epoch(self) -> None:
        """Hook."""

    def after_epoch(self) -> None:
        """Hook."""

    def after_train(self) -> None:
        """Hook."""


class SimpleTrainer(TrainerBase):
    """Builds loaders and model from a config, by the methods of a subclass.

    Subclasses define `build_data_loader` (sets `train_loader_x`, `num_classes`, `lab2cname`),
    `build_model` (calls `register_model`), `run_epoch`, `test`, `save_model`, `load_model` and
    `resume_model_if_exist`.
    """

    build_data_loader: Any
    build_model: Any
    test: Any
    load_model: Any
    resume_model_if_exist: Any

    def __init__(self, cfg) -> None:
        super().__init__()
        self.check_cfg(cfg)
        cuda = torch.cuda.is_available() and cfg.USE_CUDA
        self.device = torch.device("cuda" if cuda else "cpu")
        self.start_epoch = self.epoch = 0
        self.max_epoch = cfg.OPTIM.MAX_EPOCH
        self.output_dir = cfg.OUTPUT_DIR
        self.cfg = cfg
        self.build_data_loader()
        self.build_model()
        self.best_result = -np.inf

    def check_cfg(self, cfg) -> None:
        """Hook: raise ValueError for a config that this trainer cannot follow."""

    def train(self) -> None:  # type: ignore[override]  # as Dassl has it
        super().train(self.start_epoch, self.max_epoch)

    def before_train(self) -> None:
        self.start_epoch = self.resume_model_if_exist(self.cfg.RESUME or self.output_dir)
        self.init_writer(os.path.join(self.output_dir, "tensorboard"))
        self.time_start = time.time()

    def after_train(self) -> None:
        print("Finish training")
        if not self.cfg.TEST.NO_TEST:
            if self.cfg.TEST.FINAL_MODEL == "best_val":
                print("Deploy the model with the best val performance")
                self.load_model(self.output_dir)
            else:
                print("Deploy the last-epoch model")
            self.test()
        print(f"Elapsed: {datetime.timedelta(seconds=round(time.time() - self.time_start))}")
        self.close_writer()


class TrainerX(SimpleTrainer):
    """A trainer on labelled data: each epoch is one pass over `train_loader_x`.

    `run_epoch` calls `forward_backward(batch) -> {name: value}` for each batch.
    """

    train_loader_x: Any
    forward_backward: Any

    def run_epoch(self) -> None:
        self.set_model_mode("train")
        self.num_batches = len(self.train_loader_x)
        for batch_idx, batch in enumerate(self.train_loader_x):
            self.batch_idx = batch_idx
            step = self.epoch * self.num_batches + self.batch_idx
            for name, value in self.forward_backward(batch).items():
                self.write_scalar(f"train/{name}", value, step)
