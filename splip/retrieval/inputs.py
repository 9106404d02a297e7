"""Checks of the retrieval functions' arguments: embeddings, labels, cut-offs, device."""

from __future__ import annotations

import operator
from typing import Dict, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor

Labels = Union[Tensor, np.ndarray, Sequence[Union[int, str]]]


def check_embeddings(query: Tensor, gallery: Tensor) -> Tuple[Tensor, Tensor]:
    """Two sets of embeddings (Q, d) and (G, d), checked; NumPy arrays come back as tensors.

    Raises ValueError for a shape other than (n, d), different d, an empty set, a dtype that is not
    floating point, NaN, infinity, and an embedding of zeros (its cosine is not defined).
    """
    query, gallery = _check_one("query", query), _check_one("gallery", gallery)
    if query.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"query and gallery embeddings must have the same size, got {query.shape[1]} and {gallery.shape[1]}"
        )
    return query, gallery


def _check_one(name: str, x: Tensor) -> Tensor:
    if isinstance(x, np.ndarray):
        x = torch.from_numpy(x)
    if not isinstance(x, Tensor):
        raise ValueError(f"{name} embeddings must be a float tensor (n, d), got {type(x).__name__}")
    if x.dim() != 2 or not x.is_floating_point():
        raise ValueError(f"{name} embeddings must be a float tensor (n, d), got {x.dtype} {tuple(x.shape)}")
    if x.numel() == 0:
        raise ValueError(f"{name} embeddings are empty: shape {tuple(x.shape)}")
    x = x.detach()
    peak = torch.maximum(x.amax(dim=1), -x.amin(dim=1))  # (n,), NaN and inf pass through
    for broken, what in ((~peak.isfinite(), "NaN or infinity"), (peak == 0, "only zeros")):
        rows = broken.nonzero().flatten().tolist()
        if rows:
            raise ValueError(f"{name} embedding {rows[0]} holds {what} ({len(rows)} of {len(x)} embeddings do)")
    return x


def shared_codes(
    query: Labels, gallery: Labels, sizes: Tuple[int, int], names: Tuple[str, str]
) -> Tuple[Tensor, Tensor]:
    """Labels or ids of both sets -> int32 tensors (Q,) and (G,), where equal values have equal codes."""
    code: Dict[Union[int, str], int] = {}
    coded = []
    for values, size, name in zip((query, gallery), sizes, names):
        values = label_list(values, name)
        if len(values) != size:
            raise ValueError(f"{name} has {len(values)} entries for {size} embeddings")
        coded.append([code.setdefault(v, len(code)) for v in values])
    first, second = (torch.tensor(c, dtype=torch.int32) for c in coded)
    return first, second


def label_list(values: Labels, name: str) -> List[Union[int, str]]:
    """A 1-D tensor, array or sequence of integers or strings -> list of int and str."""
    if isinstance(values, (Tensor, np.ndarray)):
        if values.ndim != 1:
            raise ValueError(f"{name} must have one dimension, got shape {tuple(values.shape)}")
        values = values.tolist()
    elif isinstance(values, str) or not isinstance(values, Sequence):
        raise ValueError(f"{name} must be a tensor, an array or a list, got {type(values).__name__}")
    try:
        return [str(v) if isinstance(v, str) else operator.index(v) for v in values]
    except TypeError:
        kinds = sorted({type(v).__name__ for v in values} - {"int", "str"})
        raise ValueError(f"{name} must hold integers or strings, got {', '.join(kinds)}") from None


def check_cutoffs(cutoffs: Sequence[int], name: str = "cutoffs") -> Tuple[int, ...]:
    """Integers of at least 1 (and below 2**31 - 1, as ranks are int32), each once, in their order."""
    cutoffs = tuple(cutoffs)
    for k in cutoffs:
        integer = isinstance(k, (int, np.integer)) and not isinstance(k, bool)
        if not integer or not 1 <= k < np.iinfo(np.int32).max:
            raise ValueError(f"{name}: whole numbers from 1 are wanted, got {k!r}")
    if len(set(cutoffs)) != len(cutoffs):
        raise ValueError(f"{name} name a value twice: {cutoffs}")
    return tuple(int(k) for k in cutoffs)


def check_choice(name: str, value: str, choices: Sequence[str]) -> str:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")
    return value


def pick_device(device: Optional[Union[str, torch.device]], query: Tensor) -> torch.device:
    """The device to rank on: the one asked for, else the queries' device if it has float64, else the CPU."""
    if device is None:
        return query.device if query.device.type in ("cpu", "cuda") else torch.device("cpu")
    device = torch.device(device)
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be cpu or cuda (float64 is needed), got {device}")
    return device
