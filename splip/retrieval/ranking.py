"""Exact cosine ranking, in chunks of queries and bounded memory.

The order of a ranking must not hang on how a matrix product happens to round: BLAS may give two
identical gallery items different last bits, and other bits again for another chunk size or thread
count. So scores are exact integers here. Each embedding is L2-normalised in float64 and rounded to
multiples of 1 / STEPS; products and all partial sums of such vectors are integers below 2**53, which
float64 holds exactly in whatever order they are added.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Iterator, Optional, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from .inputs import check_cutoffs, check_embeddings, pick_device

STEPS = 67_000_000  # grid steps in 1.0: the largest round number with 2 * STEPS**2 < 2**53
TIES = ("pessimistic", "optimistic")
ABSENT = np.iinfo(np.int32).max  # fills rows of ranks beyond a query's own last rank
CHUNK_BYTES = {"cpu": 2**28, "cuda": 2**30}  # memory bound for one chunk of queries
GRID_ROWS = 4096


def unit_grid(x: Tensor) -> np.ndarray:
    """(n, d) floats -> (n, d) float64 integers: STEPS * x / |x|, rounded.

    Done on the CPU by NumPy, which sums each row alone in a fixed order, so that a row's result does
    not depend on its neighbours, the chunk, the thread count or the device.
    """
    grid = np.empty(tuple(x.shape), dtype=np.float64)
    for start in range(0, len(grid), GRID_ROWS):
        rows = x[start : start + GRID_ROWS].to("cpu", torch.float64).contiguous().numpy()
        rows = rows / np.abs(rows).max(axis=1, keepdims=True)  # squares cannot under- or overflow
        norm = np.sqrt(np.square(rows).sum(axis=1, keepdims=True))
        np.rint(rows * (STEPS / norm), out=grid[start : start + GRID_ROWS])
    return grid


class ExactScores:
    """Integer sort keys -2 * STEPS**2 * cosine of query chunks against a gallery: smallest is best.

    Keys are even, so that adding 1 to relevant items (or taking 1 away) puts them after (or before)
    irrelevant ones of equal score and changes no other order.
    """

    def __init__(self, query: Tensor, gallery: Tensor, device: torch.device, chunk_size: Optional[int] = None):
        if chunk_size is None:
            # keys, sorted keys, masks and ranks; a GPU sort also carries indices and a buffer
            row_bytes = len(gallery) * (32 if device.type == "cpu" else 64)
            chunk_size = max(1, CHUNK_BYTES[device.type] // row_bytes)
        (self.chunk_size,) = check_cutoffs([chunk_size], "chunk_size")
        self.query, self.device = query, device
        self.gallery = torch.from_numpy(unit_grid(gallery)).to(device)  # (G, d)

    def __iter__(self) -> Iterator[Tuple[slice, Tensor]]:
        """Yield (slice of queries, keys (C, G) float64)."""
        for start in range(0, len(self.query), self.chunk_size):
            rows = slice(start, min(start + self.chunk_size, len(self.query)))
            grid = torch.from_numpy(unit_grid(self.query[rows])).to(self.device)
            yield rows, (-2.0 * grid) @ self.gallery.T


def mark_relevant(keys: Tensor, relevant: Tensor, ties: str) -> Tensor:
    """Make the keys of relevant items odd, in place, so that ties sort as `ties` says."""
    return keys.add_(relevant, alpha=1 if ties == "pessimistic" else -1)


def relevant_ranks(
    query: Tensor,
    gallery: Tensor,
    query_codes: Tensor,
    gallery_codes: Tensor,
    ties: str,
    chunk_size: Optional[int],
    device: torch.device,
) -> Iterator[Tuple[slice, np.ndarray]]:
    """Yield (slice of queries, ranks) for each chunk.

    ranks: (C, R) int32, the ranks of each query's relevant items from 1, ascending; R is the largest
    number of relevant items in the chunk, shorter rows end with ABSENT. Inputs as checked by `inputs`.
    """
    scores = ExactScores(query, gallery, device, chunk_size)
    gallery_codes = gallery_codes.to(device)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for rows, keys in scores:
            relevant = query_codes[rows, None].to(device) == gallery_codes  # (C, G)
            count = relevant.sum(dim=1).cpu().numpy()
            mark_relevant(keys, relevant, ties)
            ranks = np.full((len(count), max(1, count.max())), ABSENT, dtype=np.int32)
            own = np.arange(ranks.shape[1]) < count[:, None]
            ranks[own] = _odd_columns(keys, pool) + 1
            yield rows, ranks


def _odd_columns(keys: Tensor, pool: ThreadPoolExecutor) -> np.ndarray:
    """Sort each row of keys (C, G); columns of the odd ones, row after row."""
    if keys.device.type == "cuda":
        return (keys.sort(dim=1).values.long() & 1).nonzero()[:, 1].cpu().numpy()
    # NumPy sorts keys alone several times faster than torch sorts keys with their indices; the
    # parity has kept what the indices would tell. It frees the GIL, so rows go to threads.
    blocks = np.array_split(keys.numpy(), max(1, len(keys) // 8))
    return np.concatenate(list(pool.map(_odd_columns_of_block, blocks)))


def _odd_columns_of_block(keys: np.ndarray) -> np.ndarray:
    keys.sort(axis=1)
    odd = (keys.astype(np.int64) & 1).astype(bool)
    return np.flatnonzero(odd) % keys.shape[1]


@torch.no_grad()
def topk(
    query: Tensor,
    gallery: Tensor,
    k: int,
    chunk_size: Optional[int] = None,
    device: Optional[Union[str, torch.device]] = None,
) -> Tuple[Tensor, Tensor]:
    """The k gallery items nearest to each query by cosine, best first; equal scores by gallery index.

    query: (Q, d), gallery: (G, d) float tensors, normalised or not.
    Returns (scores (Q, k) float32 in [-1, 1], indices (Q, k) int64), both on the CPU.
    Raises ValueError as `retrieval_metrics` does, and where k is more than G.
    """
    query, gallery = check_embeddings(query, gallery)
    (k,) = check_cutoffs([k], "k")
    if k > len(gallery):
        raise ValueError(f"k is {k} but the gallery holds {len(gallery)} embeddings")
    scores = torch.empty(len(query), k)
    indices = torch.empty(len(query), k, dtype=torch.int64)
    for rows, keys in ExactScores(query, gallery, pick_device(device, query), chunk_size):
        best, order = keys.sort(dim=1, stable=True)
        scores[rows] = (best[:, :k] / (-2.0 * STEPS**2)).clamp(-1, 1).float().cpu()
        indices[rows] = order[:, :k].cpu()
    return scores, indices
