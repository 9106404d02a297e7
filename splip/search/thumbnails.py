"""Small versions of photos, kept on disk between two starts of the page."""

from __future__ import annotations

import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Optional

from splip.common.files import whole_file
from splip.data.images import open_rgb
from splip.search.records import Known

SIDE = 256  # pixels, the longer side
MOST = 256 * 2**20  # bytes that are kept
CHECKED = 500  # thumbnails between two looks at what is kept


class Thumbnails:
    """WebP files, named by the content that they show: a photo that was moved keeps its own, and a photo that was
    replaced does not show the old one.

    Args:
        folder: where they are kept; None = nowhere.
        most: bytes; beyond them the files that were not asked for longest go.
    """

    def __init__(self, folder: Optional[Path], most: int = MOST) -> None:
        self.folder, self.most, self.made = folder, most, 0

    def get(self, path: str, known: Known) -> Optional[bytes]:
        """The thumbnail of a photo; None if it is not there any more, or cannot be read.

        Args:
            known: the photo as it was when it was indexed. If the file has changed since, nothing is kept.
        """
        try:
            status = os.stat(path)
        except OSError:
            return None
        kept = None
        if self.folder is not None and (status.st_size, status.st_mtime_ns) == known[:2]:
            name = known.digest.hex()
            kept = self.folder / name[:2] / f"{name}.webp"
            with suppress(OSError):
                found = kept.read_bytes()
                os.utime(kept)  # asked for just now
                return found
        picture = small(path, SIDE, "WEBP")
        if kept is not None and picture is not None:
            with suppress(OSError):  # a full or read-only disk costs time, not the page
                kept.parent.mkdir(parents=True, exist_ok=True)
                with whole_file(kept) as file:
                    file.write(picture)
                self._prune()
        return picture

    def _prune(self) -> None:
        """Remove the oldest files if there is too much, once in a while."""
        self.made += 1
        if self.folder is None or self.made % CHECKED != 1:
            return
        files = [(entry.stat(), entry) for entry in self.folder.glob("??/*.webp")]
        size = sum(status.st_size for status, _ in files)
        for status, file in sorted(files, key=lambda pair: pair[0].st_mtime):
            if size <= self.most:
                break
            file.unlink()
            size -= status.st_size


def small(path: str, side: int, format: str) -> Optional[bytes]:
    """A photo, at most ``side`` pixels long, as JPEG or WEBP; None if it cannot be read."""
    try:
        image = open_rgb(path, at_least=side // 2)
    except ValueError:
        return None
    image.thumbnail((side, side))
    out = BytesIO()
    image.save(out, format, quality=85 if format == "JPEG" else 80)
    return out.getvalue()
