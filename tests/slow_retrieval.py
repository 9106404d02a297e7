"""Retrieval metrics written slowly and literally from their definitions, for tests to compare with."""

from __future__ import annotations

import random

import torch

from splip.retrieval.ranking import unit_grid

CONVENTIONS = ("min_r_k", "prefix", "voc")


def slow_ap(hits, k, convention):
    """hits: the whole ranking, best first; k None means all of it."""
    relevant = sum(hits)
    top = hits[:k]
    if relevant == 0 or sum(top) == 0:
        return 0.0
    most = relevant if k is None else min(relevant, k)
    if convention == "voc":
        return slow_voc(top, most)
    precisions = [sum(top[: i + 1]) / (i + 1) for i in range(len(top)) if top[i]]
    return sum(precisions) / (len(precisions) if convention == "prefix" else most)


def slow_voc(top, most):
    """VOC 2010: the area under the precision-recall curve, its precision made monotone from the right."""
    recall = [0.0] + [sum(top[: i + 1]) / most for i in range(len(top))] + [1.0]
    precision = [0.0] + [sum(top[: i + 1]) / (i + 1) for i in range(len(top))] + [0.0]
    for i in reversed(range(len(precision) - 1)):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def slow_precision(hits, k, convention):
    depth = min(k, sum(hits)) if convention == "voc" else k
    return sum(hits[:depth]) / depth if depth else 0.0


def slow_metrics(rankings, cutoffs, conventions=CONVENTIONS):
    def mean(values):
        values = list(values)
        return sum(values) / len(values)

    return {
        c: {
            "mAP@all": mean(slow_ap(h, None, c) for h in rankings),
            **{f"mAP@{k}": mean(slow_ap(h, k, c) for h in rankings) for k in cutoffs},
            **{f"P@{k}": mean(slow_precision(h, k, c) for h in rankings) for k in cutoffs},
        }
        for c in conventions
    }


def exact_scores(query, gallery):
    """Integer scores from Python integers: no rounding in sums or products."""
    q, g = unit_grid(query).astype(int).tolist(), unit_grid(gallery).astype(int).tolist()
    return [[sum(a * b for a, b in zip(x, y)) for y in g] for x in q]


def slow_rankings(query, gallery, query_labels, gallery_labels, ties="pessimistic"):
    rankings = []
    for label, scores in zip(query_labels, exact_scores(query, gallery)):
        hits = [label == other for other in gallery_labels]
        first = (lambda hit: hit) if ties == "pessimistic" else (lambda hit: not hit)
        order = sorted(range(len(hits)), key=lambda i: (-scores[i], first(hits[i])))
        rankings.append([hits[i] for i in order])
    return rankings


def assert_close(actual, expected, tolerance=1e-12):
    assert set(actual) == set(expected), (list(actual), list(expected))
    for convention, values in expected.items():
        assert list(actual[convention]) == list(values)
        for name, value in values.items():
            got = actual[convention][name]
            assert type(got) is float
            assert abs(got - value) <= tolerance, (convention, name, got, value)


def on_a_ray(hits):
    """One query and a gallery whose cosine ranking has hits where `hits` says."""
    angles = torch.arange(1, len(hits) + 1) * (3.0 / len(hits))  # cosines from about 1 to -1
    return torch.tensor([[1.0, 0.0]]), torch.stack([angles.cos(), angles.sin()], 1), [0], [int(not h) for h in hits]


def tied_sets():
    """Embeddings and labels with exact and parallel duplicates, also across classes: rankings full of ties."""
    g = torch.Generator().manual_seed(0)
    query = torch.randn(23, 12, generator=g)
    gallery = torch.randn(61, 12, generator=g)
    gallery[40:50] = gallery[:10]  # exact duplicates ...
    gallery[50:] = 3 * gallery[10:21]  # ... and parallel ones, of other classes too
    rng = random.Random(0)
    return query, gallery, [rng.randrange(5) for _ in range(23)], [rng.choice([0, 1, 1, 2, 3]) for _ in range(61)]
