"""In which precision a run computes."""

from __future__ import annotations

import time
import warnings
from typing import Any

import torch

PRECISIONS = ("fp32", "bf16", "fp16", "auto")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def precision(cfg: Any, device: torch.device) -> str:
    """``fp32``, ``bf16`` or ``fp16``, as TRAINER.PREC says, for a run on ``device``.

    ``auto`` is bf16 where a matrix product is faster in it, by a timed product on the CPU, else fp32.

    Raises:
        ValueError: the key is missing or has another value, or fp16 is asked for on a CPU.
    """
    if "PREC" not in cfg.TRAINER:
        raise ValueError(
            "cfg.TRAINER.PREC is missing: call splip.extend_cfg(cfg) before files are merged, and not Dassl's "
            "clean_cfg, "
            "which removes it"
        )
    asked = cfg.TRAINER.PREC
    if asked not in PRECISIONS:
        raise ValueError(f"TRAINER.PREC must be one of {PRECISIONS}, got {asked!r}")
    if device.type == "cuda":
        return ("bf16" if torch.cuda.is_bf16_supported() else "fp32") if asked == "auto" else asked
    if asked == "fp16":
        raise ValueError("TRAINER.PREC fp16 needs a CUDA device: use fp32, bf16 or auto on the CPU")
    if asked in ("bf16", "auto"):
        slowdown = bf16_slowdown()
        if asked == "auto":
            return "bf16" if slowdown < 0.8 else "fp32"
        if slowdown > 1.5:
            warnings.warn(
                f"TRAINER.PREC bf16: this CPU multiplies matrices {slowdown:.0f} times as slowly in bf16 as in fp32. "
                "Use fp32",
                stacklevel=2,
            )
    return asked


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which models compute."""
    dtype = DTYPES.get(precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def bf16_slowdown(size: int = 512, rounds: int = 12) -> float:
    """Seconds of a matrix product in bf16 on this CPU, as a multiple of those in fp32.

    The two take turns, and each one's best of all rounds but the first counts: what else runs on the machine is to
    decide as little as can be.
    """
    squares = {dtype: torch.ones(size, size, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)}
    best = dict.fromkeys(squares, float("inf"))
    for done in range(rounds):
        for dtype, a in squares.items():
            began = time.perf_counter()
            torch.mm(a, a)
            if done > 0:  # the first sets things up
                best[dtype] = min(best[dtype], time.perf_counter() - began)
    return best[torch.bfloat16] / best[torch.float32]


def grad_scaler(enabled: bool) -> Any:
    """fp16's scaler of gradients; switched off, it does nothing."""
    if hasattr(torch.amp, "GradScaler"):  # torch 2.3 and newer
        return torch.amp.GradScaler("cuda", enabled=enabled)
    return torch.cuda.amp.GradScaler(enabled=enabled)
