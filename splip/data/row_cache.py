"""Arrays of one shape on disk, for repeated epochs and later runs: decoded images, or a network's output for them.

`<folder>/<name>.raw` contains the arrays in sequence and is read through a memory map. `<folder>/<name>.jsonl` has one
line for each: its checksum and, for an image, its data set class, file, further data that the data set needs, and the
file's size and modification time. Both files only grow: an image whose file has changed gets a new place. An array is
written to disk before its line, so the incomplete data of a killed process counts as missing. An array is checked
when it is first read.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np
from filelock import FileLock, Timeout

from splip.data.images import READER

SUM = 9  # characters of a line's checksum, with the space after it
Reader = Callable[[Sequence[int]], Iterable[np.ndarray]]


def describe(kind: str, path: str, spec: object, resize: str = "crop") -> str:
    """The line for an image with the current state of its file, resized in one of `Preprocessing`'s modes."""
    stat = os.stat(path)
    how = [] if resize == "crop" else [resize]  # older caches have only "crop", and no such entry
    return json.dumps([kind, os.path.abspath(path), repr(spec), stat.st_size, stat.st_mtime_ns, *how])


class RowCache:
    """Arrays of one shape and type in a folder, which any number of runs may share.

    Args:
        folder: created if it is missing.
        name: of the two files.
        shape, dtype: of one array.
        key: the setting that asked for it, for error messages.
    """

    def __init__(self, folder: str, name: str, shape: Tuple[int, ...], dtype: Any, key: str) -> None:
        folder = os.path.expanduser(folder)
        os.makedirs(folder, exist_ok=True)
        self.folder, self.shape, self.dtype, self.key = folder, shape, np.dtype(dtype), key
        self.row_bytes = int(np.prod(shape)) * self.dtype.itemsize
        self.raw, self.index = (os.path.join(folder, f"{name}.{end}") for end in ("raw", "jsonl"))
        self.lock = FileLock(f"{self.index}.lock")  # the system releases it when a process dies

    def missing(self, lines: Sequence[str]) -> List[int]:
        """Positions of the images that `fill` will read, each image once."""
        known = self._places()
        first = {line: position for position, line in reversed(list(enumerate(lines)))}
        return sorted(position for line, position in first.items() if line not in known)

    def fill(self, lines: Sequence[str], read: Reader) -> MappedRows:
        """Read the missing images, while other processes wait, and map all of `lines`.

        Args:
            lines: from `describe`, made before anything is read.
            read: function of a list of positions that yields batches (b, *shape) in that order.

        Raises:
            OSError: there is not enough disk space, or a write failed; earlier data stays.
        """
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            print(f"Waiting for another process that fills {self.folder}")
            self.lock.acquire()
        try:
            self._drop_half_written()
            missing = self.missing(lines)
            need, free = len(missing) * self.row_bytes, shutil.disk_usage(self.folder).free
            if need > free:
                raise OSError(
                    f"{self.key}: {len(missing):,} arrays of {' x '.join(map(str, self.shape))} need "
                    f"{need / 1e9:.2f} GB in {self.folder}, where {free / 1e9:.2f} GB are free"
                )
            done = 0
            for batch in read(missing) if missing else ():
                self._append(batch, [lines[position] for position in missing[done : done + len(batch)]])
                done += len(batch)
            whole = self._whole_lines()
        finally:
            self.lock.release()
        places = {line[SUM:]: place for place, line in enumerate(whole)}
        chosen = np.array([places[line] for line in lines])
        sums = np.array([int(whole[place][: SUM - 1], 16) for place in chosen], dtype=np.uint32)
        return MappedRows(self.raw, self.shape, self.dtype, chosen, sums)

    def _append(self, batch: np.ndarray, lines: Iterable[str]) -> None:
        rows = np.ascontiguousarray(batch)
        try:
            with open(self.raw, "ab") as raw:
                raw.write(rows.data)
                raw.flush()
                os.fsync(raw.fileno())
            with open(self.index, "a", encoding="ascii", newline="\n") as index:
                index.writelines(f"{zlib.crc32(row.data):08x} {line}\n" for row, line in zip(rows, lines))
        except OSError as error:
            raise OSError(
                f"{self.key}: cannot write to {self.folder} ({error}); what was written before is kept"
            ) from error

    def _places(self) -> Dict[str, int]:
        """{line: number of its image}; for equal lines, the last one."""
        return {line[SUM:]: place for place, line in enumerate(self._whole_lines())}

    def _whole_lines(self) -> List[str]:
        """The complete lines whose images are also complete."""
        if not (os.path.exists(self.index) and os.path.exists(self.raw)):
            return []
        with open(self.index, encoding="ascii", newline="\n") as index:
            lines = index.read().split("\n")[:-1]
        return lines[: os.path.getsize(self.raw) // self.row_bytes]

    def _drop_half_written(self) -> None:
        lines = self._whole_lines()
        sizes = {self.raw: len(lines) * self.row_bytes, self.index: sum(len(line) + 1 for line in lines)}
        for path, size in sizes.items():
            if os.path.exists(path) and os.path.getsize(path) > size:
                os.truncate(path, size)


def pixel_cache(folder: str, size: int) -> RowCache:
    """A cache of decoded images, (size, size, 3) uint8."""
    return RowCache(folder, f"pixels{READER}_{size}", (size, size, 3), np.uint8, "DATASET.PIXEL_CACHE")


class MappedRows:
    """Arrays (n, *shape) of a raw file, read-only; a pickle of the object does not contain the arrays.

    Args:
        sums: CRC-32 of each array, compared when it is first read.
    """

    def __init__(
        self, path: str, shape: Tuple[int, ...], dtype: np.dtype, places: np.ndarray, sums: np.ndarray
    ) -> None:
        self.path, self.shape, self.dtype, self.places, self.sums = path, shape, dtype, places, sums
        self._map: Optional[np.ndarray] = None
        self._checked = np.zeros(len(places), dtype=bool)

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> np.ndarray:
        """One array, or one for each of an array of positions.

        Raises:
            ValueError: the data differs from what was written.
        """
        if self._map is None:
            raw, numbers = np.memmap(self.path, dtype=self.dtype, mode="r"), int(np.prod(self.shape))
            count = len(raw) // numbers  # another run may be writing more
            self._map = raw[: count * numbers].reshape(count, *self.shape).view(np.ndarray)
        rows = self._map[self.places[index]]
        if not self._checked[index].all():
            self._check(index, rows)
        return rows

    def _check(self, index: Any, rows: np.ndarray) -> None:
        single = np.ndim(index) == 0
        for position, row in zip(np.atleast_1d(index), rows[None] if single else rows):
            if not self._checked[position] and zlib.crc32(np.ascontiguousarray(row).data) != self.sums[position]:
                raise ValueError(f"{self.path} is damaged: array {self.places[position]} is not what was written; "
                                 "remove the file and the .jsonl beside it")  # fmt: skip
        self._checked[index] = True

    def __getstate__(self) -> Dict[str, object]:
        return {**self.__dict__, "_map": None}
