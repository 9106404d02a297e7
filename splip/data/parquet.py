"""Write parquet mirrors as the folder trees that the data sets read. The bytes of image files do not change.

The columns are those that code which reads these mirrors uses: ``id`` and ``image`` of ``mteb/sketchy``, ``image`` and
``label`` of ``sdiaeyu6n/tu-berlin``. An image is a struct of ``bytes`` and ``path``, or bytes.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Dict, Iterator, List, Sequence, Set

from tqdm import tqdm

import splip
from splip.data.archives import SKETCHY, TUBERLIN
from splip.data.classes import normalise, read_shipped

SYNSETS = Path(splip.__file__).parent / "assets" / "sketchy_synsets.txt"
PHOTO_ID = re.compile(r"(n\d{8})_\d+")
SKETCH_ID = re.compile(r"((n\d{8})_\d+)-\d+")
KINDS = ("corpus", "quer")  # first letters of the files or folders of photos and of sketches
ROWS = 128  # read at a time
SKETCHES, PHOTOS = 75_481, 12_500  # of Sketchy


class Tree:
    """Image files in a folder, each written once; complete files of an earlier, interrupted run are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: Set[Path] = set()

    def add(self, place: str, classname: str, stem: str, content: bytes) -> None:
        """Write one image, with the suffix of its format.

        Raises:
            ValueError: it is not a PNG or JPEG, or was already added.
        """
        suffix = ".png" if content[:8] == b"\x89PNG\r\n\x1a\n" else ".jpg" if content[:3] == b"\xff\xd8\xff" else ""
        if not suffix:
            raise ValueError(f"{classname}/{stem} is neither PNG nor JPEG")
        path = self.folder / place / classname / f"{stem}{suffix}"
        if path in self.written:
            raise ValueError(f"{classname}/{path.name} comes twice")
        self.written.add(path)
        if not (path.is_file() and path.stat().st_size == len(content)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def finish(self) -> None:
        """Remove files that do not belong to this tree: those that an earlier run wrote from other files.

        Raises:
            ValueError: nothing was written.
        """
        if not self.written:
            raise ValueError("there is not one image in it")
        for path in set(self.folder.rglob("*")) - self.written:
            if path.is_file():
                path.unlink()


def read_synsets() -> Dict[str, str]:
    """{WordNet synset: folder of Sketchy's class}; the names of photos begin with the synset."""
    lines = [line.split(":") for line in SYNSETS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {synset: name for name, synsets in lines for synset in synsets.split()}


def convert_sketchy(files: Sequence[Path], folder: Path) -> None:
    """Parquet files of photos (``corpus``) and sketches (``queries``) -> Sketchy's tree.

    Rows with the same id are versions of one image; the first is used.

    Raises:
        ValueError: a modality has no rows, an id does not have Sketchy's form, its synset belongs to no class, or an
            image is invalid.
    """
    (_, sketches), (_, photos) = SKETCHY.places(fine=True)
    tree, synsets = Tree(folder), read_synsets()
    parts = zip(KINDS, (photos, sketches), (PHOTO_ID, SKETCH_ID), (PHOTOS, SKETCHES))
    for kind, place, pattern, wanted in parts:
        versions: Counter = Counter()
        for row in _rows([path for path in files if _kind(path) == kind], ("id", "image"), kind):
            matched = pattern.fullmatch(str(row["id"]))
            if not matched:
                raise ValueError(f"id {row['id']!r} is not of the form {pattern.pattern}")
            synset = row["id"][:9]
            if synset not in synsets:
                raise ValueError(f"id {row['id']!r}: synset {synset} is of none of Sketchy's classes")
            if not versions[row["id"]]:
                tree.add(place, synsets[synset], row["id"], _bytes(row["image"], row["id"]))
            versions[row["id"]] += 1
        shown = ", ".join(f"{count:,} of {times}" for times, count in sorted(Counter(versions.values()).items()))
        as_wanted = "as in the archive" if len(versions) == wanted else f"NOT the {wanted:,} of the archive"
        print(f"{place}: {len(versions):,} images, {as_wanted}; the first version of each ({shown} versions)")
    tree.finish()


def convert_tuberlin(files: Sequence[Path], folder: Path) -> None:
    """Parquet files of sketches -> TU-Berlin's tree, without photos.

    Raises:
        ValueError: the files do not name their classes, a class is not one of TU-Berlin's, or an image is invalid.
    """
    tree, known = Tree(folder), set(read_shipped(TUBERLIN.classes))
    counts: Counter = Counter()
    for path in files:
        names = _label_names(path)
        strange = sorted(name for name in names if normalise(name) not in known)
        if strange:
            raise ValueError(f"{path}: classes that TU-Berlin has not: {strange}")
        for number, row in enumerate(_rows([path], ("image", "label"), path.name)):
            if not 0 <= row["label"] < len(names):
                raise ValueError(f"{path}: row {number} has label {row['label']}, of {len(names)} classes")
            given = row["image"].get("path") if isinstance(row["image"], dict) else None
            stem = PurePosixPath(PureWindowsPath(given).name).stem if given else f"{path.stem}_{number}"
            tree.add(TUBERLIN.sketches, names[row["label"]], stem, _bytes(row["image"], f"row {number}"))
            counts[row["label"]] += 1
    tree.finish()
    print(f"{TUBERLIN.sketches}: {sum(counts.values()):,} images of {len(counts)} classes (the archive: 20,000 of 250)")


def _kind(path: Path) -> str:
    return next((kind for part in (path.name, path.parent.name) for kind in KINDS if part.startswith(kind)), "")


def _rows(files: Sequence[Path], columns: Sequence[str], what: str) -> Iterator[Dict[str, Any]]:
    """Rows of parquet files, read a few at a time."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ValueError("parquet needs pyarrow: pip install 'splip[hf]'") from error
    if not files:
        raise ValueError(f"no parquet file called {what}*")
    for path in files:
        try:
            with ParquetFile(path) as file:
                lacking = [name for name in columns if name not in file.schema_arrow.names]
                if lacking:
                    raise ValueError(f"{path} lacks the columns {lacking}; it has {file.schema_arrow.names}")
                with tqdm(total=file.metadata.num_rows, desc=path.name, unit="row", mininterval=1) as bar:
                    for batch in file.iter_batches(ROWS, columns=list(columns)):
                        yield from batch.to_pylist()
                        bar.update(len(batch))
        except ArrowException as error:
            raise ValueError(f"{path} cannot be read as parquet: {error}") from error


def _bytes(image: Any, what: str) -> bytes:
    content = image.get("bytes") if isinstance(image, dict) else image
    if not isinstance(content, bytes):
        raise ValueError(f"{what} has no image in it")
    return content


def _label_names(path: Path) -> List[str]:
    """Class names in a file's metadata, as the hub's library writes them."""
    from pyarrow.parquet import read_schema

    metadata = (read_schema(path).metadata or {}).get(b"huggingface", b"{}")
    label = json.loads(metadata).get("info", {}).get("features", {}).get("label", {})
    names = label.get("names")
    if not isinstance(names, list):
        raise ValueError(f"{path} does not say which classes its labels are")
    return [str(name) for name in names]
