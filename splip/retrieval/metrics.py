"""Category-level and fine-grained retrieval metrics. Every convention has a name: docs/METRICS.md."""

from __future__ import annotations

import logging
import math
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from .conventions import CONVENTIONS, Convention
from .inputs import (
    Labels,
    check_choice,
    check_cutoffs,
    check_embeddings,
    label_list,
    pick_device,
    shared_codes,
)
from .ranking import ABSENT, TIES, ExactScores, OwnColumns, relevant_ranks, tie_step

logger = logging.getLogger(__name__)
Device = Optional[Union[str, torch.device]]


def retrieval_metrics(
    query: Tensor,
    gallery: Tensor,
    query_labels: Labels,
    gallery_labels: Labels,
    cutoffs: Sequence[int] = (100, 200),
    conventions: Sequence[str] = tuple(CONVENTIONS),
    ties: str = "pessimistic",
    chunk_size: Optional[int] = None,
    device: Device = None,
) -> Dict[str, Dict[str, float]]:
    """Mean average precision and precision of a cosine ranking, under each convention.

    query: (Q, d), gallery: (G, d) float tensors of any float dtype, normalised or not.
    query_labels, gallery_labels: (Q,), (G,) integers or strings; an item is relevant to a query of
        the same label.
    cutoffs: the k of mAP@k and P@k. k may exceed G: then the ranking ends at G, and P@k is
        still divided by k ("voc": by min(k, R)).
    conventions: names from CONVENTIONS.
    ties: among items of equal score, "pessimistic" ranks irrelevant ones first, "optimistic"
        relevant ones. The order of the gallery never matters.
    chunk_size: queries ranked at a time; default from a memory bound. It never changes a result.
    device: where to rank; default the queries' own.

    Returns {convention: {"mAP@all", "mAP@100", "mAP@200", "P@100", "P@200"}}, fractions in [0, 1].
    A query without any relevant item scores 0 everywhere; the number of these is logged as a warning.
    Raises ValueError for shapes or lengths that do not fit, empty sets, NaN, infinite or all-zero
    embeddings, and unknown conventions.
    """
    scores = per_query_metrics(
        query, gallery, query_labels, gallery_labels, cutoffs, conventions, ties, chunk_size, device
    )
    return mean_over_queries(scores)


@torch.no_grad()
def per_query_metrics(
    query: Tensor, gallery: Tensor, query_labels: Labels, gallery_labels: Labels, cutoffs: Sequence[int] = (100, 200),
    conventions: Sequence[str] = tuple(CONVENTIONS), ties: str = "pessimistic", chunk_size: Optional[int] = None,
    device: Device = None,
) -> Dict[str, Dict[str, Tensor]]:  # fmt: skip
    """As `retrieval_metrics`, before the mean over queries: each value is a (Q,) float64 tensor.

    Used for tables by class, tests of significance, and queries that are split over processes.
    """
    query, gallery = check_embeddings(query, gallery)
    sizes = (len(query), len(gallery))
    codes = shared_codes(query_labels, gallery_labels, sizes, ("query_labels", "gallery_labels"))
    cutoffs = check_cutoffs(cutoffs)
    conventions = (conventions,) if isinstance(conventions, str) else tuple(conventions)
    for name in conventions:
        check_choice("convention", name, tuple(CONVENTIONS))
    check_choice("ties", ties, TIES)
    device = pick_device(device, query)

    columns = ["mAP@all", *(f"mAP@{k}" for k in cutoffs), *(f"P@{k}" for k in cutoffs)]
    out = {c: {name: torch.zeros(len(query), dtype=torch.float64) for name in columns} for c in conventions}
    without = 0
    for rows, ranks in relevant_ranks(query, gallery, *codes, ties, chunk_size, device):
        without += int((ranks[:, 0] == ABSENT).sum())
        for name in conventions:
            for column, values in _scores(ranks, CONVENTIONS[name], cutoffs).items():
                out[name][column][rows] = torch.from_numpy(values)
    if without:
        logger.warning("%d of %d queries have no relevant item in the gallery: they score 0", without, len(query))
    return out


def mean_over_queries(scores: Dict[str, Dict[str, Tensor]]) -> Dict[str, Dict[str, float]]:
    """Means of what `per_query_metrics` returns, correctly rounded: the order of the queries does not matter."""
    return {
        convention: {name: math.fsum(values.tolist()) / len(values) for name, values in named.items()}
        for convention, named in scores.items()
    }


def _scores(ranks: np.ndarray, convention: Convention, cutoffs: Tuple[int, ...]):
    """ranks: (C, R) as `relevant_ranks` yields them -> {column: (C,) float64}."""
    relevant = (ranks != ABSENT).sum(axis=1)  # R of each query
    scores = {"mAP@all": _average_precision(ranks, relevant, None, convention)}
    for k in cutoffs:
        scores[f"mAP@{k}"] = _average_precision(ranks, relevant, k, convention)
    for k in cutoffs:
        depth = np.full_like(relevant, k)
        if convention.p_depth == "min(k, R)":
            depth = np.minimum(relevant, k)
        hits = (ranks[:, :k] <= depth[:, None]).sum(axis=1)
        scores[f"P@{k}"] = hits / np.maximum(depth, 1)  # R = 0 scores 0
    return scores


def _average_precision(ranks, relevant, k, convention) -> np.ndarray:
    """AP@k of each row (k None: of the whole ranking), (C,)."""
    ranks = ranks[:, :k]  # the j-th relevant item has rank >= j: later ones are not hits
    hit = ranks < ABSENT if k is None else ranks <= k  # (C, R)
    order = np.arange(1, ranks.shape[1] + 1)
    precision = np.where(hit, order / ranks, 0.0)
    if convention.interpolated:
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    # A running sum adds from left to right, so trailing zeros do not change it, and so neither do a chunk's other rows.
    total = precision.cumsum(axis=1)[:, -1]
    divisor = hit.sum(axis=1)
    if convention.ap_divisor == "min(R, k)":
        divisor = relevant if k is None else np.minimum(relevant, k)
    return total / np.maximum(divisor, 1)  # no hit scores 0


def instance_accuracy(
    query: Tensor,
    gallery: Tensor,
    query_ids: Labels,
    gallery_ids: Labels,
    query_groups: Optional[Labels] = None,
    gallery_groups: Optional[Labels] = None,
    ks: Sequence[int] = (1, 5),
    ties: str = "pessimistic",
    chunk_size: Optional[int] = None,
    device: Device = None,
) -> Dict[str, Dict[str, float]]:
    """Fine-grained retrieval: the share of queries whose own instance is among the top k.

    Returns {"category": {"Acc@1", "Acc@5"}, "all": {...}} as fractions in [0, 1]; arguments and errors as for
    `instance_ranks`.
    """
    ks = check_cutoffs(ks, "ks")
    ranks = instance_ranks(
        query, gallery, query_ids, gallery_ids, query_groups, gallery_groups, ties, chunk_size, device
    )
    return accuracy_of(ranks, ks)


def accuracy_of(ranks: Dict[str, Tensor], ks: Sequence[int] = (1, 5)) -> Dict[str, Dict[str, float]]:
    """Shares of the ranks that `instance_ranks` returns which are at most k."""
    return {name: {f"Acc@{k}": int((rank <= k).sum()) / len(rank) for k in ks} for name, rank in ranks.items()}


@torch.no_grad()
def instance_ranks(
    query: Tensor, gallery: Tensor, query_ids: Labels, gallery_ids: Labels, query_groups: Optional[Labels] = None,
    gallery_groups: Optional[Labels] = None, ties: str = "pessimistic", chunk_size: Optional[int] = None,
    device: Device = None,
) -> Dict[str, Tensor]:  # fmt: skip
    """The rank, from 1, at which each query finds its own instance: {"category": (Q,), "all": (Q,)} int32.

    query: (Q, d), gallery: (G, d) float tensors; ids (Q,), (G,) integers or strings name the instance.
    An instance with several photos counts by its best one.
    groups: (Q,), (G,) category of each item. With them, "category" ranks each query only among the photos
        of its own category (the published protocol). "all" ranks the whole gallery.
    ties: "pessimistic" ranks other instances of equal score before the right one, "optimistic" after.

    Raises ValueError as `retrieval_metrics` does, and where a query's instance has no photo in the
    gallery (or none in the query's category), since no ranking could then be right.
    """
    query, gallery = check_embeddings(query, gallery)
    sizes = (len(query), len(gallery))
    ids = shared_codes(query_ids, gallery_ids, sizes, ("query_ids", "gallery_ids"))
    check_choice("ties", ties, TIES)
    if (query_groups is None) != (gallery_groups is None):
        raise ValueError("query_groups and gallery_groups go together: only one was given")
    query_names = label_list(query_ids, "query_ids")
    _require_instance(*ids, query_names, "in the gallery")
    own: Dict[str, Tuple[Tensor, Tensor]] = {}
    if query_groups is not None and gallery_groups is not None:
        groups = shared_codes(query_groups, gallery_groups, sizes, ("query_groups", "gallery_groups"))
        n = 1 + int(max(g.max() for g in groups))
        own["category"] = ids[0].long() * n + groups[0], ids[1].long() * n + groups[1]
        _require_instance(*own["category"], query_names, "of the query's own group in the gallery")
    own["all"] = ids

    device = pick_device(device, query)
    columns = {name: OwnColumns(*codes) for name, codes in own.items()}
    shelf = groups[1].to(device) if "category" in own else None
    ranks: Dict[str, List[Tensor]] = {name: [] for name in own}
    for rows, keys in ExactScores(query, gallery, device, chunk_size):
        for name in own:
            rivals = None if shelf is None or name == "all" else torch.eq(groups[0][rows, None].to(device), shelf)
            ranks[name].append(_best_rank(keys, *columns[name].padded(rows), rivals, ties))
    return {name: torch.cat(parts) for name, parts in ranks.items()}


def _best_rank(keys: Tensor, columns: np.ndarray, real: np.ndarray, rivals: Optional[Tensor], ties: str) -> Tensor:
    """Rank, from 1, of the best own item of each row -> (C,) on the CPU.

    keys: (C, G). columns, real: (C, m) from `OwnColumns.padded`. rivals: (C, G), which items count, including own
    ones; None for all.
    """
    places, counted = (torch.from_numpy(x).to(keys.device) for x in (columns, real))
    own = keys.gather(1, places)
    best = own.amin(dim=1, keepdim=True) + tie_step(ties)
    ahead = keys < best
    if rivals is not None:
        ahead &= rivals
    rank = 1 + ahead.sum(dim=1, dtype=torch.int32)  # int32 sums a mask five times as fast as int64
    rank -= ((own < best) & counted).sum(dim=1, dtype=torch.int32)  # own items are not ahead of themselves
    return rank.cpu()


def _require_instance(query: Tensor, gallery: Tensor, names: Sequence, where: str) -> None:
    missing = (~torch.isin(query, gallery)).nonzero().flatten().tolist()
    if missing:
        raise ValueError(
            f"instance {names[missing[0]]!r} of query {missing[0]} has no photo {where} "
            f"({len(missing)} of {len(query)} queries)"
        )
