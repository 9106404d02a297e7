"""Images that an index knows and that are not found: whether they are gone, or cannot be seen now."""

from __future__ import annotations

import os
from typing import Dict, Iterable, Iterator, Mapping, NamedTuple, Set

from splip.search.walk import NOT_THERE, Found


class Hidden(NamedTuple):
    """What an image is hidden by."""

    place: str  # a folder, or the file itself
    why: str


def find_hidden(absent: Iterable[str], found: Mapping[str, Found], mounts: Set[str]) -> Dict[str, Hidden]:
    """Those of ``absent`` that may be there all the same. What is left out is gone; what lies in or below

    - what could not be looked at, or a folder that is not there though it was added, is hidden;
    - a folder that was another file system's and is not now (``mounts``), as an unplugged disk, is hidden;
    - a folder that is there and holds no file any more, nor does any folder below it: hidden, for a disk that is not
      mounted looks so;
    - a folder that holds other files, or was removed from one that does: gone.

    Args:
        absent: paths.
        found: what was found below each folder.
        mounts: folders that have been another file system's.
    """
    unseen = {place: why for one in found.values() for place, why in {**one.folders_unseen, **one.files_unseen}.items()}
    visited = {folder for one in found.values() for folder in one.visited}
    lost = mounts - {folder for one in found.values() for folder in one.mounts}
    alive: Set[str] = set()
    for top, one in found.items():
        for folder in one.alive:
            alive.update(ancestors(folder, top))
    hidden = {}
    for path in absent:
        tops = [top for top in found if is_below(path, top)]
        if all(found[top].excludes(os.path.relpath(path, top), False) for top in tops):
            continue
        above = list(ancestors(path, min(tops, key=len)))  # itself first
        places = [place for place in above if place in unseen or place in lost]
        if places:
            hidden[path] = Hidden(places[-1], unseen.get(places[-1], NOT_THERE))
            continue
        there = [folder for folder in above if folder in visited]  # the nearest first
        if there and there[0] not in alive:
            hidden[path] = Hidden([folder for folder in there if folder not in alive][-1], NOT_THERE)
    return hidden


def ancestors(path: str, top: str) -> Iterator[str]:
    """A path and every folder above it up to ``top``."""
    yield path
    while path != top:
        path = os.path.dirname(path)
        yield path


def is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder, or lies anywhere below it."""
    return path == folder or path.startswith(os.path.join(folder, ""))
