"""Your own sketches and photos: two folders with one sub-folder for each class."""

from __future__ import annotations

from pathlib import Path
from typing import List

from splip.data.base import PHOTO, SKETCH, SBIRDataset, SBIRDatum
from splip.data.classes import read_split
from splip.data.galleries import GALLERIES, divide, name_gallery, settle
from splip.engine import DATASET_REGISTRY
from splip.images import has_image_suffix

FOLDERS = {SKETCH: "sketch", PHOTO: "photo"}


@DATASET_REGISTRY.register()
class SBIRFolder(SBIRDataset):
    """``<root>/sketch/<class>/*`` and ``<root>/photo/<class>/*``, in any image format that Pillow reads.

    ``DATASET.SPLIT`` is a text file with the unseen classes, one a line (``#`` starts a comment). A line
    ``pseudo: <class>`` marks a seen class that ``TEST.FINAL_MODEL best_val`` may hold out. Settings: ``zs``
    and ``gzs`` with its galleries (:mod:`splip.data.galleries`).

    Raises:
        ValueError: a folder or the split file is missing, the split names a class that is not there, the
            setting is another one, or a class cannot be trained or ranked on (:class:`SBIRDataset`).
    """

    def __init__(self, cfg) -> None:
        root = Path(cfg.DATASET.ROOT).expanduser()
        setting, gallery = settle(cfg, "SBIRFolder", {name: GALLERIES[name] for name in ("zs", "gzs")})
        items = [item for domain in (SKETCH, PHOTO) for item in _scan(root, domain)]
        classes = {item.classname for item in items}
        split = Path(cfg.DATASET.SPLIT).expanduser()
        unseen, pseudo = read_split(split)
        unknown = sorted((set(unseen) | set(pseudo)) - classes)
        if unknown:
            raise ValueError(f"{split} names classes that are not below {root}: {unknown}")
        super().__init__(
            **divide(items, unseen, gallery, cfg.DATASET.GALLERY_SEED),
            seen=sorted(classes - set(unseen)),
            unseen=unseen,
            split_name=split.stem,
            gallery_name=name_gallery(gallery, cfg.DATASET.GALLERY_SEED),
            setting=setting,
            pseudo_unseen=pseudo,
            hold_out=cfg.TEST.FINAL_MODEL == "best_val",
        )


def _scan(root: Path, domain: int) -> List[SBIRDatum]:
    folder = root / FOLDERS[domain]
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}: expected {root}/sketch/<class>/* and {root}/photo/<class>/*")
    return [
        SBIRDatum(str(path), domain, path.parent.name)
        for path in sorted(folder.glob("*/*"))  # sorted: a listing's order differs between machines
        if has_image_suffix(path.name)
    ]
