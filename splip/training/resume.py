"""The content of a run's checkpoint, and the check whether a run may resume from it, with both engines.

A resumed run gives the result of an uninterrupted one (on a CPU bit for bit): a checkpoint holds the trained parts,
prototypes, optimiser, scheduler, generators and history. Batches follow from the seed and the epoch.
"""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING, Any, Dict, Optional

import numpy as np
import torch

from splip.data.views import reseed
from splip.models import checkpoints, pretrained
from splip.models.registry import complete

if TYPE_CHECKING:
    from splip.training.trainer import SBIRTrainer

IMAGES = ("TRANSFORMS", "RRCROP_SCALE", "CROP_PADDING", "SKETCH_VIEWS", "PHOTO_VIEWS")  # keys of INPUT


def run_settings(trainer: SBIRTrainer) -> Dict[str, Any]:
    """What must be equal, besides the model, so that a resumed run gives the result of an uninterrupted one."""
    cfg, data = trainer.cfg, trainer.dataset
    return checkpoints.plain(
        {
            "DATASET": {"NAME": cfg.DATASET.NAME, "SETTING": data.setting, "gallery": data.gallery_name},
            "split": data.split,
            "data": trainer.folder.data,
            "OPTIM": cfg.OPTIM,
            "DATALOADER.TRAIN_X.BATCH_SIZE": cfg.DATALOADER.TRAIN_X.BATCH_SIZE,
            "INPUT": {key: cfg.INPUT[key] for key in IMAGES},
            "TRAINER.PREC": trainer.precision,
            "TEST.FINAL_MODEL": cfg.TEST.FINAL_MODEL,
        }
    )


def state_of(trainer: SBIRTrainer, epoch: int, val_result: Optional[float] = None) -> Dict[str, Any]:
    """The content of a checkpoint after ``epoch`` epochs."""
    return {
        "schema": checkpoints.SCHEMA,
        "state_dict": trainer.model.trainable.state_dict(),
        "average": trainer.average,
        "epoch": epoch,
        "optimizer": trainer.optim.state_dict(),
        "scheduler": trainer.sched.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "random": random_state(),
        "seed": trainer.seed,
        "history": trainer.history,
        "val_result": val_result,
        "best_result": float(trainer.best_result),
        "model": pretrained.same_model(pretrained.describe(trainer.model)),
        "run": run_settings(trainer),
    }


def write(state: Dict[str, Any], directory: str, is_best: bool = False, name: str = "", frequency: int = 0) -> None:
    """Write a checkpoint into a run's folder, and remove the one before.

    If the process is killed at any moment, a complete checkpoint remains: files are replaced, never changed.

    Args:
        is_best: keep it also as the best so far.
        name: of the file; default Dassl's.
        frequency: keep a checkpoint every ``frequency`` epochs; 0 = only the newest.

    Raises:
        FloatingPointError: a weight is NaN or infinite; the checkpoint before is kept.
    """
    checkpoints.require_finite(state["state_dict"])
    folder, epoch = os.path.join(directory, "splip"), state["epoch"]
    name = name or checkpoints.epoch_file(epoch)
    if is_best:  # first: a run killed here resumes from the older pointer and writes it again
        checkpoints.write(os.path.join(folder, checkpoints.BEST), state)
    before = checkpoints.newest(folder)
    checkpoints.write(os.path.join(folder, name), state)
    checkpoints.write_text(os.path.join(folder, checkpoints.POINTER), name + "\n")
    keep = frequency > 0 and (epoch - 1) % frequency == 0  # the one before was written after epoch - 1 epochs
    if before == os.path.join(folder, checkpoints.epoch_file(epoch - 1)) and not keep:
        os.remove(before)


def read_to_test(trainer: SBIRTrainer, directory: str, epoch: Optional[int]) -> Dict[str, Any]:
    """The checkpoint of ``epoch``, else the best one if TEST.FINAL_MODEL is best_val, else the last.

    Raises:
        ValueError: no folder is given, or the checkpoint is damaged or of a model with other embeddings; each
            difference is named. FileNotFoundError: there is no such checkpoint.
    """
    if not trainer.trains:
        raise ValueError(f"{type(trainer).__name__} trains nothing: there is no checkpoint to load from {directory!r}")
    if not directory:
        raise ValueError("no checkpoint folder was given (--model-dir)")
    path = checkpoints.find(directory, trainer.cfg.TEST.FINAL_MODEL == "best_val", epoch)
    state = checkpoints.read(path, trainer.device)
    checkpoints.require_equal(_by_key(trainer, state["model"], path, True), _model_here(trainer, True), path)
    print(f"Loaded {path} (epoch {state['epoch']})")
    return state


def read_to_go_on(trainer: SBIRTrainer, directory: str) -> Optional[Dict[str, Any]]:
    """The newest checkpoint in ``directory``; None if there is none and RESUME does not ask for one.

    Raises:
        FileNotFoundError: there is none, but --resume names the folder. ValueError: it is damaged, or from a run with
            other settings.
    """
    if not trainer.cfg.RESUME and checkpoints.newest(os.path.join(directory, "splip")) is None:
        return None
    path = checkpoints.find(directory)
    state = checkpoints.read(path, torch.device("cpu"))
    saved, here = _by_key(trainer, state["model"], path), _model_here(trainer)
    for one, run in ((saved, state["run"]), (here, run_settings(trainer))):
        one.update({**run, "INPUT": {**one["INPUT"], **run["INPUT"]}})
    if trainer.cfg.SEED >= 0:
        saved["seed"], here["seed"] = state["seed"], trainer.seed
    checkpoints.require_equal(saved, here, path)
    print(f"Resuming from {path}: {state['epoch']} of {trainer.max_epoch} epochs are done")
    return state


def _model_here(trainer: SBIRTrainer, inference: bool = False) -> Dict[str, Any]:
    return _by_key(trainer, pretrained.same_model(pretrained.describe(trainer.model)), "the config", inference)


def _by_key(trainer: SBIRTrainer, model: Dict[str, Any], where: str, inference: bool = False) -> Dict[str, Any]:
    """A model's description by config keys, so that messages name the key to change.

    Args:
        where: its source, for messages. inference: only what embeddings depend on.
    """
    settings, images = complete(trainer.model_class, model["settings"], where), model["preprocessing"]
    keys = {"mean": "PIXEL_MEAN", "std": "PIXEL_STD"}  # the others have their own names
    return {
        **{name: model[name] for name in ("method", "classes", "backbone")},
        f"TRAINER.{trainer.node}": trainer.model.inference_settings(settings) if inference else settings,
        "INPUT": {keys.get(name, name.upper()): value for name, value in images.items()},
    }


def restore(trainer: SBIRTrainer, state: Dict[str, Any]) -> None:
    """Give the trainer the state that it had when ``state`` was written."""
    trainer.model.trainable.load_state_dict(state["state_dict"])
    trainer.tested_epoch, trainer.average = state["epoch"], state["average"]
    trainer.optim.load_state_dict(state["optimizer"])
    trainer.sched.load_state_dict(state["scheduler"])
    trainer.scaler.load_state_dict(state["scaler"])
    restore_random_state(state["random"])
    trainer.history, trainer.best_result = state["history"], state["best_result"]
    trainer.folder.seed = state["seed"]
    reseed(trainer.train_loader_x, state["seed"])


def copy_best(source: str, target: str) -> None:
    """Copy the best model so far into the folder in which a run continues."""
    source, target = (os.path.join(folder, "splip", checkpoints.BEST) for folder in (source, target))
    if os.path.isfile(source) and os.path.abspath(source) != os.path.abspath(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(source, target)


def random_state() -> Dict[str, Any]:
    """The state of every global generator (of GPUs, this process's own), in types that load without running code."""
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": [kind, np.asarray(keys).tolist(), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": [torch.cuda.get_rng_state()] if torch.cuda.is_available() else [],
    }


def restore_random_state(state: Dict[str, Any]) -> None:
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"][0].cpu())
