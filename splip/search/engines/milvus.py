"""An index that can be larger than one machine: Milvus, in this process (Milvus Lite, a file) or on a server.

Each model has one collection with vectors, paths and the state of the files. Several processes may write at once
(``torchrun ... splip index``).
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

from splip.search.records import Entry, Hit, Known

LONGEST = 4096  # bytes of a path, at most
PAGE = 1000  # rows per request
FIELDS = ["id", "path", "size", "time", "digest"]


def number_of(path: str) -> int:
    """The number of an image: a hash of its path, so that an image written twice is stored once."""
    return int.from_bytes(blake2b(os.fsencode(path), digest_size=8).digest(), "big") >> 1


class _Said:
    """A client that raises ValueError for every error of Milvus."""

    def __init__(self, client: Any, place: str) -> None:
        self._client, self._place = client, place

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def said(*args: Any, **kwargs: Any) -> Any:
            try:
                return call(*args, **kwargs)
            except Exception as error:  # pymilvus raises many kinds
                raise ValueError(f"Milvus at {self._place!r}: {_short(error)}") from error

        return said


class MilvusStore:
    """The same as :class:`splip.search.engines.store.LocalStore`, in Milvus.

    Args:
        uri: a file (``photos.db``, Milvus Lite) or ``http://host:19530``.
        about: description of the vectors: ``identity``, ``dim``, ``model`` and more.
        token: for the server, ``user:password``; default: environment variable MILVUS_TOKEN.

    Raises:
        ValueError: pymilvus is not installed, or the server cannot be reached.
    """

    shards = True

    def __init__(self, uri: str, about: Dict[str, Any], token: str = "") -> None:
        try:
            from pymilvus import DataType, MilvusClient
        except ModuleNotFoundError as error:
            raise ValueError('--engine milvus needs pymilvus: pip install -e ".[milvus]"') from error
        logging.getLogger("pymilvus").setLevel(logging.ERROR)  # Milvus Lite warns that it has no clock
        self.place, self._about = uri, about
        self._name, self._folders = f"splip_{about['identity']}", f"splip_folders_{about['identity']}"
        try:
            self._client: Any = _Said(MilvusClient(uri=uri, token=token or os.environ.get("MILVUS_TOKEN", "")), uri)
            there = self._client.has_collection(self._name)
        except Exception as error:  # pymilvus raises many kinds
            raise ValueError(f"Milvus at {uri!r} cannot be used: {_short(error)}") from error
        if not there:
            schema = self._client.create_schema(auto_id=False)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("path", DataType.VARCHAR, max_length=LONGEST)
            schema.add_field("size", DataType.INT64)
            schema.add_field("time", DataType.INT64)
            schema.add_field("digest", DataType.VARCHAR, max_length=64)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=about["dim"])
            self._create(self._name, schema, "vector", "IP")
        if not self._client.has_collection(self._folders):
            schema = self._client.create_schema(auto_id=False)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("path", DataType.VARCHAR, max_length=LONGEST)
            schema.add_field("excludes", DataType.VARCHAR, max_length=2 * LONGEST)
            schema.add_field("unused", DataType.FLOAT_VECTOR, dim=2)  # a collection must have a vector
            self._create(self._folders, schema, "unused", "L2")
        for name in (self._name, self._folders):
            self._client.load_collection(name)

    def _create(self, name: str, schema: Any, vector: str, metric: str) -> None:
        index = self._client.prepare_index_params()
        index.add_index(field_name=vector, index_type="AUTOINDEX", metric_type=metric)
        try:
            # a writer can read what it wrote at once, as in the local store
            self._client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")
        except Exception as error:
            if not self._client.has_collection(name):  # else another process created it first
                raise ValueError(f"Milvus at {self.place!r} cannot make a collection: {_short(error)}") from error

    # ------------------------------------------------------------- storing

    def about(self) -> Dict[str, Any]:
        """The ``about`` of the constructor."""
        return self._about  # the collection's name contains its identity

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Any number of processes may write."""
        yield

    def __len__(self) -> int:
        rows = self._client.query(self._name, filter="", output_fields=["count(*)"])
        return int(rows[0]["count(*)"])

    def known(self) -> Dict[str, Known]:
        """Every image by path."""
        return {row["path"]: _known(row) for row in self._all(FIELDS)}

    def failed(self, readers: str = "") -> Dict[str, Tuple[int, int, str]]:
        """Always empty: unreadable files are tried again each time."""
        return {}

    def vectors_of(self, digests: Sequence[bytes]) -> Dict[bytes, np.ndarray]:
        """Digest -> vector, for known contents."""
        found: Dict[bytes, np.ndarray] = {}
        for start in range(0, len(digests), PAGE):
            wanted = ", ".join(f'"{digest.hex()}"' for digest in digests[start : start + PAGE])
            rows = self._client.query(self._name, filter=f"digest in [{wanted}]", output_fields=["digest", "vector"])
            found.update({bytes.fromhex(row["digest"]): _vector(row) for row in rows})
        return found

    def refuses(self, path: str) -> str:
        """Why a path cannot be stored; "" = it can."""
        try:
            _checked(path)
        except ValueError as error:
            return str(error)
        return ""

    def put(self, entries: Sequence[Entry]) -> None:
        """Store images; earlier records of these paths are replaced.

        Raises:
            ValueError: a path is longer than LONGEST bytes, or is not UTF-8.
        """
        rows = [
            {"id": number_of(path), "path": _checked(path), "size": known.size, "time": known.time,
             "digest": known.digest.hex(), "vector": np.asarray(vector, dtype=np.float32).tolist()}
            for path, known, vector in entries
        ]  # fmt: skip
        if rows:
            self._client.upsert(self._name, rows)

    def fail(self, path: str, size: int, time: int, reason: str) -> None:
        """Remove the record of a file that can no longer be read."""
        self.remove([path])

    def remove(self, paths: Sequence[str]) -> None:
        """Remove images."""
        for start in range(0, len(paths), PAGE):
            self._client.delete(self._name, ids=[number_of(path) for path in paths[start : start + PAGE]])

    def folders(self) -> Dict[str, List[str]]:
        """Added folders -> exclude patterns of each."""
        rows = self._client.query(self._folders, filter="id >= 0", output_fields=["path", "excludes"], limit=PAGE)
        return {row["path"]: json.loads(row["excludes"]) for row in sorted(rows, key=lambda row: row["path"])}

    def set_folders(self, folders: Dict[str, List[str]]) -> None:
        """Store these folders; all others are removed."""
        gone = [number_of(path) for path in set(self.folders()) - set(folders)]
        if gone:
            self._client.delete(self._folders, ids=gone)
        rows = [
            {"id": number_of(path), "path": _checked(path), "excludes": json.dumps(excludes), "unused": [0.0, 0.0]}
            for path, excludes in folders.items()
        ]
        if rows:
            self._client.upsert(self._folders, rows)

    def mounts(self) -> Set[str]:
        """Known mount points: rows in the folders' collection, with negative numbers."""
        return {row["path"] for row in self._client.query(self._folders, filter="id < 0", output_fields=["path"])}

    def set_mounts(self, mounts: Set[str]) -> None:
        """Store these mount points; all others are removed."""
        before, now = self.mounts(), {path for path in mounts if not self.refuses(path)}
        if before - now:
            self._client.delete(self._folders, ids=[-1 - number_of(path) for path in before - now])
        rows = [
            {"id": -1 - number_of(path), "path": path, "excludes": "[]", "unused": [0.0, 0.0]} for path in now - before
        ]
        if rows:
            self._client.upsert(self._folders, rows)

    def rows(self) -> Iterator[Tuple[str, Known, np.ndarray]]:
        """All images."""
        for row in self._all([*FIELDS, "vector"]):
            yield row["path"], Known(row["size"], row["time"], bytes.fromhex(row["digest"])), _vector(row)

    def _all(self, fields: List[str]) -> Iterator[Dict[str, Any]]:
        pages = self._client.query_iterator(self._name, batch_size=PAGE, filter="", output_fields=fields)
        try:
            while True:
                page = pages.next()
                if not page:
                    return
                yield from page
        finally:
            pages.close()

    # --------------------------------------------------------------- searching

    def search(self, vectors: np.ndarray, k: int, below: str = "") -> List[List[Hit]]:
        """The k nearest images of each vector (q, d), best first; with ``below`` only those in that folder."""
        prefix = os.path.join(below, "") if below else ""
        escaped = prefix.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        where = f"path like {json.dumps(escaped + '%', ensure_ascii=False)}" if below else ""
        found = self._client.search(
            self._name,
            data=np.asarray(vectors, dtype=np.float32).tolist(),
            limit=k,
            filter=where,
            output_fields=["path"],
        )
        rows = [[(hit["entity"]["path"], float(hit["distance"]), hit["id"]) for hit in hits] for hits in found]
        return [[Hit(*hit) for hit in hits if hit[0].startswith(prefix)] for hits in rows]

    def known_of(self, id: int) -> Optional[Tuple[str, Known]]:
        """Path and record of an image; None if there is none of this number."""
        rows = self._client.get(self._name, ids=[id], output_fields=list(FIELDS))
        return (rows[0]["path"], _known(rows[0])) if rows else None

    def newest(self, k: int) -> List[Hit]:
        """None: Milvus sorts by no field."""
        return []

    def vectors_at(self, ids: Sequence[int]) -> Dict[int, np.ndarray]:
        """Number -> vector (d,) of the images that are there."""
        rows = self._client.get(self._name, ids=list(ids), output_fields=["id", "vector"]) if len(ids) else []
        return {row["id"]: _vector(row) for row in rows}

    def sample(self, count: int) -> np.ndarray:
        """Vectors (at most count, d); Milvus chooses which."""
        rows = self._client.query(self._name, filter="", limit=count, output_fields=["vector"])
        return np.array([_vector(row) for row in rows], dtype=np.float32)

    def finish(self) -> str:
        """Make the server write its data to disk -> description of the search method."""
        self._client.flush(self._name)
        return f"{len(self):,} vectors in Milvus at {self.place}"

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _vector(row: Dict[str, Any]) -> np.ndarray:
    return np.asarray(row["vector"], dtype=np.float32)


def _checked(path: str) -> str:
    try:
        size = len(path.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise ValueError(f"Milvus holds names in UTF-8 only: {path!r}") from error
    if size > LONGEST:
        raise ValueError(f"Milvus holds names of at most {LONGEST} bytes: {path[:60]!r} ...")
    return path


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _known(row: Mapping[str, Any]) -> Known:
    return Known(row["size"], row["time"], bytes.fromhex(row["digest"]))
