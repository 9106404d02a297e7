"""Your own sketches and photos: two folders with one sub-folder for each class."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Dict, List, Sequence

from splip.common.modalities import PHOTO, SKETCH
from splip.data.base import SBIRDataset, SBIRDatum
from splip.data.classes import near, read_split, some, spelling
from splip.data.contents import advise
from splip.data.galleries import GALLERIES, STROKE_KEYS, name_gallery, read_setting, split_classes
from splip.data.images import describe_skipped, kind_of
from splip.data.listing import list_classes
from splip.data.strokes import PEN, Pen, StrokeSpec, has_strokes, list_lines
from splip.engine import DATASET_REGISTRY

FOLDERS = {SKETCH: "sketch", PHOTO: "photo"}


@DATASET_REGISTRY.register()
class SBIRFolder(SBIRDataset):
    """``<root>/sketch/<class>/*`` and ``<root>/photo/<class>/*``, in any format of :mod:`splip.data.images`;
    ``<root>/sketch/<class>.ndjson`` holds a class's sketches as strokes (:mod:`splip.data.strokes`).

    ``DATASET.SPLIT`` is a text file with the unseen classes, one per line (``#`` starts a comment). A line
    ``pseudo: <class>`` marks a seen class that ``TEST.FINAL_MODEL best_val`` can hold out. Settings: ``zs``
    and ``gzs`` with its galleries (:mod:`splip.data.galleries`).

    ``Hot-Air_Balloon`` and ``hot air balloon`` are the same class, in folders and in the list
    (:func:`splip.data.classes.spelling`). Files that are not images are skipped; their number is printed.

    Raises:
        ValueError: a folder or the split file is missing, the split names a class that does not exist, two folders of a
            modality are the same class, a class has no images, the setting is another one, or a class cannot be used
            for training or ranking (:class:`SBIRDataset`).
    """

    def __init__(self, cfg) -> None:
        root = Path(cfg.DATASET.ROOT).expanduser()
        galleries = {name: GALLERIES[name] for name in ("zs", "gzs")}
        strokes = sorted(path for path in (root / FOLDERS[SKETCH]).glob("*") if has_strokes(path))
        setting, gallery = read_setting(cfg, "SBIRFolder", galleries, STROKE_KEYS if strokes else ())
        pen = Pen.from_cfg(cfg.DATASET) if strokes else PEN
        items = [*_scan(root, SKETCH, strokes, pen), *_scan(root, PHOTO)]
        classes = {item.classname for item in items}
        split = Path(cfg.DATASET.SPLIT).expanduser()
        unseen, pseudo = ([spelling(name) for name in names] for names in read_split(split))
        unknown = sorted((set(unseen) | set(pseudo)) - classes)
        if unknown:
            raise ValueError(f"{split} names classes that are not below {root}: {unknown}{near(unknown, classes)}")
        unseen = sorted(set(unseen))
        super().__init__(
            **split_classes(items, unseen, gallery, cfg.DATASET.GALLERY_SEED),
            seen=sorted(classes - set(unseen)),
            unseen=unseen,
            split_name=split.stem,
            gallery_name=name_gallery(gallery, cfg.DATASET.GALLERY_SEED),
            setting=setting,
            pseudo_unseen=pseudo,
            hold_out=cfg.TEST.FINAL_MODEL == "best_val",
        )


def _scan(root: Path, domain: int, strokes: Sequence[Path] = (), pen: Pen = PEN) -> List[SBIRDatum]:
    folder = root / FOLDERS[domain]
    layout = f"expected {root}/sketch/<class>/* and {root}/photo/<class>/*"
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}: {layout}")
    found: Dict[str, str] = {}  # class -> folder
    items: List[SBIRDatum] = []
    skipped: Counter = Counter()
    for name, files in list_classes(folder).items():
        classname = spelling(name)
        if classname in found:
            raise ValueError(f"{folder} has {found[classname]!r} and {name!r}: both are class {classname!r}")
        found[classname] = name
        skipped.update(kind_of(file) for file in files.others)
        if not files.images:
            others = ", ".join(some(files.others)) or _what_else(folder / name)
            unread = advise(files.others)
            raise ValueError(f"{folder / name} has no images (there is {others}){unread}: {layout}")
        items += [SBIRDatum(str(folder / name / file), domain, classname, listed=True) for file in files.images]
    for path in strokes:
        classname = spelling(path.stem)
        if classname in found:
            raise ValueError(f"{folder} has {found[classname]!r} and {path.name!r}: both are class {classname!r}")
        found[classname] = path.name
        specs = [StrokeSpec(line.start, line.length, pen) for line in list_lines(path)]
        items += [SBIRDatum(str(path), domain, classname, spec=spec, listed=True) for spec in specs]
    if not items:
        raise ValueError(f"{folder} has no class folders: {layout}")
    if skipped:
        print(f"{folder}: left out, no images: {describe_skipped(skipped)}")
    return items


def _what_else(folder: Path) -> str:
    """Describe the content of a class folder that has no files."""
    inside = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    return f"the folder {inside[0]!r}" if inside else "nothing"
