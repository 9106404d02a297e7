"""The precision in which a run computes."""

from __future__ import annotations

import json
import os
import platform
import warnings
from typing import Any

import torch

from splip.models import checkpoints

PRECISIONS = ("fp32", "bf16", "fp16", "auto")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def precision(cfg: Any, device: torch.device) -> str:
    """``fp32``, ``bf16`` or ``fp16``, as TRAINER.PREC says, for a run on ``device``.

    ``auto`` is the precision of the run in RESUME or OUTPUT_DIR, if there is one; else bf16 if the device has units for
    it, else fp32. Nothing is timed: the same command gives the same precision.

    Raises:
        ValueError: the key is missing or has another value, fp16 is asked for on a CPU, or the run's checkpoint is
            damaged.
    """
    if "PREC" not in cfg.TRAINER:
        raise ValueError(
            "cfg.TRAINER.PREC is missing: call splip.extend_cfg(cfg) before files are merged, and not Dassl's "
            "clean_cfg, "
            "which removes it"
        )
    asked, on_gpu = cfg.TRAINER.PREC, device.type == "cuda"
    if asked not in PRECISIONS:
        raise ValueError(f"TRAINER.PREC must be one of {PRECISIONS}, got {asked!r}")
    # A GPU without units computes bf16 by emulation, slowly.
    has_units = torch.cuda.is_bf16_supported(including_emulation=False) if on_gpu else has_bf16_units()
    if asked == "auto":
        asked = precision_of_run(cfg.RESUME or cfg.OUTPUT_DIR) or ("bf16" if has_units else "fp32")
    if asked == "fp16" and not on_gpu:
        raise ValueError("TRAINER.PREC fp16 needs a CUDA device: use fp32, bf16 or auto on the CPU")
    if asked == "bf16" and not has_units:
        warnings.warn(
            "TRAINER.PREC bf16: this processor has no units for bf16 (AVX512_BF16, AMX, ARM's BF16; a GPU from Ampere "
            "on), and can take many times as long as in fp32. Use fp32 or auto",
            stacklevel=2,
        )
    return asked


def precision_of_run(folder: str) -> str:
    """The precision in which the run in ``folder`` computes, from its results or its newest checkpoint; "" if there is
    neither.

    Raises:
        ValueError: the checkpoint is damaged.
    """
    try:
        with open(os.path.join(folder, "results.json"), encoding="utf-8") as file:
            return json.load(file)["precision"]
    except (OSError, ValueError, KeyError, TypeError):  # no results, or damaged ones, which will be written again
        path = checkpoints.newest(os.path.join(folder, "splip"))
        return checkpoints.read(path)["run"]["TRAINER.PREC"] if path else ""


def has_bf16_units() -> bool:
    """Whether the processor has units for products of bf16 matrices and torch uses them: AVX512_BF16 or AMX; on ARM
    (Graviton 3 and newer, Grace) BF16 if torch has oneDNN, which its builds for macOS lack.
    """
    if platform.machine().lower() in ("aarch64", "arm64"):
        return mkldnn_has_bf16()
    found = (getattr(torch.cpu, f"_is_{name}_supported", bool) for name in ("avx512_bf16", "amx_tile"))
    return any(supported() for supported in found)


def mkldnn_has_bf16() -> bool:
    """Whether torch says that oneDNN supports bf16; on x86 this is also True for AVX512 without bf16 units."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which models compute."""
    dtype = DTYPES.get(precision)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)


def grad_scaler(enabled: bool) -> Any:
    """The gradient scaler for fp16; if it is not enabled, it does nothing."""
    if hasattr(torch.amp, "GradScaler"):  # torch 2.3 and newer
        return torch.amp.GradScaler("cuda", enabled=enabled)
    return torch.cuda.amp.GradScaler(enabled=enabled)
