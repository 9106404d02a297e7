"""Ranking and metrics at the size of the published benchmarks, compared with a lower bound and a loop over queries.

    python benchmarks/evaluation.py [--small] [--json FILE]

- Whole evaluations, from embeddings to all metrics in all conventions, each in a new process whose peak memory is
  measured: QuickDraw zs, Sketchy-2 gzs (all seen photos in the gallery) and Sketchy-2 fg.
- *product + sort*: a float32 matrix product and one torch.sort of each row (scores and indices, as a ranking needs);
  *product + keys*: the same with NumPy's sort of only the scores, in threads. Both reuse their memory. Both are
  measured on a part of the queries and scaled to all of them. Neither computes a metric.
- *loop*: distances of repeated pairs, an argsort of the full matrix and a Python loop over the interpolated precision
  of each query, like ZSE-SBIR's evaluation (our own code). *times as fast* assumes that argsort and loops are
  divided perfectly among as many processes as there are ``--threads``.

Embeddings are random points around one centre per class. With --device cuda (the default if there is a GPU), whole
evaluations are also timed on the GPU, and must give the same numbers as the CPU.
"""

from __future__ import annotations

import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from common import measure, parser, peak_memory, report
from counts import count
from torch import Tensor

from splip.retrieval import instance_accuracy, per_query_metrics, retrieval_metrics

DIM = 512
CHUNK = 200  # queries at a time in the lower bounds
# setting: queries, gallery, classes of the queries, classes of the gallery
SETTINGS = {
    "QuickDraw zs": (92_291, 54_151, 30, 30),
    "Sketchy-2 gzs": (12_694, 12_553 + 72_949, 21, 125),
    "Sketchy-2 fg": (12_694, 2_100, 21, 21),
}
SMALL = {"QuickDraw zs": (60, 90, 3, 3), "Sketchy-2 fg": (40, 30, 3, 3)}
LOOP = (1_000, 12_553, 21, 21)
LOOP_SMALL = (12, 60, 3, 3)


def embeddings(queries: int, gallery: int, query_classes: int, gallery_classes: int) -> Tuple[Tensor, ...]:
    """Query (Q, d), gallery (G, d), query labels (Q,), gallery labels (G,), from a fixed seed; classes in turn."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(gallery_classes, DIM, generator=generator)
    labels = [torch.arange(queries) % query_classes, torch.arange(gallery) % gallery_classes]
    points = [torch.randn(len(x), DIM, generator=generator).add_(centres[x], alpha=0.3) for x in labels]
    return (*points, *labels)


def evaluate(setting: str, sizes: Tuple[int, ...], device: str) -> Callable[[], Any]:
    """A function that runs one whole evaluation."""
    query, gallery, query_labels, gallery_labels = embeddings(*sizes)
    query, gallery = query.to(device), gallery.to(device)
    if not setting.endswith("fg"):
        return lambda: retrieval_metrics(query, gallery, query_labels, gallery_labels)
    # the sketches of a class are assigned to its photos in turn
    classes = sizes[2]
    own = query_labels + classes * (torch.arange(len(query)) // classes % (len(gallery) // classes))
    return lambda: instance_accuracy(query, gallery, own, torch.arange(len(gallery)), query_labels, gallery_labels)


def timed_evaluation(setting: str, sizes: Tuple[int, ...], file: str) -> None:
    """Run one whole evaluation and write its seconds to ``file``: the process returns only its memory."""
    run = evaluate(setting, sizes, "cpu")
    began = time.perf_counter()
    run()
    Path(file).write_text(json.dumps(time.perf_counter() - began))


def product_and_sort(query: Tensor, gallery: Tensor) -> Callable[[], None]:
    shape = (CHUNK, len(gallery))
    scores, values, order = torch.empty(shape), torch.empty(shape), torch.empty(shape, dtype=torch.int64)

    def run() -> None:
        for part in query.split(CHUNK):
            n = len(part)
            torch.mm(part, gallery.T, out=scores[:n])
            torch.sort(scores[:n], dim=1, descending=True, out=(values[:n], order[:n]))

    return run


def product_and_keys(query: Tensor, gallery: Tensor) -> Callable[[], None]:
    scores = torch.empty(CHUNK, len(gallery))

    def run() -> None:
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            for part in query.split(CHUNK):
                rows = torch.mm(part, gallery.T, out=scores[: len(part)]).numpy()
                list(pool.map(np.ndarray.sort, rows))

    return run


def whole_evaluations(small: bool, repeats: int, device: str) -> List[Dict[str, Any]]:
    rows = []
    for setting, sizes in (SMALL if small else SETTINGS).items():
        with tempfile.TemporaryDirectory() as folder:
            file = str(Path(folder) / "seconds.json")
            memory = peak_memory(timed_evaluation, setting, sizes, file)
            ours = json.loads(Path(file).read_text())
        query, gallery, *_ = embeddings(min(sizes[0], 3 * CHUNK), *sizes[1:])
        cases = {"sort": product_and_sort(query, gallery), "keys": product_and_keys(query, gallery)}
        scale = sizes[0] / len(query)
        floors = {name: scale * seconds for name, seconds in measure(cases, repeats).items()}
        gpu = {"seconds": None, "GiB": None, "launches": None, "waits": None, "as on the CPU": None}
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            there, here = evaluate(setting, sizes, "cuda"), evaluate(setting, sizes, "cpu")
            gpu = {
                "seconds": measure({"gpu": there}, 1)["gpu"],
                "GiB": torch.cuda.max_memory_allocated() / 2**30,
                **count(there, "cuda"),
                "as on the CPU": str(there() == here()),
            }
        rows.append({
            "setting": setting,
            "queries": sizes[0],
            "gallery": sizes[1],
            "evaluation s": ours,
            "peak MiB": memory,
            "product + sort s": floors["sort"],
            "ratio": ours / floors["sort"],
            "product + keys s": floors["keys"],
            "ratio to keys": ours / floors["keys"],
            **{f"GPU: {name}": value for name, value in gpu.items()},
        })  # fmt: skip
    return rows


# ------------------------------------------------------------------------- threads


def by_threads(small: bool, repeats: int) -> List[Dict[str, Any]]:
    """The first setting, on a part of its queries, with 1, 2, 4, ... threads; results must be equal to the bit."""
    most, sizes = torch.get_num_threads(), (SMALL if small else SETTINGS)["QuickDraw zs"]
    sets = embeddings(min(sizes[0], 5 * CHUNK), *sizes[1:])
    rows, expected = [], per_query_metrics(*sets)
    counts = sorted({2**i for i in range(most.bit_length()) if 2**i <= most} | {most})
    try:
        for count in counts:
            torch.set_num_threads(count)
            found = per_query_metrics(*sets)
            same = all(torch.equal(found[c][name], expected[c][name]) for c in found for name in found[c])
            seconds = measure({"ours": lambda: per_query_metrics(*sets)}, repeats)["ours"]
            rows.append({"threads": count, "ms a query": 1000 * seconds / len(sets[0]), "same bits": str(same)})
    finally:
        torch.set_num_threads(most)
    return rows


# ------------------------------------------------------------------------- a loop over queries


def pair_distances(query: Tensor, gallery: Tensor, block: int = 20) -> np.ndarray:
    """Euclidean distances (Q, G) of normalised embeddings, from repeated pairs, `block` x `block` at a time."""
    lines = []
    for q in query.split(block):
        line = []
        for g in gallery.split(block):
            left, right = q.repeat_interleave(len(g), dim=0), g.repeat(len(q), 1)
            line.append(F.pairwise_distance(F.normalize(left), F.normalize(right)).view(len(q), len(g)))
        lines.append(torch.cat(line, dim=1))
    return torch.cat(lines).numpy()


def product_distances(query: Tensor, gallery: Tensor) -> np.ndarray:
    """1 - cosine (Q, G) from one matrix product in the dtype of the embeddings."""
    return (1 - F.normalize(query) @ F.normalize(gallery).T).numpy()


def interpolated_ap(hits: np.ndarray, relevant: int) -> float:
    """VOC's average precision of one ranking (n,) of 0 and 1, element by element."""
    found = np.cumsum(hits)
    recall = np.concatenate([[0], found / max(relevant, 1), [1]])
    precision = np.concatenate([[0], found / np.arange(1, len(hits) + 1), [0]])
    for i in range(len(precision) - 1, 0, -1):
        precision[i - 1] = max(precision[i - 1], precision[i])
    steps = [i for i in range(1, len(recall)) if recall[i] != recall[i - 1]]
    return float(sum((recall[i] - recall[i - 1]) * precision[i] for i in steps))


def metrics_by_loop(distances: np.ndarray, query_labels: Tensor, gallery_labels: Tensor) -> Dict[str, float]:
    """mAP@all, mAP@200, P@100 and P@200 (`voc`): argsort of all distances, then one query after another."""
    same = query_labels.numpy()[:, None] == gallery_labels.numpy()
    order = distances.argsort(axis=1)
    rankings = [same[i, order[i]].astype(int) for i in range(len(order))]
    values = {"mAP@all": [], "mAP@200": [], "P@100": [], "P@200": []}
    for hits in rankings:
        relevant = hits.sum()
        values["mAP@all"].append(interpolated_ap(hits, relevant))
        values["mAP@200"].append(interpolated_ap(hits[:200], min(relevant, 200)))
        for k in (100, 200):
            values[f"P@{k}"].append(hits[: min(k, relevant)].mean())
    return {name: float(np.mean(column)) for name, column in values.items()}


def against_the_loop(small: bool, repeats: int) -> List[Dict[str, Any]]:
    query, gallery, *labels = embeddings(*(LOOP_SMALL if small else LOOP))
    ours = measure({"ours": lambda: retrieval_metrics(query, gallery, *labels)}, repeats)["ours"]
    found, rows = retrieval_metrics(query, gallery, *labels)["voc"], []
    for name, distances in (("pairs", pair_distances), ("matrix product", product_distances)):
        began = time.perf_counter()
        matrix = distances(query, gallery)
        middle = time.perf_counter()
        values = metrics_by_loop(matrix, *labels)
        loops = time.perf_counter() - middle
        shared = middle - began + loops / torch.get_num_threads()
        rows.append({
            "distances from": name,
            "distances s": middle - began,
            "argsort and loops s": loops,
            "evaluation s": ours,
            "times as fast": shared / ours,
            "than one process": (middle - began + loops) / ours,
            "largest difference": max(abs(values[column] - found[column]) for column in values),
        })  # fmt: skip
    return rows


def main(argv: Optional[Sequence[str]] = None) -> None:
    arguments = parser(__doc__.split("\n")[0])
    args = arguments.parse_args(argv)
    torch.set_num_threads(args.threads)
    repeats = args.repeats or (1 if args.small else 3)
    tables = {
        "evaluation": ("Whole evaluations, all conventions", whole_evaluations(args.small, repeats, args.device)),
        "threads": ("One evaluation by threads", by_threads(args.small, repeats)),
        "loop": ("Against a loop over queries", against_the_loop(args.small, repeats)),
    }
    for name, (title, rows) in tables.items():
        report(rows, title, args.json and args.json.with_name(f"{args.json.stem}_{name}.json"))


if __name__ == "__main__":
    main()
