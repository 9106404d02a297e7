"""Vector search with FAISS: exact for few vectors, an inverted file with measured recall for many."""

from __future__ import annotations

import os
from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np

EXACT = 200_000  # largest number of vectors for exact search
RECALL = 0.97  # share of the ten nearest that the inverted file is tuned to find
PROBED = 200  # how many of its own vectors are queries to measure recall


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError as error:
        raise ValueError('searching needs FAISS: pip install -e ".[search]"') from error
    return faiss


class VectorIndex:
    """Unit vectors with numbers, ranked by cosine.

    Args:
        dim: of a vector.
        exact: largest number of vectors for exact search; more go into an inverted file (half precision).

    Attributes:
        recall: share of the ten nearest that are found, measured when the inverted file was built; None if exact.

    Raises:
        ValueError: FAISS is not installed.
    """

    def __init__(self, dim: int, exact: int = EXACT) -> None:
        self.dim, self.exact = dim, exact
        self.recall: Optional[float] = None
        self._trained_on = 0  # vectors that the inverted file was built for; 0 = there is none
        self._index = self._flat()

    def __len__(self) -> int:
        return self._index.ntotal

    @property
    def is_exact(self) -> bool:
        """Whether every vector is compared."""
        return self._trained_on == 0

    def describe(self) -> str:
        """Number of vectors and search method, as text."""
        if self.is_exact:
            return f"{len(self):,} vectors, exact"
        return f"{len(self):,} vectors, inverted file, recall@10 {self.recall:.3f}"

    def wants_rebuild(self, count: int) -> bool:
        """Whether to build a new index for ``count`` vectors (:meth:`fill`) instead of adding to this one."""
        if self.is_exact:
            return count > self.exact
        return count <= self.exact or not self._trained_on / 2 <= count <= 2 * self._trained_on

    def fill(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Replace all vectors by these: ids (n,) int64, vectors (n, dim) float32."""
        ids, vectors = self._checked(ids, vectors)
        self.recall, self._trained_on = None, 0
        if len(ids) <= self.exact:
            self._index = self._flat()
            self._index.add_with_ids(vectors, ids)
            return
        faiss, rng = _faiss(), np.random.default_rng(0)
        lists = int(4 * len(ids) ** 0.5)
        index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(self.dim), self.dim, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        index.cp.niter = 8
        index.train(vectors[rng.choice(len(ids), min(len(ids), 40 * lists), replace=False)])
        index.add_with_ids(vectors, ids)
        self._index, self._trained_on = index, len(ids)
        self._tune(vectors[rng.choice(len(ids), min(len(ids), PROBED), replace=False)], ids, vectors)

    def _tune(self, queries: np.ndarray, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Increase the number of searched lists until RECALL of the ten nearest are found."""
        _, nearest = _faiss().knn(queries, vectors, 11, metric=_faiss().METRIC_INNER_PRODUCT)
        wanted = ids[nearest[:, 1:]]  # without the vector itself
        self._index.nprobe = 8
        while True:
            _, found = self._index.search(queries, 11)
            self.recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(wanted, found)]))
            if self.recall >= RECALL or self._index.nprobe >= self._index.nlist:
                return
            self._index.nprobe = min(2 * self._index.nprobe, self._index.nlist)

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Add vectors under new numbers."""
        ids, vectors = self._checked(ids, vectors)
        if len(ids):
            self._index.add_with_ids(vectors, ids)

    def remove(self, ids: Sequence[int]) -> None:
        """Remove vectors; unknown numbers are ignored."""
        if len(ids):
            self._index.remove_ids(np.asarray(ids, dtype=np.int64))

    def search(self, queries: np.ndarray, k: int, among: Optional[np.ndarray] = None) -> Tuple[np.ndarray, np.ndarray]:
        """The k nearest of each query, best first: cosines (q, k) float32 and numbers (q, k) int64.

        Fewer than k columns if there are fewer vectors.

        Args:
            queries: (q, dim), unit length.
            among: numbers to choose from; None = all.
        """
        faiss = _faiss()
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        k = min(k, len(self) if among is None else len(among))
        if k < 1:
            return np.empty((len(queries), 0), dtype=np.float32), np.empty((len(queries), 0), dtype=np.int64)
        params = selector = None
        if among is not None:
            selector = faiss.IDSelectorBatch(np.asarray(among, dtype=np.int64))
            if self.is_exact:
                params = faiss.SearchParameters(sel=selector)
            else:  # few numbers: they may be in any list
                params = faiss.SearchParametersIVF(sel=selector, nprobe=self._index.nlist)
        scores, ids = self._index.search(queries, k, params=params)
        if not self.is_exact and (ids < 0).any():  # the searched lists hold fewer than k: search all
            everywhere = faiss.SearchParametersIVF(nprobe=self._index.nlist, **({"sel": selector} if params else {}))
            scores, ids = self._index.search(queries, k, params=everywhere)
        return scores, ids

    def save(self, path: Union[str, os.PathLike]) -> None:
        """Write it; if the process is killed, the old or the new file remains."""
        part = f"{os.fspath(path)}.{os.getpid()}.part"
        _faiss().write_index(self._index, part)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)

    def load(self, path: Union[str, os.PathLike], trained_on: int, recall: float) -> None:
        """Read an inverted file written by :meth:`save`.

        Raises:
            ValueError: it is damaged, or its vectors have another size.
        """
        try:
            index = _faiss().read_index(os.fspath(path))
        except RuntimeError as error:
            raise ValueError(f"{os.fspath(path)} is no index of FAISS: {str(error).splitlines()[0]}") from error
        if index.d != self.dim:
            raise ValueError(f"{os.fspath(path)} holds vectors of {index.d} numbers, not {self.dim}")
        self._index, self._trained_on, self.recall = index, trained_on, recall

    @property
    def trained_on(self) -> int:
        """Number of vectors that the inverted file was built for; 0 = there is none."""
        return self._trained_on

    def _flat(self) -> Any:
        faiss = _faiss()
        return faiss.IndexIDMap2(faiss.IndexFlatIP(self.dim))

    def _checked(self, ids: np.ndarray, vectors: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        vectors = np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1, self.dim)
        return np.ascontiguousarray(ids, dtype=np.int64), vectors
