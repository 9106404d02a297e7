"""Fetch a published data set from Google Drive, or unpack its archive.

    splip data download Sketchy --root data
    splip data download Sketchy --root data --archive ~/Downloads/Sketchy.zip

Leaves ``<root>/<name>/...`` in the layout that the data set reads, or nothing: files are unpacked beside it and
moved into place together.
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
from typing import Any, BinaryIO, Callable, Iterator, List, NamedTuple, Optional, Tuple

from tqdm import tqdm

from splip.data.archives import ARCHIVES

# What no published archive comes near (QuickDraw, the largest, has about 530,000 images, which hardly compress).
MAX_FILES = 1_500_000
MAX_BYTES = 64 * 2**30
MAX_RATIO = 100  # bytes unpacked for each byte of the archive
MAX_NAME = 2**16  # bytes of a tar's extended header: it is read into memory whole

# Google Drive's file ids, as ZSE-SBIR's README published them
DRIVE_IDS = {
    "Sketchy": "11GAr0jrtowTnR3otyQbNMSLPeHyvecdP",
    "TUBerlin": "12VV40j5Nf4hNBfFy0AhYEtql1OjwXAUC",
    "QuickDraw": "1EZ8xWRzCi8JcKiFtciD2PwguofC785gK",
}
FOLDERS = {archive.folder: [folder for _, folder in archive.places()] for archive in ARCHIVES}  # that each must hold


class Member(NamedTuple):
    """One file in an archive, as its header describes it."""

    parts: Tuple[str, ...]  # of its path
    size: int  # bytes, unpacked
    info: Any  # the archive's own record


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip data download``."""
    parser.add_argument("name", choices=tuple(DRIVE_IDS))
    parser.add_argument("--root", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--archive", type=Path, help="a zip or tar of it that you have already")


def run(args: argparse.Namespace) -> int:
    """Fetch if need be, and unpack -> exit status 0.

    Raises:
        ValueError: what is there already lacks folders; and as :func:`fetch` and :func:`unpack`.
    """
    root = args.root.expanduser()
    target = root / args.name
    lacking = [folder for folder in FOLDERS[args.name] if not (target / folder).is_dir()]
    if target.exists() and lacking:
        raise ValueError(f"{target} is there, but without {', '.join(lacking)}: move it away, then again")
    if target.exists():
        print(f"{target} is there already: nothing to do (remove it to unpack again)")
    else:
        archive = args.archive.expanduser() if args.archive else fetch(args.name, root)
        print(f"{unpack(archive, args.name, root)} is complete; {archive} is not needed any more")
    print(f"Next: splip data check {args.name} --root {args.root}")
    return 0


def fetch(name: str, root: Path) -> Path:
    """Download the archive of a data set to ``<root>/<name>.archive``, or go on with a download that was broken off.

    Raises:
        ValueError: there is no connection, or Google Drive does not hand out the file; says what to do.
    """
    import gdown
    import requests

    archive, file_id = root / f"{name}.archive", DRIVE_IDS[name]
    root.mkdir(parents=True, exist_ok=True)
    try:
        if gdown.download(id=file_id, output=str(archive), resume=True) is None:
            raise ValueError("gdown gave no file")
    except Exception as error:  # gdown's versions raise different types
        if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
            raise  # of this machine, such as a full disk
        offline = isinstance(error, (requests.ConnectionError, requests.Timeout))
        reason = "no connection to Google Drive" if offline else "Google Drive refused (perhaps its daily quota)"
        raise ValueError(
            f"cannot download {name}: {reason}: {error}\n"
            "Run the same command again later; it goes on where it stopped. Or download\n"
            f"  https://drive.google.com/file/d/{file_id}/view\n"
            f"with a browser, then: splip data download {name} --root {root} --archive FILE"
        ) from error
    return archive


def unpack(archive: Path, name: str, root: Path) -> Path:
    """Unpack a zip or tar of a data set, whatever folder it has at its top, into ``<root>/<name>`` -> that folder.

    Every header is read before the first file is written, so an archive that is refused leaves nothing behind.

    Raises:
        FileNotFoundError: no such archive.
        ValueError: it is no zip or tar, damaged or incomplete, or of another data set; it holds a link, a device,
            an encrypted file, a path that leads outside or the same path twice; or it unpacks to more than the
            limits above or the free space.
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
            members = _below_top(list(_checked(headers, archive)), name, archive)
            total, free = sum(member.size for member in members), shutil.disk_usage(root).free
            if total > free:
                raise ValueError(f"{archive} unpacks to {_size(total)}, but {root} has {_size(free)} free")
            with tqdm(total=total, unit="B", unit_scale=True, desc=f"Unpacking {name}", mininterval=1) as bar:
                for member in members:
                    _write(member, open_member, staging / name, archive)
                    bar.update(member.size)
        (staging / name).rename(root / name)  # in one step: a folder of this name is a whole data set
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return root / name


@contextmanager
def _reading(archive: Path) -> Iterator[Tuple[Iterator[Tuple[str, str, int, Any]], Callable[[Any], Any]]]:
    """Open a zip or tar: its (path, kind, size, info), one for each member, and what opens a member by its info.

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
    except (*broken, NotImplementedError) as error:  # the latter is zipfile's for a compression that it does not know
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
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archive was not made on Unix
    if info.filename.endswith("/"):  # ZipInfo.is_dir stumbles over an empty name
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
    """The files of an archive; ValueError at the first header that breaks a rule of :func:`unpack`."""
    packed, count, total = archive.stat().st_size, 0, 0
    limit = min(MAX_BYTES, MAX_RATIO * packed)
    for name, kind, size, info in headers:
        path = PureWindowsPath(name)  # knows both kinds of slash, and drives
        if path.anchor or ".." in path.parts or not (path.parts or kind == "folder"):
            raise ValueError(f"{archive} is refused: {name!r} leads outside of the folder it is unpacked to")
        if kind not in ("file", "folder"):
            raise ValueError(f"{archive} is refused: {name!r} is {kind}; only plain files and folders are unpacked")
        count, total = count + 1, total + size
        if count > MAX_FILES:
            raise ValueError(f"{archive} is refused: it holds more than {MAX_FILES:,} files")
        if total > limit:
            raise ValueError(f"{archive} is refused: its {_size(packed)} unpack to more than {_size(limit)}")
        if kind == "file" and path.parts[0] != "__MACOSX":  # the Finder's copies of every name
            yield Member(path.parts, size, info)


def _below_top(members: List[Member], name: str, archive: Path) -> List[Member]:
    """The files of the data set, with what stands above its known folders cut from their paths.

    Raises:
        ValueError: the folders are not there, not side by side, or there more than once.
    """
    folders = FOLDERS[name]
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


def _above(parts: Tuple[str, ...], wanted: Tuple[str, ...]) -> Optional[Tuple[str, ...]]:
    """What stands in front of ``wanted`` in a file's path, or None."""
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
