"""Intervals of means: over classes and queries by a bootstrap, over seeds by Student's t (docs/METRICS.md)."""

from __future__ import annotations

import statistics
from typing import Sequence, Tuple, Union

import numpy as np

REPLICATES = 10_000
LEVEL = 0.95
DRAWS = 2**22  # queries drawn at a time, which bounds memory
# 97.5 % quantiles of Student's t for 1, 2, ... degrees of freedom; the normal distribution's for more
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
NORMAL = 1.960


def bootstrap_means(
    values: np.ndarray, classes: Union[Sequence[str], np.ndarray], replicates: int = REPLICATES, seed: int = 0
) -> np.ndarray:
    """Means over resampled queries: with replacement, draw as many classes as there are, and for each of these as many
    of its queries as it has (Davison and Hinkley, Bootstrap Methods, 1997, section 3.8).

    A class that is drawn twice has its queries drawn twice. All rows of ``values`` share the draws, so the difference
    of two rows of the result compares two methods on the same queries.

    Args:
        values: (M, Q), of M methods, any unit.
        classes: (Q,), the class of each query.

    Returns:
        (M, replicates) float64.

    Raises:
        ValueError: the shapes do not fit, a value is NaN or infinite, or there is one class only.
    """
    values, named = np.asarray(values, dtype=np.float64), np.asarray(classes)
    if values.ndim != 2 or named.shape != values.shape[1:]:
        raise ValueError(f"wanted values (M, Q) and Q classes, got {values.shape} and {named.shape}")
    if not np.isfinite(values).all():
        raise ValueError("values hold NaN or infinity")
    names, codes = np.unique(named, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"classes are drawn, too: an interval needs at least 2 of them, got {len(names)}")
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(names), size=(replicates, len(names)))
    totals, counts = np.zeros((len(values), replicates)), np.zeros(replicates)
    for code in range(len(names)):
        members = np.flatnonzero(codes == code)
        times = (drawn == code).sum(axis=1)  # (replicates,)
        counts += times * len(members)
        owners = np.repeat(np.arange(replicates), times)  # which replicate each draw of this class belongs to
        step = max(1, DRAWS // (len(members) * len(values)))
        for start in range(0, len(owners), step):
            own = owners[start : start + step]
            picks = members[rng.integers(len(members), size=(len(own), len(members)))]
            for total, sums in zip(totals, values[:, picks].sum(axis=2)):
                total += np.bincount(own, weights=sums, minlength=replicates)
    return totals / counts


def interval(means: np.ndarray, level: float = LEVEL) -> Tuple[float, float]:
    """The percentile interval of bootstrap means (replicates,) -> (low, high)."""
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def seeds_interval(values: Sequence[float]) -> Tuple[float, float]:
    """The 95 % interval of the mean over further seeds, for the same classes and queries: mean ± t s / sqrt(n).

    Args:
        values: one of each seed.

    Raises:
        ValueError: there are fewer than two.
    """
    n = len(values)
    if n < 2:
        raise ValueError(f"an interval over seeds needs at least 2 of them, got {n}")
    quantile = STUDENT[n - 2] if n - 2 < len(STUDENT) else NORMAL
    half = quantile * statistics.stdev(values) / n**0.5
    return statistics.mean(values) - half, statistics.mean(values) + half
