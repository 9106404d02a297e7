"""Your own sketches and photos: two folders with one sub-folder for each class."""

from __future__ import annotations

from pathlib import Path
from typing import List

from PIL import Image

from splip.dassl_api import DATASET_REGISTRY
from splip.datasets.base import PHOTO, SKETCH, SBIRDataset, SBIRDatum

FOLDERS = {SKETCH: "sketch", PHOTO: "photo"}


@DATASET_REGISTRY.register()
class SBIRFolder(SBIRDataset):
    """``<root>/sketch/<class>/*`` and ``<root>/photo/<class>/*``, in any image format that Pillow reads.

    ``DATASET.SPLIT`` is a text file with the unseen classes, one a line (``#`` starts a comment). A line
    ``pseudo: <class>`` marks a seen class that ``TEST.FINAL_MODEL best_val`` may hold out. Settings: ``zs``
    and ``gzs``, whose gallery also holds every seen photo.

    Raises:
        ValueError: a folder or the split file is missing, the split names a class that is not there, the
            setting is another one, or a class cannot be trained or ranked on (:class:`SBIRDataset`).
    """

    def __init__(self, cfg) -> None:
        root, setting = Path(cfg.DATASET.ROOT).expanduser(), cfg.DATASET.SETTING
        if setting not in ("zs", "gzs"):
            raise ValueError(f"SBIRFolder has the settings zs and gzs, got DATASET.SETTING {setting!r}")
        gallery_name = {"zs": "unseen", "gzs": "all_seen"}[setting]
        if cfg.DATASET.GALLERY not in ("", gallery_name):
            raise ValueError(f"SBIRFolder's {setting} gallery is {gallery_name!r}, got {cfg.DATASET.GALLERY!r}")
        items = [item for domain in (SKETCH, PHOTO) for item in _scan(root, domain)]
        classes = {item.classname for item in items}
        split = Path(cfg.DATASET.SPLIT).expanduser()
        unseen, pseudo = _read_split(split)
        strangers = sorted((set(unseen) | set(pseudo)) - classes)
        if strangers:
            raise ValueError(f"{split} names classes that are not below {root}: {strangers}")
        train = [item for item in items if item.classname not in unseen]
        test = [item for item in items if item.classname in unseen]
        seen_photos = [item for item in train if item.domain == PHOTO] if setting == "gzs" else []
        super().__init__(
            train=train,
            queries=[item for item in test if item.domain == SKETCH],
            gallery=[item for item in test if item.domain == PHOTO] + seen_photos,
            seen=sorted(classes - set(unseen)),
            unseen=unseen,
            split_name=split.stem,
            gallery_name=gallery_name,
            setting=setting,
            pseudo_unseen=pseudo,
            hold_out=cfg.TEST.FINAL_MODEL == "best_val",
        )


def _scan(root: Path, domain: int) -> List[SBIRDatum]:
    folder = root / FOLDERS[domain]
    if not folder.is_dir():
        raise ValueError(f"no folder {folder}: expected {root}/sketch/<class>/* and {root}/photo/<class>/*")
    readable = Image.registered_extensions()
    return [
        SBIRDatum(str(path), domain, path.parent.name)
        for path in sorted(folder.glob("*/*"))  # sorted: a listing's order differs between machines
        if path.suffix.lower() in readable
    ]


def _read_split(path: Path) -> tuple:
    if not path.is_file():
        raise ValueError(f"DATASET.SPLIT must be a text file with the unseen classes, one a line; no file at {path}")
    lines = [line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    pseudo = [line.split(":", 1)[1].strip() for line in lines if line.startswith("pseudo:")]
    unseen = sorted({line for line in lines if line and not line.startswith("pseudo:")})
    if not unseen:
        raise ValueError(f"{path} names no unseen class")
    return unseen, pseudo
