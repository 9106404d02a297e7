"""The costs of an index: adding vectors, memory and query time, and the fraction of true neighbours that it finds.

    python benchmarks/index.py [--small] [--device cuda] [--engine faiss milvus] [--count 10000 100000 1000000]

The vectors have 512 numbers and form clusters, like photos: one centre per 100 vectors, in a random direction, and
noise with the same length as the centre. Queries are made like the vectors. Each engine and count runs in its own
process; memory is the increase in that process from before the first vector to after the queries. "Embedding" means
800 x 600 images (JPEG) with the model that ships with the package, on --device.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Optional, Sequence

import numpy as np
from common import parser

DIM, ASKED, CHUNK = 512, 100, 10_000


def make(count: int, rng: np.random.Generator, centres: np.ndarray) -> np.ndarray:
    """``count`` unit vectors around the centres."""
    vectors = centres[rng.integers(len(centres), size=count)]
    vectors = vectors + rng.standard_normal((count, DIM), dtype=np.float32) / DIM**0.5
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def resident() -> float:
    """Current memory of this process, in GB (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**30


def measure(engine: str, count: int, folder: str, answer) -> None:
    """Fill a store and query it; the row goes into ``answer``."""
    from splip.search.engines.store import LocalStore
    from splip.search.records import Entry, Known

    rng = np.random.default_rng(0)
    centres = rng.standard_normal((max(1, count // 100), DIM), dtype=np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    about = {"identity": "benchmark", "dim": DIM, "model": "benchmark"}
    if engine == "milvus":
        from splip.search.engines.milvus import MilvusStore

        store = MilvusStore(str(Path(folder, "photos.db")), about)
    else:
        store = LocalStore(Path(folder), about)
    questions = make(ASKED, np.random.default_rng(1), centres)
    best = np.full((ASKED, 10), -2, dtype=np.float32)
    wanted = np.full((ASKED, 10), -1)
    before, added = resident(), 0.0
    for start in range(0, count, CHUNK):
        vectors = make(min(CHUNK, count - start), rng, centres)
        scores = np.concatenate([best, questions @ vectors.T], axis=1)
        numbers = np.concatenate([wanted, np.tile(start + np.arange(len(vectors)), (ASKED, 1))], axis=1)
        order = np.argsort(-scores, axis=1)[:, :10]
        best, wanted = np.take_along_axis(scores, order, 1), np.take_along_axis(numbers, order, 1)
        entries = [
            Entry(f"/photos/{start + i:08}.jpg", Known(1, 1, (start + i).to_bytes(16, "big")), vector)
            for i, vector in enumerate(vectors)
        ]
        began = time.perf_counter()
        store.put(entries)
        added += time.perf_counter() - began
    began = time.perf_counter()
    said = store.finish()
    built = time.perf_counter() - began
    times, found = [], 0
    for question, numbers in zip(questions, wanted):
        began = time.perf_counter()
        hits = store.search(question[None], 10)[0]
        times.append(time.perf_counter() - began)
        found += len({int(Path(hit.path).stem) for hit in hits} & set(numbers.tolist()))
    answer.put(
        f"| {engine} | {count:,} | {count / added:,.0f} | {built:.1f} | {1000 * np.median(times):.1f} | "
        f"{1000 * np.percentile(times, 95):.1f} | {resident() - before:.2f} | {found / wanted.size:.3f} | {said} |"
    )
    store.close()


def embed(device: str, images: int) -> str:
    """Images per second into an index, with reading the files."""
    from PIL import Image

    from splip import Index

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(images):
            small = Image.fromarray(rng.integers(0, 256, (15, 20, 3), dtype=np.uint8))
            small.resize((800, 600)).save(Path(folder, f"{i}.jpg"), quality=90)
        index = Index.open(Path(folder, "index"), device=device)
        report = index.add([folder], quiet=True)
        index.close()
    return f"embedding: {report.added / report.seconds:.0f} images/s ({images} JPEGs of 800 x 600)"


def main(argv: Optional[Sequence[str]] = None) -> None:
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--engine", nargs="+", default=["faiss", "milvus"])
    arguments.add_argument("--count", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    args = arguments.parse_args(argv)
    print(embed(args.device, 16 if args.small else 256), flush=True)
    print("| engine | vectors | added/s | made ready, s | question, ms | 95 % of them, ms | memory, GB | recall@10 | |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|---|", flush=True)
    context = multiprocessing.get_context("spawn")
    for engine in args.engine:
        for count in [1_000] if args.small else args.count:
            with tempfile.TemporaryDirectory() as folder:
                answer = context.Queue()
                process = context.Process(target=measure, args=(engine, count, folder, answer))
                process.start()
                process.join()
                print(answer.get() if process.exitcode == 0 else f"| {engine} | {count:,} | failed |", flush=True)


if __name__ == "__main__":
    main()
