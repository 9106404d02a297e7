"""Saving, loading and resuming, for either engine's trainers.

A checkpoint holds what is trained (with the prototypes), optimiser, scheduler, scaler, every random
state, the history, and a fingerprint of the backbone, class list and method. The order of the data needs no
state: it is a function of seed and epoch.
"""

from __future__ import annotations

import os
import shutil
from typing import Any, Dict, Optional

from splip import distributed
from splip.backbone import backbone_fingerprint
from splip.training import checkpoints


class ResumableTrainer:
    """Mix-in for a trainer that has one registered model, `scaler`, `history`, `seed` and `dataset`."""

    def method_settings(self) -> Dict[str, Any]:
        """What the method was configured with; a checkpoint fits no other setting."""
        return {}

    def fingerprint(self) -> Dict[str, Any]:
        """What must be equal for the weights to mean the same."""
        return checkpoints.plain({
            "trainer": type(self).__name__,
            "backbone": backbone_fingerprint(self.clip),
            "classes": list(self.dataset.classnames),
            "TRAINER.SPLIP": self.method_settings(),
        })

    def run_settings(self) -> Dict[str, Any]:
        """What must be equal, besides, for a resumed run to end where an unbroken one would."""
        cfg = self.cfg
        keys = ("TRANSFORMS", "RRCROP_SCALE", "CROP_PADDING")
        return checkpoints.plain({
            "DATASET": {
                "NAME": cfg.DATASET.NAME, "SETTING": self.dataset.setting, "gallery": self.dataset.gallery_name
            },
            "split": self.dataset.split,
            "OPTIM": cfg.OPTIM,
            "DATALOADER.TRAIN_X.BATCH_SIZE": cfg.DATALOADER.TRAIN_X.BATCH_SIZE,
            "INPUT": {key: cfg.INPUT[key] for key in keys},
            "TRAINER.SPLIP.PREC": cfg.TRAINER.SPLIP.PREC,
            "TEST.FINAL_MODEL": cfg.TEST.FINAL_MODEL,
        })

    def save_model(
        self, epoch: int, directory: str, is_best: bool = False, val_result=None, model_name: str = ""
    ) -> None:
        """Write the checkpoint after `epoch` (from 0), drop the one before unless CHECKPOINT_FREQ keeps it.

        A kill at any moment leaves a whole checkpoint behind: files are replaced, never changed.
        """
        state = {
            "state_dict": self.model.trainable.state_dict(),
            "epoch": epoch + 1,
            "optimizer": self.optim.state_dict(),
            "scheduler": self.sched.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": checkpoints.random_state(),
            "seed": self.seed,
            "history": self.history,
            "val_result": val_result,
            "best_result": float(self.best_result),
            "fingerprint": self.fingerprint(),
            "run": self.run_settings(),
        }
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
                or method; each difference is named.
            FileNotFoundError: there is no such checkpoint.
        """
        if not directory:
            raise ValueError("no checkpoint folder was given (--model-dir)")
        folder = os.path.join(directory, "splip")
        if epoch is not None:
            path = os.path.join(folder, checkpoints.epoch_file(epoch))
        elif self.cfg.TEST.FINAL_MODEL == "best_val":
            path = os.path.join(folder, checkpoints.BEST)
        else:
            path = self._newest(directory)
        state = checkpoints.read(path, self.device)
        self._load_weights(state, path)
        self.history = state["history"]
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
        path = self._newest(directory)
        state = checkpoints.read(path, self.device)
        here = {**self.run_settings(), **({"seed": self.seed} if self.cfg.SEED >= 0 else {})}
        saved = {**state["run"], **({"seed": state["seed"]} if self.cfg.SEED >= 0 else {})}
        self._load_weights(state, path, (saved, here))
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

    def _newest(self, directory: str) -> str:
        path = checkpoints.newest(os.path.join(directory, "splip"))
        if path is None:
            wanted = os.path.join(directory, "splip", checkpoints.POINTER)
            raise FileNotFoundError(f"no checkpoint in {directory!r}: looked for {wanted}")
        return path

    def _load_weights(self, state: Dict[str, Any], path: str, run=({}, {})) -> None:
        saved, here = run
        checkpoints.require_equal(
            {**state["fingerprint"], **saved}, {**self.fingerprint(), **here}, path
        )
        self.model.trainable.load_state_dict(state["state_dict"])
        self.tested_epoch = state["epoch"]

    def _copy_best(self, directory: str) -> None:
        """A run that goes on in another folder takes the best model so far with it."""
        source = os.path.join(directory, "splip", checkpoints.BEST)
        target = os.path.join(self.output_dir, "splip", checkpoints.BEST)
        if os.path.isfile(source) and os.path.abspath(source) != os.path.abspath(target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(source, target)
