"""per_query.npz: the results of a test for each query. `splip table --intervals` computes intervals from them."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from splip.common.files import whole_file

if TYPE_CHECKING:  # it needs torch, and tables of intervals do not
    from splip.data.base import SBIRDatum

NAME = "per_query.npz"
CONVENTION = "min_r_k"  # its values are kept; fine-grained: the rank of a query's own photo in each gallery
SWAPPED = "swapped "  # before the names of columns with the modality swapped
CUTOFFS = (1, 5)  # of Acc@k


class PerQuery(NamedTuple):
    """The values of one run, sorted by query."""

    query: np.ndarray  # (Q,) str: class folder and file (or artist and file), # and number in a file of strokes
    classname: np.ndarray  # (Q,) str
    values: Dict[str, np.ndarray]  # by metric, (Q,) float64, percent


def columns_of(values: Mapping[str, Any], setting: str) -> Dict[str, np.ndarray]:
    """The part of a test's values that is kept.

    Args:
        values: category level: {convention: {metric: (Q,) fractions}}; fine-grained: {gallery: (Q,) ranks}.
    """
    if setting == "fg":
        return {f"{gallery} rank": np.asarray(ranks) for gallery, ranks in values.items()}
    return {metric: np.asarray(found, dtype=np.float32) for metric, found in values[CONVENTION].items()}


def write(folder: str, queries: Sequence[SBIRDatum], columns: Mapping[str, np.ndarray]) -> None:
    """Write the file whole or not at all.

    Args:
        queries: in the order of the columns (Q,).
    """
    seen: Counter = Counter()
    names = []
    for item in queries:
        name = "/".join(item.impath.split(os.sep)[-2:])
        names.append(f"{name}#{seen[name]:06}" if item.spec else name)  # drawings of one file, in its order
        seen[name] += 1
    with whole_file(os.path.join(folder, NAME)) as file:
        arrays: Dict[str, Any] = {"classname": np.array([item.classname for item in queries]), **columns}
        np.savez_compressed(file, query=np.array(names), **arrays)


def read(folder: Path, result: Mapping[str, Any]) -> PerQuery:
    """The values that a run has written.

    Args:
        result: its results.json, which must agree with the values.

    Raises:
        ValueError: there is no such file, it is damaged, or its means are not those of the results.
    """
    path = folder / NAME
    try:
        with np.load(path) as file:
            found = {name: file[name] for name in file.files}
        query, classname = found.pop("query"), found.pop("classname")
    except FileNotFoundError as error:
        raise ValueError(
            f"{folder} has no {NAME}: an older version tested it. Test the run again (splip evaluate --run)"
        ) from error
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    order = np.argsort(query, kind="stable")
    values = {name: column[order] for name, column in _percent(found).items()}
    for name, (group, metric) in _places(values, result["metrics"]).items():
        mean, stated = values[name].mean(), result["metrics"][group][metric]
        if len(query) != result["num_queries"] or abs(mean - stated) > 1e-4:  # kept as float32
            raise ValueError(f"{path} and results.json are of different tests: {name} {mean:.4f} and {stated:.4f}")
    return PerQuery(query[order], classname[order], values)


def _percent(found: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Fractions and ranks as percent, by the metric's name as ``splip table`` has it."""
    values: Dict[str, np.ndarray] = {}
    for name, column in found.items():
        if name.endswith(" rank"):
            stem = name[: -len("rank")]
            values.update({f"{stem}Acc@{k}": 100.0 * (column <= k) for k in CUTOFFS})
        else:
            values[name] = 100.0 * column.astype(np.float64)
    return values


def _places(values: Mapping[str, Any], metrics: Mapping[str, Mapping[str, float]]) -> Dict[str, Tuple[str, str]]:
    """The place of each value's mean in the results: (group, metric)."""
    own: List[str] = [name for name in values if not name.startswith(SWAPPED)]
    if CONVENTION in metrics:
        return {name: (CONVENTION, name) for name in own}
    return {name: (name.split(" ")[0], name.split(" ")[1]) for name in own}
