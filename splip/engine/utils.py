"""Seeds, averages, the log file, and a line on the software in use."""

from __future__ import annotations

import os
import platform
import random
import sys
import time
from typing import Dict

import numpy as np
import torch


def set_random_seed(seed: int) -> None:
    """Seed Python, NumPy and torch (CPU and CUDA)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)


class AverageMeter:
    """Latest value and mean of a series."""

    def __init__(self) -> None:
        self.val = self.avg = self.sum = 0.0
        self.count = 0

    def update(self, value: float, n: int = 1) -> None:
        self.val = float(value)
        self.sum += self.val * n
        self.count += n
        self.avg = self.sum / self.count


class MetricMeter:
    """An `AverageMeter` for each name; prints as "name latest (mean)"."""

    def __init__(self, delimiter: str = " ") -> None:
        self.meters: Dict[str, AverageMeter] = {}
        self.delimiter = delimiter

    def update(self, values: Dict[str, float]) -> None:
        for name, value in values.items():
            self.meters.setdefault(name, AverageMeter()).update(value)

    def __str__(self) -> str:
        return self.delimiter.join(f"{name} {meter.val:.4f} ({meter.avg:.4f})" for name, meter in self.meters.items())


class Tee:
    """A text stream that also appends to a file; closing it leaves the stream open."""

    def __init__(self, stream, path: str) -> None:
        self.stream = stream
        self.file = open(path, "a", encoding="utf-8", buffering=1)  # by line: a killed run keeps its log

    def write(self, text: str) -> int:
        self.file.write(text)
        return self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()
        self.file.flush()

    def close(self) -> None:
        self.file.close()

    def __getattr__(self, name):  # isatty, encoding, fileno, ...
        return getattr(self.stream, name)


def setup_logger(output: str = "") -> None:
    """Copy standard output to `output`/log.txt from now on; an older log is kept under its date.

    A second call moves the copy to the new place. An empty `output` does nothing.
    """
    if not output:
        return
    path = output if output.endswith((".txt", ".log")) else os.path.join(output, "log.txt")
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    if os.path.exists(path):
        path += time.strftime("-%Y-%m-%d-%H-%M-%S")
    if isinstance(sys.stdout, Tee):
        sys.stdout.close()
        sys.stdout = sys.stdout.stream
    sys.stdout = Tee(sys.stdout, path)


def collect_env_info() -> str:
    """One line: Python, system, torch, threads, GPU."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return (
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, GPU: {gpu}"
    )
