"""Learning-rate schedules by epoch or by step, with warm-up.

Used with both engines: Dassl's own warm-up passes an argument that torch 2.7 removed. The config keys are Dassl's and
have the same meaning, with one exception: a cosine ends near 0 with any warm-up. Dassl's, with its default
WARMUP_RECOUNT True, is as long as the run but starts after the warm-up, so its last part is cut off.
"""

from __future__ import annotations

import math
from typing import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

SCHEDULERS = ("single_step", "multi_step", "cosine")
WARMUPS = ("linear", "constant")


def build_lr_scheduler(optimizer: Optimizer, optim_cfg, batches: int = 1) -> LambdaLR:
    """A scheduler to step once an epoch, or with BY_STEP once a step; rates follow `optim_cfg` (cfg.OPTIM).

    During the first WARMUP_EPOCH epochs the rate is WARMUP_CONS_LR (`constant`), or WARMUP_MIN_LR in
    epoch 0 and LR * epoch / WARMUP_EPOCH after it (`linear`). If a group's rate is a multiple of LR, these are
    multiplied, too. Then the schedule starts from the full rate: at its epoch 0, where a cosine is as long as the
    epochs left; or, without WARMUP_RECOUNT, at epoch WARMUP_EPOCH of a schedule that is as long as the run.

    With BY_STEP the schedule is read at fractions of epochs. A linear warm-up of n steps (WARMUP_STEPS, else those of
    WARMUP_EPOCH) gives step i, from 0, the rate LR * (i + 1) / n.

    Args:
        batches: steps in an epoch.

    Raises:
        ValueError: an unknown schedule or warm-up, a step size of the wrong kind, LR <= 0.
    """
    if optim_cfg.LR <= 0:
        raise ValueError(f"OPTIM.LR must be above 0, got {optim_cfg.LR}")
    by_step = getattr(optim_cfg, "BY_STEP", False)
    unit = batches if by_step else 1  # counts in an epoch
    warmup = (by_step and optim_cfg.WARMUP_STEPS) or max(optim_cfg.WARMUP_EPOCH, 0) * unit
    whole = optim_cfg.MAX_EPOCH * unit
    if warmup >= whole > 0:
        print(f"The warm-up has {warmup:,} {'steps' if by_step else 'epochs'}, the run {whole:,}: the rate only rises")
    left = max(whole - warmup, 1)
    decay = _decay(optim_cfg, left / unit if optim_cfg.WARMUP_RECOUNT else optim_cfg.MAX_EPOCH)
    if warmup and optim_cfg.WARMUP_TYPE not in WARMUPS:
        raise ValueError(f"OPTIM.WARMUP_TYPE must be one of {WARMUPS}, got {optim_cfg.WARMUP_TYPE!r}")

    def factor(done: int) -> float:
        if done < warmup:
            if optim_cfg.WARMUP_TYPE == "constant":
                return optim_cfg.WARMUP_CONS_LR / optim_cfg.LR
            if by_step:
                return (done + 1) / warmup
            return optim_cfg.WARMUP_MIN_LR / optim_cfg.LR if done == 0 else done / warmup
        if optim_cfg.WARMUP_RECOUNT or not warmup:
            return decay((done - warmup) / unit)
        start = decay(warmup / unit)
        return decay(done / unit) / start if start else 0.0

    return LambdaLR(optimizer, factor)


def _decay(optim_cfg, length: float) -> Callable[[float], float]:
    """The schedule's factor on the base rate after a number of epochs; a cosine reaches 0 after ``length`` of them."""
    name, steps, gamma = optim_cfg.LR_SCHEDULER, optim_cfg.STEPSIZE, optim_cfg.GAMMA
    if name == "cosine":
        return lambda epoch: (1 + math.cos(math.pi * epoch / length)) / 2
    if name == "single_step":
        step = steps[-1] if isinstance(steps, (list, tuple)) else steps
        if not isinstance(step, int):
            raise ValueError(f"OPTIM.STEPSIZE of single_step must be a whole number, got {step!r}")
        return lambda epoch: gamma ** (epoch // (step if step > 0 else optim_cfg.MAX_EPOCH))
    if name == "multi_step":
        if not isinstance(steps, (list, tuple)):
            raise ValueError(f"OPTIM.STEPSIZE of multi_step must be a list, got {steps!r}")
        return lambda epoch: gamma ** sum(epoch >= step for step in steps)
    raise ValueError(f"OPTIM.LR_SCHEDULER must be one of {SCHEDULERS}, got {name!r}")
