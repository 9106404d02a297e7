"""Another order of results: photos that are near to everything come later. An option; the default is the cosine.

Among embeddings of many dimensions some photos are near to nearly every query ("hubs"). Cross-domain similarity local
scaling (CSLS, Conneau et al., "Word translation without parallel data", ICLR 2018, equation 3) subtracts from a cosine
half of the photo's mean cosine to its own nearest neighbours. Measured in docs/SEARCH.md#another-order.
"""

from __future__ import annotations

from typing import List, Mapping, Sequence

import numpy as np

from splip.search.records import Hit, Store

SAMPLE = 1000  # photos of the index, among which a photo's neighbours are looked for
NEIGHBOURS = 10  # Conneau et al.'s number
CANDIDATES = 200  # nearest photos by cosine that are put into a new order; more changed nothing
LEAST = 100  # photos; in a smaller index neighbours say little
SAME = 0.9999  # cosine of a photo with itself or its copy, which are no neighbours


def crowding(vectors: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Mean cosine of each vector (n, d) to its NEIGHBOURS nearest of the sample (m, d), without itself -> (n,)."""
    cosines = vectors @ sample.T
    cosines[cosines >= SAME] = -1
    count = min(NEIGHBOURS, len(sample))
    return np.partition(cosines, -count, axis=1)[:, -count:].mean(axis=1)


class Sample:
    """The photos among which neighbours are looked for."""

    def __init__(self) -> None:
        self._size, self._vectors = 0, np.empty((0, 0), dtype=np.float32)

    def of(self, store: Store) -> np.ndarray:
        """Vectors (m, d); drawn again when the index has changed by a twentieth."""
        if not len(self._vectors) or abs(len(store) - self._size) > self._size / 20:
            self._size, self._vectors = len(store), store.sample(SAMPLE)
        return self._vectors


def reorder(hits: Sequence[Hit], vectors: Mapping[int, np.ndarray], sample: np.ndarray, k: int) -> List[Hit]:
    """The k best of the hits by cosine minus half of their crowding, which is their new score.

    Args:
        hits: with cosines. vectors: of their photos by number (d,). A photo that is gone since is left out.
    """
    hits = [hit for hit in hits if hit.id in vectors]
    if not hits:
        return []
    half = crowding(np.stack([vectors[hit.id] for hit in hits]).astype(np.float32), sample) / 2
    scaled = [hit._replace(score=hit.score - float(less)) for hit, less in zip(hits, half)]
    return sorted(scaled, key=lambda hit: -hit.score)[:k]
