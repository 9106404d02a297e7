"""A run's folder: who writes it, and whether what lies there is this very run."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Mapping, Optional

from filelock import FileLock, Timeout

from splip.common import distributed
from splip.data.base import SBIRDataset
from splip.data.checking import check_images
from splip.engine import ENGINE
from splip.training import checkpoints
from splip.training.identity import data_digest, differences, settings_of, shown

LOCK = "running.lock"


class OwnFolder:
    """Mix-in for a trainer: its output folder belongs to one run and one process at a time."""

    cfg: Any
    dataset: SBIRDataset
    output_dir: str
    backbone: Dict[str, Any]
    node: str
    seed: int
    trains: bool
    _lock: Optional[FileLock] = None

    def identity(self) -> Dict[str, Any]:
        """What can change this run's result (:mod:`splip.training.identity`)."""
        import splip

        if not hasattr(self, "_data"):
            self._data = data_digest(self.dataset)
        found = {
            "settings": settings_of(self.cfg, self.node),
            "data": self._data,
            "backbone": getattr(self, "backbone", {}).get("weights", ""),
            "version": splip.__version__,
            "engine": ENGINE.split()[0],
            "precision": getattr(self, "precision", ""),
        }
        return {**found, "seed": self.seed} if self.trains else found  # what trains nothing has none

    def is_finished(self) -> bool:
        """Whether the output folder holds this run's results.

        Raises:
            ValueError: it holds another run's.
        """
        path = os.path.join(self.output_dir, "results.json")
        if not os.path.isfile(path):
            return False
        try:
            with open(path, encoding="utf-8") as file:
                before = _identity_in(json.load(file), self.node)
        except (ValueError, KeyError, TypeError) as error:
            print(f"{path} is damaged ({error}): it is made again")
            return False
        lines = differences(before, self.identity())
        if lines:
            raise ValueError(
                f"{self.output_dir} holds the results of another run ({shown(lines)}): give another --output-dir, or "
                "remove it"
            )
        return True

    def write_config(self) -> None:
        """For whatever reads a run later (`splip search`, ...), also after training inside a host."""
        if distributed.is_main():
            os.makedirs(self.output_dir, exist_ok=True)
            checkpoints.write_text(os.path.join(self.output_dir, "config.yaml"), self.cfg.dump())

    def check_images(self) -> None:
        """Look at every image that training or the test will read.

        Raises:
            ValueError: some cannot be read.
        """
        data = self.dataset
        if distributed.is_main():
            lists = data.train_x, data.test_queries, data.test_gallery, data.val_queries, data.val_gallery
            check_images(item.impath for items in lists for item in items)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While this holds no other run writes into the output folder.

        Raises:
            ValueError: one does.
        """
        if not distributed.is_main():
            yield
            return
        if self._lock is None:
            os.makedirs(self.output_dir, exist_ok=True)
            self._lock = FileLock(os.path.join(self.output_dir, LOCK), timeout=0)
        try:
            with self._lock:
                yield
        except Timeout as error:
            raise ValueError(f"another run is writing into {self.output_dir}") from error


def _identity_in(result: Mapping[str, Any], node: str) -> Dict[str, Any]:
    """The identity in a results.json; older ones have only their config."""
    found = dict(result.get("identity") or {"settings": {}, "seed": result["seed"]})
    found.setdefault("precision", result.get("precision", ""))
    found["settings"] = settings_of(result["config"], node)
    if not result.get("epoch"):
        found.pop("seed", None)
    return found
