"""ZSE-SBIR's file lists instead of folders: exactly the images, by name, of its published results."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

from splip.common.modalities import PHOTO, SKETCH
from splip.data.archives import Archive, ClassFolder, Split, drop_repeats
from splip.data.classes import normalise
from splip.data.listing import list_classes


class Listed(NamedTuple):
    """The images that the lists of one split name."""

    train: List[ClassFolder]
    test: List[ClassFolder]
    missing: List[str]  # the listed images that are not on disk: paths relative to the archive's folder


def find_lists(archive: Archive, folder: Path, where: str, split: str) -> Path:
    """The folder with the lists of a split.

    Args:
        folder: of the archive.
        where: ``DATASET.FILE_LISTS``: ``zse`` = inside ``folder``, else the path of a folder that contains
            ``Sketchy/zeroshot1`` and so on, like ZSE-SBIR's ``datasets``.

    Raises:
        ValueError: there are no lists for this split, or a file is missing.
    """
    if split not in archive.lists:
        raise ValueError(f"ZSE-SBIR has file lists of the splits {', '.join(archive.lists)}, not of {split!r}")
    base = (folder if where == "zse" else Path(where).expanduser() / archive.folder) / archive.lists[split]
    names = [f"{stem}_{part}.txt" for stem in (archive.sketch_list, archive.photo_list) for part in ("train", "zero")]
    missing = [name for name in ("cname_cid.txt", "cname_cid_zero.txt", *names) if not (base / name).is_file()]
    if missing:
        raise ValueError(f"DATASET.FILE_LISTS is {where!r}, but {base} lacks {', '.join(missing)}")
    return base


def read_lists(
    archive: Archive, folder: Path, lists: Path, split: Split, photos: str = "once", fine: bool = False
) -> Listed:
    """The listed images, as class folders like those of `read_folders`.

    A line is ``<place>/<class>/<image> <label>``, relative to the archive's folder. A line of ``cname_cid.txt`` (seen)
    and ``cname_cid_zero.txt`` (unseen) is ``<class> <label>``.

    Args:
        folder: of the archive. lists: as from `find_lists`. photos, fine: as for `read_folders`.

    Raises:
        ValueError: the lists' classes are not those of the split, a line does not have that form, or its
            label belongs to another class.
    """
    on_disk = {
        (place, name): set(files.images)
        for _, place in archive.places(fine)
        for name, files in list_classes(folder / place).items()
    }
    parts, missing = [], []
    for part, classes in (("train", split.seen), ("zero", split.unseen)):
        labels = _read_labels(lists / ("cname_cid.txt" if part == "train" else "cname_cid_zero.txt"), classes, split)
        class_folders = []
        for domain, stem in ((SKETCH, archive.sketch_list), (PHOTO, archive.photo_list)):
            places = [place for kind, place in archive.places() if kind == domain]
            images = _read_images(lists / f"{stem}_{part}.txt", labels, places)
            for (place, name), files in sorted(images.items(), key=lambda item: (places.index(item[0][0]), item[0])):
                if (domain, place) not in archive.places(fine):
                    continue
                missing += [f"{place}/{name}/{file}" for file in files if file not in on_disk.get((place, name), ())]
                class_folders.append(ClassFolder(domain, normalise(name), str(folder / place / name), sorted(files)))
        parts.append(class_folders if photos == "zse" else drop_repeats(class_folders))
    return Listed(parts[0], parts[1], missing)


def _read_labels(path: Path, wanted: List[str], split: Split) -> Dict[str, str]:
    """{label: class}; the classes must be the `wanted` ones."""
    labels = {label: normalise(name) for name, label in _read_lines(path)}
    difference = sorted(set(labels.values()) ^ set(wanted))
    if difference:
        raise ValueError(f"{path} and split {split.name} differ in the classes {difference}")
    return labels


def _read_images(path: Path, labels: Dict[str, str], places: List[str]) -> Dict[Tuple[str, str], List[str]]:
    """{(place, class folder): images}."""
    spelling = lru_cache(maxsize=None)(normalise)
    images: Dict[Tuple[str, str], List[str]] = {}
    for text, label in _read_lines(path):
        rest, image = os.path.split(text)
        place, name = os.path.split(rest)
        if place not in places:
            raise ValueError(f"{path}: {text!r} is not below {' or '.join(places)}")
        if spelling(name) != labels.get(label):
            raise ValueError(f"{path}: {text!r} has label {label}, which is {labels.get(label, 'no class')!r}")
        images.setdefault((place, name), []).append(image)
    return images


def _read_lines(path: Path) -> List[Tuple[str, str]]:
    """(text, label) of each line that is not empty; a text may contain spaces."""
    pairs = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text, _, label = line.strip().rpartition(" ")
        if text and label.isdigit():
            pairs.append((text.strip(), label))
        elif line.strip():
            raise ValueError(f"{path}, line {number}: wanted a name and a number, got {line!r}")
    return pairs
