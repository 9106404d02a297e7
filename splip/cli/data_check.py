"""Check a published data set on disk against the published counts.

    splip data check Sketchy --root data

Prints what was found, what is missing and what differs. The exit status is 0 if the data set is complete. "Expected" is
the published number, adjusted for the options (`splip.data.archives.expected_counts`).
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import List, Sequence, Tuple

from splip.data.archives import (
    ARCHIVES,
    COLUMNS,
    DATA_SETS,
    ORIGINAL,
    PHOTO_CHOICES,
    PUBLISHED,
    SKETCHY,
    Archive,
    ClassFolder,
    Published,
    Split,
    count_images,
    expected_counts,
    find_archive,
    find_orphans,
    find_split,
    read_folders,
)
from splip.data.classes import normalise, read_shipped, some
from splip.data.file_lists import find_lists, read_lists
from splip.data.images import open_rgb
from splip.data.listing import list_classes

FOOTNOTE = (
    "Expected: as published, with the sketches of seen classes that the file lists leave out, "
    "and without the second copies of photos unless they are asked for (docs/DATASETS.md)"
)
NAMES = tuple(dict.fromkeys([*(archive.folder for archive in ARCHIVES), *DATA_SETS]))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip data check``."""
    add = parser.add_argument
    add("name", choices=NAMES)
    add("--root", required=True, help="folder of the data sets")
    add("--split", default="", help="a class list, or a file with the unseen classes (default: all published ones)")
    add("--photos", default="once", choices=PHOTO_CHOICES, help="Sketchy's original photos once, twice or alone")
    add("--file-lists", default="", help="ZSE-SBIR's file lists: zse for below the root, or the folder that holds them")
    add("--read", action="store_true", help="also decode every image (minutes)")


def run(args: argparse.Namespace) -> int:
    """Print the report -> exit status, 0 if the data set is complete."""
    report, complete = check(args.name, args.root, args.split, args.photos, args.file_lists, args.read)
    print(report)
    return 0 if complete else 1


def check(
    name: str, root: str, split: str = "", photos: str = "once", file_lists: str = "", read: bool = False
) -> Tuple[str, bool]:
    """Compare a data set on disk with the published one -> (report, whether it is complete).

    Args:
        name: an archive (then every split with published counts is compared) or a registered data set.
        split, photos, file_lists: as ``DATASET.SPLIT``, ``PHOTOS`` and ``FILE_LISTS``.
        read: also decode every image.
    """
    archives, drawn = {archive.folder: archive for archive in ARCHIVES}, photos == ORIGINAL
    if name in archives:
        archive = archives[name]
        splits = [known for known in (archive.lists if file_lists else archive.splits) if known in PUBLISHED]
    else:
        archive, default = DATA_SETS[name]
        splits = [default]
    if drawn and archive != SKETCHY:
        return f"--photos original is of Sketchy, not of {archive.folder}", False
    try:
        folder = find_archive(archive, root, drawn)
        images = read_folders(archive, folder, "zse", drawn)
    except (ValueError, OSError) as error:
        return str(error), False
    lines, wrong = _describe_folders(archive, folder, drawn)
    for wanted in [split] if split else splits:
        try:
            chosen = find_split(archive, wanted)
            class_folders, missing = _select(archive, folder, chosen, photos, file_lists)
        except (ValueError, OSError) as error:
            wrong.append(str(error))
            continue
        if missing:
            wrong.append(f"{len(missing)} images of {wanted}'s file lists are not there: {', '.join(some(missing))}")
        table, differences = _compare(chosen, class_folders, photos, file_lists)
        lines += table
        wrong += differences
    if not file_lists:
        lines.append(FOOTNOTE)
    if archive.instances:
        orphans = find_orphans(read_folders(archive, folder, fine=True))
        if orphans:
            lines.append(f"{len(orphans)} sketches have no photo of their own; fine-grained leaves them out:")
            lines += [f"  {path}" for path in some(orphans)]
    if read:
        wrong += some(_unreadable(images))
    verdict = ["All is there."] if not wrong else ["Not as published:", *(f"  {line}" for line in wrong)]
    return "\n".join([*lines, *verdict]), not wrong


def _describe_folders(archive: Archive, folder: Path, drawn: bool) -> Tuple[List[str], List[str]]:
    """(one line for each folder of the archive, classes that are missing in one of them)."""
    lines, wrong = [str(folder)], []
    known = set(read_shipped(archive.classes))
    for _, place in archive.places(drawn):
        found = list_classes(folder / place)
        classes = {normalise(name) for name, files in found.items() if files.images}
        images = sum(len(files.images) for name, files in found.items() if normalise(name) in known)
        lines.append(f"  {place}: {len(classes & known)} of {len(known)} classes, {images:,} images")
        others = [f"{name}/{file}" for name, files in found.items() for file in files.others]
        others += [f"{name}/" for name in found if normalise(name) not in known]
        if others:
            lines.append(f"    not used, no image or no class of the data set: {', '.join(some(others))}")
        missing = sorted(known - classes)
        if missing:
            wrong.append(f"{folder / place} has no images of {', '.join(some(missing))}")
    return lines, wrong


def _select(
    archive: Archive, folder: Path, split: Split, photos: str, file_lists: str
) -> Tuple[List[ClassFolder], List[str]]:
    """(images that a run would read, images in its file lists that are not on disk)."""
    if not file_lists:
        return read_folders(archive, folder, photos, photos == ORIGINAL), []
    lists = find_lists(archive, folder, file_lists, split.name)
    listed = read_lists(archive, folder, lists, split, photos, photos == ORIGINAL)
    return [*listed.train, *listed.test], listed.missing


def _compare(
    split: Split, class_folders: Sequence[ClassFolder], photos: str, file_lists: str
) -> Tuple[List[str], List[str]]:
    """(table of the split's counts, the counts that differ from the expected ones)."""
    published = PUBLISHED.get(split.name, Published((None, None, None, None)))
    counted, expected = count_images(class_folders, split), expected_counts(split, photos, file_lists)
    columns = zip(COLUMNS, counted, expected, published.counts)
    lines = [
        f"{split.name}: {len(split.seen)} seen and {len(split.unseen)} unseen classes",
        f"  {'':<14}{'found':>10}{'expected':>10}{'published':>10}",
    ]
    wrong = []
    for column, found, wanted, stated in columns:
        numbers = ["-" if number is None else f"{number:,}" for number in (found, wanted, stated)]
        line = f"  {column:<14}" + "".join(f"{number:>10}" for number in numbers)
        if column in published.second_hand:
            line += "  (from a third-party note)"
        elif wanted is not None and wanted != found:
            wrong.append(f"{split.name} has {numbers[0]} {column}, expected {numbers[1]} ({found - wanted:+,})")
        lines.append(line)
    return lines, wrong


def _unreadable(class_folders: Sequence[ClassFolder]) -> List[str]:
    """The error of `open_rgb` for each image that it cannot read."""
    errors = []
    for class_folder in class_folders:
        for name in class_folder.names:
            try:
                open_rgb(os.path.join(class_folder.path, name))
            except ValueError as error:
                errors.append(str(error))
    return errors
