"""Fine-grained accuracy against its definition."""

from __future__ import annotations

import random

import pytest
import torch
from slow_retrieval import exact_scores

from splip.retrieval import instance_accuracy


def slow_accuracy(scores, query_ids, gallery_ids, k, allowed):
    right = 0
    for i, row in enumerate(scores):
        columns = [j for j in range(len(row)) if allowed(i, j)]
        best = max(row[j] for j in columns if gallery_ids[j] == query_ids[i])
        rank = 1 + sum(row[j] >= best for j in columns if gallery_ids[j] != query_ids[i])
        right += rank <= k
    return right / len(scores)


def test_instance_accuracy_equals_the_definition():
    g = torch.Generator().manual_seed(7)
    rng = random.Random(7)
    gallery = torch.randn(48, 6, generator=g)
    gallery[40:] = gallery[:8]  # ties, some with the right one
    ids = [f"photo {i % 44}" for i in range(48)]  # four instances have two photos
    groups = [(i % 44) % 4 for i in range(48)]
    picks = [rng.randrange(48) for _ in range(60)]
    query = gallery[picks] + 0.7 * torch.randn(60, 6, generator=g)
    query[:9] = gallery[picks[:9]]  # dead on, some of these are tied
    query_ids, query_groups = [ids[i] for i in picks], [groups[i] for i in picks]
    scores = exact_scores(query, gallery)
    expected = {
        name: {f"Acc@{k}": slow_accuracy(scores, query_ids, ids, k, allowed) for k in (1, 5)}
        for name, allowed in (("all", lambda i, j: True), ("category", lambda i, j: query_groups[i] == groups[j]))
    }
    for chunk in (None, 1, 7):
        found = instance_accuracy(query, gallery, query_ids, ids, query_groups, groups, chunk_size=chunk)
        assert found == expected
    assert instance_accuracy(query, gallery, query_ids, ids) == {"all": expected["all"]}
    assert expected["all"]["Acc@1"] < expected["category"]["Acc@1"] < expected["category"]["Acc@5"]


def test_instance_accuracy_ties():
    one = torch.ones(3, 4)
    assert instance_accuracy(one, one, [0, 1, 2], [0, 1, 2], ks=(1, 2, 3)) == {
        "all": {"Acc@1": 0.0, "Acc@2": 0.0, "Acc@3": 1.0}
    }
    assert instance_accuracy(one, one, [0, 1, 2], [0, 1, 2], ties="optimistic")["all"]["Acc@1"] == 1.0
    # Two photos of the same instance are not each other's rivals.
    assert instance_accuracy(one[:1], one, ["a"], ["a", "a", "b"], ks=(1, 2))["all"] == {"Acc@1": 0.0, "Acc@2": 1.0}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"query_ids": ["a", "z"]}, r"instance 'z' of query 1 has no photo in the gallery \(1 of 2 queries\)"),
        (
            {"query_groups": [0, 0], "gallery_groups": [0, 1, 0, 1]},
            "instance 'b' of query 1 has no photo of the query's own group in the gallery",
        ),
        ({"query_groups": [0, 0]}, "query_groups and gallery_groups go together"),
        ({"gallery_ids": ["a"]}, "gallery_ids has 1 entries for 4 embeddings"),
        ({"ks": (0,)}, "ks: whole numbers from 1 are wanted, got 0"),
    ],
)
def test_instance_accuracy_refuses_bad_input(change, message):
    arguments = {"query_ids": ["a", "b"], "gallery_ids": ["a", "b", "c", "d"], **change}
    with pytest.raises(ValueError, match=message):
        instance_accuracy(torch.ones(2, 3), torch.ones(4, 3), **arguments)
