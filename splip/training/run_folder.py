"""A run's folder: its lock, its files, and the check whether they are of this run."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Mapping, Optional, Sequence

from filelock import FileLock, Timeout

from splip.backbone import backbone_info
from splip.common import distributed
from splip.data.base import SBIRDataset
from splip.engine import ENGINE
from splip.models import checkpoints, pretrained
from splip.models.base import RetrievalModel
from splip.training import per_query, results
from splip.training.evaluator import Outcome
from splip.training.identity import data_digest, differences, settings_of, shown

LOCK = "running.lock"


class RunFolder:
    """The output folder of one run. Only one process writes into it at a time.

    Args:
        path: of the folder.
        cfg: the run's config.
        method: the settings of the run's model, by config key.
        dataset: that the run trains or tests on.
        clip: the backbone before training; None = it is not known.
        precision: in which the run computes.
        seed: of random draws; part of the identity if the run trains.
        trains: whether the run trains anything.
    """

    def __init__(
        self, path: str, cfg: Any, method: Mapping[str, Any], dataset: SBIRDataset, clip: Any = None,
        precision: str = "fp32", seed: int = 0, trains: bool = False,
    ) -> None:  # fmt: skip
        self.path, self.cfg, self.method, self.dataset = path, cfg, dict(method), dataset
        self.backbone = str(backbone_info(clip).fingerprint.get("weights", ""))
        self.precision, self.seed, self.trains = precision, seed, trains
        self._lock: Optional[FileLock] = None
        self._data = ""

    def file(self, name: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.path, name)

    @property
    def data(self) -> str:
        """A hash of the data set's images."""
        self._data = self._data or data_digest(self.dataset)
        return self._data

    def identity(self) -> Dict[str, Any]:
        """What can change this run's result (:mod:`splip.training.identity`)."""
        import splip

        found = {
            "settings": settings_of(self.cfg, self.method),
            "data": self.data,
            "backbone": self.backbone,
            "version": splip.__version__,
            "engine": ENGINE.split()[0],
            "precision": self.precision,
        }
        return {**found, "seed": self.seed} if self.trains else found

    def is_finished(self) -> bool:
        """Whether it holds this run's results; with TEST.SWAPPED, also the swapped ones.

        Raises:
            ValueError: it holds the results of another run.
        """
        path = self.file("results.json")
        if not os.path.isfile(path):
            return False
        try:
            with open(path, encoding="utf-8") as file:
                result: Mapping[str, Any] = json.load(file)
            before = {**result["identity"], "settings": settings_of(result["config"], result["method"])}
        except (ValueError, KeyError, TypeError) as error:
            print(f"{path} is damaged ({error}): it is made again")
            return False
        lines = differences(before, self.identity())
        if lines:
            raise ValueError(
                f"{self.path} holds the results of another run ({shown(lines)}): give another --output-dir, or "
                "remove it"
            )
        return not (self.cfg.TEST.SWAPPED and result.get("swapped") == "off")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Inside this context no other run writes into the folder.

        Raises:
            ValueError: another run is writing.
        """
        if not distributed.is_main():
            yield
            return
        if self._lock is None:
            os.makedirs(self.path, exist_ok=True)
            self._lock = FileLock(self.file(LOCK), timeout=0)
        try:
            with self._lock:
                yield
        except Timeout as error:
            raise ValueError(f"another run is writing into {self.path}") from error

    def write_start(self, model: Any, checkpoint: str = "") -> None:
        """Write the config, and `splip.json`, from which the model is loaded later.

        Args:
            model: of the run; a model of a host or another library gets no ``splip.json``.
            checkpoint: the one that it is tested with: ``last``, ``best`` or ``none``.
        """
        if distributed.is_main():
            os.makedirs(self.path, exist_ok=True)
            checkpoints.write_text(self.file("config.yaml"), self.cfg.dump())
            if checkpoint and isinstance(model, RetrievalModel):
                results.write_json(
                    self.file(pretrained.ABOUT), {**pretrained.describe(model), "checkpoint": checkpoint}
                )

    def write_results(
        self, outcome: Outcome, preprocessing: Any, epoch: int = 0, history: Sequence[Dict[str, float]] = ()
    ) -> None:
        """Process 0 writes a test's results.json, per_query.npz, retrieval.json and retrieval.png, and prints a table.

        Args:
            preprocessing: of the images. epoch: of the model. history: of its training.
        """
        if not distributed.is_main():
            return
        cfg, data = self.cfg, self.dataset
        name = cfg.TRAINER.NAME
        count = {"num_queries": len(outcome.query), "num_gallery": len(outcome.gallery)}
        with self.locked():
            where = f"{name}, {cfg.DATASET.NAME} ({data.setting})"
            heading = f"{where}: a query and the nearest of {len(outcome.gallery)} photos"
            results.draw_sheet(data, outcome.query, outcome.gallery, self.path, heading)
            per_query.write(self.path, data.test_queries, outcome.per_query)
            results.write_json(
                self.file("results.json"),
                {  # last: a folder that has it is of a finished run
                    "trainer": name,
                    "dataset": cfg.DATASET.NAME,
                    "setting": data.setting,
                    "split": data.split,
                    "gallery": data.gallery_name,
                    "backbone": cfg.MODEL.BACKBONE.NAME,
                    "seed": self.seed,
                    "epoch": epoch,
                    **count,
                    "num_test_classes": len({*data.tested, *(outcome.extra["seen_test_classes"] or ())}),  # or objects
                    "metrics": outcome.metrics,
                    "selection": "pseudo_unseen" if cfg.TEST.FINAL_MODEL == "best_val" else "last",
                    "precision": self.precision,
                    "preprocessing": preprocessing.describe(),
                    "method": self.method,
                    "versions": results.versions(),
                    "identity": {key: value for key, value in self.identity().items() if key != "settings"},
                    "config": cfg,
                    "seconds": {"train": sum(one["seconds"] for one in history), "test": outcome.seconds},
                    **outcome.extra,
                },
            )
        print(
            f"{name} on {cfg.DATASET.NAME} ({data.setting}, {count['num_queries']} queries, {count['num_gallery']} "
            f"photos, epoch {epoch}), percent:\n{results.table(outcome.metrics)}"
        )
        if outcome.extra.get("swapped") == "off":
            print("modality swapped: off (TEST.SWAPPED False)")
        elif "swapped" in outcome.extra:
            print(f"modality swapped, percent:\n{results.table(outcome.extra['swapped'])}")
        print(f"In {self.path}: {results.describe_files(self.path)}")
