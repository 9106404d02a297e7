"""Optimisers by name."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Union

import torch
from torch import nn

OPTIMIZERS = ("adam", "adamw", "sgd")


def build_optimizer(model: Union[nn.Module, Iterable], optim_cfg, param_groups=None) -> torch.optim.Optimizer:
    """The optimiser that `optim_cfg` (cfg.OPTIM) names.

    Args:
        model: a module, or its parameters; not read if `param_groups` is given.
        param_groups: parameter groups in torch's form. Without them, STAGED_LR gives the module's children that
            NEW_LAYERS names the rate LR and the rest LR * BASE_LR_MULT, as in Dassl.

    Raises:
        ValueError: the name is unknown, or STAGED_LR names no children.
    """
    if optim_cfg.NAME not in OPTIMIZERS:
        raise ValueError(f"OPTIM.NAME must be one of {OPTIMIZERS}, got {optim_cfg.NAME!r}")
    if param_groups is None and optim_cfg.STAGED_LR:
        param_groups = _staged(model, optim_cfg)
    elif param_groups is None:
        param_groups = model.parameters() if isinstance(model, nn.Module) else model
    shared = {"lr": optim_cfg.LR, "weight_decay": optim_cfg.WEIGHT_DECAY}
    if optim_cfg.NAME == "sgd":
        return torch.optim.SGD(
            param_groups,
            momentum=optim_cfg.MOMENTUM,
            dampening=optim_cfg.SGD_DAMPNING,
            nesterov=optim_cfg.SGD_NESTEROV,
            **shared,
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optim_cfg.NAME]
    return kind(param_groups, betas=(optim_cfg.ADAM_BETA1, optim_cfg.ADAM_BETA2), **shared)


def _staged(model: Any, optim_cfg) -> list:
    new = list(optim_cfg.NEW_LAYERS)
    missing = set(new) - set(dict(model.named_children()))
    if not new or missing:
        raise ValueError(f"OPTIM.NEW_LAYERS must name children of the model with STAGED_LR, got {new}")
    stages: Dict[bool, list] = {True: [], False: []}
    for name, child in model.named_children():
        stages[name in new].extend(child.parameters())
    return [
        {"params": stages[False], "lr": optim_cfg.LR * optim_cfg.BASE_LR_MULT},
        {"params": stages[True], "lr": optim_cfg.LR},
    ]
