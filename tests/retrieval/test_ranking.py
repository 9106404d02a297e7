"""What ranking guarantees: ties by rule, and the same bits for every order, chunk size, thread count and device."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from slow_retrieval import CONVENTIONS, assert_close, exact_scores, slow_metrics, tied_sets

from splip.retrieval import instance_accuracy, per_query_metrics, retrieval_metrics, topk
from splip.retrieval.ranking import STEPS, OwnColumns, ranks_by_counting, ranks_by_sorting, unit_grid


@pytest.fixture
def sets():
    return tied_sets()


def test_constant_embeddings_score_badly_unless_asked_otherwise():
    one = torch.full((40, 8), 0.3)
    labels = [i % 4 for i in range(40)]
    worst = slow_metrics([[False] * 30 + [True] * 10], (10, 35))
    best = slow_metrics([[True] * 10 + [False] * 30], (10, 35))
    assert_close(retrieval_metrics(one, one, labels, labels, cutoffs=(10, 35)), worst)
    assert_close(retrieval_metrics(one, one, labels, labels, cutoffs=(10, 35), ties="optimistic"), best)


def test_gallery_and_query_order_do_not_matter():
    """Half of the gallery appears twice or more: equal items must score equally wherever they stand."""
    g = torch.Generator().manual_seed(2)
    gallery = torch.randn(700, 65, generator=g)
    gallery = torch.cat([gallery, gallery[:350], gallery[:123]])
    query = torch.cat([torch.randn(90, 65, generator=g), gallery[:17]])
    gallery_labels = torch.randint(0, 9, (len(gallery),), generator=g)
    query_labels = torch.randint(0, 9, (len(query),), generator=g)
    expected = retrieval_metrics(query, gallery, query_labels, gallery_labels)
    for _ in range(3):
        p, r = torch.randperm(len(gallery), generator=g), torch.randperm(len(query), generator=g)
        found = retrieval_metrics(query[r], gallery[p], query_labels[r], gallery_labels[p], chunk_size=31)
        assert found == expected


def test_equal_items_have_bit_equal_scores():
    g = torch.Generator().manual_seed(3)
    gallery = torch.randn(50, 130, generator=g).repeat(21, 1)  # copies at many column positions
    scores, indices = topk(torch.randn(5, 130, generator=g), gallery, k=len(gallery))
    assert torch.equal(scores.view(5, 50, 21), scores.view(5, 50, 21)[..., :1].expand(5, 50, 21))
    order = indices.view(5, 50, 21)
    assert (order % 50 == order[..., :1] % 50).all()  # copies stand together ...
    assert (order.diff(dim=2) > 0).all()  # ... by gallery index


def test_scores_are_exact_integers():
    """The claim behind the tie rule: float64 matrix products of grid vectors do not round."""
    g = torch.Generator().manual_seed(4)
    x = torch.randn(40, 512, generator=g)
    x[0], x[1, 1:] = 1.0, 0.0  # flat, and all in one entry
    x = torch.cat([x, x[:3] * 1.7])
    grid = torch.from_numpy(unit_grid(x))
    integers = torch.tensor(exact_scores(x, x))  # int64
    assert int(integers.max()) * 2 + 1 < 2**53
    assert torch.equal((2.0 * grid @ grid.T).long(), 2 * integers)
    rounding = (512**0.5) / STEPS
    cosine = torch.nn.functional.cosine_similarity(x[:, None].double(), x[None].double(), dim=2)
    assert (integers.double() / STEPS**2 - cosine).abs().max() < rounding


def key_rows():
    """Even sort keys of many shapes, with where the own items are."""
    rng = np.random.default_rng(8)
    top = 2 * STEPS**2  # the range ends at -top and top
    spread = 2 * rng.integers(-(STEPS**2), STEPS**2, 500)
    lumps = np.concatenate([2 * rng.integers(-60, 60, 490), [-top] * 3, [top] * 7])  # narrow, with far outliers
    rows = {"spread": spread, "lumps": lumps, "all equal": np.full(500, 2 - top), "one item": spread[:1]}
    for name, keys in rows.items():
        for count in sorted({0, 1, 40, len(keys)}):
            if count <= len(keys):
                yield f"{name}, {count} own", keys.astype(np.float64), np.sort(rng.permutation(len(keys))[:count])


@pytest.mark.parametrize("step", [1, -1])
def test_ranks_equal_counts(step):
    """rank = 1 + others before it; an own item comes after (step 1) or before (-1) others of equal key."""
    for name, keys, own in key_rows():
        mine = np.isin(np.arange(len(keys)), own)
        expected = []
        for i, key in enumerate(np.sort(keys[own])):
            others = keys[~mine]
            expected.append(1 + i + int((others <= key if step == 1 else others < key).sum()))
        counted = ranks_by_counting(keys.copy(), own, step).tolist()
        by_sort = ranks_by_sorting(torch.from_numpy(keys.copy())[None], torch.from_numpy(mine)[None], step).tolist()
        assert counted == expected, (name, counted, expected)
        assert by_sort == expected, (name, by_sort, expected)


def test_own_columns():
    own = OwnColumns(torch.tensor([3, 9, 1, 3]), torch.tensor([1, 3, 0, 3, 1, 3]))
    assert [own.of(i).tolist() for i in range(4)] == [[1, 3, 5], [], [0, 4], [1, 3, 5]]
    columns, real = own.padded(slice(2, 4))
    assert columns.tolist() == [[0, 4, 4], [1, 3, 5]]  # padded with its last
    assert real.tolist() == [[True, True, False], [True, True, True]]


def test_chunks_and_threads_change_no_bit(sets):
    expected = per_query_metrics(*sets, cutoffs=(5, 30))
    threads = torch.get_num_threads()
    try:
        for chunk, n in ((1, 1), (2, 2), (7, 1), (22, 2), (23, 1), (1000, 2)):
            torch.set_num_threads(n)
            found = per_query_metrics(*sets, cutoffs=(5, 30), chunk_size=chunk)
            for c in CONVENTIONS:
                for name in found[c]:
                    assert torch.equal(found[c][name], expected[c][name]), (chunk, c, name)
    finally:
        torch.set_num_threads(threads)


def test_ranks_agree_with_float64_cosines_up_to_near_ties():
    g = torch.Generator().manual_seed(5)
    query, gallery = torch.randn(30, 64, generator=g), torch.randn(3000, 64, generator=g)
    cosine = torch.nn.functional.normalize(query.double()) @ torch.nn.functional.normalize(gallery.double()).T
    _, order = topk(query, gallery, k=3000)
    steps_up = cosine.gather(1, order).diff(dim=1).max()
    assert steps_up <= 2 * 64**0.5 / STEPS, steps_up


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_gives_the_same_bits(sets):
    query, gallery, *labels = sets
    assert retrieval_metrics(query.cuda(), gallery.cuda(), *labels) == retrieval_metrics(query, gallery, *labels)
    assert instance_accuracy(gallery.cuda(), gallery, range(61), range(61)) == instance_accuracy(
        gallery, gallery, range(61), range(61)
    )
    assert torch.equal(topk(query.cuda(), gallery, 9)[1], topk(query, gallery, 9)[1])


def test_topk_orders_by_score_then_index(sets):
    query, gallery, *_ = sets
    expected = [sorted(range(61), key=lambda j: (-row[j], j))[:9] for row in exact_scores(query, gallery)]
    for chunk in (None, 1, 10):
        scores, indices = topk(query, gallery, k=9, chunk_size=chunk)
        assert indices.tolist() == expected
    cosine = torch.nn.functional.cosine_similarity(query[:, None], gallery[indices], dim=2)
    torch.testing.assert_close(scores, cosine, rtol=0, atol=1e-6)
    assert topk(gallery, gallery, k=1)[0].max() == 1.0


def test_topk_refuses_more_than_there_is():
    with pytest.raises(ValueError, match="k is 5 but the gallery holds 4 embeddings"):
        topk(torch.ones(2, 3), torch.ones(4, 3), k=5)
