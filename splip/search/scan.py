"""Bringing an index up to date with folders: what is new or changed is embedded, what moved is recognised by its
content, what is gone is forgotten.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from io import BytesIO
from itertools import islice
from typing import Collection, Deque, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from tqdm import tqdm

from splip.common import distributed
from splip.data.images import describe_skipped, open_rgb, walk_images
from splip.models.image_model import ImageModel
from splip.search.records import Entry, Known, Store

LARGEST = 2**30  # bytes of a file
PASSING = "now: "  # of reasons that may pass by themselves
BATCH = 32  # images embedded, and remembered, at a time


@dataclass
class Report:
    """What an update did. ``failed``: (path, reason) of files that cannot be read; ``away``: folders that are not
    there, or empty where there were images, as an unplugged disk: what is known of these is kept.
    """

    added: int = 0
    changed: int = 0
    moved: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: List[Tuple[str, str]] = field(default_factory=list)
    away: List[str] = field(default_factory=list)
    skipped: Dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        counts = (
            (self.added, "new"), (self.changed, "changed"), (self.moved, "moved or copied"),
            (self.unchanged, "unchanged"), (self.removed, "gone"), (len(self.failed), "unreadable"),
        )  # fmt: skip
        text = ", ".join(f"{count:,} {name}" for count, name in counts if count) or "no images"
        skipped = describe_skipped(self.skipped)
        return text + (f"; no images: {skipped}" if skipped else "")


class _File(NamedTuple):
    path: str
    size: int
    time: int


class _Read(NamedTuple):
    """A file that was looked into: its content's digest, and its pixels or why there are none."""

    file: _File
    digest: bytes
    pixels: Optional[np.ndarray]
    reason: str


def update(
    store: Store, model: ImageModel, folders: Dict[str, List[str]], quiet: bool = False, others: Sequence[str] = ()
) -> Report:
    """Bring ``store`` up to date with what lies below ``folders`` now; what it holds of other folders stays.

    A kill loses at most BATCH images of work. With several processes each takes its share of the files.

    Args:
        folders: absolute paths -> patterns (as of `fnmatch`: of a name, or of the path below the folder) that are left
            out.
        quiet: no progress bar.
        others: folders that are not looked at now; what is below them stays.

    """
    began, report = time.monotonic(), Report()
    known, failed = store.known(), store.failed()
    files = _list(folders, known, report)
    kept = [*report.away, *others]
    gone = [
        path for path in {*known, *failed}
        if path not in files and any(_is_below(path, f) for f in folders) and not any(_is_below(path, f) for f in kept)
    ]  # fmt: skip
    for path, (size, modified, reason) in failed.items():
        if files.get(path) == _File(path, size, modified):
            report.failed.append((path, reason))
            del files[path]
    todo = [file for path, file in sorted(files.items()) if known.get(path, ())[:2] != file[1:]]
    report.unchanged = len(files) - len(todo)
    refused = {file.path: reason for file in todo if (reason := store.refuses(file.path))}
    report.failed += refused.items()
    todo = [file for file in todo if file.path not in refused]
    by_digest = {entry.digest: path for path, entry in known.items()}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool, tqdm(
        total=len(todo), unit=" images", disable=quiet or not todo or not distributed.is_main(), smoothing=0.1
    ) as bar:
        own = todo[distributed.rank() :: distributed.world()]
        for batch in _batches(_look(pool, own, by_digest, model)):
            _remember(store, model, batch, known, by_digest, report)
            bar.update(len(batch) * distributed.world())
    if distributed.is_main():  # last: what moved has taken its vector along by now
        store.remove(gone)
    moved = {by_digest[known[path].digest] for path in gone if path in known} - set(gone)
    report.removed = len(gone) - len(moved)
    report.seconds = time.monotonic() - began
    return report


def _list(folders: Dict[str, List[str]], known: Collection[str], report: Report) -> Dict[str, _File]:
    """Every image file below the folders, as it is now."""
    files: Dict[str, _File] = {}
    skipped: Counter = Counter()
    for folder, excludes in folders.items():
        found = walk_images(folder, excludes) if os.path.isdir(folder) else None
        if found is None or (not (found.images or found.skipped) and any(_is_below(path, folder) for path in known)):
            report.away.append(folder)
            continue
        report.away += found.unreadable
        skipped.update(found.skipped)
        for path in map(str, found.images):
            try:
                stat = os.stat(path)
            except FileNotFoundError:  # gone since
                continue
            except OSError:
                report.away.append(path)
                continue
            files[path] = _File(path, stat.st_size, stat.st_mtime_ns)
    report.skipped = dict(skipped)
    return files


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(os.path.join(folder, ""))


def _look(
    pool: ThreadPoolExecutor, files: List[_File], by_digest: Dict[bytes, str], model: ImageModel
) -> Iterator[_Read]:
    """Read files some batches ahead, in their order; pixels only of contents that are not known."""
    pending: Deque[Future] = deque()
    for file in files:
        pending.append(pool.submit(_read, file, by_digest, model))
        if len(pending) > 2 * BATCH:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _read(file: _File, by_digest: Collection[bytes], model: ImageModel) -> _Read:
    try:
        if file.size > LARGEST:
            raise ValueError(f"cannot read image: it is larger than {LARGEST // 2**20} MB")
        with open(file.path, "rb") as opened:
            content = opened.read()
        digest = blake2b(content, digest_size=16).digest()
        if digest in by_digest:
            return _Read(file, digest, None, "")
        return _Read(file, digest, model.pixels(open_rgb(BytesIO(content), at_least=model.preprocessing.size)), "")
    except ValueError as error:
        return _Read(file, b"", None, str(error).partition(": ")[2])
    except (OSError, MemoryError) as error:  # of the moment, not of the file: not remembered
        return _Read(file, b"", None, f"{PASSING}{getattr(error, 'strerror', None) or type(error).__name__}")


def _batches(reads: Iterator[_Read]) -> Iterator[List[_Read]]:
    while True:
        batch = list(islice(reads, BATCH))
        if not batch:
            return
        yield batch


def _remember(
    store: Store, model: ImageModel, batch: List[_Read], known: Dict[str, Known], by_digest: Dict[bytes, str],
    report: Report,
) -> None:  # fmt: skip
    """Embed what is new of a batch, and put all of it into the store."""
    vectors = store.vectors_of([read.digest for read in batch if read.digest in by_digest])
    # a content that is known was overwritten meanwhile, where files were renumbered: it is read again
    batch = [
        _read(read.file, (), model) if not (read.reason or read.digest in vectors or read.pixels is not None) else read
        for read in batch
    ]
    new = {read.digest: read.pixels for read in batch if read.pixels is not None}
    if new:
        vectors.update(zip(new, model.embed_pixels(list(new.values()), "photo").numpy()))
    entries = []
    for file, digest, pixels, reason in batch:
        if reason:
            if not reason.startswith(PASSING):
                store.fail(file.path, file.size, file.time, reason)
            report.failed.append((file.path, reason))
            continue
        entries.append(Entry(file.path, Known(file.size, file.time, digest), vectors[digest]))
        if file.path in known:
            report.changed += pixels is not None or known[file.path].digest != digest
            report.unchanged += pixels is None and known[file.path].digest == digest  # only touched
        else:
            report.added += pixels is not None
            report.moved += pixels is None
        by_digest[digest] = file.path
    store.put(entries)
