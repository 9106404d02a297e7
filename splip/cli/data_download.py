"""Download a published data set from Google Drive or a mirror, or unpack its archive.

    splip data download Sketchy --root data
    splip data download Sketchy --root data --archive ~/Downloads/Sketchy.zip
    splip data download Sketchy --root data --from mteb/sketchy

Writes ``<root>/<name>/...`` in the layout that the data set reads, or nothing: files are unpacked to a folder next to
it and moved into place in one step. Prints the licence before the download, and then the SHA-256 of each file.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from lzma import LZMAError
from pathlib import Path, PureWindowsPath
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from tqdm import tqdm

from splip.data import mirrors, parquet
from splip.data.images import is_hidden
from splip.data.sources import DRIVE, FOLDERS, SOURCES, Source, find_source

# Far above every published archive (QuickDraw, the largest, has about 530,000 images, which hardly compress).
MAX_FILES = 1_500_000
MAX_BYTES = 64 * 2**30
MAX_RATIO = 100  # unpacked bytes for each byte of the archive
MAX_NAME = 2**16  # bytes of a tar's extended header, which is read into memory as a whole

DRAWINGS = 1000  # for each word of QuickDraw
CONVERTERS = {"sketchy": parquet.convert_sketchy, "tuberlin": parquet.convert_tuberlin}


class Member(NamedTuple):
    """One file in an archive, as its header describes it."""

    parts: Tuple[str, ...]  # of the path
    size: int  # bytes, unpacked
    info: Any  # the archive's own record


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip data download``."""
    add = parser.add_argument
    add("name", choices=tuple(dict.fromkeys(source.data for source in SOURCES)))
    add("--root", type=Path, required=True, help="folder of the data sets")
    add("--from", dest="source", default=DRIVE, help="drive, or a mirror: docs/DATASETS.md (default: %(default)s)")
    add("--archive", type=Path, help="what you have already: a zip or tar, or a folder with the mirror's files")
    add("--sha256", default="", help="the archive's checksum that you expect")
    add("--drawings", type=int, help=f"of google/quickdraw: of each class, 0 = all (default: {DRAWINGS})")


def run(args: argparse.Namespace) -> int:
    """Download if necessary, and unpack -> exit status 0.

    Raises:
        ValueError: an argument is not for this source; the existing data set lacks folders; or as
            :func:`unpack` and the functions of :mod:`splip.data.mirrors` and :mod:`splip.data.parquet`.
    """
    root, source = args.root.expanduser(), find_source(args.name, args.source)
    strokes = source.layout == "strokes"
    if args.drawings is not None and (not strokes or args.drawings < 0):
        raise ValueError("--drawings is a number of drawings from 0 on, of --from google/quickdraw")
    if strokes and (args.archive or args.sha256):
        raise ValueError(f"--archive and --sha256 are not for --from {source.name}: its files are read as they are")
    target = root / source.folder
    lacking = [folder for _, folder in source.folders if not (target / folder).is_dir()]
    if target.exists() and lacking:
        raise ValueError(f"{target} is there, but without {', '.join(lacking)}: move it away, then again")
    if target.exists():
        print(f"{target} is there already: nothing to do (remove it to unpack again)")
    else:
        print(source.terms(), flush=True)
        if strokes:
            _fetch_strokes(source, root, DRAWINGS if args.drawings is None else args.drawings)
        else:
            _fetch_and_unpack(source, root, args.archive and args.archive.expanduser(), args.sha256)
    if source.layout == "archive":
        print(f"Next: splip data check {args.name} --root {args.root}")
    elif source.data == "Sketchy":
        print(f"Next: splip data check Sketchy --photos original --root {args.root}")
    else:
        print(f"Next: DATASET.EXTRA_SKETCHES {'/'.join([str(target), *(folder for _, folder in source.folders)])}")
    return 0


def _fetch_and_unpack(source: Source, root: Path, given: Optional[Path], sha256: str) -> None:
    """Unpack the downloaded or ``given`` archive into the source's folder."""
    revision, kept = "", given
    if source.name == DRIVE:
        kept = given or mirrors.fetch_drive(source, root)
        if not kept.is_file():
            raise FileNotFoundError(f"no archive at {kept}")
        files = [kept]
    elif given:
        files = mirrors.find_files(source, given)
    else:
        kept = root / f"{source.data}.{source.name.replace('/', '_')}"
        files, revision = mirrors.fetch_hub(source, kept)
    sums = mirrors.describe_files(source, files, sha256)
    target = root / source.folder
    if source.layout in CONVERTERS:
        staging = root / f".{source.data}.{source.name.replace('/', '_')}"  # kept after an interruption, to resume
        try:
            CONVERTERS[source.layout](files, staging)
        except ValueError:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        staging.rename(target)
    elif len(files) > 1:
        raise ValueError(f"several archives, of which one is wanted: {', '.join(map(str, files))}; --archive names it")
    else:
        unpack(files[0], source.data, root, dict(source.folders) if source.layout == "tree" else None)
    if source.name != DRIVE:
        mirrors.write_record(target, source, revision, sums)
    print(f"{target} is complete; {kept} is not needed any more")


def _fetch_strokes(source: Source, root: Path, drawings: int) -> None:
    staging = root / f".{source.folder}-{drawings}"  # kept after an interruption, to resume
    sums = mirrors.fetch_strokes(source, staging, drawings)
    mirrors.write_record(staging, source, "", sums)
    print(f"{len(sums)} files; unverified: there are no published checksums to compare source.json's with")
    staging.rename(root / source.folder)
    print(f"{root / source.folder} is complete")


def unpack(archive: Path, name: str, root: Path, renamed: Optional[Dict[str, str]] = None) -> Path:
    """Unpack a zip or tar of a data set, with any top folder, into ``<root>/<name>`` -> that folder.

    Every header is read before the first file is written, so a refused archive leaves no files.

    Args:
        renamed: {folder in the archive: folder of the data set}, if they differ; nothing else is unpacked.

    Raises:
        FileNotFoundError: no such archive.
        ValueError: it is not a zip or tar, is damaged or incomplete, or is another data set; it holds a link, a
            device, an encrypted file, a path outside the archive or the same path twice; or its unpacked size is above
            the limits above or the free space.
    """
    if not archive.is_file():
        raise FileNotFoundError(f"no archive at {archive}")
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f".{name}-*"):
        print(f"{left} was left by an unpacking that was broken off (or is going on): it can be removed")
    print(f"Reading {archive}")
    staging = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))
    try:
        with _reading(archive) as (headers, open_member):
            folders = list(renamed) if renamed else FOLDERS[name]
            members = _below_top(list(_checked(headers, archive)), name, folders, archive)
            members = _renamed(members, renamed) if renamed else members
            total, free = sum(member.size for member in members), shutil.disk_usage(root).free
            if total > free:
                raise ValueError(f"{archive} unpacks to {_size(total)}, but {root} has {_size(free)} free")
            with tqdm(total=total, unit="B", unit_scale=True, desc=f"Unpacking {name}", mininterval=1) as bar:
                for member in members:
                    _write(member, open_member, staging / name, archive)
                    bar.update(member.size)
        (staging / name).rename(root / name)  # in one step: a folder of this name is always complete
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return root / name


@contextmanager
def _reading(archive: Path) -> Iterator[Tuple[Iterator[Tuple[str, str, int, Any]], Callable[[Any], Any]]]:
    """Open a zip or tar -> ((path, kind, size, info) of each member, function that opens a member by its info).

    Kinds: file, folder, link, device, encrypted, sparse.
    """
    broken = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, LZMAError)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                yield ((i.filename, _zip_kind(i), i.file_size, i) for i in file.infolist()), file.open
        else:
            with tarfile.open(archive, tarinfo=_TarInfo) as file:
                yield ((i.name, _tar_kind(i), i.size, i) for i in file), file.extractfile
    except (*broken, NotImplementedError) as error:  # zipfile raises the latter for an unknown compression
        raise ValueError(
            f"{archive} is no zip or tar that can be read to its end: {error}\n"
            "If it was downloaded, remove it and download again; another kind of archive must be unpacked by hand"
        ) from error


class _TarInfo(tarfile.TarInfo):
    def _proc_member(self, file):  # tarfile's hook for subclasses
        extended = not (self.isreg() or self.isdir() or self.issym() or self.islnk() or self.isdev())
        if extended and self.size > MAX_NAME:
            raise ValueError(f"{file.name} has an extended header of {_size(self.size)}")
        return super()._proc_member(file)


def _zip_kind(info: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 if the archive was not made on Unix
    if info.filename.endswith("/"):  # ZipInfo.is_dir fails on an empty name
        return "folder"
    if info.flag_bits & 1:
        return "encrypted"
    return {0: "file", stat.S_IFREG: "file", stat.S_IFLNK: "link"}.get(kind, "device")


def _tar_kind(info: tarfile.TarInfo) -> str:
    if info.issym() or info.islnk():
        return "link"
    if info.issparse():
        return "sparse"
    return "folder" if info.isdir() else "file" if info.isreg() else "device"


def _checked(headers: Iterator[Tuple[str, str, int, Any]], archive: Path) -> Iterator[Member]:
    """The files of an archive. ValueError at the first header that breaks a rule of :func:`unpack`."""
    packed, count, total = archive.stat().st_size, 0, 0
    limit = min(MAX_BYTES, MAX_RATIO * packed)
    for name, kind, size, info in headers:
        path = PureWindowsPath(name)  # handles both kinds of slash, and drives
        if path.anchor or ".." in path.parts or not (path.parts or kind == "folder"):
            raise ValueError(f"{archive} is refused: {name!r} leads outside of the folder it is unpacked to")
        if kind not in ("file", "folder"):
            raise ValueError(f"{archive} is refused: {name!r} is {kind}; only plain files and folders are unpacked")
        count, total = count + 1, total + size
        if count > MAX_FILES:
            raise ValueError(f"{archive} is refused: it holds more than {MAX_FILES:,} files")
        if total > limit:
            raise ValueError(f"{archive} is refused: its {_size(packed)} unpack to more than {_size(limit)}")
        if kind == "file" and path.parts[0] != "__MACOSX":  # macOS adds one for every file
            yield Member(path.parts, size, info)


def _below_top(members: List[Member], name: str, folders: Sequence[str], archive: Path) -> List[Member]:
    """The files of the data set, with paths that start at its known folders.

    Raises:
        ValueError: the folders are missing, not in one parent folder, or there more than once.
    """
    tops = [{_above(member.parts, tuple(folder.split("/"))) for member in members} - {None} for folder in folders]
    if len(set.intersection(*tops)) != 1:
        found = sorted({"/".join(member.parts[:-1][:3]) for member in members})
        raise ValueError(
            f"{archive} is no archive of {name}: expected the folders {', '.join(folders)} side by side, once, "
            f"below any folder; found {', '.join(found[:8])}{', ...' if len(found) > 8 else ''}"
        )
    (top,) = set.intersection(*tops)
    assert top is not None  # `- {None}` above
    return [m._replace(parts=m.parts[len(top) :]) for m in members if m.parts[: len(top)] == top]


def _renamed(members: List[Member], renamed: Dict[str, str]) -> List[Member]:
    """The images (no hidden ones) in the class folders of those folders, under their new names; nothing else."""
    kept = []
    for member in members:
        for old, new in renamed.items():
            depth = old.count("/") + 1
            inside = member.parts[depth:]
            if "/".join(member.parts[:depth]) == old and len(inside) == 2 and not any(map(is_hidden, inside)):
                kept.append(member._replace(parts=(*new.split("/"), *inside)))
    return kept


def _above(parts: Tuple[str, ...], wanted: Tuple[str, ...]) -> Optional[Tuple[str, ...]]:
    """The part of a file's path before ``wanted``, or None."""
    for i in range(len(parts) - len(wanted)):
        if parts[i : i + len(wanted)] == wanted:
            return parts[:i]
    return None


def _write(member: Member, open_member: Callable[[Any], BinaryIO], folder: Path, archive: Path) -> None:
    path = folder.joinpath(*member.parts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_member(member.info) as source, path.open("xb") as target:
            shutil.copyfileobj(source, target)
    except FileExistsError:
        raise ValueError(f"{archive} is refused: it holds {'/'.join(member.parts)!r} twice") from None
    if path.stat().st_size != member.size:
        raise ValueError(f"{archive} is damaged: {'/'.join(member.parts)!r} is not as long as its header says")


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.1f} MB"
