"""List the images in the class folders of a folder, and keep the listing between runs.

A listing is kept in a small file in ``$SPLIP_CACHE``, else ``$XDG_CACHE_HOME/splip``, else ``~/.cache/splip``;
nothing is written into the data's own folders. The kept listing of a class folder is valid as long as the folder's
times do not change: adding, removing or renaming a file changes them. Link targets are not kept, because these times
do not show when they change.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
import warnings
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from splip.data.images import IMAGE_SUFFIXES, has_image_suffix, is_hidden

FORMAT = [3, *sorted(IMAGE_SUFFIXES)]  # format version, and the image suffixes when the file was written
SETTLED = 2 * 10**9  # ns; a folder that changed less than this before its listing is listed again next time


class Listing(NamedTuple):
    """Files of one class folder, sorted by name."""

    images: List[str]
    others: List[str]  # not an image by suffix, or a broken link; hidden files are in neither list


def list_classes(folder: Path) -> Dict[str, Listing]:
    """{class folder: its files} of the folders directly in ``folder``, sorted by folder name.

    Raises:
        OSError: a folder is missing, cannot be read, or is a link to a missing folder: without the error,
            some images would be missing from training.
    """
    kept_in = _cache_file(folder)
    kept = _read(kept_in)
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if not is_hidden(entry.name) and _is_class(entry))
    found: Dict[str, Listing] = {}
    stamps: Dict[str, Optional[List[int]]] = {}
    changed = set(kept) != set(names)
    for name in names:
        path = os.path.join(folder, name)
        status, now = os.stat(path), time.time_ns()
        stamp = stamps[name] = [status.st_mtime_ns, status.st_ctime_ns]
        entry = kept.get(name)
        if entry and entry["stamp"] == stamp:
            found[name] = Listing(entry["images"], entry["others"])
            continue
        found[name], changed = _list_files(path), True
        lost = any(map(has_image_suffix, found[name].others))  # a broken link may be valid later
        if lost or now - max(stamp) < SETTLED:  # a second change may have the same timestamp
            stamps[name] = None
    if changed:
        _write(kept_in, {n: {"stamp": stamps[n], **files._asdict()} for n, files in found.items()})
    return found


def _list_files(path: str) -> Listing:
    with os.scandir(path) as entries:
        files = sorted(entry.name for entry in entries if not (is_hidden(entry.name) or _is_folder(entry)))
    whole = {name for name in files if has_image_suffix(name) and _is_file(os.path.join(path, name))}
    return Listing([name for name in files if name in whole], [name for name in files if name not in whole])


def _is_class(entry: os.DirEntry) -> bool:
    found = _is_folder(entry)
    if not found and entry.is_symlink() and not (os.path.exists(entry.path) or os.path.splitext(entry.name)[1]):
        raise FileNotFoundError(errno.ENOENT, "The link leads nowhere", entry.path)
    return found


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno != errno.ELOOP:  # a circular link is not a folder; what cannot be read may be one
            raise
        return False


def _is_file(path: str) -> bool:
    """Whether the path is a regular file or a link to one; a broken or circular link is not."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        return False


def cache_folder() -> Optional[Path]:
    """The folder for small files that are kept between runs; None for a user without a home folder."""
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(os.environ.get("SPLIP_CACHE") or Path(home, "splip"))


def _cache_file(folder: Path) -> Optional[Path]:
    """The file that keeps the listing of ``folder``."""
    root = cache_folder()
    if root is None:
        return None
    name = hashlib.sha256(os.path.abspath(folder).encode("utf-8", "surrogateescape")).hexdigest()
    return root / "listings" / f"{name[:32]}.json"


def _read(path: Optional[Path]) -> Dict[str, dict]:
    """The kept listings; empty if the file is missing, damaged or of another version."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path else {}
        return content["classes"] if content.get("format") == FORMAT else {}
    except (OSError, ValueError, KeyError, AttributeError):
        return {}


def _write(path: Optional[Path], classes: Dict[str, dict]) -> None:
    """Replace the kept file, never change it in place; if it cannot be written, the run continues."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps({"format": FORMAT, "classes": classes}), encoding="utf-8")
        os.replace(fresh, path)
    except OSError as error:
        warnings.warn(f"the list of images cannot be kept in {path.parent} ({error}): it is made anew each time; "
                      "the environment variable SPLIP_CACHE names another folder", stacklevel=3)  # fmt: skip
