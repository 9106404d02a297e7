"""Update an index from folders: new and changed files are embedded, moved files are recognised by their content,
deleted files are removed, and files that cannot be seen now are kept.
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
from typing import Collection, Deque, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np
from tqdm import tqdm

from splip.common import distributed
from splip.data.images import describe_skipped, open_rgb, readers
from splip.data.products import COPY, PRODUCTS, is_copy, product_of
from splip.models.image_model import ImageModel
from splip.search.absent import Hidden, ancestors, find_hidden, is_below
from splip.search.records import Entry, Known, Store
from splip.search.walk import BROKEN, NOT_THERE, File, Found, walk

LARGEST = 2**30  # bytes of a file, at most
PASSING = "now: "  # prefix of reasons that may be temporary
COPIES = "copied by splip search"
BATCH = 32  # images that are embedded and stored together


@dataclass
class Report:
    """The result of an update.

    Attributes:
        failed: (path, reason) of files that cannot be read. If the reason is temporary, the file's record is kept.
        away: folders that cannot be seen now: missing, without permission, or now empty (such as an unplugged disk).
            The records of their images are kept. ``reasons``: folder -> why.
        unused: excludes that excluded nothing, as the user wrote them.
    """

    added: int = 0
    changed: int = 0
    moved: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: List[Tuple[str, str]] = field(default_factory=list)
    away: List[str] = field(default_factory=list)
    reasons: Dict[str, str] = field(default_factory=dict)
    skipped: Counter = field(default_factory=Counter)
    unused: List[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        counts = (
            (self.added, "new"), (self.changed, "changed"), (self.moved, "moved or copied"),
            (self.unchanged, "unchanged"), (self.removed, "gone"), (len(self.failed), "unreadable"),
        )  # fmt: skip
        text = ", ".join(f"{count:,} {name}" for count, name in counts if count) or "no images"
        skipped = describe_skipped(self.skipped)
        return text + (f"; no images: {skipped}" if skipped else "")


class _Read(NamedTuple):
    """A file that was read: the digest of its content, and its pixels or the reason why there are none."""

    file: File
    digest: bytes
    pixels: Optional[np.ndarray]
    reason: str


def update(
    store: Store, model: ImageModel, folders: Dict[str, Dict[str, str]], quiet: bool = False, others: Sequence[str] = ()
) -> Report:
    """Update ``store`` from the present content of ``folders``; records of other folders are kept.

    If it is killed, the work on at most BATCH images is lost. Several processes share the files.

    Args:
        folders: absolute path -> excludes, from :func:`splip.search.excludes.as_lines`.
        quiet: no progress bar.
        others: folders that are not read now; records of files in them are kept.

    """
    began, report = time.monotonic(), Report()
    known, failed = store.known(), store.failed(readers())
    found = {folder: walk(folder, list(lines)) for folder, lines in folders.items()}
    files = {path: file for one in found.values() for path, file in one.files.items()}
    absent = {path for path in {*known, *failed} if path not in files and any(is_below(path, f) for f in folders)}
    absent -= {path for path in absent for folder in others if is_below(path, folder)}
    mounts = store.mounts()
    hidden = find_hidden(absent, found, mounts)
    _report_unseen(report, found, hidden)
    report.unused = _unused(folders, found)
    todo = _changed(store, files, known, failed, report)
    todo.sort(key=lambda file: COPY.match(os.path.basename(file.path)) is not None)  # copies after their originals
    by_digest, arrived = {entry.digest: path for path, entry in known.items()}, set()
    with (
        ThreadPoolExecutor(os.cpu_count() or 1) as pool,
        tqdm(
            total=len(todo), unit=" images", disable=quiet or not todo or not distributed.is_main(), smoothing=0.1
        ) as bar,
    ):
        own = todo[distributed.rank() :: distributed.world()]
        for batch in _batches(_look(pool, own, by_digest, model)):
            arrived |= _remember(store, model, batch, known, by_digest, report, files)
            bar.update(len(batch) * distributed.world())
    for path in [path for path, by in hidden.items() if by.why == NOT_THERE and path in known]:
        if known[path].digest in arrived:  # it moved, so it is not hidden at its old path
            del hidden[path]
    report.reasons = {place: why for one in found.values() for place, why in one.folders_unseen.items()}
    report.reasons.update(by for path, by in hidden.items() if by.place != path)
    report.away = list(report.reasons)
    gone = [path for path in absent if path not in hidden]
    if distributed.is_main():  # last: moved files have reused their vectors by now
        store.remove(gone)
        kept = {place for path in hidden for place in ancestors(path, "/") if place in mounts} if mounts else set()
        elsewhere = {place for place in mounts if not any(is_below(place, folder) for folder in folders)}
        store.set_mounts(kept | elsewhere | {place for one in found.values() for place in one.mounts})
    moved = {by_digest[known[path].digest] for path in gone if path in known} - set(gone)
    report.removed = len(gone) - len(moved)
    report.seconds = time.monotonic() - began
    return report


def _report_unseen(report: Report, found: Dict[str, Found], hidden: Dict[str, Hidden]) -> None:
    """Report skipped files, and files that could not be read (a broken link only if it is a known image)."""
    unseen: Dict[str, str] = {}
    for one in found.values():
        report.skipped.update(one.skipped)
        unseen.update(one.files_unseen)
    report.failed += [(path, PASSING + why) for path, why in unseen.items() if why != BROKEN or path in hidden]


def _changed(
    store: Store, files: Dict[str, File], known: Dict[str, Known], failed: Dict[str, Tuple[int, int, str]],
    report: Report,
) -> List[File]:  # fmt: skip
    """The files that must be read, sorted by path."""
    settled = {path for path, (size, time, _) in failed.items() if files.get(path) == File(path, size, time)}
    for path in settled:
        _cannot(report, path, failed[path][2])
    rest = [file for path, file in sorted(files.items()) if path not in settled]
    todo = [file for file in rest if known.get(file.path, ())[:2] != file[1:]]
    report.unchanged = len(rest) - len(todo)
    refused = {file.path: reason for file in todo if (reason := store.refuses(file.path))}
    report.failed += refused.items()
    return [file for file in todo if file.path not in refused]


def _unused(folders: Dict[str, Dict[str, str]], found: Dict[str, Found]) -> List[str]:
    """Excludes, as the user wrote them, that excluded nothing in any folder that could be read."""
    unused, used = {}, set()
    for folder, lines in folders.items():
        for line, written in lines.items():
            if line in found[folder].excludes.unused and folder not in found[folder].folders_unseen:
                unused[written] = True
            else:
                used.add(written)
    return [written for written in unused if written not in used]


def _cannot(report: Report, path: str, reason: str) -> None:
    """Report a file that cannot be indexed."""
    if reason in PRODUCTS:
        report.skipped[reason] += 1
    else:
        report.failed.append((path, reason))


def _look(
    pool: ThreadPoolExecutor, files: List[File], by_digest: Dict[bytes, str], model: ImageModel
) -> Iterator[_Read]:
    """Read files some batches ahead, in order; pixels are read only for unknown contents."""
    pending: Deque[Future] = deque()
    for file in files:
        pending.append(pool.submit(_read, file, by_digest, model))
        if len(pending) > 2 * BATCH:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _read(file: File, by_digest: Collection[bytes], model: ImageModel) -> _Read:
    changing = False
    try:
        if file.size > LARGEST:
            raise ValueError(f"cannot read image: it is larger than {LARGEST // 2**20} MB")
        with open(file.path, "rb") as opened:
            content, status = opened.read(), os.fstat(opened.fileno())
        changing = (len(content), status.st_mtime_ns) != file[1:]
        digest = blake2b(content, digest_size=16).digest()
        if digest in by_digest:
            return _Read(file, digest, None, "")
        product = product_of(BytesIO(content))
        if product:
            return _Read(file, b"", None, product)
        return _Read(file, digest, model.pixels(open_rgb(BytesIO(content), at_least=model.preprocessing.size)), "")
    except ValueError as error:
        reason = str(error).partition(": ")[2]
        return _Read(file, b"", None, f"{PASSING}{reason}" if changing or _passes(error.__cause__) else reason)
    except (OSError, MemoryError) as error:
        return _Read(file, b"", None, f"{PASSING}{getattr(error, 'strerror', None) or type(error).__name__}")


def _passes(cause: Optional[BaseException]) -> bool:
    """Whether an error is temporary and not the file's fault; then it is not stored."""
    if isinstance(cause, OSError):  # Pillow's own errors have no number
        return cause.errno is not None or "memory" in str(cause)
    return isinstance(cause, (MemoryError, ImportError))


def _batches(reads: Iterator[_Read]) -> Iterator[List[_Read]]:
    while True:
        batch = list(islice(reads, BATCH))
        if not batch:
            return
        yield batch


def _remember(
    store: Store, model: ImageModel, batch: List[_Read], known: Dict[str, Known], by_digest: Dict[bytes, str],
    report: Report, files: Collection[str],
) -> Set[bytes]:  # fmt: skip
    """Embed the new images of a batch, and store the whole batch -> digests of contents at a new path.

    Args:
        files: paths of all present files.
    """
    vectors = store.vectors_of([read.digest for read in batch if read.digest in by_digest])
    # read again: a known content whose record was overwritten during this update (for example, files were renumbered)
    batch = [
        _read(read.file, (), model) if not (read.reason or read.digest in vectors or read.pixels is not None) else read
        for read in batch
    ]
    new = {read.digest: read.pixels for read in batch if read.pixels is not None}
    if new:
        vectors.update(zip(new, model.embed_pixels(list(new.values()), "photo").numpy()))
    entries, arrived = [], set()
    for file, digest, pixels, reason in batch:
        if not reason and not np.isfinite(vectors[digest]).all():
            reason = f"{PASSING}the model made no finite numbers of it"
        if reason and not file.size and file.path in known:  # online storage can show an offloaded file as empty
            reason = PASSING + reason
        if reason:
            if not reason.startswith(PASSING):
                store.fail(file.path, file.size, file.time, reason)
            _cannot(report, file.path, reason)
            continue
        original = by_digest.get(digest, "")
        if file.path not in known and original in files and is_copy(*map(os.path.basename, (file.path, original))):
            report.skipped[COPIES] += 1
            continue
        entries.append(Entry(file.path, Known(file.size, file.time, digest), vectors[digest]))
        if file.path in known:
            report.changed += pixels is not None or known[file.path].digest != digest
            report.unchanged += pixels is None and known[file.path].digest == digest  # only its time changed
        else:
            report.added += pixels is not None
            report.moved += pixels is None
            arrived.add(digest)
        by_digest[digest] = file.path
    store.put(entries)
    return arrived
