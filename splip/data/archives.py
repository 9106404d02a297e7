"""The published archives as they lie on disk: Sketchy, TU-Berlin and QuickDraw, each with its photo extension.

Layouts, counts and file lists are those of the archives that ZSE-SBIR (github.com/buptLinfy/ZSE-SBIR) links to.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from splip.common.modalities import PHOTO, SKETCH
from splip.data.classes import near, normalise, read_shipped, read_split
from splip.data.listing import list_classes

ORIGINAL = "original"  # one of PHOTO_CHOICES: without the photo extension
PHOTO_CHOICES = ("once", "zse", ORIGINAL)


@dataclass(frozen=True)
class Archive:
    """One archive: where its class folders are, and which lists describe it."""

    folder: str  # below the root
    sketches: str  # below the folder; class folders are in it
    photos: Tuple[str, ...]  # likewise; a later folder may repeat photos of an earlier one
    classes: str  # shipped list of all classes
    splits: Tuple[str, ...]  # shipped lists of unseen classes
    lists: Dict[str, str]  # split -> folder of ZSE-SBIR's file lists
    sketch_list: str  # file name in `lists`, without "_train.txt" and "_zero.txt"
    photo_list: str
    instances: bool = False  # whether sketches name the photo that they show

    def places(self, fine: bool = False) -> List[Tuple[int, str]]:
        """(modality, folder) of each folder to read; fine-grained or PHOTOS original: only photos that were drawn."""
        return [(SKETCH, self.sketches), *((PHOTO, folder) for folder in self.photos[: 1 if fine else None])]


SKETCHY = Archive(
    folder="Sketchy",
    sketches="256x256/sketch/tx_000000000000_ready",
    photos=("256x256/photo/tx_000000000000_ready", "EXTEND_image_sketchy_ready"),
    classes="sketchy_all",
    splits=("sketchy_25_sake", "sketchy_21_yelamarthi", "sketchy_25_sempcyc"),
    lists={"sketchy_25_sake": "zeroshot1", "sketchy_21_yelamarthi": "zeroshot0"},
    sketch_list="sketch_tx_000000000000_ready_filelist",
    photo_list="all_photo_filelist",
    instances=True,
)
TUBERLIN = Archive(
    folder="TUBerlin",
    sketches="png_ready",
    photos=("ImageResized_ready",),
    classes="tuberlin_all",
    splits=("tuberlin_30_sake", "tuberlin_30_sempcyc"),
    lists={"tuberlin_30_sake": "zeroshot"},
    sketch_list="png_ready_filelist",
    photo_list="ImageResized_ready_filelist",
)
QUICKDRAW = Archive(
    folder="QuickDraw",
    sketches="sketches",
    photos=("images",),
    classes="quickdraw_all",
    splits=("quickdraw_30",),
    lists={"quickdraw_30": "zeroshot"},
    sketch_list="sketch",
    photo_list="all_photo",
)
ARCHIVES = (SKETCHY, TUBERLIN, QUICKDRAW)
DATA_SETS = {  # the registered ones: archive, and list of unseen classes unless DATASET.SPLIT names another
    "Sketchy1": (SKETCHY, "sketchy_25_sake"),
    "Sketchy2": (SKETCHY, "sketchy_21_yelamarthi"),
    "TUBerlin": (TUBERLIN, "tuberlin_30_sake"),
    "QuickDraw": (QUICKDRAW, "quickdraw_30"),
}


class Split(NamedTuple):
    """A class list applied to an archive; all names normalised and sorted."""

    name: str
    seen: List[str]
    unseen: List[str]
    pseudo: List[str]  # seen classes that may select the model: from the file, else a fixed tenth


class ClassFolder(NamedTuple):
    """Images of one class and modality in one folder."""

    domain: int
    classname: str
    path: str  # the folder on disk, as spelt there
    names: List[str]
    place: str = ""  # its name in every layout, if there are several layouts


def find_split(archive: Archive, wanted: str) -> Split:
    """The split that ``DATASET.SPLIT`` names: a shipped list, or a file with unseen classes.

    Raises:
        ValueError: it is neither, or it names a class that the archive does not have.
    """
    known, pseudo = read_shipped(archive.classes), []
    if wanted in archive.splits:
        name, unseen = wanted, read_shipped(wanted)
    elif Path(wanted).expanduser().is_file():
        name = Path(wanted).stem
        unseen, pseudo = (sorted(set(map(normalise, names))) for names in read_split(Path(wanted).expanduser()))
    else:
        raise ValueError(
            f"DATASET.SPLIT is one of {', '.join(archive.splits)} for {archive.folder}, or a text file with "
            f"the unseen classes, one a line; got {wanted!r}"
        )
    unknown = sorted((set(unseen) | set(pseudo)) - set(known))
    if unknown:
        raise ValueError(f"{wanted} names classes that {archive.folder} has not: {unknown}{near(unknown, known)}")
    seen = sorted(set(known) - set(unseen))
    if not pseudo and len(seen) > 3:
        pseudo = sorted(random.Random(f"pseudo-unseen/{name}").sample(seen, max(2, len(seen) // 10)))
    return Split(name, seen, unseen, pseudo)


def find_archive(archive: Archive, root: str, fine: bool = False) -> Path:
    """The archive's folder: ``<root>/<archive.folder>``, or ``root`` itself if it has the archive's layout.

    Raises:
        ValueError: a folder is missing; the message lists all expected folders and which of them exist.
    """
    if not root:
        raise ValueError(f"{archive.folder} needs --root (DATASET.ROOT): the folder that holds {archive.folder}/")
    base = Path(root).expanduser()
    if not (base / archive.folder).is_dir() and (base / archive.sketches).is_dir():
        found = base
    else:
        found = base / archive.folder
    looked = {folder: (found / folder).is_dir() for _, folder in archive.places(fine)}
    if not all(looked.values()):
        lines = [f"  {found / folder}/<class>/  {'found' if there else 'MISSING'}" for folder, there in looked.items()]
        if archive == SKETCHY and not fine and all(looked[folder] for _, folder in archive.places(fine=True)):
            lines.append("DATASET.PHOTOS original (splip data check --photos original) does without the added photos")
        raise ValueError("\n".join([f"{archive.folder} is not below {base} in the layout of its archive:", *lines]))
    return found


def read_folders(archive: Archive, folder: Path, photos: str = "once", fine: bool = False) -> List[ClassFolder]:
    """Every image of the archive's classes, sorted by modality, place and folder name.

    Args:
        photos: ``once``, or ``zse``: with the repeats that ZSE-SBIR's lists have (Sketchy's extension contains
            its 12,500 original photos under the same names).

    Raises:
        ValueError: two folders in one place are the same class.
    """
    known = read_shipped(archive.classes)
    class_folders = [
        ClassFolder(domain, classname, str(folder / place / name), images)
        for domain, place in archive.places(fine)
        for classname, (name, images) in by_class(folder / place, known).items()
    ]
    return class_folders if photos == "zse" else drop_repeats(class_folders)


def by_class(folder: Path, known: Iterable[str]) -> Dict[str, Tuple[str, List[str]]]:
    """{class: (name on disk, images)} of the class folders directly in ``folder``, sorted by name on disk.

    Args:
        known: the classes; other folders are left out.

    Raises:
        ValueError: two folders are the same class.
    """
    classes = set(known)
    found: Dict[str, Tuple[str, List[str]]] = {}
    for name, files in list_classes(folder).items():
        classname = normalise(name)
        if classname in found:
            raise ValueError(f"{folder}: {found[classname][0]!r} and {name!r} are both class {classname!r}")
        if classname in classes:
            found[classname] = name, files.images
    return found


def drop_repeats(class_folders: Iterable[ClassFolder]) -> List[ClassFolder]:
    """Drop each image whose name an earlier folder of the same class and modality already has."""
    earlier: Dict[Tuple[int, str], Set[str]] = {}
    kept = []
    for class_folder in class_folders:
        before = earlier.setdefault((class_folder.domain, class_folder.classname), set())
        kept.append(class_folder._replace(names=[name for name in class_folder.names if name not in before]))
        before.update(class_folder.names)
    return kept


def instance_of(domain: int, name: str) -> str:
    """The photo that a Sketchy file is (``<photo>.jpg``) or was drawn from (``<photo>-<k>.png``); "" for none."""
    stem = os.path.splitext(name)[0]
    return stem if domain == PHOTO else stem.rpartition("-")[0]


def find_orphans(class_folders: Sequence[ClassFolder]) -> List[str]:
    """Paths of the sketches whose own photo is not among the `class_folders`."""
    photos = {(f.classname, instance_of(PHOTO, name)) for f in class_folders if f.domain == PHOTO for name in f.names}
    return [
        os.path.join(s.path, name)
        for s in class_folders
        if s.domain == SKETCH
        for name in s.names
        if (s.classname, instance_of(SKETCH, name)) not in photos
    ]


def find_strange(archive: Archive, folder: Path, domain: int) -> List[str]:
    """Folders of a modality that are not classes of the archive."""
    known = set(read_shipped(archive.classes))
    places = [place for modality, place in archive.places() if modality == domain and (folder / place).is_dir()]
    return [name for place in places for name in list_classes(folder / place) if normalise(name) not in known]


def find_empty(class_folders: Iterable[ClassFolder], classes: Iterable[str], domain: int) -> List[str]:
    """The members of `classes` without an image of the modality, sorted."""
    return sorted(set(classes) - {f.classname for f in class_folders if f.domain == domain and f.names})


# ------------------------------------------------------------------- published counts

COLUMNS = ("train sketches", "train photos", "test sketches", "test photos")


class Published(NamedTuple):
    """Number of images of a split in ZSE-SBIR's file lists, by COLUMNS; None if the number is not known."""

    counts: Tuple[Optional[int], Optional[int], Optional[int], Optional[int]]
    repeats: Tuple[int, int] = (0, 0)  # second copies among the (train, test) photos
    held_out: int = 0  # sketches per seen class that are in the archive but not in the lists
    second_hand: Tuple[str, ...] = ()  # columns from a third-party note; we counted the others from the lists


PUBLISHED = {
    "sketchy_25_sake": Published((55252, 68401, 15229, 17101), repeats=(10000, 2499), held_out=50),
    "sketchy_21_yelamarthi": Published((57587, 72949, 12694, 12553), repeats=(10399, 2100), held_out=50),
    "tuberlin_30_sake": Published((15400, 176081, 2400, 27989), held_out=10, second_hand=COLUMNS[1:2]),
    "tuberlin_30_sempcyc": Published((None, None, 2400, 25708)),
    "quickdraw_30": Published((236080, 149428, 92291, 54151), held_out=50, second_hand=COLUMNS[:2]),
}


def expected_counts(split: Split, photos: str = "once", file_lists: str = "") -> List[Optional[int]]:
    """Expected counts of an intact archive with these options, by COLUMNS; None if no number is published.

    These are the published counts, without second copies if each photo counts ``once``. Counts from folders include
    the training sketches that the lists leave out.
    """
    if split.name not in PUBLISHED:
        return [None] * len(COLUMNS)
    counts, repeats, held_out, _ = PUBLISHED[split.name]
    more = [0 if file_lists else held_out * len(split.seen), 0, 0, 0]
    if photos == "once":
        more = [more[0], -repeats[0], 0, -repeats[1]]
    if photos == ORIGINAL and split.name in SKETCHY.splits:  # 100 of each class
        counts = counts[0], 100 * len(split.seen), counts[2], 100 * len(split.unseen)
    return [None if count is None else count + change for count, change in zip(counts, more)]


def count_images(class_folders: Iterable[ClassFolder], split: Split) -> List[int]:
    """Images of the seen (train) and unseen (test) classes, by COLUMNS."""
    counts, seen, unseen = [0] * len(COLUMNS), set(split.seen), set(split.unseen)
    for class_folder in class_folders:
        if class_folder.classname in seen or class_folder.classname in unseen:
            counts[2 * (class_folder.classname in unseen) + class_folder.domain] += len(class_folder.names)
    return counts
