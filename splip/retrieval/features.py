"""Embeddings that somebody has, out of one file of NumPy's: read, checked, and measured as a run's are.

The file is an ``.npz`` (``np.savez``) with

- ``query`` (Q, d) and ``gallery`` (G, d), floats of any kind;
- ``query_labels`` (Q,) and ``gallery_labels`` (G,), whole numbers or names; or ``query_files`` and ``gallery_files``,
  whose folders are the classes (``.../cat/1.png``);
- for a fine-grained test ``query_instances`` and ``gallery_instances`` besides: which object each is of.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from splip.data.classes import near, some, spelling
from splip.retrieval.inputs import check_embeddings, label_list
from splip.retrieval.metrics import Device, instance_accuracy, retrieval_metrics

SETS = ("query", "gallery")
Label = Union[int, str]
EXAMPLE = "np.savez(file, query=..., gallery=..., query_labels=..., gallery_labels=...)"


class Features(NamedTuple):
    """What such a file holds. Pairs are of the queries and of the gallery."""

    query: Tensor
    gallery: Tensor
    labels: Tuple[List[Label], List[Label]]
    instances: Optional[Tuple[List[Label], List[Label]]]
    unread: List[str]  # names of arrays that nothing here reads


def read_features(path: Union[str, os.PathLike]) -> Features:
    """The embeddings in a file, checked.

    Raises:
        ValueError: it is no ``.npz``, lacks an array, holds one of another kind or length, or no query has a label of
            the gallery; what is there and what was wanted are named. FileNotFoundError: there is no such file.
    """
    arrays = _read(path)
    where = os.fspath(path)
    try:
        query, gallery = (torch.from_numpy(_floats(name, _take(arrays, name))) for name in SETS)
        query, gallery = check_embeddings(query, gallery)
        sizes = len(query), len(gallery)
        kind = "labels" if "query_labels" in arrays or "query_files" not in arrays else "files"
        labels = _pair(arrays, kind, sizes)
        if kind == "files":
            labels = tuple([_class_of(str(file)) for file in files] for files in labels)  # type: ignore[assignment]
        fine = any(f"{name}_instances" in arrays for name in SETS)
        instances = _pair(arrays, "instances", sizes) if fine else None
        _require_shared(labels)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    read = {*SETS, *(f"{name}_{part}" for name in SETS for part in (kind, "instances"))}
    return Features(query, gallery, labels, instances, sorted(set(arrays) - read))


def score_features(features: Features, device: Device = None) -> Dict[str, Dict[str, float]]:
    """Metrics in percent: those of every convention and, where there are instances, the fine-grained ones.

    Raises:
        ValueError: an object that is asked for has no item in the gallery.
    """
    query, gallery, labels, instances, _ = features
    found = retrieval_metrics(query, gallery, *labels, device=device)
    if instances is not None:
        asked, there = ([f"{label}/{one}" for label, one in zip(*pair)] for pair in zip(labels, instances))
        found.update(instance_accuracy(query, gallery, asked, there, *labels, device=device))
    return {group: {name: 100.0 * value for name, value in named.items()} for group, named in found.items()}


def remarks(features: Features) -> List[str]:
    """What somebody should know who reads the numbers, a line each."""
    query, gallery, (asked, there), _, unread = features
    lost = sorted(set(asked) - set(there), key=str)
    without = sum(label in lost for label in asked)
    lines = [f"not read: {', '.join(unread)}"] if unread else []
    if lost:
        hint = near(map(str, lost), {str(label) for label in there})
        lines.append(f"{without} of {len(asked)} queries score 0: the gallery has nothing of {some(lost)}{hint}")
    rows = {hash(row.tobytes()) for row in gallery.numpy()}
    same = sum(hash(row.tobytes()) in rows for row in query.numpy())
    if same:
        lines.append(f"{same} of {len(asked)} queries have the very vector of an item of the gallery: are they in it?")
    return lines


def _read(path: Union[str, os.PathLike]) -> Dict[str, np.ndarray]:
    """Every array of an ``.npz``; nothing in it is run."""
    if not os.path.isfile(path):
        raise FileNotFoundError(2, "No such file", os.fspath(path))
    try:
        with np.load(path, allow_pickle=False) as file:
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array")
            return {name: _load(file, name) for name in file.files}
    except Exception as error:  # of zip files, of pickles and of NumPy's format: many kinds
        said = " ".join(str(error).split())[:150] or type(error).__name__
        raise ValueError(f"{os.fspath(path)} is no .npz of NumPy's, as {EXAMPLE} writes it: {said}") from error


def _load(file: Any, name: str) -> np.ndarray:
    try:
        found = file[name]
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise ValueError(f"{name} holds Python objects: np.array(names, dtype=str) does not") from error
        raise
    if not isinstance(found, np.ndarray):  # a file in the archive that is no array
        raise ValueError(f"it holds {name!r}, which is no array")
    return found


def _take(arrays: Dict[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise ValueError(f"it has no array {name!r}{near([name], arrays)}, but {sorted(arrays)}; {EXAMPLE}")
    return arrays[name]


def _floats(name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        raise ValueError(f"{name} must hold floats (n, d), got {array.dtype} {array.shape}")
    return array.astype(np.float32 if array.dtype.itemsize <= 4 else np.float64)  # of this machine's byte order


def _pair(arrays: Dict[str, np.ndarray], kind: str, sizes: Sequence[int]) -> Tuple[List[Label], List[Label]]:
    """The arrays ``query_<kind>`` and ``gallery_<kind>`` as lists."""
    found = []
    for name, size in zip(SETS, sizes):
        array = _take(arrays, f"{name}_{kind}")
        values = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
        found.append(label_list(values, f"{name}_{kind}"))
        if len(found[-1]) != size:
            raise ValueError(f"{name}_{kind} has {len(found[-1])} entries for {size} embeddings")
    return found[0], found[1]


def _class_of(file: str) -> str:
    """The class of an image file: its folder, in the one spelling."""
    parts = file.replace("\\", "/").rstrip("/").split("/")
    if len(parts) < 2 or not spelling(parts[-2]):
        raise ValueError(f"the file name {file!r} has no folder that says its class: .../cat/1.png is wanted")
    return spelling(parts[-2])


def _require_shared(labels: Tuple[List[Label], List[Label]]) -> None:
    """A number for rankings in which nothing can be right would be no measurement."""
    asked, there = (sorted(set(values), key=str) for values in labels)
    if not set(asked) & set(there):
        kinds = {type(value).__name__ for value in (*asked, *there)}
        mixed = " (whole numbers in one, names in the other)"
        hint = mixed if len(kinds) > 1 else near(map(str, asked), [str(value) for value in there])
        raise ValueError(f"no label of the queries ({some(asked)}) is one of the gallery ({some(there)}){hint}")
