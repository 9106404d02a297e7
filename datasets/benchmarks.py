"""What the published data sets (Sketchy, TU-Berlin, QuickDraw) share: class lists, galleries, reading them.

docs/DATASETS.md says where their files go, and what each split, gallery and switch is.
"""

from __future__ import annotations

import os
import warnings
from typing import Iterable, List, NamedTuple, Tuple

from splip.common.modalities import MODALITIES
from splip.data.base import SBIRDataset, SBIRDatum
from splip.data.classes import near
from splip.data.galleries import GALLERIES, name_gallery, read_setting, split_classes
from splip.datasets.archives import (
    ARCHIVES,
    COLUMNS,
    PHOTO_CHOICES,
    SKETCHY,
    Archive,
    ClassFolder,
    Split,
    count_images,
    expected_counts,
    find_archive,
    find_empty,
    find_orphans,
    find_split,
    find_strange,
    instance_of,
    read_folders,
)
from splip.datasets.file_lists import find_lists, read_lists


class Source(NamedTuple):
    """How an archive's images are read; the fields are those of ``cfg.DATASET``."""

    root: str
    photos: str = "once"
    file_lists: str = ""


class Benchmark(SBIRDataset):
    """A published data set below ``DATASET.ROOT``; a subclass says which.

    - ``DATASET.SETTING``: ``zs``, ``gzs``, ``cross`` and, for Sketchy, ``fg``; ``DATASET.GALLERY`` is one of the
      setting's rules (:mod:`splip.data.galleries`). In ``fg`` both galleries are always measured, and the
      rule says which one's Acc@1 selects the model.
    - ``DATASET.SPLIT``: a shipped list of unseen classes, or a text file; the archive's other classes are seen.
    - ``DATASET.TARGET`` (``cross``): another archive's list. Training is on the seen classes here, testing on
      that list's classes there: ``unseen_minus_source`` leaves out those that were trained on, ``all_unseen`` not.
    - ``DATASET.PHOTOS`` (Sketchy): its original photos stand in the archive twice; each ``once``, or as in ``zse``.
    - ``DATASET.FILE_LISTS``: take the images that ZSE-SBIR's lists name, not all that the folders hold.

    Raises:
        ValueError: a key has another value, a folder or file of the data is missing, or a class has no
            sketch or photo; what was looked for is named.
    """

    archive: Archive
    default_split: str

    def __init__(self, cfg) -> None:
        node, name = cfg.DATASET, type(self).__name__
        settings = [key for key in GALLERIES if key != "fg" or self.archive.instances]
        fine, cross = node.SETTING == "fg", node.SETTING == "cross"
        split = find_split(self.archive, node.SPLIT or self.default_split)
        target, wanted = _find_target(self.archive, node.TARGET) if cross else (self.archive, split)
        two_copies = not fine and SKETCHY in (self.archive, target)
        reads = ["FILE_LISTS", *(["TARGET"] if cross else []), *(["PHOTOS"] if two_copies else [])]
        setting, rule = read_setting(cfg, name, {key: GALLERIES[key] for key in settings}, reads)
        if node.PHOTOS not in PHOTO_CHOICES:
            raise ValueError(f"DATASET.PHOTOS must be one of {PHOTO_CHOICES}, got {node.PHOTOS!r}")
        source = Source(node.ROOT, node.PHOTOS, node.FILE_LISTS)
        split_name, unseen = split.name, split.unseen
        if cross:
            items = make_items(read_images(self.archive, split, source, split.seen))
            split_name = f"{split.name} -> {wanted.name}"
            unseen = [c for c in wanted.unseen if rule == "all_unseen" or c not in split.seen]
            there = split_classes(make_items(read_images(target, wanted, source, unseen)), unseen)
            parts = {**there, "train": split_classes(items, split.unseen)["train"]}
        else:
            items = make_items(read_images(self.archive, split, source, [*split.seen, *unseen], fine), fine)
            parts = split_classes(items, unseen, rule, node.GALLERY_SEED)
        super().__init__(
            **parts,
            seen=split.seen,
            unseen=unseen,
            split_name=split_name,
            gallery_name=name_gallery(rule, node.GALLERY_SEED, node.PHOTOS, node.FILE_LISTS),
            setting=setting,
            pseudo_unseen=split.pseudo,
            hold_out=cfg.TEST.FINAL_MODEL == "best_val",
            overlap=rule == "all_unseen",
        )


def read_images(
    archive: Archive, split: Split, source: Source, classes: Iterable[str], fine: bool = False
) -> List[ClassFolder]:
    """The archive's images, and a line that says how many there are.

    Args:
        classes: those that are needed, each with sketches and photos.
        fine: only the photos that were drawn, and without the sketches whose photo is missing (a warning tells).

    Raises:
        ValueError: as `find_archive`, `read_folders`, `find_lists` and `read_lists`; a listed image is
            missing, or one of `classes` is empty.
    """
    folder = find_archive(archive, source.root, fine)
    if source.file_lists:
        lists = find_lists(archive, folder, source.file_lists, split.name)
        listed = read_lists(archive, folder, lists, split, source.photos, fine)
        if listed.missing:
            raise ValueError(
                f"{len(listed.missing)} images of the lists in {lists} are not below {folder}, "
                f"the first of them {listed.missing[0]}"
            )
        class_folders = [*listed.train, *listed.test]
    else:
        class_folders = read_folders(archive, folder, source.photos, fine)
    for domain, modality in enumerate(MODALITIES):
        empty = find_empty(class_folders, classes, domain)
        if empty:
            hint = near(empty, find_strange(archive, folder, domain))
            raise ValueError(f"{folder} holds no {modality} of {len(empty)} classes that are needed: {empty}{hint}")
    if fine:
        class_folders = _drop_orphans(class_folders)
    expected = [None] * len(COLUMNS) if fine else expected_counts(split, source.photos, source.file_lists)
    shown = [
        f"{count:,} {column}" + ("" if wanted in (None, count) else f" (expected {wanted:,}: see splip data check)")
        for column, count, wanted in zip(COLUMNS, count_images(class_folders, split), expected)
    ]
    print(f"{archive.folder}, {split.name}: {', '.join(shown)}")
    return class_folders


def make_items(class_folders: Iterable[ClassFolder], fine: bool = False) -> List[SBIRDatum]:
    """Every image as the data sets want it; fine-grained with the photo that it is or shows."""
    return [
        SBIRDatum(
            os.path.join(class_folder.path, name),
            class_folder.domain,
            class_folder.classname,
            instance_of(class_folder.domain, name) if fine else "",
            listed=True,
        )
        for class_folder in class_folders
        for name in class_folder.names
    ]


def _drop_orphans(class_folders: List[ClassFolder]) -> List[ClassFolder]:
    orphans = set(find_orphans(class_folders))
    if not orphans:
        return class_folders
    warnings.warn(
        f"{len(orphans)} sketches have no photo of their own and are left out, the first of them {min(orphans)}",
        stacklevel=4,
    )
    return [
        f._replace(names=[name for name in f.names if os.path.join(f.path, name) not in orphans])
        for f in class_folders
    ]


def _find_target(source: Archive, wanted: str) -> Tuple[Archive, Split]:
    """The archive and split that ``DATASET.TARGET`` names."""
    others = {name: archive for archive in ARCHIVES if archive != source for name in archive.splits}
    if wanted not in others:
        choices = ", ".join(others)
        raise ValueError(f"DATASET.TARGET is one of {choices} where {source.folder} is trained on, got {wanted!r}")
    return others[wanted], find_split(others[wanted], wanted)
