"""List the image files in a folder and its sub-folders, and the files and folders that could not be read."""

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
NOWHERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # errors of a link without a target


class File(NamedTuple):
    """An image file as it is now."""

    path: str
    size: int
    time: int  # of the last change, ns


@dataclass
class Found:
    """The content of a folder and its sub-folders.

    Attributes:
        files: images, by path.
        skipped: number of other files of each kind: ".heic" -> 3; also "hidden", "without suffix", "linked
            folder", "broken link", "excluded".
        visited: folders that were read. ``alive``: those with a file that is not hidden. ``mounts``: those that are
            mount points.
        folders_unseen, files_unseen: path that could not be read -> reason.
        excludes: the exclude patterns.
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
    """Raise ValueError if there is no such folder. A folder that exists but cannot be read is valid."""
    try:
        there = stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        there = error.errno not in NOWHERE
    if not there:
        raise ValueError(f"no folder {path!r}")


def walk(folder: str, excludes: Sequence[str] = ()) -> Found:
    """List ``folder`` and its sub-folders, without hidden ones; links to folders are not followed.

    Unreadable files and folders are recorded, not raised. A folder is read completely or not at all.

    Args:
        excludes: lines of a .gitignore in the folder (:mod:`splip.search.excludes`).
    """
    found, todo = Found(Excludes(excludes)), [folder]
    while todo:
        where = todo.pop()
        try:
            os.stat(os.path.join(where, os.curdir))  # a folder that can be listed may still forbid stat of its files
            with os.scandir(where) as entries:
                listed = list(entries)
        except OSError as error:
            if where == folder or error.errno not in NOWHERE:  # else it was deleted after its parent was listed
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
    """Record one entry -> whether it is a folder to read."""
    try:
        linked, is_folder, reason = entry.is_symlink(), entry.is_dir(), ""
    except OSError as error:
        circle = error.errno in NOWHERE  # a link to itself
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
        elif error.errno != errno.ENOENT:  # else it was just deleted
            found.files_unseen[entry.path] = _reason(error)
        return
    if not stat.S_ISREG(status.st_mode):
        found.skipped["no file"] += 1
    else:
        found.files[entry.path] = File(entry.path, status.st_size, status.st_mtime_ns)


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
