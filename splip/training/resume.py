"""Saving, loading and resuming, for either engine's trainers.

A checkpoint holds what is trained (with running statistics), optimiser, scheduler, scaler, every random
state, the history, and a fingerprint of the backbone, class list and method. The order of the data needs no
state: it is a function of seed and epoch.
"""

from __future__ import annotations

import os
import shutil
from typing import Any, Dict, List, Optional

import torch
from torch import Tensor

from splip.backbone.layout import CLIP_MEAN, CLIP_STD
from splip.common import distributed
from splip.data.base import SBIRDataset
from splip.data.transforms import Preprocessing
from splip.models.base import RetrievalModel
from splip.models.pretrained import load_weights
from splip.training import checkpoints


class ResumableTrainer:
    """Mix-in for a trainer that has one registered model."""

    cfg: Any
    model: RetrievalModel
    dataset: SBIRDataset
    device: torch.device
    output_dir: str
    backbone: Dict[str, object]  # its fingerprint, taken before anything is trained
    precision: str
    seed: int
    max_epoch: int
    tested_epoch: int
    best_result: float
    history: List[Dict[str, float]]
    average: Optional[Dict[str, Tensor]]
    optim: Any
    sched: Any
    scaler: Any
    train_loader_x: Any
    preprocessing: Preprocessing
    node: str
    trains: bool

    # of the trainer
    identity: Any
    method_settings: Any
    inference_settings: Any
    complete_settings: Any

    def fingerprint(self, settings: Dict[str, Any]) -> Dict[str, Any]:
        """What must be equal for the weights to mean the same."""
        return checkpoints.plain({
            "trainer": type(self).__name__,
            "backbone": self.backbone,
            "classes": list(self.dataset.classnames),
            f"TRAINER.{self.node}": settings,
        })

    def run_settings(self) -> Dict[str, Any]:
        """What must be equal, besides, for a resumed run to end where an unbroken one would."""
        cfg = self.cfg
        keys = (
            "TRANSFORMS", "RRCROP_SCALE", "CROP_PADDING", "RESIZE", "SKETCH_VIEWS", "PHOTO_VIEWS",
        )  # fmt: skip
        return checkpoints.plain({
            "DATASET": {
                "NAME": cfg.DATASET.NAME, "SETTING": self.dataset.setting, "gallery": self.dataset.gallery_name
            },
            "split": self.dataset.split,
            "data": self.identity()["data"],
            "OPTIM": cfg.OPTIM,
            "DATALOADER.TRAIN_X.BATCH_SIZE": cfg.DATALOADER.TRAIN_X.BATCH_SIZE,
            "INPUT": {**{key: cfg.INPUT[key] for key in keys}, **self.preprocessing.statistics()},
            "TRAINER.PREC": self.precision,
            "TEST.FINAL_MODEL": cfg.TEST.FINAL_MODEL,
        })

    def save_model(
        self, epoch: int, directory: str, is_best: bool = False, val_result=None, model_name: str = ""
    ) -> None:
        """Write the checkpoint after `epoch` (from 0), drop the one before unless CHECKPOINT_FREQ keeps it.

        A kill at any moment leaves a whole checkpoint behind: files are replaced, never changed.

        Raises:
            FloatingPointError: a weight is no number; the checkpoint before is kept.
        """
        state = {
            "schema": checkpoints.SCHEMA,
            "state_dict": self.model.trainable.state_dict(),
            "average": self.average,
            "epoch": epoch + 1,
            "optimizer": self.optim.state_dict(),
            "scheduler": self.sched.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": checkpoints.random_state(),
            "seed": self.seed,
            "history": self.history,
            "val_result": val_result,
            "best_result": float(self.best_result),
            "fingerprint": self.fingerprint(self.method_settings(self.cfg)),
            "run": self.run_settings(),
        }
        checkpoints.require_finite(state["state_dict"])
        folder = os.path.join(directory, "splip")
        name = model_name or checkpoints.epoch_file(epoch + 1)
        if is_best:  # first: a run killed here resumes from the older pointer and writes it again
            checkpoints.write(os.path.join(folder, checkpoints.BEST), state)
        before = checkpoints.newest(folder)
        checkpoints.write(os.path.join(folder, name), state)
        checkpoints.write_text(os.path.join(folder, checkpoints.POINTER), name + "\n")
        frequency = self.cfg.TRAIN.CHECKPOINT_FREQ
        keep = frequency > 0 and epoch % frequency == 0  # `epoch` epochs were done by the one before
        if before == os.path.join(folder, checkpoints.epoch_file(epoch)) and not keep:
            os.remove(before)

    def load_model(self, directory: str, epoch: Optional[int] = None) -> None:
        """Load trained weights from a run's folder, to evaluate.

        Args:
            epoch: which checkpoint; default the best one where TEST.FINAL_MODEL is best_val, else the last.

        Raises:
            ValueError: no folder is given, or the checkpoint is damaged or of another backbone, class list
                or method, as far as embeddings depend on it; each difference is named.
            FileNotFoundError: there is no such checkpoint.
        """
        if not self.trains:
            raise ValueError(f"{type(self).__name__} trains nothing: there is no checkpoint to load from {directory!r}")
        if not directory:
            raise ValueError("no checkpoint folder was given (--model-dir)")
        path = checkpoints.find(directory, self.cfg.TEST.FINAL_MODEL == "best_val", epoch)
        state = checkpoints.read(path, self.device)
        here = self.fingerprint(self.inference_settings(self.method_settings(self.cfg)))
        here["INPUT"] = {key: self.run_settings()["INPUT"][key] for key in ("RESIZE", "PIXEL_MEAN", "PIXEL_STD")}
        self._require_same(state, here, path, inference=True)
        load_weights(self.model, checkpoints.weights(state))
        self.tested_epoch, self.history, self.seed = state["epoch"], state["history"], state["seed"]
        print(f"Loaded {path} (epoch {state['epoch']})")

    def resume_model_if_exist(self, directory: str) -> int:
        """Continue the run in `directory` -> number of epochs done.

        An output folder that holds no checkpoint starts a new run; a folder named with --resume must
        hold one.

        Raises:
            FileNotFoundError: it holds none. ValueError: it is damaged, or from a run with other settings.
        """
        if not self.cfg.RESUME and checkpoints.newest(os.path.join(directory, "splip")) is None:
            return 0
        path = checkpoints.find(directory)
        state = checkpoints.read(path, torch.device("cpu"))
        if state["schema"] < checkpoints.SCHEMA and state["epoch"] < self.max_epoch:
            raise ValueError(
                f"checkpoint {path} was written before version 0.2, which draws other batches: it can be tested and "
                "searched with (splip evaluate, splip search), not trained on"
            )
        here = {**self.fingerprint(self.method_settings(self.cfg)), **self.run_settings()}
        if self.cfg.SEED >= 0:
            here["seed"] = self.seed
        self._require_same(state, here, path)
        self.model.trainable.load_state_dict(state["state_dict"])
        self.tested_epoch, self.average = state["epoch"], state.get("average")
        self.optim.load_state_dict(state["optimizer"])
        self.sched.load_state_dict(state["scheduler"])
        self.scaler.load_state_dict(state["scaler"])
        checkpoints.restore_random_state(state["random"])
        self.history, self.best_result = state["history"], state["best_result"]
        self.seed = state["seed"]
        self.train_loader_x.sampler.seed = self.train_loader_x.dataset.seed = self.seed
        if distributed.is_main():
            self._copy_best(directory)
        print(f"Resuming from {path}: {state['epoch']} of {self.max_epoch} epochs are done")
        return state["epoch"]

    def _require_same(self, state: Dict[str, Any], here: Dict[str, Any], path: str, inference: bool = False) -> None:
        """Raise ValueError naming every setting in which the checkpoint and ``here`` differ."""
        saved = dict(state["fingerprint"])
        key = f"TRAINER.{self.node}"
        if key in saved:
            settings = self.complete_settings(saved[key])
            checkpoints.require_known(settings, self.method_settings(self.cfg), path)
            saved[key] = self.inference_settings(settings) if inference else settings
        run = _renamed(state["run"])
        if inference:
            saved["INPUT"] = {key: run["INPUT"][key] for key in here["INPUT"]}
        else:
            saved.update(run)
            if "seed" in here:
                saved["seed"] = state["seed"]
        if saved.get("data", "") is None:
            here["data"] = None
        here["backbone"], saved["backbone"] = checkpoints.comparable(here["backbone"], saved["backbone"])
        checkpoints.require_equal(checkpoints.plain(saved), here, path)

    def _copy_best(self, directory: str) -> None:
        """A run that goes on in another folder takes the best model so far with it."""
        source = os.path.join(directory, "splip", checkpoints.BEST)
        target = os.path.join(self.output_dir, "splip", checkpoints.BEST)
        if os.path.isfile(source) and os.path.abspath(source) != os.path.abspath(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(source, target)


def _renamed(run: Dict[str, Any]) -> Dict[str, Any]:
    """A checkpoint's run settings with today's keys; keys that it was written without have the values that it meant."""
    run = {**run}
    if "data" not in run:  # until 1a4b808
        run["data"] = None
    if "TRAINER.SPLIP.PREC" in run:
        run["TRAINER.PREC"] = run.pop("TRAINER.SPLIP.PREC")
    optim = {
        "BY_STEP": False, "WARMUP_STEPS": 0, "GRAD_CLIP": 0.0, "AVERAGE_EPOCHS": 0, "STAGED_LR": False,
        "NEW_LAYERS": [], "BASE_LR_MULT": 0.1,
    }  # fmt: skip
    images = {"RESIZE": "crop", "PIXEL_MEAN": list(CLIP_MEAN), "PIXEL_STD": list(CLIP_STD), "SKETCH_VIEWS": 0,
              "PHOTO_VIEWS": 0}  # fmt: skip
    return {**run, "OPTIM": {**optim, **run["OPTIM"]}, "INPUT": {**images, **run["INPUT"]}}
