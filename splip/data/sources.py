"""The sources of the published data sets, and what is known about each of them.

We could not test the mirrors: their content was inferred from what people who read them wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Tuple

import splip
from splip.data.archives import ARCHIVES, SKETCHY

FOLDERS = {archive.folder: [folder for _, folder in archive.places()] for archive in ARCHIVES}  # folders in each
DRIVE = "drive"
UNSPECIFIED = "unspecified (sketches: Sangkloy et al., SIGGRAPH 2016; photographs: ImageNet)"
STROKES_URL = "https://storage.googleapis.com/quickdraw_dataset/full/simplified/{}.ndjson"
WORDS = Path(splip.__file__).parent / "assets" / "quickdraw_words.txt"


@dataclass(frozen=True)
class Source:
    """One place from which a data set can be downloaded.

    Args:
        name: value of ``--from``: ``drive``, or a data repository on the Hugging Face hub.
        data: name of the data set.
        layout: ``archive`` (zip or tar in the data set's own layout), ``tree`` (the same with other folder names),
            ``sketchy``, ``tuberlin`` (parquet; `splip.data.parquet`) or ``strokes`` (``.ndjson``).
        known: where its layout and numbers are known from; "" = verified.
        place: ID of the file on Google Drive, or patterns of the repository's files.
        folders: pairs (folder in the download, folder in the target) (``tree``).
        sha256: of its archive, as a user reported it.
        target: folder inside the root; "" = `data`.
    """

    name: str
    data: str
    layout: str
    holds: str
    lacks: str
    licence: str
    known: str
    place: Tuple[str, ...]
    folders: Tuple[Tuple[str, str], ...]
    sha256: str = ""
    target: str = ""

    @property
    def folder(self) -> str:
        """The folder inside the root."""
        return self.target or self.data

    def terms(self) -> str:
        """What the user must know before anything is downloaded."""
        rows = [("holds", self.holds), ("lacks", self.lacks), ("licence", self.licence)]
        rows += [("unverified", self.known)] if self.known else []
        return "\n".join([f"{self.data} from {self.name}", *(f"  {key}: {text}" for key, text in rows if text)])


def _drive(data: str, file_id: str, licence: str) -> Source:
    """An archive that ZSE-SBIR (github.com/buptLinfy/ZSE-SBIR) links to."""
    folders = tuple((folder, folder) for folder in FOLDERS[data])
    known = "nobody published a checksum of this archive"
    return Source(DRIVE, data, "archive", "all of it", "", licence, known, (file_id,), folders)


_ORIGINAL = [folder for _, folder in SKETCHY.places(fine=True)]
_NO_EXTENSION = "the 60,502 photographs that Liu et al. added: set DATASET.PHOTOS original"
SOURCES = (
    _drive("Sketchy", "11GAr0jrtowTnR3otyQbNMSLPeHyvecdP", UNSPECIFIED),
    _drive("TUBerlin", "12VV40j5Nf4hNBfFy0AhYEtql1OjwXAUC", "sketches CC BY 4.0 (Eitz et al.), photos unspecified"),
    _drive("QuickDraw", "1EZ8xWRzCi8JcKiFtciD2PwguofC785gK", "sketches CC BY 4.0 (Google), photos unspecified"),
    Source(
        "DrRORAL/sketchy-dataset", "Sketchy", "tree",
        holds="75,481 sketches and the 12,500 photographs that they were drawn from, under their own names",
        lacks=_NO_EXTENSION,
        licence=UNSPECIFIED,
        known="one reader gives these counts, the folders sketch/tx_000000000000 and photo/tx_000000000000, and the "
        "archive's SHA-256",
        place=("*.tar", "*.tar.gz", "*.tgz", "*.zip"),
        folders=tuple((place.split("/", 1)[1][: -len("_ready")], place) for place in _ORIGINAL),
        sha256="6a746a915a902cb05216644f747f2f900de8bf1a97034db25efac44fda1a3c87",
    ),
    Source(
        "mteb/sketchy", "Sketchy", "sketchy",
        holds="75,481 sketches and 12,500 photographs of 224 x 224 pixels, in six and two versions; the first is kept",
        lacks=f"images of 256 x 256 pixels; {_NO_EXTENSION}",
        licence=f"{UNSPECIFIED}; mteb says: not specified",
        known="counts and sizes are mteb's statistics, columns and ids its readers'; which version of an image comes "
        "first is not known",
        place=("corpus*.parquet", "corpus/*.parquet", "quer*.parquet", "quer*/*.parquet"),
        folders=tuple((place, place) for place in _ORIGINAL),
    ),
    Source(
        "sdiaeyu6n/tu-berlin", "TUBerlin", "tuberlin",
        holds="20,000 sketches of 250 classes (for DATASET.EXTRA_SKETCHES)",
        lacks="all photographs, without which TUBerlin cannot be trained or tested on",
        licence="CC BY 4.0 (Eitz et al., How Do Humans Sketch Objects?, 2012)",
        known="its readers give these counts, the columns image and label, and this licence (mteb: CC BY-SA 4.0)",
        place=("data/*.parquet",),
        folders=(("png_ready", "png_ready"),),
    ),
    Source(
        "google/quickdraw", "QuickDraw", "strokes",
        holds="drawings of 345 classes as strokes (for DATASET.EXTRA_SKETCHES and splip search)",
        lacks="all photographs, without which QuickDraw cannot be trained or tested on",
        licence="CC BY 4.0; name its maker: Google, Quick, Draw! (github.com/googlecreativelab/quickdraw-dataset)",
        known="the repository is a script, which reads Google's own files: so does this command, and it was not tried",
        place=(STROKES_URL,),
        folders=(),
        target="QuickDraw_strokes",
    ),
)  # fmt: skip


def find_source(data: str, name: str) -> Source:
    """The source of a data set that ``--from`` names.

    Raises:
        ValueError: the data set has no source of this name; the message names its sources.
    """
    choices = {source.name: source for source in SOURCES if source.data == data}
    if name not in choices:
        raise ValueError(f"--from is one of {', '.join(choices)} for {data}, got {name!r}")
    return choices[name]


def quickdraw_words() -> List[str]:
    """The 345 words that QuickDraw's files are named after."""
    return [line for line in WORDS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
