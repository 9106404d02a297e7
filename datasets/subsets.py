"""Subsets of a published archive. A shipped list names each file, so everybody uses the same images."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

from splip.common.modalities import MODALITIES, PHOTO, SKETCH
from splip.data.archives import SKETCHY, Archive, ClassFolder, by_class
from splip.data.classes import SPLITS, normalise, some


class Subset(NamedTuple):
    """One subset; its list is ``splip/assets/splits/<name>.txt`` with lines ``<sketch or photo>/<class>/<file>``."""

    archive: Archive
    sha256: str  # of the list's lines without the first, joined by line feeds
    layouts: Tuple[Tuple[str, str, str], ...]  # in the root: folder, and its sub-folders of sketches and of photos


_ARCHIVE = tuple(
    (folder, f"256x256/{MODALITIES[SKETCH]}/{transform}", f"256x256/{MODALITIES[PHOTO]}/{transform}")
    for folder in (SKETCHY.folder, "")
    for transform in ("tx_000000000000_ready", "tx_000000000000")
)
SUBSETS = {
    "sketchy25": Subset(
        SKETCHY,
        "cc4ca5bdff4418d5af433049520380b896d08581fdf7ceaaf59008ff36eaa06e",
        (*_ARCHIVE, ("sketchy25", *MODALITIES), ("", *MODALITIES)),
    ),
}


def read_names(name: str) -> List[str]:
    """The file names in a subset's list.

    Raises:
        ValueError: the list differs from the shipped one.
    """
    path = SPLITS / f"{name}.txt"
    names = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    found = hashlib.sha256("\n".join(names).encode("utf-8")).hexdigest()
    if found != SUBSETS[name].sha256:
        raise ValueError(f"{path} was changed: its SHA-256 is {found}, of the one that ships {SUBSETS[name].sha256}")
    return names


def read_subset(name: str, root: str) -> Tuple[Path, List[ClassFolder]]:
    """The listed images, in the list's order -> (the folder that they are in, class folders).

    They are in the archive's own layout, or in a folder with only ``sketch`` and ``photo``. The first layout that
    exists is read. Class folders may have any spelling.

    Raises:
        ValueError: ``root`` has none of its layouts, two folders of one modality are the same class, or listed files
            are missing (the message has their number and the first of them).
    """
    folder, places = _find(name, root)
    names = read_names(name)
    known = {normalise(line.split("/")[1]) for line in names}
    on_disk = [by_class(folder / place, known) for place in places]
    listed: Dict[Tuple[int, str], ClassFolder] = {}
    missing = []
    for line in names:
        modality, class_folder, file = line.split("/")
        domain, classname = MODALITIES.index(modality), normalise(class_folder)
        own, images = on_disk[domain].get(classname, (class_folder, []))
        if file not in images:
            missing.append(f"{places[domain]}/{own}/{file}")
        path, place = str(folder / places[domain] / own), f"{name}/{modality}/{class_folder}"
        listed.setdefault((domain, classname), ClassFolder(domain, classname, path, [], place)).names.append(file)
    if missing:
        raise ValueError(
            f"{len(missing):,} of the {len(names):,} files of {name} are not below {folder}: {', '.join(some(missing))}"
        )
    return folder, list(listed.values())


def _find(name: str, root: str) -> Tuple[Path, Tuple[str, str]]:
    """(folder, places of sketches and photos) of the first layout that exists."""
    if not root:
        raise ValueError(f"{name} needs --root (DATASET.ROOT): the folder that holds Sketchy/ or {name}/")
    base = Path(root).expanduser()
    for below, *places in SUBSETS[name].layouts:
        if all((base / below / place).is_dir() for place in places):
            return base / below, (places[0], places[1])
    looked = [f"  {base / below / place}/<class>/" for below, *places in SUBSETS[name].layouts for place in places]
    raise ValueError("\n".join([f"{name} is not below {base}; one of these pairs of folders holds it:", *looked]))
