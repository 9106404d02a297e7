"""The records of an index, and the methods of an engine. A store holds the data of one model."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Protocol, Sequence, Set, Tuple

import numpy as np

KINDS = ("sketch", "photo")  # of query images
CLEAN = "clean"  # a sketch after `clean_drawing`


class Known(NamedTuple):
    """An image file as it was when it was embedded."""

    size: int
    time: int  # of the last change, ns
    digest: bytes  # of the content


class Entry(NamedTuple):
    """An image to store."""

    path: str
    known: Known
    vector: np.ndarray  # (d,) float32, unit length


class Hit(NamedTuple):
    """A search result."""

    path: str
    score: float  # cosine, or cosine minus crowding (:mod:`splip.search.scaling`)
    id: int  # of the image, for `known_of` and `vectors_at`
    right: Optional[float] = None  # how often a photo of this score was right, in (0, 1), if that is known


class Store(Protocol):
    """The methods of an engine. Writers hold :meth:`writing`. No method corrupts the store if the process dies."""

    place: str  # for messages
    shards: bool  # whether several processes may write at once

    def about(self) -> Dict[str, Any]: ...

    def writing(self) -> Any: ...

    def known(self) -> Dict[str, Known]: ...

    def failed(self, readers: str = "") -> Dict[str, Tuple[int, int, str]]: ...

    def vectors_of(self, digests: Sequence[bytes]) -> Dict[bytes, np.ndarray]: ...

    def refuses(self, path: str) -> str: ...

    def put(self, entries: Sequence[Entry]) -> None: ...

    def fail(self, path: str, size: int, time: int, reason: str) -> None: ...

    def remove(self, paths: Sequence[str]) -> None: ...

    def folders(self) -> Dict[str, List[str]]: ...

    def set_folders(self, folders: Dict[str, List[str]]) -> None: ...

    def mounts(self) -> Set[str]: ...

    def set_mounts(self, mounts: Set[str]) -> None: ...

    def search(self, vectors: np.ndarray, k: int, below: str = "") -> List[List[Hit]]: ...

    def known_of(self, id: int) -> Optional[Tuple[str, Known]]: ...

    def newest(self, k: int) -> List[Hit]: ...

    def vectors_at(self, ids: Sequence[int]) -> Dict[int, np.ndarray]: ...

    def sample(self, count: int) -> np.ndarray: ...

    def finish(self) -> str: ...

    def rows(self) -> Iterator[Tuple[str, Known, np.ndarray]]: ...

    def __len__(self) -> int: ...

    def close(self) -> None: ...
