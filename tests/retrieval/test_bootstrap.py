"""The bootstrap over classes and queries: against a slow reading with the same draws, and against its variance."""

import numpy as np
import pytest

from splip.retrieval import bootstrap_means, interval
from splip.retrieval.bootstrap import seeds_interval


def slow(values, classes, replicates, seed):
    """Its definition, one replicate after another, with the draws in the order in which the fast one takes them."""
    rng = np.random.default_rng(seed)
    names = sorted(set(classes))
    slots = [[names[int(i)] for i in row] for row in rng.integers(len(names), size=(replicates, len(names)))]
    drawn = [[] for _ in range(replicates)]
    for name in names:
        own = [value for value, known in zip(values, classes) if known == name]
        for replicate, chosen in enumerate(slots):
            for _ in range(chosen.count(name)):
                drawn[replicate] += [own[int(i)] for i in rng.integers(len(own), size=len(own))]
    return [sum(row) / len(row) for row in drawn]


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    classes = np.array(["bat"] * 3 + ["cow"] * 7 + ["ant"] * 1 + ["elk"] * 5)
    return rng.normal(40, 20, (2, len(classes))), classes


def test_it_equals_the_slow_reading(data, monkeypatch):
    values, classes = data
    for draws in (2**22, 20):  # of a few slots at a time, too
        monkeypatch.setattr("splip.retrieval.bootstrap.DRAWS", draws)
        means = bootstrap_means(values, classes, replicates=60, seed=3)
        for row, found in zip(values, means):
            wanted = slow(row.tolist(), classes.tolist(), 60, 3)
            assert found.tolist() == pytest.approx(wanted, rel=1e-12)
    order = np.concatenate([np.flatnonzero(classes == name) for name in ("elk", "ant", "cow", "bat")])
    assert np.array_equal(bootstrap_means(values[:, order], classes[order], 60, seed=3), means), "classes in any order"
    assert not np.array_equal(bootstrap_means(values, classes, 60, seed=4), means)


def test_its_variance_is_that_of_both_levels():
    """C classes of n queries: the variance of a mean is (between + within / n) / C, both with divisors C and n."""
    rng = np.random.default_rng(1)
    table = rng.normal(0, 3, (12, 1)) + rng.normal(0, 6, (12, 9))
    classes = np.repeat([f"class {i}" for i in range(12)], 9)
    means = bootstrap_means(table.reshape(1, -1), classes, replicates=40_000)[0]
    wanted = (table.mean(axis=1).var() + table.var(axis=1).mean() / 9) / 12
    queries_alone = table.var() / table.size
    print(f"variance {means.var():.4f}, by its formula {wanted:.4f}, of queries alone {queries_alone:.4f}")
    assert means.var() == pytest.approx(wanted, rel=0.03) and means.var() > 1.3 * queries_alone
    assert means.mean() == pytest.approx(table.mean(), abs=0.02)
    low, high = interval(means)
    assert (low, high) == pytest.approx(np.percentile(means, [2.5, 97.5]).tolist())
    assert high - low == pytest.approx(2 * 1.96 * wanted**0.5, rel=0.03)


def test_rows_share_their_draws_so_differences_are_paired(data):
    values, classes = data
    both = np.stack([values[0], values[0] + 1.5, values[1]])
    means = bootstrap_means(both, classes, replicates=500)
    assert np.ptp(means[1] - means[0]) < 1e-9, "a constant difference has no interval"
    alone = bootstrap_means((values[1] - values[0])[None], classes, replicates=500)[0]
    np.testing.assert_allclose(means[2] - means[0], alone, atol=1e-9)


@pytest.mark.parametrize(
    ("values", "classes", "message"),
    [
        (np.ones((2, 3)), ["a", "b"], "wanted values"),
        (np.ones(3), ["a", "b", "c"], "wanted values"),
        (np.array([[1, np.nan]]), ["a", "b"], "NaN"),
        (np.ones((1, 2)), ["a", "a"], "at least 2 of them, got 1"),
    ],
)
def test_what_gives_no_interval_is_refused(values, classes, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_means(values, classes)


@pytest.mark.parametrize("n", [2, 3, 5, 16, 17, 40])
def test_the_interval_over_seeds_is_scipys(n):
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(n).normal(0.5, 0.4, n)
    low, high = seeds_interval(list(values))
    quantile = stats.t.ppf(0.975, n - 1) if n < 17 else stats.norm.ppf(0.975)
    half = quantile * stats.sem(values)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-3), (low, high)


def test_one_seed_gives_no_interval():
    with pytest.raises(ValueError, match="needs at least 2 of them, got 1"):
        seeds_interval([0.3])
