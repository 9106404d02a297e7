"""This machine's resources for reading images: cores for workers, shared memory for batches, memory for images."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import List, Mapping, Tuple

SHARED = "/dev/shm"  # where workers write their batches (Linux)
MOST_WORKERS = 16
AHEAD = 2  # batches that a worker prepares in advance: torch's prefetch_factor


def usable_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes_here() -> int:
    """Number of torchrun processes on this machine, which share its resources."""
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def choose_workers(asked: int, on_gpu: bool) -> int:
    """The number of worker processes for DATALOADER.NUM_WORKERS.

    Args:
        asked: the setting; -1 = automatic. With a GPU the cores are free: this process's share minus one, at most 16.
            If the CPU trains, it needs the cores (docs/PERFORMANCE.md): 1 worker.
        on_gpu: whether the model computes on a GPU.
    """
    if asked >= 0:
        return asked
    share = usable_cores() // processes_here()
    return min(MOST_WORKERS, max(1, share - 1)) if on_gpu else 1


def fit_shared_memory(workers: int, batch_bytes: int, folder: str = SHARED) -> Tuple[int, int]:
    """(workers, batches that each prepares in advance) whose batches fit into half of the free shared memory.

    The system kills a worker whose batch does not fit ("Bus error"), for example in containers with Docker's 64 MB.

    Args:
        workers: the wanted number, with two batches in advance each. Any reduction is printed.
    """
    if not workers or not os.path.isdir(folder):
        return workers, AHEAD
    free = shutil.disk_usage(folder).free
    room = free // 2 // processes_here() // max(1, batch_bytes)  # batches
    if workers * AHEAD <= room:
        return workers, AHEAD
    fewer = min(workers, room), 1
    print(
        f"Data loader: {fewer[0]} workers with 1 batch ahead instead of {workers} with {AHEAD}: batches of "
        f"{batch_bytes / 1e6:,.0f} MB must fit into half of the {free / 1e9:.2f} GB free in {folder} "
        "(Docker: --shm-size 8g)"
    )
    return fewer


def free_memory() -> int:
    """Bytes that this process may still allocate, from the limits of the machine and the container."""
    found: List[int] = []
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        lines = meminfo.read_text().splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        if Path(limit).is_file() and Path(limit).read_text().strip().isdigit():
            cached = 0  # cached files count as used, but the system can free them
            stat = Path(used).with_name("memory.stat")
            if stat.is_file():
                words = dict(line.split(maxsplit=1) for line in stat.read_text().splitlines() if " " in line)
                cached = sum(int(words.get(name, 0)) for name in ("inactive_file", "active_file"))
            found.append(int(Path(limit).read_text()) - int(Path(used).read_text()) + cached)
    return max(0, min(found)) if found else 2**62


def require_memory(counts: Mapping[str, int], item_bytes: int, key: str, on_disk: str) -> None:
    """Stop with an error, before the system kills the process, if arrays do not fit into memory.

    Args:
        counts: {kind of array: number}; each process on this machine has its own arrays.
        item_bytes: size of one array.
        key: the setting that asked for them. on_disk: the setting that keeps them in a folder instead.

    Raises:
        ValueError: they need more memory than is free; the message says how much.
    """
    need, free = sum(counts.values()) * item_bytes * processes_here(), free_memory()
    if need > free:
        what = " and ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        raise ValueError(
            f"{key}: {what} need {need / 1e9:.1f} GB of memory, of which {free / 1e9:.1f} GB are free. {on_disk} "
            "FOLDER keeps them on disk (memory-mapped, shared by processes and runs)"
        )
