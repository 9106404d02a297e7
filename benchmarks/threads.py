"""The cost of waiting threads that spin and of waiting threads that sleep, while other programs are busy.

    python benchmarks/threads.py [--small] [--repeats 3] [--load 0 2 4] [--json FILE]

Three tasks (indexing photos, querying an index, training steps on the embedded backbone), each in its own process
with torch's default number of threads, next to 0, 2 and 4 programs that only count. *Spinning*: GNU's OpenMP with its
defaults; *sleeping*: as `splip` and `train.py` set it (`splip/common/threads.py`). The two take turns; medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
from common import parser, report

from splip.common.threads import POLICIES, SLEEPING

BUSY = "while True: pass"


def indexing(small: bool, folder: Path) -> Tuple[float, str]:
    """Photos per second into an index."""
    from index import embed

    return float(embed("cpu", 16 if small else 128).split()[1]), "images/s"


def asking(small: bool, folder: Path) -> Tuple[float, str]:
    """Queries per second: a drawing is cleaned, embedded and compared with the index."""
    from PIL import Image, ImageDraw

    from splip import Index

    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    for i in range(8):
        Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(folder / "photos" / f"{i}.png")
    drawing = Image.new("RGB", (600, 500), "white")
    ImageDraw.Draw(drawing).ellipse((100, 80, 420, 400), outline="black", width=9)
    index = Index.open(folder / "index")
    index.add([folder / "photos"], quiet=True)
    return rate(lambda: index.search(drawing, 5), 2 if small else 40), "questions/s"


def training(small: bool, folder: Path) -> Tuple[float, str]:
    """Training steps per second of SpLIP on the embedded backbone, with batches of 16 noise images."""
    from train_step import make_batch

    from splip import SpLIP, SpLIPConfig, load_clip
    from splip.jigsaw import permutation_bank, shuffle

    config = SpLIPConfig()
    model = SpLIP(load_clip("splip-hybrid"), [f"thing {i}" for i in range(20)], config).train()
    optimizer = torch.optim.Adam(model.trainable.parameters(), lr=1e-4)
    batch = make_batch(model.clip, 16, 20, config.permutations)
    bank = permutation_bank(config.grid, config.permutations, seed=0)
    batch["shuffled"] = shuffle(batch["sketch"], bank[batch["permutation"]])

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        model(batch)[0].backward()
        optimizer.step()

    return rate(step, 2 if small else 10), "steps/s"


WORKS: Dict[str, Callable[[bool, Path], Tuple[float, str]]] = {
    "indexing": indexing, "asking": asking, "training": training,
}  # fmt: skip


def rate(run: Callable[[], object], times: int) -> float:
    run()
    began = time.perf_counter()
    for _ in range(times):
        run()
    return times / (time.perf_counter() - began)


def measured(work: str, sleeping: bool, args: argparse.Namespace) -> Tuple[float, str]:
    """The rate of a task in its own process."""
    env = {key: value for key, value in os.environ.items() if key not in POLICIES}
    env.update(SLEEPING if sleeping else {})
    words = [sys.executable, __file__, "--work", work, *(["--small"] if args.small else [])]
    done = subprocess.run(words, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{work}: {done.stderr[-2000:]}")
    value, unit = done.stdout.split()[-2:]
    return float(value), unit


def main(argv: Optional[Sequence[str]] = None) -> None:
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--load", type=int, nargs="+", default=[0, 2, 4], help="busy programs beside")
    arguments.add_argument("--work", choices=WORKS, help="run this one alone, as it stands, and print its rate")
    args = arguments.parse_args(argv)
    if args.work:
        with tempfile.TemporaryDirectory() as folder:
            print(*WORKS[args.work](args.small, Path(folder)))
        return
    rows: List[dict] = []
    for load in args.load:
        for work in WORKS:
            others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(load)]
            try:
                found: Dict[bool, List[float]] = {False: [], True: []}
                for turn in range(1 if args.small else args.repeats or 3):
                    for sleeping in (False, True) if turn % 2 == 0 else (True, False):
                        value, unit = measured(work, sleeping, args)
                        found[sleeping].append(value)
            finally:
                for other in others:
                    other.kill()
                    other.wait()
            spins, sleeps = (statistics.median(found[way]) for way in (False, True))
            rows.append({"work": f"{work}, {unit}", "busy programs beside": load, "spinning": spins,
                         "sleeping": sleeps, "sleeping / spinning": sleeps / spins})  # fmt: skip
            print(rows[-1], flush=True)
    report(rows, "Threads that spin and threads that sleep while they wait", args.json)


if __name__ == "__main__":
    main()
