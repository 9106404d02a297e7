"""The files of a run besides checkpoints: results.json, history.json, a curve and a contact sheet."""

from __future__ import annotations

import json
import os
import platform
import random
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
import torchvision
from torch import Tensor

import splip
from splip.common import distributed
from splip.data.base import SBIRDataset, SBIRDatum
from splip.engine import ENGINE
from splip.models import checkpoints
from splip.retrieval import (
    accuracy_of,
    contact_sheet,
    instance_ranks,
    mean_over_queries,
    per_query_metrics,
    topk,
    training_curve,
)
from splip.training import per_query

Items = Sequence[SBIRDatum]
Metrics = Dict[str, Dict[str, float]]  # by convention or gallery, then by name; percent


class Score(NamedTuple):
    """The scores of one ranking."""

    metrics: Metrics
    headline: Tuple[str, str]  # (group, column) of the main metric
    per_query: Dict[str, np.ndarray]  # by column of per_query.npz, (Q,)


def score(
    query: Tensor,
    gallery: Tensor,
    query_items: Items,
    gallery_items: Items,
    setting: str,
    device: Optional[torch.device] = None,
) -> Score:
    """Metrics of one ranking, over all queries and of each.

    Each process ranks its share of the queries; fine-grained, where galleries are small, it ranks all.

    Args:
        query, gallery: embeddings (Q, d) and (G, d) of the items.
        setting: of the data set; it decides which answers are right.
        device: to rank on; the result is bit-equal on all. None = the embeddings' device.
    """
    query_labels = [item.label for item in query_items]
    gallery_labels = [item.label for item in gallery_items]
    if setting == "fg":
        asked, answers = ([f"{i.classname}/{i.instance}" for i in items] for items in (query_items, gallery_items))
        values: Any = instance_ranks(query, gallery, asked, answers, query_labels, gallery_labels, device=device)
        metrics, headline = accuracy_of(values), ("category", "Acc@1")
    else:
        own, own_labels = distributed.shard(query), distributed.shard(query_labels)
        values = {
            convention: {name: distributed.gather(value, len(query)) for name, value in named.items()}
            for convention, named in per_query_metrics(own, gallery, own_labels, gallery_labels, device=device).items()
        }
        metrics, headline = mean_over_queries(values), ("min_r_k", "mAP@all")
    percent = {group: {name: 100.0 * value for name, value in named.items()} for group, named in metrics.items()}
    return Score(percent, headline, per_query.columns_of(values, setting))


def table(metrics: Dict[str, Dict[str, float]]) -> str:
    """The metrics as aligned text, a line for each group."""
    columns = list(next(iter(metrics.values())))
    lines = [" " * 10 + "".join(f"{column:>10}" for column in columns)]
    lines += [
        f"{group:<10}" + "".join(f"{named[column]:>10.2f}" for column in columns) for group, named in metrics.items()
    ]
    return "\n".join(lines)


def versions() -> Dict[str, str]:
    """The versions of all software that can change a result."""
    return {
        "splip": splip.__version__,
        "engine": ENGINE,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
    }


def write_json(path: str, content: Any) -> None:
    checkpoints.write_text(path, json.dumps(content, indent=2) + "\n")


def draw_curve(
    history: List[Dict[str, float]], path: str, title: str, fine_grained: bool, weights: Mapping[str, float] = {}
) -> None:
    """Loss, its terms and what validation found, by epoch.

    Args:
        weights: the weights of terms in the loss, if not 1; their titles show them.
    """
    entries = [{key: value for key, value in epoch.items() if key not in ("lr", "seconds")} for epoch in history]
    names = {term: f"{term} (x {weight:g} in the loss)" for term, weight in weights.items() if weight != 1}
    training_curve(entries, path, title, names, "Acc@1" if fine_grained else "mAP@all")


LEFT = {  # the files of a run, in the order in which a user reads them
    "results.json": "all numbers and settings", "retrieval.png": "queries and what they find",
    "training_curve.png": "losses by epoch", "history.json": "the same as numbers",
    "per_query.npz": "what each query scores", "log.txt": "what was printed",
    "splip": "checkpoints", "tensorboard": "for TensorBoard", "config.yaml": "the settings",
}  # fmt: skip


def describe_files(folder: str) -> str:
    """The files in a run's folder, each with its description."""
    there = {name: what for name, what in LEFT.items() if os.path.exists(os.path.join(folder, name))}
    return "; ".join(f"{name} ({what})" for name, what in there.items())


def draw_sheet(
    dataset: SBIRDataset, query: Tensor, gallery: Tensor, folder: str, heading: str, queries: int = 12, hits: int = 10
) -> None:
    """Test queries of different classes and the nearest `hits` photos of each, as retrieval.png and retrieval.json.

    The queries depend on the data set alone, so the sheets of several runs can be compared. The JSON
    file holds positions in `dataset.test_queries` and `dataset.test_gallery`: {"queries": (n,), "hits": (n, k)}.

    Args:
        query, gallery: embeddings of the whole test set.
    """
    order = list(range(len(query)))
    random.Random(0).shuffle(order)
    one_of_each: Dict[int, int] = {}
    for position in order:
        one_of_each.setdefault(dataset.test_queries[position].label, position)
    chosen = list(one_of_each.values())[:queries]
    _, nearest = topk(query[chosen], gallery, min(hits, len(gallery)))
    write_json(os.path.join(folder, "retrieval.json"), {"queries": chosen, "hits": nearest.tolist()})
    rows = [sheet_row(dataset, position, found) for position, found in zip(chosen, nearest.tolist())]
    contact_sheet(rows, os.path.join(folder, "retrieval.png"), heading=heading)


def sheet_row(dataset: SBIRDataset, position: int, found: Sequence[int]) -> tuple:
    """(query picture, [(photo, right or wrong, caption), ...], title) of one test query, for `contact_sheet`.

    Args:
        position: of the query in `dataset.test_queries`.
        found: positions in `dataset.test_gallery`, best first.
    """
    asked, hits = dataset.test_queries[position], []
    for hit in (dataset.test_gallery[index] for index in found):
        right = hit.label == asked.label
        if dataset.setting == "fg":
            right = right and hit.instance == asked.instance
        hits.append((dataset.load_image(hit), right, _caption(hit)))
    return dataset.load_image(asked), hits, _caption(asked)


def _caption(item: SBIRDatum) -> str:
    return (item.instance or item.classname).replace("_", " ")
