"""Retrieval metrics against plain-Python definitions, scikit-learn, torchmetrics and hand counts."""

from __future__ import annotations

import logging
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from slow_retrieval import CONVENTIONS, assert_close, on_a_ray, slow_metrics, slow_rankings, tied_sets
from torchmetrics.functional.retrieval import retrieval_average_precision, retrieval_precision

from splip.retrieval import per_query_metrics, retrieval_metrics, topk


@pytest.fixture
def sets():
    return tied_sets()


def test_hand_counted_example():
    """Hits at ranks 2, 3 and 6 of 10."""
    hits = [rank in (2, 3, 6) for rank in range(1, 11)]
    found = retrieval_metrics(*on_a_ray(hits), cutoffs=(4,))
    plain = float((Fraction(1, 2) + Fraction(2, 3) + Fraction(3, 6)) / 3)
    envelope = float((2 * Fraction(2, 3) + Fraction(1, 2)) / 3)
    at_4 = Fraction(1, 2) + Fraction(2, 3)
    assert_close(
        found,
        {
            "min_r_k": {"mAP@all": plain, "mAP@4": float(at_4 / 3), "P@4": 0.5},
            "prefix": {"mAP@all": plain, "mAP@4": float(at_4 / 2), "P@4": 0.5},
            "voc": {"mAP@all": envelope, "mAP@4": float(Fraction(4, 9)), "P@4": 2 / 3},
        },
    )
    assert [round(v, 3) for c in CONVENTIONS for v in list(found[c].values())[:2]] == [
        0.556,
        0.389,
        0.556,
        0.583,
        0.611,
        0.444,
    ]


def test_default_names_and_order():
    found = retrieval_metrics(*on_a_ray([True, False]))
    assert list(found) == ["min_r_k", "prefix", "voc"]
    assert list(found["voc"]) == ["mAP@all", "mAP@100", "mAP@200", "P@100", "P@200"]


@pytest.mark.parametrize("ties", ["pessimistic", "optimistic"])
def test_equals_the_definitions(sets, ties):
    cutoffs = (1, 2, 7, 20, 61, 100)  # below, at and above the size of the gallery
    expected = slow_metrics(slow_rankings(*sets, ties=ties), cutoffs)
    assert_close(retrieval_metrics(*sets, cutoffs=cutoffs, ties=ties), expected)


def test_equals_the_definitions_on_every_short_ranking():
    for length in range(1, 8):
        for bits in range(2**length):
            hits = [bool(bits >> i & 1) for i in range(length)]
            expected = slow_metrics([hits], (1, 3, 9))
            assert_close(retrieval_metrics(*on_a_ray(hits), cutoffs=(1, 3, 9)), expected)


def test_equals_scikit_learn(no_ties):
    query, gallery, query_labels, gallery_labels = no_ties
    found = per_query_metrics(*no_ties, cutoffs=(10,), conventions=("prefix",))["prefix"]
    cosine = torch.nn.functional.cosine_similarity(query[:, None].double(), gallery[None].double(), dim=2)
    for i, label in enumerate(query_labels):
        truth = (gallery_labels == label).numpy()
        expected = average_precision_score(truth, cosine[i].numpy())
        assert abs(found["mAP@all"][i] - expected) < 1e-12, (i, found["mAP@all"][i], expected)
        top = cosine[i].topk(10).indices
        if truth[top].any():  # scikit-learn on the slice of the top k
            expected = average_precision_score(truth[top], cosine[i][top].numpy())
            assert abs(found["mAP@10"][i] - expected) < 1e-12, (i, found["mAP@10"][i], expected)


def test_equals_torchmetrics(no_ties):
    query, gallery, query_labels, gallery_labels = no_ties
    found = per_query_metrics(*no_ties, cutoffs=(10, 200), conventions=("prefix",))["prefix"]
    cosine = torch.nn.functional.cosine_similarity(query[:, None].double(), gallery[None].double(), dim=2)
    for i, label in enumerate(query_labels):
        truth, score = gallery_labels == label, cosine[i] + 2  # it drops targets of scores <= 0
        for k, name in ((None, "mAP@all"), (10, "mAP@10"), (200, "mAP@200")):
            expected = retrieval_average_precision(score, truth, top_k=k)
            assert abs(found[name][i] - expected) < 1e-6, (i, name, found[name][i], expected)
        for k in (10, 200):
            expected = retrieval_precision(score, truth, top_k=k)
            assert abs(found[f"P@{k}"][i] - expected) < 1e-6, (i, k, found[f"P@{k}"][i], expected)


@pytest.fixture
def no_ties():
    g = torch.Generator().manual_seed(1)
    query, gallery = torch.randn(20, 16, generator=g), torch.randn(150, 16, generator=g)
    return query, gallery, torch.randint(0, 6, (20,), generator=g), torch.randint(0, 6, (150,), generator=g)


def test_queries_without_relevant_items_score_zero_and_are_counted(sets, caplog):
    query, gallery, _, gallery_labels = sets
    labels = [99] * 22 + [1]
    logging.disable(logging.NOTSET)  # Dassl mutes logging when imported
    with caplog.at_level(logging.WARNING):
        found = per_query_metrics(query, gallery, labels, gallery_labels)
    assert "22 of 23 queries have no relevant item" in caplog.text
    for c in CONVENTIONS:
        for name, values in found[c].items():
            assert not values[:22].any() and values[22] > 0, (c, name, values)
    alone = retrieval_metrics(query[:1], gallery, [99], gallery_labels)
    assert {v for c in CONVENTIONS for v in alone[c].values()} == {0.0}


def test_one_class_only():
    g = torch.Generator().manual_seed(6)
    found = retrieval_metrics(
        torch.randn(4, 3, generator=g), torch.randn(10, 3, generator=g), [7] * 4, [7] * 10, cutoffs=(5, 20)
    )
    perfect = {"mAP@all": 1.0, "mAP@5": 1.0, "mAP@20": 1.0, "P@5": 1.0}
    assert_close(
        found,
        {
            "prefix": {**perfect, "P@20": 0.5},
            "min_r_k": {**perfect, "P@20": 0.5},
            "voc": {**perfect, "P@20": 1.0},
        },
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_rank_their_own_values(sets, dtype):
    query, gallery, *labels = sets
    query, gallery = query.to(dtype), gallery.to(dtype)
    expected = retrieval_metrics(query.double(), gallery.double(), *labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert retrieval_metrics(query, gallery, *labels) == expected


def test_lengths_of_embeddings_do_not_matter(sets):
    query, gallery, *labels = sets
    expected = retrieval_metrics(query, gallery, *labels)
    assert retrieval_metrics(query * 2.0**-120, gallery * 2.0**100, *labels) == expected
    tiny, huge = query.double() * 2.0**-1000, gallery.double() * 2.0**1000  # squares leave float64
    assert retrieval_metrics(tiny, huge, *labels) == expected


def test_inputs_are_left_alone_and_may_need_gradients(sets):
    query, gallery, *labels = sets
    query = query.double().requires_grad_()
    before = query.detach().clone()
    retrieval_metrics(query, gallery, *labels)
    topk(query, gallery, 3)
    assert torch.equal(query, before)


def test_label_types_agree(sets):
    query, gallery, ql, gl = sets
    expected = retrieval_metrics(query, gallery, ql, gl)
    for kind in (
        torch.tensor,
        np.array,
        lambda x: np.array(x, dtype=np.uint8),
        tuple,
        lambda x: [f"class {i}" for i in x],
        lambda x: np.array([str(i) for i in x]),
    ):
        assert retrieval_metrics(query.numpy(), gallery, kind(ql), kind(gl)) == expected
    assert retrieval_metrics(query, gallery, ql, gl, conventions="voc") == {"voc": expected["voc"]}


X, Y = torch.ones(2, 3), torch.ones(4, 3)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"query": torch.ones(2, 5)}, "same size, got 5 and 3"),
        ({"query": torch.ones(3)}, r"query embeddings must be a float tensor \(n, d\), got torch.float32 \(3,\)"),
        ({"gallery": torch.ones(4, 3).long()}, "gallery embeddings must be a float tensor"),
        ({"query": [[1.0]]}, "got list"),
        ({"query": torch.ones(0, 3), "query_labels": []}, "query embeddings are empty"),
        ({"gallery": torch.ones(0, 3), "gallery_labels": []}, "gallery embeddings are empty"),
        ({"query": torch.tensor([[1.0, 2, 3], [1, math.nan, 3]])}, r"query embedding 1 holds NaN or infinity \(1 of 2"),
        ({"gallery": Y * math.inf}, r"gallery embedding 0 holds NaN or infinity \(4 of 4"),
        ({"gallery": Y * -math.inf}, "gallery embedding 0 holds NaN or infinity"),
        ({"query": torch.tensor([[1.0, 2, 3], [0, 0, 0]])}, "query embedding 1 holds only zeros"),
        ({"query_labels": [0]}, "query_labels has 1 entries for 2 embeddings"),
        ({"gallery_labels": torch.zeros(4, 1).long()}, r"gallery_labels must have one dimension, got shape \(4, 1\)"),
        ({"query_labels": torch.ones(2)}, "query_labels must hold integers or strings, got float"),
        ({"query_labels": [None, 1]}, "query_labels must hold integers or strings, got NoneType"),
        ({"query_labels": "ab"}, "query_labels must be a tensor, an array or a list, got str"),
        ({"conventions": ("prefix", "coco")}, "convention must be one of min_r_k, prefix, voc; got 'coco'"),
        ({"ties": "random"}, "ties must be one of pessimistic, optimistic; got 'random'"),
        ({"cutoffs": (0,)}, "cutoffs: whole numbers from 1 are wanted, got 0"),
        ({"cutoffs": (1.5,)}, "cutoffs: whole numbers from 1 are wanted, got 1.5"),
        ({"cutoffs": (5, 5)}, "cutoffs name a value twice"),
        ({"chunk_size": 0}, "chunk_size: whole numbers from 1 are wanted, got 0"),
        ({"device": "meta"}, "device must be cpu or cuda"),
    ],
)
def test_bad_input_is_refused(change, message):
    arguments = {"query": X, "gallery": Y, "query_labels": [0, 1], "gallery_labels": [0, 1, 0, 1]}
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(**{**arguments, **change})
