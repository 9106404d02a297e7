"""Decoded images on disk, for repeated epochs and later runs.

`<folder>/pixels_<size>.raw` holds images of (size, size, 3) bytes in sequence, read through a memory map;
`<folder>/pixels_<size>.jsonl` holds a line for each: data set class, file, what the data set needs beyond it, and the
file's size and modification time. Both only grow: an image whose file has changed gets a new place. Pixels reach the
disk before their line does, so that what a killed process leaves half-written counts as absent.
"""

from __future__ import annotations

import json
import os
import shutil
from typing import Callable, Dict, Iterable, List, Sequence

import numpy as np
from filelock import FileLock, Timeout

Reader = Callable[[Sequence[int]], Iterable[np.ndarray]]


def describe(kind: str, path: str, spec: object) -> str:
    """The line that stands for an image as its file is now."""
    stat = os.stat(path)
    return json.dumps([kind, os.path.abspath(path), repr(spec), stat.st_size, stat.st_mtime_ns])


class PixelCache:
    """The images of one size in a folder, which any number of runs may share.

    Args:
        folder: made if it is not there.
        size: side in pixels.
    """

    def __init__(self, folder: str, size: int) -> None:
        folder = os.path.expanduser(folder)
        os.makedirs(folder, exist_ok=True)
        self.folder, self.size, self.image_bytes = folder, size, 3 * size * size
        self.raw, self.index = (os.path.join(folder, f"pixels_{size}.{end}") for end in ("raw", "jsonl"))
        self.lock = FileLock(f"{self.index}.lock")  # the system frees it when a process dies

    def missing(self, lines: Sequence[str]) -> List[int]:
        """Positions of the images that `fill` would read, each image once."""
        known = self._places()
        first = {line: position for position, line in reversed(list(enumerate(lines)))}
        return sorted(position for line, position in first.items() if line not in known)

    def fill(self, lines: Sequence[str], read: Reader) -> MappedPixels:
        """Read what is missing, while other processes wait, and map all of `lines`.

        Args:
            lines: of `describe`, taken before anything is read.
            read: from a list of positions to batches (b, size, size, 3) uint8, in that order.

        Raises:
            OSError: not enough room, or a failed write; what was written before stays.
        """
        try:
            self.lock.acquire(timeout=0)
        except Timeout:
            print(f"Waiting for another process that fills {self.folder}")
            self.lock.acquire()
        try:
            self._drop_half_written()
            missing = self.missing(lines)
            need, free = len(missing) * self.image_bytes, shutil.disk_usage(self.folder).free
            if need > free:
                raise OSError(
                    f"DATASET.PIXEL_CACHE: {len(missing):,} images of {self.size} x {self.size} need "
                    f"{need / 1e9:.2f} GB in {self.folder}, where {free / 1e9:.2f} GB are free"
                )
            done = 0
            for batch in read(missing) if missing else ():
                self._append(batch, [lines[position] for position in missing[done : done + len(batch)]])
                done += len(batch)
            places = self._places()
        finally:
            self.lock.release()
        return MappedPixels(self.raw, self.size, np.array([places[line] for line in lines]))

    def _append(self, batch: np.ndarray, lines: Iterable[str]) -> None:
        try:
            with open(self.raw, "ab") as raw:
                raw.write(np.ascontiguousarray(batch).data)
                raw.flush()
                os.fsync(raw.fileno())
            with open(self.index, "a", encoding="ascii", newline="\n") as index:
                index.writelines(f"{line}\n" for line in lines)
        except OSError as error:
            raise OSError(
                f"DATASET.PIXEL_CACHE: cannot write to {self.folder} ({error}); the images before are kept"
            ) from error

    def _places(self) -> Dict[str, int]:
        """{line: number of its image}."""
        return {line: place for place, line in enumerate(self._whole_lines())}

    def _whole_lines(self) -> List[str]:
        """The lines written to their end, of images written to theirs."""
        if not (os.path.exists(self.index) and os.path.exists(self.raw)):
            return []
        with open(self.index, encoding="ascii", newline="\n") as index:
            lines = index.read().split("\n")[:-1]
        return lines[: os.path.getsize(self.raw) // self.image_bytes]

    def _drop_half_written(self) -> None:
        lines = self._whole_lines()
        sizes = {self.raw: len(lines) * self.image_bytes, self.index: sum(len(line) + 1 for line in lines)}
        for path, size in sizes.items():
            if os.path.exists(path) and os.path.getsize(path) > size:
                os.truncate(path, size)


class MappedPixels:
    """Images (n, size, size, 3) uint8 of a raw file, read-only; a pickle of it holds no pixels."""

    def __init__(self, path: str, size: int, places: np.ndarray) -> None:
        self.path, self.size, self.places, self._map = path, size, places, None

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> np.ndarray:
        if self._map is None:
            raw = np.memmap(self.path, dtype=np.uint8, mode="r")
            count = len(raw) // (3 * self.size**2)  # another run may be writing the rest
            self._map = raw[: count * 3 * self.size**2].reshape(count, self.size, self.size, 3).view(np.ndarray)
        return self._map[self.places[index]]

    def __getstate__(self) -> Dict[str, object]:
        return {**self.__dict__, "_map": None}
