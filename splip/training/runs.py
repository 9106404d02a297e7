"""A run's folder as a model, for whatever uses what was trained: the trainer that made it is asked to make it again."""

from __future__ import annotations

import os
from typing import Any, Dict, NamedTuple, Type, Union

import torch

from splip.backbone import backbone_info, load_clip
from splip.data.transforms import Preprocessing, preprocess
from splip.engine import TRAINER_REGISTRY, get_cfg_default
from splip.models import pretrained
from splip.models.base import RetrievalModel
from splip.models.pretrained import load_weights
from splip.training import checkpoints
from splip.training.config import extend_cfg
from splip.training.trainer import SBIRTrainer


class Run(NamedTuple):
    """What a run has left."""

    model: RetrievalModel  # in eval()
    cfg: Any
    preprocessing: Preprocessing  # of its images


def read_config(folder: Union[str, os.PathLike]) -> Any:
    """The config that a run was made with, not frozen; keys that it was written without have their defaults.

    Raises:
        ValueError: there is no ``config.yaml``.
    """
    path = os.path.join(folder, "config.yaml")
    if not os.path.isfile(path):
        raise ValueError(f"{os.fspath(folder)!r} is no run's output folder: there is no {path}")
    cfg = get_cfg_default()
    extend_cfg(cfg)
    cfg.set_new_allowed(True)  # a run under Dassl, or in a host, has more keys than the built-in engine
    cfg.merge_from_file(path)
    cfg.set_new_allowed(False)
    return cfg


def trainer_class(name: str) -> Type[SBIRTrainer]:
    """The registered trainer of this name.

    Raises:
        ValueError: there is none, or one that cannot rebuild its runs.
    """
    names = TRAINER_REGISTRY.registered_names()
    if name not in names:
        raise ValueError(
            f"trainer {name!r} is not known here, only {', '.join(sorted(names))}: --import the module that has it"
        )
    found: Any = TRAINER_REGISTRY.get(name)
    if not issubclass(found, SBIRTrainer):
        raise ValueError(f"trainer {name!r} is a host's: splip evaluate --host tests it")
    return found


def take_settings(cfg: Any, trainer: Type[SBIRTrainer], fingerprint: Dict[str, Any], path: str) -> None:
    """Put what a checkpoint's method was configured with into ``cfg``, completed where it was written before a key
    was there.

    Raises:
        ValueError: it has settings that this version does not know.
    """
    if not trainer.node:
        return
    settings = trainer.complete_settings(fingerprint.get(f"TRAINER.{trainer.node}", {}))
    fresh = get_cfg_default()
    extend_cfg(fresh)
    checkpoints.require_known(settings, fresh.TRAINER[trainer.node], path)
    for key, value in settings.items():
        cfg.TRAINER[trainer.node][key] = value


def load_run(folder: Union[str, os.PathLike], device: str = "cpu", backbone: str = "") -> Run:
    """The model that ``train.py`` left in ``folder``; its data set is not needed.

    Args:
        backbone: where its backbone is now, if not where the config says.

    Raises:
        FileNotFoundError: there is no checkpoint. ValueError: there is no ``config.yaml``, its trainer is not
            registered, or the checkpoint is damaged, of a later version, or of another backbone.
    """
    cfg = read_config(folder)
    trainer = trainer_class(cfg.TRAINER.NAME)
    if not trainer.trains:
        clip = load_clip(backbone or cfg.MODEL.BACKBONE.NAME, device)
        preprocessing = Preprocessing.from_cfg(cfg, clip)
        return Run(trainer.build(cfg, clip, ["thing"], preprocessing).eval(), cfg, preprocessing)
    path = checkpoints.find(os.fspath(folder), best=cfg.TEST.FINAL_MODEL == "best_val")
    state = checkpoints.read(path, torch.device("cpu"))
    saved = state["fingerprint"]
    clip = load_clip(backbone or cfg.MODEL.BACKBONE.NAME, device)
    here, there = checkpoints.comparable(backbone_info(clip).fingerprint, saved["backbone"])
    checkpoints.require_equal({"backbone": there}, {"backbone": here}, path)
    take_settings(cfg, trainer, saved, path)
    preprocessing = Preprocessing.from_cfg(cfg, clip)
    model = trainer.build(cfg, clip, saved["classes"], preprocessing)
    load_weights(model, checkpoints.weights(state))
    return Run(model.eval(), cfg, preprocessing)


def load_saved(where: Union[str, os.PathLike], device: str = "cpu", backbone: str = "") -> Run:
    """The model that ``save_pretrained`` or ``push_to_hub`` has left, of any registered trainer.

    Args:
        where: its folder, or ``owner/name`` on the Hugging Face hub.
        backbone: where its backbone is now, if not where it was.

    Raises:
        ValueError: it is not there, of a later version, its trainer is not registered, or the backbone is another one.
    """
    saved = pretrained.read(where)
    recipe = saved.recipe
    trainer = trainer_class(recipe.trainer)
    cfg = get_cfg_default()
    extend_cfg(cfg)
    cfg.TRAINER.NAME, cfg.MODEL.BACKBONE.NAME = recipe.trainer, saved.backbone["name"]
    take_settings(cfg, trainer, {f"TRAINER.{trainer.node}": recipe.settings}, saved.where)
    clip = pretrained.load_backbone(saved, backbone, device)
    preprocessing = Preprocessing(**recipe.preprocessing) if recipe.preprocessing else preprocess(clip)
    model = trainer.build(cfg, clip, recipe.classes, preprocessing)
    pretrained.load_weights(model, saved.weights)
    return Run(model.eval(), cfg, preprocessing)
