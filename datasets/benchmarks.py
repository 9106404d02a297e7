"""Shared code of the published data sets (Sketchy, TU-Berlin, QuickDraw): class lists, galleries, reading.

docs/DATASETS.md explains where their files go, and each split, gallery and option.
"""

from __future__ import annotations

import os
import warnings
from functools import partial
from pathlib import Path
from typing import Iterable, List, Sequence

from PIL import Image

from splip.common.modalities import MODALITIES
from splip.data.archives import (
    ARCHIVES,
    COLUMNS,
    ORIGINAL,
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
from splip.data.base import SBIRDataset, SBIRDatum
from splip.data.classes import near, read_shipped
from splip.data.file_lists import find_lists, read_lists
from splip.data.galleries import (
    GALLERIES,
    STROKE_KEYS,
    choose_test,
    name_gallery,
    read_setting,
    split_classes,
    train_on_fewer,
)
from splip.datasets.extra import read_extra
from splip.datasets.scenes import Scene, show
from splip.datasets.subsets import SUBSETS, read_subset
from splip.datasets.targets import (
    ALSO,
    TARGETS,
    Source,
    Target,
    find_target,
    keys_read,
    name_split,
    read_source,
    read_test,
)


class Benchmark(SBIRDataset):
    """A published data set in ``DATASET.ROOT``; each subclass is one data set.

    - ``DATASET.SETTING``: ``zs``, ``gzs``, ``cross`` and, for Sketchy, ``fg``; ``DATASET.GALLERY`` is one of the
      setting's rules (:mod:`splip.data.galleries`). In ``fg`` both galleries are always evaluated, and the
      rule chooses the gallery whose Acc@1 selects the model.
    - ``DATASET.SPLIT``: a shipped list of unseen classes, or a text file; the archive's other classes are seen.
    - ``DATASET.TARGET`` (``cross``): a list of another data set. Training uses the seen classes of this one. The test
      uses that list's classes of the other one, by a rule of :func:`splip.datasets.targets.without_trained`.
    - ``DATASET.SUBSET`` (Sketchy): only the images of a shipped list (:mod:`splip.datasets.subsets`).
    - ``DATASET.TEST_CLASSES`` (``zs``, ``fg``): other classes to test on (:func:`splip.data.galleries.choose_test`).
    - ``DATASET.PHOTOS`` (Sketchy): the archive has its original photos twice. ``once``: use each once; ``zse``: as in
      ZSE-SBIR; ``original``: without the photos that were added later, which mirrors lack.
    - ``DATASET.FILE_LISTS``: use the images in ZSE-SBIR's lists, not all images in the folders.
    - ``DATASET.TRAIN_CLASSES``, ``TRAIN_SKETCHES`` (``zs``, ``fg``): train on so many of the seen classes, and on so
      many sketches of each (:func:`splip.data.galleries.train_on_fewer`).
    - ``DATASET.ALSO`` (``zs``): train on the seen classes of another data set, too, but none of those tested.
    - ``DATASET.EXTRA_SKETCHES`` (not in ``fg``): more training sketches of seen classes (:mod:`splip.datasets.extra`).

    Raises:
        ValueError: a key has an invalid value, a folder or file of the data is missing, or a class has no
            sketch or photo; the message names what is missing.
    """

    archive: Archive
    default_split: str

    def __init__(self, cfg) -> None:
        node, name = cfg.DATASET, type(self).__name__
        settings = [key for key in GALLERIES if key != "fg" or self.archive.instances]
        fine, cross, which = node.SETTING == "fg", node.SETTING == "cross", node.TEST_CLASSES
        split, family = find_split(self.archive, node.SPLIT or self.default_split), self.archive.folder
        target = find_target(node.TARGET, family) if cross else None
        extra = "" if fine else node.EXTRA_SKETCHES
        reads = keys_read(node, [family, *([target.family] if target else [])])
        reads += ["EXTRA_SKETCHES", "EXTRA_PER_CLASS", *STROKE_KEYS] if extra else []
        reads += ["ALSO"] if node.SETTING == "zs" and which != "seen" else []
        reads += ["TRAIN_CLASSES", "TRAIN_SKETCHES"] if node.SETTING in ("zs", "fg") and which != "seen" else []
        setting, rule = read_setting(cfg, name, {key: GALLERIES[key] for key in settings}, reads)
        source = read_source(node)
        unseen, split_name = split.unseen, name_split(split.name, family, source.subset)
        hold_out = cfg.TEST.FINAL_MODEL == "best_val"
        if hold_out and which == "pseudo_unseen":
            raise ValueError("TEST.FINAL_MODEL best_val selects by the classes that DATASET.TEST_CLASSES would test on")
        hold_out |= which == "pseudo_unseen"
        held = split.pseudo if hold_out else []
        needed = split.seen if cross else [*split.seen, *unseen]
        items = make_items(read_images(self.archive, split, source, needed, fine), fine)
        parts = split_classes(items, split.unseen, rule, node.GALLERY_SEED)
        if target:
            unseen, tested_on = read_test(target, source, split.seen, rule)
            parts, tested, words = {**parts, **tested_on}, None, ""
            split_name += f" -> {name_split(node.TARGET, target.family, source.subset)}"
        else:
            parts, tested, words = choose_test(parts, which, unseen, held, node.GALLERY_SEED)
        if extra:  # after the test classes are chosen: only for training, never queries
            parts["train"] = [*parts["train"], *read_extra(node, self.archive, split.seen, [*unseen, *held])]
        parts["train"], fewer = train_on_fewer(parts["train"], node.TRAIN_CLASSES, node.TRAIN_SKETCHES, held)
        if node.ALSO:
            if node.ALSO not in ALSO:
                raise ValueError(f"DATASET.ALSO must be one of {', '.join(ALSO)}, got {node.ALSO!r}")
            parts["train"] = [*parts["train"], *ALSO[node.ALSO](node.ROOT, [*unseen, *held])]
        seen = sorted({item.classname for item in parts["train"]}) if fewer or node.ALSO else split.seen
        split_name = ", ".join(filter(None, (split_name, words, fewer, node.ALSO and f"with {node.ALSO}")))
        gallery = which if rule == "unseen" else rule
        super().__init__(
            **parts,
            seen=seen,
            unseen=unseen,
            split_name=split_name,
            gallery_name=name_gallery(gallery, node.GALLERY_SEED, node.PHOTOS, node.FILE_LISTS),
            setting=setting,
            pseudo_unseen=[name for name in split.pseudo if name in seen],
            hold_out=hold_out,
            overlap=rule == "all_unseen",
            tested=tested,
        )

    def load_image(self, datum: SBIRDatum) -> Image.Image:
        """The RGB image: strokes are drawn, and scenes (Sketchmoji's photos) are composed."""
        return show(datum.impath, datum.spec) if isinstance(datum.spec, Scene) else super().load_image(datum)


def read_images(
    archive: Archive, split: Split, source: Source, classes: Iterable[str], fine: bool = False
) -> List[ClassFolder]:
    """Read the archive's images, and print how many there are.

    Args:
        classes: required classes; each must have sketches and photos.
        fine: only photos that have sketches, and only sketches that have their photo (a warning counts the others).

    Raises:
        ValueError: as `find_archive`, `read_folders`, `find_lists` and `read_lists`; or a listed image is
            missing, or one of `classes` is empty.
    """
    part = source.subset and SUBSETS[source.subset].archive == archive
    if part:
        folder, class_folders = read_subset(source.subset, source.root)
    else:
        drawn = fine or source.photos == ORIGINAL
        folder = find_archive(archive, source.root, drawn)
        class_folders = _listed(archive, folder, split, source, drawn)
    for domain, modality in enumerate(MODALITIES):
        empty = find_empty(class_folders, classes, domain)
        if empty:
            hint = near(empty, find_strange(archive, folder, domain))
            raise ValueError(f"{folder} holds no {modality} of {len(empty)} classes that are needed: {empty}{hint}")
    if fine:
        class_folders = _drop_orphans(class_folders)
    expected = [None] * len(COLUMNS) if fine or part else expected_counts(split, source.photos, source.file_lists)
    shown = [
        f"{count:,} {column}" + ("" if wanted in (None, count) else f" (expected {wanted:,}: see splip data check)")
        for column, count, wanted in zip(COLUMNS, count_images(class_folders, split), expected)
    ]
    print(f"{name_split(split.name, archive.folder, source.subset)} in {folder}: {', '.join(shown)}")
    return class_folders


def _listed(archive: Archive, folder: Path, split: Split, source: Source, drawn: bool) -> List[ClassFolder]:
    """The images in the folders, or those in ZSE-SBIR's lists."""
    if not source.file_lists:
        return read_folders(archive, folder, source.photos, drawn)
    lists = find_lists(archive, folder, source.file_lists, split.name)
    listed = read_lists(archive, folder, lists, split, source.photos, drawn)
    if listed.missing:
        raise ValueError(
            f"{len(listed.missing)} images of the lists in {lists} are not below {folder}, "
            f"the first of them {listed.missing[0]}"
        )
    return [*listed.train, *listed.test]


def make_items(class_folders: Iterable[ClassFolder], fine: bool = False) -> List[SBIRDatum]:
    """Convert each image to an SBIRDatum. If ``fine``, its instance is the photo that it is or shows."""
    return [
        SBIRDatum(
            os.path.join(class_folder.path, name),
            class_folder.domain,
            class_folder.classname,
            instance_of(class_folder.domain, name) if fine else "",
            listed=True,
            place=f"{class_folder.place}/{name}" if class_folder.place else "",
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
        f._replace(names=[name for name in f.names if os.path.join(f.path, name) not in orphans]) for f in class_folders
    ]


def _unseen(name: str, source: Source) -> List[str]:
    return read_shipped(name)


def _read_target(archive: Archive, name: str, source: Source, classes: Sequence[str]) -> List[SBIRDatum]:
    return make_items(read_images(archive, find_split(archive, name), source, classes))


TARGETS.update(
    {
        name: Target(archive.folder, partial(_unseen, name), partial(_read_target, archive, name))
        for archive in ARCHIVES
        for name in archive.splits
    }
)
