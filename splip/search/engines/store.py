"""An index in a folder: SQLite holds everything, FAISS searches a copy of the vectors in memory."""

from __future__ import annotations

import json
import os
import sqlite3
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence, Set, Tuple

import numpy as np
from filelock import FileLock, Timeout

from splip.common.files import whole_file
from splip.search.database import SCHEMA, VERSION, Connection, read_path, read_vector
from splip.search.engines.vectors import EXACT, VectorIndex
from splip.search.records import Entry, Hit, Known


class LocalStore:
    """A folder: SQLite holds everything, FAISS searches a copy of the vectors in memory.

    Args:
        folder: of one model; created if necessary.
        about: description of the vectors: at least ``identity`` and ``dim``.
        exact: as in :class:`splip.search.engines.vectors.VectorIndex`.

    Raises:
        ValueError: the index in the folder is of another model, of a later version, or damaged.
    """

    shards = False

    def __init__(self, folder: Path, about: Dict[str, Any], exact: int = EXACT) -> None:
        self.folder, self.place = folder, str(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(str(folder / "writing.lock"), timeout=0, thread_local=False)
        path = folder / "images.sqlite"
        try:
            # one connection for all threads: the app serializes its use of the store
            self._db = sqlite3.connect(
                path, timeout=30, isolation_level=None, check_same_thread=False, factory=Connection
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(SCHEMA)
            stored = dict(self._db.execute("SELECT key, value FROM about"))
        except sqlite3.OperationalError as error:
            raise ValueError(f"{path} cannot be opened: {error}") from error
        except (sqlite3.DatabaseError, ValueError) as error:
            if "cannot be used now" in str(error):
                raise ValueError(f"{path}: {error}") from error
            raise ValueError(f"{path} is damaged or no index: {error}; delete the folder to make it anew") from error
        if not stored:
            with self._transaction():
                rows = {**{key: json.dumps(value) for key, value in about.items()}, "version": str(VERSION)}
                self._db.executemany("INSERT OR IGNORE INTO about VALUES (?, ?)", rows.items())
                self._db.execute("INSERT OR IGNORE INTO about VALUES ('change', '0')")
                self._db.execute("INSERT OR IGNORE INTO about VALUES ('uid', ?)", (json.dumps(uuid.uuid4().hex),))
            stored = dict(self._db.execute("SELECT key, value FROM about"))
        try:
            version, said = int(stored["version"]), {key: json.loads(stored[key]) for key in ("identity", "model")}
        except (KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{path} is damaged or no index: {error}; delete the folder to make it anew") from error
        if version > VERSION:
            raise ValueError(f"{path} was written by a later version of splip")
        if said["identity"] != about["identity"]:
            raise ValueError(f"{path} is the index of another model ({said['model']})")
        self._index = VectorIndex(about["dim"], exact)
        self._seen = 0  # number of the last change that is in the vectors in memory

    # ------------------------------------------------------------- storing

    def about(self) -> Dict[str, Any]:
        """The ``about`` that it was created with."""
        return {key: json.loads(str(value)) for key, value in self._db.execute("SELECT key, value FROM about")}

    @contextmanager
    def writing(self) -> Iterator[None]:
        """While this is held, no other process can write.

        Raises:
            ValueError: another process is writing.
        """
        try:
            with self._lock:
                yield
        except Timeout as error:
            raise ValueError(f"the index in {self.folder} is being updated by another process") from error

    def __len__(self) -> int:
        return self._db.execute("SELECT count(*) FROM images").fetchone()[0]

    def known(self) -> Dict[str, Known]:
        """Every image by path."""
        rows = self._db.execute("SELECT path, size, time, digest FROM images")
        return {read_path(path): Known(*rest) for path, *rest in rows}

    def failed(self, readers: str = "") -> Dict[str, Tuple[int, int, str]]:
        """Files that could not be read: path -> (size, time, reason).

        Args:
            readers: the current image readers; failures of other readers are removed. "" = none are removed.
        """
        if readers and self.about().get("readers") != readers:
            with self._transaction():
                self._db.execute("DELETE FROM failed")
                self._note("readers", readers)
        rows = self._db.execute("SELECT path, size, time, reason FROM failed")
        return {read_path(path): (size, time, reason) for path, size, time, reason in rows}

    def vectors_of(self, digests: Sequence[bytes]) -> Dict[bytes, np.ndarray]:
        """Digest -> vector, for known contents."""
        asked = "SELECT vector FROM images WHERE digest = ? LIMIT 1"
        rows = {digest: self._db.execute(asked, (digest,)).fetchone() for digest in digests}
        return {digest: read_vector(row[0]) for digest, row in rows.items() if row}

    def refuses(self, path: str) -> str:
        """Why a path cannot be stored; "" = it can."""
        return ""

    def put(self, entries: Sequence[Entry]) -> None:
        """Store images; earlier records of these paths are replaced."""
        with self._transaction() as change:
            for path, known, vector in entries:
                name = os.fsencode(path)
                self._forget(name, change)
                self._db.execute(
                    "INSERT INTO images (path, size, time, digest, vector, change) VALUES (?, ?, ?, ?, ?, ?)",
                    (name, *known, np.asarray(vector, dtype=np.float32).tobytes(), change),
                )

    def fail(self, path: str, size: int, time: int, reason: str) -> None:
        """Record that a file cannot be read."""
        with self._transaction() as change:
            self._forget(os.fsencode(path), change)
            self._db.execute("INSERT INTO failed VALUES (?, ?, ?, ?)", (os.fsencode(path), size, time, reason))

    def remove(self, paths: Sequence[str]) -> None:
        """Remove images, and records of unreadable files."""
        with self._transaction() as change:
            for path in paths:
                self._forget(os.fsencode(path), change)

    def folders(self) -> Dict[str, List[str]]:
        """Added folders -> exclude patterns of each."""
        rows = self._db.execute("SELECT path, excludes FROM folders ORDER BY path")
        return {read_path(path): json.loads(excludes) for path, excludes in rows}

    def set_folders(self, folders: Dict[str, List[str]]) -> None:
        """Store these folders; all others are removed."""
        with self._transaction():
            self._db.execute("DELETE FROM folders")
            rows = [(os.fsencode(path), json.dumps(excludes)) for path, excludes in folders.items()]
            self._db.executemany("INSERT INTO folders VALUES (?, ?)", rows)

    def mounts(self) -> Set[str]:
        """Known mount points (folders that were on another file system)."""
        noted = self.about().get("mounts")
        return set(map(str, noted)) if isinstance(noted, list) else set()

    def set_mounts(self, mounts: Set[str]) -> None:
        """Store these mount points; all others are removed."""
        if mounts != self.mounts():
            with self._transaction():
                self._note("mounts", sorted(mounts))

    def _note(self, key: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO about VALUES (?, ?)", (key, json.dumps(value)))

    def rows(self) -> Iterator[Tuple[str, Known, np.ndarray]]:
        """All images, in the order in which they were stored."""
        rows = self._db.execute("SELECT path, size, time, digest, vector FROM images ORDER BY id")
        for path, size, time, digest, vector in rows:
            yield read_path(path), Known(size, time, digest), read_vector(vector)

    def _forget(self, name: bytes, change: int) -> None:
        self._db.execute("DELETE FROM failed WHERE path = ?", (name,))
        for (id,) in self._db.execute("SELECT id FROM images WHERE path = ?", (name,)).fetchall():
            self._db.execute("INSERT INTO gone VALUES (?, ?)", (id, change))
            self._db.execute("DELETE FROM images WHERE id = ?", (id,))

    @contextmanager
    def _transaction(self) -> Iterator[int]:
        """Commit all of the body or nothing; yields the number of this change."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute("UPDATE about SET value = CAST(value AS INTEGER) + 1 WHERE key = 'change'")
            row = self._db.execute("SELECT value FROM about WHERE key = 'change'").fetchone()
            yield int(row[0]) if row else 0
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    # --------------------------------------------------------------- searching

    def search(self, vectors: np.ndarray, k: int, below: str = "") -> List[List[Hit]]:
        """The k nearest images of each vector (q, d), best first; with ``below`` only those in that folder."""
        self._refresh()
        among = None
        if below:
            prefix = os.fsencode(os.path.join(below, ""))
            rows = self._db.execute("SELECT id FROM images WHERE substr(path, 1, ?) = ?", (len(prefix), prefix))
            among = np.array([id for (id,) in rows], dtype=np.int64)
        scores, ids = self._index.search(vectors, k, among)
        found = []
        for row_scores, row_ids in zip(scores.tolist(), ids.tolist()):
            hits = [(self.known_of(id), score, id) for score, id in zip(row_scores, row_ids) if id >= 0]
            found.append([Hit(known[0], score, id) for known, score, id in hits if known])
        return found

    def known_of(self, id: int) -> Optional[Tuple[str, Known]]:
        """Path and record of an image; None if there is none of this number."""
        query = "SELECT path, size, time, digest FROM images WHERE id = ?"
        row = self._db.execute(query, (id,)).fetchone() if id < 2**63 else None
        return (read_path(row[0]), Known(*row[1:])) if row else None

    def newest(self, k: int) -> List[Hit]:
        """The k images whose files changed last."""
        rows = self._db.execute("SELECT path, id FROM images ORDER BY time DESC, id LIMIT ?", (k,))
        return [Hit(read_path(path), 0.0, id) for path, id in rows]

    def vectors_at(self, ids: Sequence[int]) -> Dict[int, np.ndarray]:
        """Number -> vector (d,) of the images that are there."""
        asked = "SELECT vector FROM images WHERE id = ?"
        rows = {id: self._db.execute(asked, (id,)).fetchone() for id in ids if id < 2**63}
        return {id: read_vector(row[0]) for id, row in rows.items() if row}

    def sample(self, count: int) -> np.ndarray:
        """Vectors (at most count, d), the same ones while the images are the same."""
        rows = self._db.execute("SELECT vector FROM images ORDER BY digest LIMIT ?", (count,))  # a hash: any of them
        return np.array([read_vector(vector) for (vector,) in rows], dtype=np.float32)

    def finish(self) -> str:
        """Update the vectors in memory, save a large index as a file -> description of the search method. Call it while
        :meth:`writing` is held.
        """
        self._refresh()
        if not self._index.is_exact:
            (self.folder / "vectors.json").unlink(missing_ok=True)  # never beside vectors of another moment
            self._index.save(self.folder / "vectors.faiss")
            kept = {
                "change": self._seen, "trained_on": self._index.trained_on, "recall": self._index.recall,
                "uid": self.about()["uid"], "bytes": os.path.getsize(self.folder / "vectors.faiss"),
            }  # fmt: skip
            with whole_file(self.folder / "vectors.json") as file:
                file.write(json.dumps(kept).encode())
        return self._index.describe()

    def _refresh(self) -> None:
        """Apply new changes to the vectors in memory."""
        self._db.execute("BEGIN")  # one consistent state, even if another process writes now
        try:
            self._take_changes()
        finally:
            self._db.execute("COMMIT")

    def _take_changes(self) -> None:
        change = int(self._db.execute("SELECT value FROM about WHERE key = 'change'").fetchone()[0])
        if change == self._seen:
            return
        if not self._seen:
            self._load_file()
        if self._index.wants_rebuild(len(self)):
            self._index.fill(*self._read())
        else:
            since = (self._seen,)
            new = self._read("WHERE change > ?", since)
            gone = [id for (id,) in self._db.execute("SELECT id FROM gone WHERE change > ?", since)]
            self._index.remove([*gone, *new[0].tolist()] if len(self._index) else [])
            self._index.add(*new)
        self._seen = change

    def _load_file(self) -> None:
        """Load the file that :meth:`finish` saved, if it exists and is complete."""
        try:
            kept, file = json.loads((self.folder / "vectors.json").read_text()), self.folder / "vectors.faiss"
            now = int(self._db.execute("SELECT value FROM about WHERE key = 'change'").fetchone()[0])
            if (kept["uid"], kept["bytes"]) != (self.about()["uid"], os.path.getsize(file)) or kept["change"] > now:
                return  # of another index, or incomplete
            self._index.load(self.folder / "vectors.faiss", kept["trained_on"], kept["recall"])
            self._seen = kept["change"]
        except (OSError, ValueError, KeyError, TypeError):
            return  # it is built again from the vectors

    def _read(self, where: str = "", values: tuple = ()) -> Tuple[np.ndarray, np.ndarray]:
        """Numbers (n,) and vectors (n, d) of images."""
        (count,) = self._db.execute(f"SELECT count(*) FROM images {where}", values).fetchone()
        ids = np.empty(count, dtype=np.int64)
        vectors = np.empty((count, self._index.dim), dtype=np.float32)  # filled row by row: there may be a million
        for i, (id, vector) in enumerate(self._db.execute(f"SELECT id, vector FROM images {where}", values)):
            ids[i], vectors[i] = id, read_vector(vector)
        return ids, vectors

    def close(self) -> None:
        """Close its files."""
        self._db.close()
