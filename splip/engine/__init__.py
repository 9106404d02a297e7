"""The engine of the trainers: Dassl if it is installed, else the built-in one, with the same names.

This is the only module that imports Dassl. Registries, config, data and trainer base classes and optimisers
come from the engine. Learning-rate schedules, seeds and the log file are ours with both: Dassl's warm-up fails
since torch 2.7, and closing its logger closes standard output, too.

The environment variable SPLIP_ENGINE (`dassl` or `builtin`) forces one; `ENGINE` says which is in use.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING

from splip.engine.schedule import build_lr_scheduler
from splip.engine.utils import (
    AverageMeter,
    MetricMeter,
    collect_env_info,
    set_random_seed,
    setup_logger,
)

__all__ = [
    "DATASET_REGISTRY",
    "ENGINE",
    "TRAINER_REGISTRY",
    "AverageMeter",
    "DatasetBase",
    "Datum",
    "MetricMeter",
    "SimpleTrainer",
    "TrainerX",
    "build_dataset",
    "build_lr_scheduler",
    "build_optimizer",
    "build_trainer",
    "collect_env_info",
    "get_cfg_default",
    "set_random_seed",
    "setup_logger",
]

ENGINES = ("dassl", "builtin")


def _import_dassl() -> str:
    """Import Dassl without its side effect on logging -> its version."""
    # Its data sets call logging.disable(WARNING) at import, which would mute the whole process. If a host
    # imported it before us, the old level is unknown: then nothing is disabled, which is Python's default.
    level = logging.NOTSET if "dassl.data" in sys.modules else logging.root.manager.disable
    try:
        importlib.import_module("dassl.engine")
    finally:
        if logging.root.manager.disable == logging.WARNING:
            logging.disable(level)
    return importlib.import_module("dassl").__version__


def _choose_engine() -> str:
    forced = os.environ.get("SPLIP_ENGINE", "")
    if forced and forced not in ENGINES:
        raise ValueError(f"SPLIP_ENGINE must be one of {ENGINES}, got {forced!r}")
    if forced == "builtin" or not (forced or importlib.util.find_spec("dassl")):
        return "builtin"
    try:
        return f"dassl {_import_dassl()}"
    except ImportError as error:
        if forced:
            raise
        warnings.warn(f"Dassl is installed but cannot be imported ({error}): using the built-in engine", stacklevel=2)
        return "builtin"


ENGINE = _choose_engine()

if TYPE_CHECKING or ENGINE == "builtin":  # both engines have the same names
    from splip.engine.config import get_cfg_default
    from splip.engine.data import DatasetBase, Datum
    from splip.engine.optim import build_optimizer
    from splip.engine.registry import (
        DATASET_REGISTRY,
        TRAINER_REGISTRY,
        build_dataset,
        build_trainer,
    )
    from splip.engine.trainer import SimpleTrainer, TrainerX
else:
    from dassl.config import get_cfg_default
    from dassl.data.datasets import DATASET_REGISTRY, DatasetBase, Datum, build_dataset
    from dassl.engine import TRAINER_REGISTRY, SimpleTrainer, TrainerX, build_trainer
    from dassl.optim import build_optimizer
