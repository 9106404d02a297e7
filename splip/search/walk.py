"""What lies below a folder now: image files, and what could not be looked at."""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, NamedTuple, Sequence, Set

from splip.data.images import has_image_suffix, is_hidden, kind_of
from splip.search.excludes import Excludes

NOT_THERE, BROKEN = "not there, or empty", "broken link"
NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # of a link: it leads to nothing


class File(NamedTuple):
    """An image file as it is now."""

    path: str
    size: int
    time: int  # of its last change, ns


@dataclass
class Found:
    """What lies below a folder.

    Attributes:
        files: images, by path.
        skipped: how many other files there are by kind: ".heic" -> 3; also "hidden", "without suffix", "linked
            folder", "broken link", "excluded".
        visited: folders that were looked into; ``alive``: those that hold a file that is not hidden; ``mounts``: those
            where another file system begins.
        folders_unseen, files_unseen: what could not be looked at -> why.
        excludes: what was left out.
    """

    excludes: Excludes
    files: Dict[str, File] = field(default_factory=dict)
    skipped: Counter = field(default_factory=Counter)
    visited: Set[str] = field(default_factory=set)
    alive: Set[str] = field(default_factory=set)
    mounts: Set[str] = field(default_factory=set)
    folders_unseen: Dict[str, str] = field(default_factory=dict)
    files_unseen: Dict[str, str] = field(default_factory=dict)


def require_folder(path: str) -> None:
    """Raise ValueError if there is no such folder. One that is there and cannot be looked at is a folder, too."""
    try:
        there = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        there = error.errno not in NOWHERE
    if not there:
        raise ValueError(f"no folder {path!r}")


def walk(folder: str, excludes: Sequence[str] = ()) -> Found:
    """Everything below ``folder``, without what is hidden; links to folders are not followed.

    What cannot be looked at is named and stops nothing; a folder is looked into whole or not at all.

    Args:
        excludes: lines of a .gitignore in the folder (:mod:`splip.search.excludes`).
    """
    found, todo = Found(Excludes(excludes)), [folder]
    while todo:
        where = todo.pop()
        try:
            os.stat(os.path.join(where, os.curdir))  # what may be listed may still hide what its files are
            with os.scandir(where) as entries:
                listed = list(entries)
        except OSError as error:
            if where == folder or error.errno not in NOWHERE:  # else it is gone since its parent was listed
                found.folders_unseen[where] = NOT_THERE if error.errno in NOWHERE else _reason(error)
            continue
        found.visited.add(where)
        if os.path.ismount(where):
            found.mounts.add(where)
        for entry in listed:
            if _take(entry, where, folder, found):
                todo.append(entry.path)
    return found


def _take(entry: os.DirEntry, where: str, top: str, found: Found) -> bool:
    """Count one thing -> whether it is a folder to look into."""
    try:
        linked, is_folder, reason = entry.is_symlink(), entry.is_dir(), ""
    except OSError as error:
        circle = error.errno in NOWHERE  # a link that leads to itself
        linked, is_folder, reason = circle, not circle, "" if circle else _reason(error)
    hidden = is_hidden(entry.name)
    if not (is_folder or hidden):
        found.alive.add(where)
    if found.excludes(os.path.relpath(entry.path, top), is_folder):
        found.skipped["excluded"] += 1
    elif reason:
        if not hidden:
            found.folders_unseen[entry.path] = reason
    elif is_folder:
        if linked:
            found.skipped["linked folder"] += 1
        return not (linked or hidden)
    elif not has_image_suffix(entry.name):
        found.skipped[kind_of(entry.name)] += 1
    else:
        _take_file(entry, linked, found)
    return False


def _take_file(entry: os.DirEntry, linked: bool, found: Found) -> None:
    try:
        status = os.stat(entry.path)
    except OSError as error:
        if linked and error.errno in NOWHERE:
            found.skipped[BROKEN] += 1
            found.files_unseen[entry.path] = BROKEN
        elif error.errno != errno.ENOENT:  # else it is gone since
            found.files_unseen[entry.path] = _reason(error)
        return
    if not stat.S_ISREG(status.st_mode):
        found.skipped["no file"] += 1
    else:
        found.files[entry.path] = File(entry.path, status.st_size, status.st_mtime_ns)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
