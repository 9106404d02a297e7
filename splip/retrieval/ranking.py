"""Exact cosine ranking, in chunks of queries and bounded memory.

The order of a ranking must not depend on how a matrix product rounds. BLAS may give two identical gallery
items different last bits, and these may change with chunk size or thread count. So scores are exact integers
here. Each embedding is L2-normalised in float64 and rounded to multiples of 1 / STEPS. Products and all partial
sums of such vectors are integers below 2**53, which float64 holds exactly in any order of addition.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Iterator, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import Tensor

from .inputs import check_cutoffs, check_embeddings, pick_device

STEPS = 67_000_000  # grid steps in 1.0: the largest round number with 2 * STEPS**2 < 2**53
TIES = ("pessimistic", "optimistic")
ABSENT = np.iinfo(np.int32).max  # fills rows of ranks after a query's last rank
CHUNK_BYTES = {"cpu": 2**28, "cuda": 2**30}  # memory bound for one chunk of queries
GRID_ROWS = 256  # 1 MB of float64 at d = 512: stays in a core's cache
BLOCK_ROWS = 8  # rows that a thread ranks at a time


def unit_grid(x: Tensor) -> np.ndarray:
    """(n, d) floats -> (n, d) float64 integers: STEPS * x / |x|, rounded.

    NumPy does this on the CPU. It sums each row alone in a fixed order, so a row's result does
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

    Keys are even. So adding 1 to relevant items (or subtracting 1) puts them after (or before)
    irrelevant ones of equal score, and changes no other order.
    """

    def __init__(self, query: Tensor, gallery: Tensor, device: torch.device, chunk_size: Optional[int] = None):
        if chunk_size is None:
            # keys; where they are sorted, sorted keys and indices too; on a GPU also masks and the sort's buffer
            row_bytes = len(gallery) * (24 if device.type == "cpu" else 64)
            chunk_size = max(1, CHUNK_BYTES[device.type] // row_bytes)
        (chunk_size,) = check_cutoffs([chunk_size], "chunk_size")
        self.chunk_size = min(chunk_size, len(query))
        self.query, self.device = query, device
        self.gallery = torch.from_numpy(unit_grid(gallery)).to(device)  # (G, d)

    def __iter__(self) -> Iterator[Tuple[slice, Tensor]]:
        """Yield (slice of queries, keys (C, G) float64); the next chunk overwrites the keys.

        New memory for each chunk would add 40 % to the product's time, by page faults.
        """
        keys = torch.empty(self.chunk_size, len(self.gallery), dtype=torch.float64, device=self.device)
        for start in range(0, len(self.query), self.chunk_size):
            rows = slice(start, min(start + self.chunk_size, len(self.query)))
            grid = torch.from_numpy(unit_grid(self.query[rows])).to(self.device)
            yield rows, torch.mm(-2.0 * grid, self.gallery.T, out=keys[: len(grid)])


class OwnColumns:
    """The gallery columns that have the same code as each query, without a (Q, G) mask.

    query_codes: (Q,), gallery_codes: (G,) integers.
    """

    def __init__(self, query_codes: Tensor, gallery_codes: Tensor):
        query, gallery = query_codes.numpy(), gallery_codes.numpy()
        self.order = gallery.argsort(kind="stable")
        self.start = gallery.searchsorted(query, "left", sorter=self.order)
        self.count = gallery.searchsorted(query, "right", sorter=self.order) - self.start  # (Q,)

    def of(self, query: int) -> np.ndarray:
        """The columns of one query, ascending."""
        return self.order[self.start[query] : self.start[query] + self.count[query]]

    def padded(self, rows: slice) -> Tuple[np.ndarray, np.ndarray]:
        """Columns (C, m) of a chunk of queries with at least one each, and a mask of those that are not padding."""
        count = self.count[rows, None]
        index = np.arange(count.max())
        return self.order[self.start[rows, None] + np.minimum(index, count - 1)], index < count


def tie_step(ties: str) -> int:
    """The tie rule: what is added to the even keys of relevant items before keys are compared.

    1 puts a relevant item after all irrelevant ones of equal score ("pessimistic"), -1 before them ("optimistic").
    """
    return 1 if ties == "pessimistic" else -1


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
    scores, own = ExactScores(query, gallery, device, chunk_size), OwnColumns(query_codes, gallery_codes)
    step = tie_step(ties)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for rows, keys in scores:
            count = own.count[rows]
            ranks = np.full((len(count), max(1, count.max())), ABSENT, dtype=np.int32)
            if device.type == "cpu":
                # NumPy releases the GIL in most of its slow parts, so threads rank the rows
                columns = [own.of(i) for i in range(rows.start, rows.stop)]
                blocks = range(0, len(columns), BLOCK_ROWS)
                parts = ([x[i : i + BLOCK_ROWS] for i in blocks] for x in (keys.numpy(), columns, ranks))
                list(pool.map(_rank_block, *parts, repeat(step)))
            else:
                relevant = query_codes[rows, None].to(device) == gallery_codes.to(device)  # (C, G)
                ranks[np.arange(ranks.shape[1]) < count[:, None]] = ranks_by_sorting(keys, relevant, step)
            yield rows, ranks


def _rank_block(keys: np.ndarray, columns: Sequence[np.ndarray], ranks: np.ndarray, step: int) -> None:
    for row, own, out in zip(keys, columns, ranks):
        out[: len(own)] = ranks_by_counting(row, own, step)


def ranks_by_counting(keys: np.ndarray, own: np.ndarray, step: int) -> np.ndarray:
    """Ranks, from 1 and ascending, of the columns `own` (R,) among even `keys` (G,), which are overwritten.

    step: from :func:`tie_step`.

    A sort of the whole row would also sort the irrelevant items. Instead, keys go into about G buckets of
    equal width. Only buckets that hold an own item are sorted, by their full keys; items of the others are
    counted. Rounding may put a key into a neighbouring bucket, but never changes the buckets' order, so ranks
    are exact.
    """
    if not len(own):
        return own
    keys[own] += step  # odd
    low, high = keys[own].min(), keys[own].max()
    buckets = len(keys)
    width = (high - low + 1) / buckets

    def bucket_of(values: np.ndarray) -> np.ndarray:
        scaled = values - (low - 1.5 * width)  # own items are in buckets from 1 on, all better ones in 0
        scaled *= 1 / width
        return np.clip(scaled, 0, buckets + 2, out=scaled).astype(np.intp)

    bucket = bucket_of(keys)
    sorted_out = np.zeros(buckets + 3, dtype=bool)
    sorted_out[bucket[own]] = True
    count = np.bincount(bucket, minlength=buckets + 3)
    count[sorted_out] = 0
    near = keys[sorted_out.take(bucket)]
    near.sort()
    position = np.flatnonzero(near.astype(np.int64) & 1)
    return 1 + position + count.cumsum()[bucket_of(near[position])]


def ranks_by_sorting(keys: Tensor, relevant: Tensor, step: int) -> np.ndarray:
    """The same for rows of keys (C, G) and a mask, on any device: ranks of all rows in sequence.

    The parity of a sorted key marks a relevant item, so no argsort is needed.
    """
    keys.add_(relevant, alpha=step)
    return (keys.sort(dim=1).values.long() & 1).nonzero()[:, 1].cpu().numpy() + 1


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
