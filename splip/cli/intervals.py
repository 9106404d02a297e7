"""Confidence intervals of a table's numbers and differences, over queries and seeds (docs/METRICS.md#intervals)."""

from __future__ import annotations

import statistics
from itertools import combinations
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from splip.retrieval.bootstrap import LEVEL, bootstrap_means, interval, seeds_interval
from splip.training.per_query import SWAPPED, PerQuery, read

VARYING = ("dataset", "backbone", "selection")  # names of `table.GROUP` that are shown if rows differ in them


class Row(NamedTuple):
    """One experiment on one test."""

    names: Dict[str, str]
    runs: Dict[int, np.ndarray]  # by seed: (Q,) percent
    trained: bool
    swapped: Dict[int, np.ndarray]  # the same with swapped modalities; empty if the method ignores the modality

    @property
    def mean(self) -> np.ndarray:
        """(Q,), over seeds."""
        return np.mean(list(self.runs.values()), axis=0)


def compare_all(groups: Sequence[tuple], metric: str = "") -> List[Tuple[str, List[Dict[str, str]]]]:
    """(title, rows) of each test (the same queries, gallery and split) that the groups share.

    Rows: the mean of each experiment over queries and seeds, the paired difference of each pair of experiments, and the
    loss from swapping the modality. Each has an interval over classes and queries, and another over seeds.

    Args:
        groups: (names, runs) from `table.group`, in the order of the rows.
        metric: a column of the table; default: the first.

    Raises:
        ValueError: a run has no values per query, or there is no such metric.
    """
    tests: Dict[tuple, List[Row]] = {}
    queries: Dict[tuple, PerQuery] = {}
    for names, runs in groups:
        found = [read(run["folder"], run) for run in runs]
        chosen = metric or next(name for name in found[0].values if not name.startswith(SWAPPED))
        if metric.startswith(SWAPPED) or chosen not in found[0].values:
            known = [name for name in found[0].values if not name.startswith(SWAPPED)]
            raise ValueError(f"--metric must be one of {', '.join(known)} for {runs[0]['folder']}, got {metric!r}")
        key = (names["setting"], names["gallery"], names["split"], chosen, tuple(found[0].query))
        if any(tuple(one.query) != key[-1] for one in found):
            raise ValueError(f"{runs[0]['folder']} and its other seeds were tested on different queries")
        by_seed = {run["seed"]: one.values for run, one in zip(runs, found)}
        own = {seed: values[chosen] for seed, values in by_seed.items()}
        swapped = {s: values[SWAPPED + chosen] for s, values in by_seed.items() if SWAPPED + chosen in values}
        row = Row(names, own, bool(runs[0].get("epoch", 1)), swapped if len(swapped) == len(own) else {})
        tests.setdefault(key, []).append(row)
        queries[key] = found[0]
    return [(_title(key, queries[key]), _rows(rows, queries[key].classname, key[3])) for key, rows in tests.items()]


def _title(key: tuple, test: PerQuery) -> str:
    setting, gallery, split, metric, asked = key
    return (
        f"{metric}, {setting}, {split}, gallery {gallery}: {len(asked)} queries of {len(set(test.classname))} classes; "
        f"percent, {LEVEL:.0%} intervals over classes and queries"
    )


def _rows(rows: Sequence[Row], classes: np.ndarray, metric: str) -> List[Dict[str, str]]:
    varying = [name for name in VARYING if len({row.names[name] for row in rows}) > 1]
    labels = [
        " ".join(filter(None, [row.names["trainer"], row.names["switches"], *(row.names[n] for n in varying)]))
        for row in rows
    ]
    swapped = [i for i, row in enumerate(rows) if row.swapped]
    costs = [np.mean(list(rows[i].swapped.values()), axis=0) - rows[i].mean for i in swapped]
    means = bootstrap_means(np.stack([*(row.mean for row in rows), *costs]), classes)
    lines = []
    for label, row, drawn in zip(labels, rows, means):
        lines.append(_line(label, metric, row.mean, drawn, [values.mean() for values in row.runs.values()], ""))
    for a, b in combinations(range(len(rows)), 2):
        label, seeds = f"{labels[b]} - {labels[a]}", _by_seed(rows[b], rows[a])
        lines.append(_line(label, metric, rows[b].mean - rows[a].mean, means[b] - means[a], seeds, "+"))
    for i, cost, drawn in zip(swapped, costs, means[len(rows) :]):
        seeds = [float((rows[i].swapped[seed] - own).mean()) for seed, own in rows[i].runs.items()]
        lines.append(_line(f"{labels[i]}, modality swapped - as it is", metric, cost, drawn, seeds, "+"))
    return lines


def _by_seed(better: Row, other: Row) -> List[float]:
    """The difference of two experiments for each seed that both have. A method without training has every seed."""
    if not other.trained or not better.trained:
        fixed = [next(iter(row.runs.values())).mean() for row in (better, other)]
        pairs = [
            (better.runs[s].mean() if better.trained else fixed[0], other.runs[s].mean() if other.trained else fixed[1])
            for s in (better.runs if better.trained else other.runs)
        ]
    else:
        pairs = [(better.runs[s].mean(), other.runs[s].mean()) for s in sorted(set(better.runs) & set(other.runs))]
    return [float(one - two) for one, two in pairs]


def _line(
    label: str, metric: str, values: np.ndarray, drawn: np.ndarray, seeds: Sequence[float], sign: str
) -> Dict[str, str]:
    """A row of the table. sign: "+" for differences."""
    low, high = interval(drawn)
    spread = f"{statistics.mean(seeds):{sign}.2f}" if seeds else ""
    if len(seeds) > 1:
        spread += f" ± {statistics.stdev(seeds):.2f}"
    line = {
        "": label, metric: f"{values.mean():{sign}.2f}", "interval": f"{low:{sign}.2f} to {high:{sign}.2f}",
        "over seeds": spread,
    }  # fmt: skip
    if sign and seeds:
        if len(seeds) > 1:
            low, high = seeds_interval(seeds)
            line["interval over seeds"] = f"{low:+.2f} to {high:+.2f}"
        line["seeds above 0"] = f"{sum(value > 0 for value in seeds)} of {len(seeds)}"
    return line
