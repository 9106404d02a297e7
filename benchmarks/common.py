"""Shared code of the benchmarks: interleaved medians, peak memory, a table on the screen and a JSON file.

Run a benchmark as ``python benchmarks/<name>.py`` on a machine that does nothing else; ``--small`` only tests that it
runs. Compare ratios within one run: seconds of different runs or machines are not comparable.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, TypeVar

import torch
from torch import nn

K = TypeVar("K")


def measure(cases: Dict[K, Callable[[], Any]], repeats: int, warm_up: bool = True) -> Dict[K, float]:
    """Median seconds of each case. The cases take turns, so that a slow period of the machine affects all of them.

    The time includes waiting for work on a GPU.

    Args:
        warm_up: run each case once before, without measuring it.

    Raises:
        ValueError: ``repeats`` is below 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    seconds: Dict[K, List[float]] = {name: [] for name in cases}
    for turn in range(0 if warm_up else 1, repeats + 1):
        for name, run in cases.items():
            began = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn > 0:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in seconds.items()}


def peak_memory(function: Callable[..., Any], *args: Any, device: str = "cpu") -> float:
    """Peak memory of a new process that runs ``function(*args)``, in MiB.

    Args:
        device: on the CPU, Python and torch are included (Linux only); on a GPU, only the GPU memory counts that torch
            has reserved.
        function: defined at a module's top level, since the new process imports it. The script that defines it must
            start its work under ``if __name__ == "__main__"``.
        args: picklable.

    Raises:
        BrokenProcessPool: the process was killed, usually because memory was too small.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_of, function, args, torch.get_num_threads(), device).result()


def _peak_of(function: Callable[..., Any], args: Sequence[Any], threads: int, device: str) -> float:
    torch.set_num_threads(threads)
    function(*args)
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 2**20
    # not ru_maxrss: that starts with the memory of the parent at the fork
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def parser(description: str) -> argparse.ArgumentParser:
    """The arguments that every benchmark takes: ``--small``, ``--device``, ``--repeats``, ``--threads``, ``--json``."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--small", action="store_true", help="tiny sizes: proves that it runs, measures nothing")
    here = "cuda" if torch.cuda.is_available() else "cpu"
    arguments.add_argument("--device", default=here, help="cpu or cuda (default: cuda where there is one)")
    arguments.add_argument("--repeats", type=int, default=0, help="measured rounds (default: as many as are useful)")
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    arguments.add_argument("--json", type=Path, help="also write the figures here")
    return arguments


def random_clip(small: bool = False, device: str = "cpu") -> nn.Module:
    """A CLIP of OpenAI's own class with random weights, float32: with ViT-B/32's sizes, or tiny ones."""
    from splip.backbone.layout import clip_package

    clip_package()  # makes clip work without an old setuptools
    from clip.model import CLIP

    torch.manual_seed(0)
    sizes = (32, 48, 2, 128, 16, 77, 49408, 64, 1, 2) if small else (512, 224, 12, 768, 32, 77, 49408, 512, 8, 12)
    return CLIP(*sizes).eval().to(device)


def machine() -> Dict[str, Any]:
    """The machine and the versions of the measurement."""
    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def report(rows: Sequence[Dict[str, Any]], title: str, file: Optional[Path] = None) -> None:
    """Print rows as a Markdown table, and write them with :func:`machine` to ``file`` as JSON.

    Args:
        rows: all with the same keys, which name the columns. Floats are shown with three digits, None as a dash.
    """
    print(f"\n{title}\n")
    table = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    numeric = [isinstance(value, (int, float)) for value in rows[0].values()]
    for number, line in enumerate(table):
        cells = (c.rjust(w) if n else c.ljust(w) for c, w, n in zip(line, widths, numeric))
        print("| " + " | ".join(cells) + " |")
        if number == 0:
            print("|" + "|".join("-" * (w + 1) + (":" if n else "-") for w, n in zip(widths, numeric)) + "|")
    print("\n" + ", ".join(f"{name} {value}" for name, value in machine().items() if value is not None))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"title": title, "machine": machine(), "rows": list(rows)}, indent=2) + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
