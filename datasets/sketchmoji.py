"""Sketchmoji, the embedded benchmark: line drawings retrieve colour drawings of other artists in composed scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Sequence, Tuple

from PIL import Image

import splip
from splip.common.modalities import PHOTO, SKETCH
from splip.data import galleries
from splip.data.base import SBIRDataset, SBIRDatum
from splip.data.classes import normalise
from splip.data.galleries import read_setting, split_classes
from splip.datasets.scenes import Scene, read_scenes, show
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
from splip.engine import DATASET_REGISTRY

EMBEDDED = Path(splip.__file__).parent / "assets" / "sketchmoji"
SKETCH_ARTISTS = ("openmoji", "fluent", "emojione")
PHOTO_ARTISTS = ("noto", "twemoji", "fxemoji")
GALLERIES = {"zs": ("unseen",), "gzs": ("all_seen",), "fg": ("one_photo",), "cross": galleries.GALLERIES["cross"]}
SPLIT = "sketchmoji_142"  # name of the unseen classes in DATASET.TARGET


class Row(NamedTuple):
    """One class, as in classes.tsv; `fg_artist` and `fg_scene` choose its photo for the setting fg."""

    slug: str
    name: str
    code: str
    group: str
    category: str
    fg_artist: str
    fg_scene: int


@DATASET_REGISTRY.register()
class Sketchmoji(SBIRDataset):
    """About 700 objects; each has up to three sketches and twelve photos (three artists, four scenes each).

    Sketch artists and photo artists differ. Settings (``DATASET.SETTING``):

    - ``zs``: classes are objects; queries are sketches of unseen classes, and the gallery is their photos.
    - ``gzs``: the same, but the gallery also has the photos of every seen class.
    - ``fg``: classes are categories (mammal, drink, ...), instances are objects. Each test object has one
      photo in the gallery, and its sketches are queries for it. In training, all photos of an object match it.
    - ``cross``: trained as in ``zs``, tested on the unseen classes of the data set that ``DATASET.TARGET`` names
      (:mod:`splip.datasets.targets`).

    ``DATASET.ARTISTS_OUT`` holds artists out: one of sketches and one of photos, joined by ``+``
    (``openmoji+noto``). Training uses the drawings of the others. Queries are sketches of the first artist, and the
    gallery is photos of the second. So the model gains nothing from what it learned of artists. A class that then has
    no sketch or no photo is left out.

    Images come from ``<DATASET.ROOT>/sketchmoji`` if that folder exists, else from the copy inside the package.
    ``root`` and ``embedded`` tell which. The splits are text files in its folder ``splits``.

    Raises:
        ValueError: unknown setting, split or gallery, or a file that is missing or cannot be read.
    """

    @classmethod
    def extend_cfg(cls, cfg) -> None:
        cfg.DATASET.ARTISTS_OUT = ""  # Sketchmoji: artists only in the test, e.g. openmoji+noto; empty = none

    def __init__(self, cfg) -> None:
        target = find_target(cfg.DATASET.TARGET, "Sketchmoji") if cfg.DATASET.SETTING == "cross" else None
        families = ["Sketchmoji", *([target.family] if target else [])]
        setting, gallery = read_setting(cfg, "Sketchmoji", GALLERIES, keys_read(cfg.DATASET, families))
        out = _artists_out(getattr(cfg.DATASET, "ARTISTS_OUT", ""), setting)
        self.root = find_root(cfg.DATASET.ROOT)
        self.embedded = self.root == EMBEDDED
        if self.embedded and cfg.DATASET.ROOT:
            print(f"Sketchmoji comes with the package: there is no folder sketchmoji in {cfg.DATASET.ROOT}")
        fine = setting == "fg"
        prefix, suffix = ("fg_", "_fg") if fine else ("", "")
        known, unseen, pseudo = (read_list(self.root, f"{prefix}{name}") for name in ("all", "unseen", "pseudo_unseen"))
        split_name = f"sketchmoji{suffix}_{len(unseen)}"
        if cfg.DATASET.SPLIT not in ("", split_name):
            raise ValueError(f"Sketchmoji's {setting} split is {split_name!r}, got DATASET.SPLIT {cfg.DATASET.SPLIT!r}")
        hold_out = cfg.TEST.FINAL_MODEL == "best_val"
        gallery_name = gallery
        # If objects are ranked, each has one photo; otherwise all photos are used.
        ranked = (set(unseen) | set(pseudo if hold_out else ())) if fine else set()

        rows, scenes = read_classes(self.root / "classes.tsv"), read_scenes(self.root / "scenes.tsv")
        held = [row.category if fine else row.slug for row in rows]
        if set(held) != set(known):
            raise ValueError(
                f"{self.root}: classes.tsv and splits/{prefix}all.txt differ in {sorted(set(held) ^ set(known))}"
            )
        items = [
            d for row, name in zip(rows, held) for d in images_of(self.root, row, name, scenes, fine, name in ranked)
        ]
        if out:
            items, known = leave_out(items, out, unseen)
            unseen, pseudo = ([name for name in names if name in known] for names in (unseen, pseudo))
            split_name = f"{split_name}, {'+'.join(out)} left out"
        parts, seen = split_classes(items, unseen, gallery), sorted(set(known) - set(unseen))
        if target:
            source = read_source(cfg.DATASET)
            unseen, tested_on = read_test(target, source, seen, gallery)
            parts = {**parts, **tested_on}
            split_name += f" -> {name_split(cfg.DATASET.TARGET, target.family, source.subset)}"
            gallery_name = galleries.name_gallery(gallery, 0, source.photos, source.file_lists)
        super().__init__(
            **parts,
            seen=seen,
            unseen=unseen,
            split_name=split_name,
            gallery_name=gallery_name,
            setting=setting,
            pseudo_unseen=pseudo,
            hold_out=hold_out,
            overlap=gallery == "all_unseen",
        )

    def load_image(self, datum: SBIRDatum) -> Image.Image:
        """The RGB image: a sketch as stored, or a photo composed from its drawing and its scene."""
        return show(datum.impath, datum.spec) if isinstance(datum.spec, Scene) else super().load_image(datum)


def find_root(root: str) -> Path:
    """``<root>/sketchmoji`` if that folder exists, else the copy inside the package."""
    given = Path(root).expanduser() / "sketchmoji"
    return given if root and given.is_dir() else EMBEDDED


def images_of(
    root: Path, row: Row, classname: str, scenes: Dict[Tuple[str, str], Any], fine: bool = False,
    one_photo: bool = False,
) -> List[SBIRDatum]:  # fmt: skip
    """All sketches of one object, and all its photos or (``one_photo``) only the photo chosen for ``fg``."""
    instance = row.slug if fine else ""
    paths = [(artist, root / "sketch" / artist / f"{row.slug}.png") for artist in SKETCH_ARTISTS]
    items = [SBIRDatum(str(path), SKETCH, classname, instance) for _, path in paths if path.is_file()]
    for artist in PHOTO_ARTISTS:
        shown = scenes.get((artist, row.slug), [])
        if one_photo:
            shown = shown[row.fg_scene : row.fg_scene + 1] if artist == row.fg_artist else []
        path = str(root / "photo" / artist / f"{row.slug}.png")
        items += [SBIRDatum(path, PHOTO, classname, instance, spec=scene) for scene in shown]
    return items


def read_list(root: Path, name: str) -> List[str]:
    """The classes in a list of the data set."""
    return [line for line in _lines(root / "splits" / f"{name}.txt") if not line.startswith("#")]


def read_training(root: str, without: Iterable[str]) -> List[SBIRDatum]:
    """Sketches and photos of the seen classes, to train on beside those of another data set (``DATASET.ALSO``).

    Args:
        root: ``DATASET.ROOT``.
        without: classes that the other data set tests on. Their images are left out, whichever list they are in.
    """
    place, without = find_root(root), {normalise(name) for name in without}
    rows, scenes = read_classes(place / "classes.tsv"), read_scenes(place / "scenes.tsv")
    unseen = set(read_list(place, "unseen"))
    kept = [(row, normalise(row.slug)) for row in rows if row.slug not in unseen]
    return [d for row, name in kept if name not in without for d in images_of(place, row, name, scenes)]


def _unseen(source: Source) -> List[str]:
    unseen = [normalise(name) for name in read_list(find_root(source.root), "unseen")]
    if f"sketchmoji_{len(unseen)}" != SPLIT:
        raise ValueError(f"{find_root(source.root)} has {len(unseen)} unseen classes, {SPLIT} as many as it says")
    return sorted(unseen)


def _read_target(source: Source, classes: Sequence[str]) -> List[SBIRDatum]:
    root, wanted = find_root(source.root), set(classes)
    scenes = read_scenes(root / "scenes.tsv")
    rows = [row for row in read_classes(root / "classes.tsv") if normalise(row.slug) in wanted]
    return [item for row in rows for item in images_of(root, row, normalise(row.slug), scenes)]


TARGETS[SPLIT] = Target("Sketchmoji", _unseen, _read_target)
ALSO["sketchmoji"] = read_training


def _artists_out(value: str, setting: str) -> Tuple[str, ...]:
    """(sketch artist, photo artist) of DATASET.ARTISTS_OUT, or ()."""
    if not value:
        return ()
    out = tuple(value.split("+"))
    if len(out) != 2 or out[0] not in SKETCH_ARTISTS or out[1] not in PHOTO_ARTISTS or setting != "zs":
        raise ValueError(
            f"DATASET.ARTISTS_OUT is one of {SKETCH_ARTISTS} and one of {PHOTO_ARTISTS}, joined by +, in the setting "
            f"zs; got {value!r} in {setting}"
        )
    return out


def leave_out(
    items: List[SBIRDatum], artists: Sequence[str], unseen: Sequence[str]
) -> Tuple[List[SBIRDatum], List[str]]:
    """(kept drawings, classes that still have both modalities). Unseen classes keep drawings by ``artists``, other
    classes keep drawings by all other artists."""
    test = set(unseen)
    kept = [item for item in items if (Path(item.impath).parent.name in artists) == (item.classname in test)]
    sides: Dict[str, set] = {}
    for item in kept:
        sides.setdefault(item.classname, set()).add(item.domain)
    classes = sorted(name for name, domains in sides.items() if len(domains) == 2)
    return [item for item in kept if item.classname in set(classes)], classes


def read_classes(path: Path) -> List[Row]:
    """classes.tsv -> its rows. ValueError: no such file, or a line without seven columns."""
    rows = []
    for line in _lines(path):
        if line.startswith("#"):
            continue
        columns = line.split("\t")
        if len(columns) != len(Row._fields) or not columns[-1].isdigit():
            raise ValueError(f"{path}: wanted {', '.join(Row._fields)}, tab-separated, got {line!r}")
        slug, name, code, group, category, artist, scene = columns
        rows.append(Row(slug, name, code, group, category, artist, int(scene)))
    return rows


def _lines(path: Path) -> List[str]:
    if not path.is_file():
        raise ValueError(f"Sketchmoji needs {path}, which is not there")
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line]
