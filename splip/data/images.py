"""Image files: which there are below a folder, and (out of :mod:`splip.data.decode`) what they show as 8-bit RGB."""

from __future__ import annotations

import os
import stat
from collections import Counter
from fnmatch import fnmatch
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Sequence, Union

from splip.data.decode import FORMATS, IMAGE_SUFFIXES, MAX_PIXELS, as_rgb, describe_image, open_rgb

__all__ = [
    "FORMATS", "IMAGE_SUFFIXES", "MAX_PIXELS", "Found", "as_rgb", "count_kinds", "describe_image", "describe_skipped",
    "find_images", "has_image_suffix", "is_file", "is_hidden", "kind_of", "open_rgb", "walk_images",
]  # fmt: skip


class Found(NamedTuple):
    """What lies below a folder: image files, and how many other files by kind."""

    images: List[Path]  # sorted
    skipped: Dict[str, int]  # ".heic" -> 3; also "hidden", "without suffix", "linked folder", "broken link"
    unreadable: List[str] = []  # folders that could not be looked into


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden: macOS's ``._x.jpg``, ``.ipynb_checkpoints`` and the like."""
    return name.startswith(".")


def has_image_suffix(name: str) -> bool:
    """Whether a file of this name counts as an image; hidden ones do not."""
    return not is_hidden(name) and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def kind_of(name: str) -> str:
    """What a file that is no image is counted as: its suffix in small letters, "without suffix" or "hidden"."""
    return "hidden" if is_hidden(name) else os.path.splitext(name)[1].lower() or "without suffix"


def describe_skipped(skipped: Dict[str, int]) -> str:
    """"3 .heic, 1 hidden", the most first; "" where nothing was skipped."""
    order = sorted(skipped.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {kind}" for kind, count in order if count)


def find_images(folder: Union[str, Path]) -> Found:
    """Every image file below ``folder``, and what was left out. Links to folders are not followed.

    Raises:
        ValueError: no such folder, or no image in it; what else lies there is named.
    """
    if not os.path.isdir(folder):
        raise ValueError(f"no folder {str(folder)!r}")
    found = walk_images(folder)
    if not found.images:
        others = describe_skipped(found.skipped)
        raise ValueError(f"no image below {str(folder)!r}" + (f"; there are {others}" if others else ""))
    return found


def walk_images(folder: Union[str, Path], excludes: Sequence[str] = ()) -> Found:
    """As :func:`find_images`, also where there are none.

    Args:
        excludes: patterns as of `fnmatch`; a file or folder whose name, or path below ``folder``, is like one is left
            out.
    """
    images: List[Path] = []
    skipped: Dict[str, int] = Counter()

    def left_out(where: str, name: str) -> bool:
        below = os.path.relpath(os.path.join(where, name), folder)
        out = any(fnmatch(name, pattern) or fnmatch(below, pattern) for pattern in excludes)
        skipped["excluded"] += out
        return out

    unreadable: List[str] = []
    for where, folders, files in os.walk(folder, onerror=lambda error: unreadable.append(os.fspath(error.filename))):
        linked = [name for name in folders if os.path.islink(os.path.join(where, name))]
        skipped["linked folder"] += len(linked)
        folders[:] = [
            name for name in folders if not (is_hidden(name) or name in linked or left_out(where, name))
        ]
        for name in files:
            path = Path(where, name)
            if left_out(where, name):
                continue
            if not has_image_suffix(name):
                skipped[kind_of(name)] += 1
            elif is_file(path):
                images.append(path)
            else:
                skipped["broken link" if path.is_symlink() else "no file"] += 1
    return Found(sorted(images), {kind: count for kind, count in skipped.items() if count}, unreadable)


def is_file(path: Union[str, Path]) -> bool:
    """Whether a plain file is there, or a link to one; a link that leads in a circle is none."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def count_kinds(names: Iterable[str]) -> Dict[str, int]:
    """How many of these file names are of each kind (`kind_of`)."""
    return dict(Counter(map(kind_of, names)))
