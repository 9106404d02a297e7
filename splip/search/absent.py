"""Decide whether indexed images that are not found were deleted, or cannot be seen now."""

from __future__ import annotations

import os
from typing import Dict, Iterable, Iterator, Mapping, NamedTuple, Set

from splip.search.walk import NOT_THERE, Found


class Hidden(NamedTuple):
    """Why an image cannot be seen now."""

    place: str  # a folder, or the file itself
    why: str


def find_hidden(absent: Iterable[str], found: Mapping[str, Found], mounts: Set[str]) -> Dict[str, Hidden]:
    """The paths of ``absent`` that may still exist ("hidden"). Excluded paths count as deleted. A path is

    - hidden, if it is in or below a path that could not be read, or an added folder that does not exist;
    - hidden, if it is in or below a folder of ``mounts`` that is no mount point now, such as an unplugged disk;
    - hidden, if its nearest existing folder and all sub-folders hold no files, as for a disk that is not mounted;
    - deleted, if that folder holds other files.

    Args:
        absent: paths.
        found: folder -> its content.
        mounts: folders that were on another file system.
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
        above = list(ancestors(path, min(tops, key=len)))  # the path itself first
        places = [place for place in above if place in unseen or place in lost]
        if places:
            hidden[path] = Hidden(places[-1], unseen.get(places[-1], NOT_THERE))
            continue
        there = [folder for folder in above if folder in visited]  # nearest first
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
    """Whether ``path`` is ``folder``, or is anywhere inside it."""
    return path == folder or path.startswith(os.path.join(folder, ""))
