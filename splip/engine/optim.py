"""Optimisers by name."""
from __future__ import annotations

from typing import Iterable, Union

import torch
from torch import nn

OPTIMIZERS = ("adam", "adamw", "sgd")


def build_optimizer(
    model: Union[nn.Module, Iterable], optim_cfg, param_groups=None
) -> torch.optim.Optimizer:
    """The optimiser that `optim_cfg` (cfg.OPTIM) names.

    Args:
        model: a module, or its parameters; not read where `param_groups` is given.
        param_groups: parameter groups in torch's form.

    Raises:
        ValueError: the name is unknown.
    """
    if optim_cfg.NAME not in OPTIMIZERS:
        raise ValueError(f"OPTIM.NAME must be one of {OPTIMIZERS}, got {optim_cfg.NAME!r}")
    if param_groups is None:
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
