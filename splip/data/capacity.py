"""What this machine has for reading images: cores for workers, shared memory for batches, memory to keep images."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import List, Mapping, Tuple

SHARED = "/dev/shm"  # where workers leave their batches (Linux)
MOST_WORKERS = 16
AHEAD = 2  # batches that a worker has under way: torch's prefetch_factor


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processes_here() -> int:
    """torchrun's processes on this machine, which share what it has."""
    return max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def choose_workers(asked: int, on_gpu: bool) -> int:
    """DATALOADER.NUM_WORKERS as a number of processes.

    Args:
        asked: it; -1 = from the machine. A GPU leaves the cores free: all of this process's share but one, at most 16.
            Where the CPU trains, cores are short (docs/PERFORMANCE.md): 1.
        on_gpu: whether there the model computes.
    """
    if asked >= 0:
        return asked
    share = usable_cores() // processes_here()
    return min(MOST_WORKERS, max(1, share - 1)) if on_gpu else 1


def fit_shared_memory(workers: int, batch_bytes: int, folder: str = SHARED) -> Tuple[int, int]:
    """(workers, batches ahead of each) whose batches fit into half of the shared memory that is free.

    A worker whose batch does not fit is killed by the system ("Bus error"), as in containers with Docker's 64 MB.

    Args:
        workers: that are wanted, with two batches ahead each. What is taken back is printed.
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
    """Bytes that this process may still take, as far as the system says: the machine's and its container's limit."""
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
            cached = 0  # files in memory count as used, and give way
            stat = Path(used).with_name("memory.stat")
            if stat.is_file():
                words = dict(line.split(maxsplit=1) for line in stat.read_text().splitlines() if " " in line)
                cached = sum(int(words.get(name, 0)) for name in ("inactive_file", "active_file"))
            found.append(int(Path(limit).read_text()) - int(Path(used).read_text()) + cached)
    return max(0, min(found)) if found else 2**62


def require_memory(counts: Mapping[str, int], item_bytes: int, key: str, on_disk: str) -> None:
    """Stop before the system does where arrays do not fit into memory.

    Args:
        counts: of the arrays, by what they are; each process of this machine has its own.
        item_bytes: of one.
        key: the setting that asked for them. on_disk: the one that keeps them in a folder instead.

    Raises:
        ValueError: they need more than there is; it says how much.
    """
    need, free = sum(counts.values()) * item_bytes * processes_here(), free_memory()
    if need > free:
        what = " and ".join(f"{count:,} {name}" for name, count in counts.items() if count)
        raise ValueError(
            f"{key}: {what} need {need / 1e9:.1f} GB of memory, of which {free / 1e9:.1f} GB are free. {on_disk} "
            "FOLDER keeps them on disk (memory-mapped, shared by processes and runs)"
        )
