"""From the command to the answer: `splip search` that loads a model, and one that asks a running page.

    python benchmarks/cold_start.py [--runs 5]

Prints seconds on the clock and of the processor, the least of the runs (files are in memory after the first), and their
ratio. The photos are 60 pictures drawn here; a larger index changes neither way by much (benchmarks/index.py).
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Tuple

from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]


def timed(words: List[str]) -> Tuple[float, float]:
    """Seconds on the clock, and of the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "splip", *words], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    clock, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return clock, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        photos = Path(place, "photos")
        photos.mkdir()
        for number in range(60):
            image = Image.new("RGB", (320, 240), (4 * number, 255 - 4 * number, 128))
            ImageDraw.Draw(image).ellipse((40, 40, 60 + 3 * number, 200), outline="black", width=6)
            image.save(photos / f"{number}.jpg")
        image.save(f"{place}/drawing.png")
        kept = ["--index", f"{place}/index"]
        subprocess.run([sys.executable, "-m", "splip", "index", str(photos), *kept], cwd=ROOT, check=True)
        command = [sys.executable, "-u", "-m", "splip", "app", "--port", "0", *kept]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as page:
            address = page.stdout.readline().split()[0]
            ask = ["search", f"{place}/drawing.png", "-f"]
            best = {}
            for name, words in {"alone": [*ask, *kept], "--server": [*ask, "--server", address]}.items():
                timed(words)  # files into memory
                best[name] = [min(seconds) for seconds in zip(*(timed(words) for _ in range(args.runs)))]
                print(f"{name:9} {best[name][0]:.2f} s, processor {best[name][1]:.2f} s")
            ratio = [alone / asked for alone, asked in zip(best["alone"], best["--server"])]
            print(f"ratio {ratio[0]:.1f}, processor {ratio[1]:.1f}; load {os.getloadavg()[0]:.1f} on {os.cpu_count()}")
            page.terminate()


if __name__ == "__main__":
    main()
