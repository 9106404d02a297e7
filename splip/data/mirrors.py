"""Download the sources in :mod:`splip.data.sources`: from Google Drive, the hub, and QuickDraw's own files."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from fnmatch import fnmatch
from http.client import HTTPException
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple
from urllib.parse import quote
from urllib.request import urlopen

from tqdm import tqdm

from splip.common.errors import is_full
from splip.common.files import whole_file
from splip.data.sources import DRIVE, SOURCES, Source, quickdraw_words
from splip.data.strokes import LONGEST, SUFFIX, list_lines

AGAIN = "Run the same command again later; it goes on where it stopped"


def fetch_drive(source: Source, root: Path) -> Path:
    """Download a data set's archive from Google Drive to ``<root>/<name>.archive``, or continue an interrupted
    download.

    Raises:
        ValueError: there is no connection, or Google Drive refuses the file; the message says what to do.
    """
    import gdown
    import requests

    name, (file_id,) = source.data, source.place
    archive = root / f"{name}.archive"
    root.mkdir(parents=True, exist_ok=True)
    try:
        if gdown.download(id=file_id, output=str(archive), resume=True) is None:
            raise ValueError("gdown gave no file")
    except Exception as error:  # the type differs between gdown's versions
        if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
            raise  # an error of this machine, such as a full disk
        offline = isinstance(error, (requests.ConnectionError, requests.Timeout))
        reason = "no connection to Google Drive" if offline else "Google Drive refused (perhaps its daily quota)"
        others = [f"--from {other.name}" for other in SOURCES if other.data == name and other.name != DRIVE]
        raise ValueError(
            f"cannot download {name}: {reason}: {error}\n"
            "Run the same command again later; it goes on where it stopped. Or download\n"
            f"  https://drive.google.com/file/d/{file_id}/view\n"
            f"with a browser, then: splip data download {name} --root {root} --archive FILE\n"
            f"Or take a mirror, which holds less: {', '.join(others)}"
        ) from error
    return archive


def fetch_hub(source: Source, folder: Path) -> Tuple[List[Path], str]:
    """Download a repository's files into `folder` -> (files, revision).

    Within one call, an interrupted transfer continues where it stopped. A later call keeps complete files.

    Raises:
        ValueError: huggingface_hub is not installed, there is no connection or no such repository, it has none of the
            files, or a downloaded file differs from the one on the hub.
    """
    try:
        from huggingface_hub import HfApi, hf_hub_download
    except ImportError as error:
        raise ValueError(f"--from {source.name} needs huggingface_hub: pip install 'splip[hf]'") from error
    try:
        info = HfApi().dataset_info(source.name, files_metadata=True)
        files = {s.rfilename: s for s in info.siblings or () if any(fnmatch(s.rfilename, p) for p in source.place)}
        paths = [
            Path(hf_hub_download(source.name, name, repo_type="dataset", revision=info.sha, local_dir=folder))
            for name in sorted(files)
        ]
    except Exception as error:  # the type differs between huggingface_hub's versions
        if is_full(error) or isinstance(error, (PermissionError, KeyboardInterrupt)):
            raise  # an error of this machine
        raise ValueError(
            f"cannot download {source.name}: {error}\n"
            "Run the same command again later: files that came whole are kept. Or fetch it otherwise, then: "
            f"splip data download {source.data} --from {source.name} --archive FILE_OR_FOLDER"
        ) from error
    if not paths:
        raise ValueError(f"{source.name} has no files like {', '.join(source.place)}")
    for name, path in zip(sorted(files), paths):
        lfs: Any = files[name].lfs  # large files have it
        stated = (lfs or {}).get("sha256")
        if stated and stated != sha256_of(path):
            path.unlink()
            raise ValueError(f"{name} did not arrive as it is on the hub, and was removed: run the same command again")
    return paths, str(info.sha)


def find_files(source: Source, given: Path) -> List[Path]:
    """The files of a source that the user already has: one file, or a folder with the repository's files.

    Raises:
        ValueError: there are none.
    """
    if given.is_file():
        return [given]
    below = {path.relative_to(given).as_posix(): path for path in sorted(given.rglob("*")) if path.is_file()}
    found = [path for name, path in below.items() if any(fnmatch(name, pattern) for pattern in source.place)]
    if not found:
        raise ValueError(f"no file {str(given)!r}, and no folder with files like {', '.join(source.place)}")
    return found


def describe_files(source: Source, files: List[Path], expected: str = "") -> Dict[str, str]:
    """{file: its SHA-256}; prints each checksum and whether there is a known one to compare it with.

    Args:
        expected: checksum that the user expects for the only file, instead of the one that another user reported.

    Raises:
        ValueError: the checksum is not the expected one, or there are several files.
    """
    sums = {}
    for path in files:
        name = "/".join(path.parts[-2:])  # shards in different folders may have the same name
        sums[name] = sha256_of(path)
        print(f"{path}: {path.stat().st_size:,} bytes, SHA-256 {sums[name]}")
    wanted = expected.lower() or source.sha256
    if not wanted:
        print("  unverified: there is no published checksum to compare with")
    elif list(sums.values()) != [wanted]:
        whose = "you expect" if expected else "one user of this mirror reported"
        raise ValueError(
            f"this is not the one file of SHA-256 {wanted} that {whose}: it has changed, is damaged, or is another "
            "one. If you trust it, say so: --sha256 with the checksum above"
        )
    else:
        print("  as you expect" if expected else "  as one user of this mirror reported; its makers published none")
    return sums


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(2**20), b""):
            digest.update(block)
    return digest.hexdigest()


def write_record(folder: Path, source: Source, revision: str, sums: Dict[str, str]) -> None:
    """Write into ``source.json`` where a folder's content comes from."""
    record = {"source": source.name, "revision": revision, "sha256": sums, "unverified": source.known}
    (folder / "source.json").write_text(json.dumps({**record, "licence": source.licence}, indent=1), encoding="utf-8")


def fetch_strokes(source: Source, folder: Path, drawings: int, words: Sequence[str] = ()) -> Dict[str, str]:
    """Read the first drawings of each word from Google's files into ``<word>.ndjson`` -> {file: SHA-256}.

    Words whose file already exists are not read again.

    Args:
        drawings: number of drawings per word; 0 = all.
        words: the words to read; default: all 345.

    Raises:
        ValueError: a file cannot be read, is incomplete, or has other content.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sums = {}
    for word in tqdm(words or quickdraw_words(), desc="Reading drawings", unit="word"):
        path = folder / f"{word}{SUFFIX}"
        if not path.exists():
            _read_strokes(source.place[0].format(quote(word)), path, drawings)
        sums[path.name] = sha256_of(path)
    return sums


def _read_strokes(url: str, path: Path, drawings: int) -> None:
    count = size = 0
    try:
        with closing(urlopen(url, timeout=60)) as answer, whole_file(path) as file:
            while not drawings or count < drawings:
                line = answer.readline(LONGEST)
                if not line:
                    stated = answer.headers.get("Content-Length")
                    if stated and int(stated) != size:
                        raise ValueError(f"{url} broke off after {size:,} of {int(stated):,} bytes")
                    break
                file.write(line)
                count, size = count + 1, size + len(line)
        list_lines(path)
    except ValueError as error:
        path.unlink(missing_ok=True)
        raise ValueError(f"{error}\n{AGAIN}") from error
    except (OSError, HTTPException) as error:
        if is_full(error) or isinstance(error, PermissionError):
            raise  # an error of this machine
        raise ValueError(f"cannot read {url}: {error}\n{AGAIN}") from error
