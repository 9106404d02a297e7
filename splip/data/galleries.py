"""Which images train, ask and answer: the gallery rules of every setting, by name (docs/DATASETS.md)."""

from __future__ import annotations

import os
import random
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from splip.common.modalities import PHOTO, SKETCH
from splip.data.base import SBIRDatum
from splip.data.strokes import PEN

GALLERIES: Dict[str, Tuple[str, ...]] = {  # of each setting, the default first
    "zs": ("unseen",),
    "gzs": ("all_seen", "sampled_20", "classes_20", "held_out"),
    "fg": ("category", "all"),
    "cross": ("unseen_minus_source", "unseen_minus_related", "all_unseen"),
}
DRAWN = ("sampled_20", "classes_20", "held_out")  # rules that DATASET.GALLERY_SEED seeds
STROKE_KEYS = {f"STROKE_{name.upper()}": default for name, default in PEN._asdict().items()}
TEST_CLASSES = ("unseen", "seen", "pseudo_unseen")  # of cfg.DATASET.TEST_CLASSES
BENCHMARK_KEYS = {  # of cfg.DATASET, with what leaves them unused
    "PHOTOS": "once", "FILE_LISTS": "", "TARGET": "", "SUBSET": "", "TEST_CLASSES": "unseen",
    "EXTRA_SKETCHES": "", "EXTRA_PER_CLASS": 0, **STROKE_KEYS,
}  # fmt: skip


def read_setting(
    cfg, name: str, galleries: Mapping[str, Sequence[str]] = GALLERIES, reads: Iterable[str] = ()
) -> Tuple[str, str]:
    """(setting, gallery rule) of data set ``name`` out of its config.

    Args:
        galleries: rules of each setting that it has, the default first.
        reads: which of BENCHMARK_KEYS it reads.

    Raises:
        ValueError: another setting or gallery, or a key is set that it would ignore.
    """
    setting, gallery = cfg.DATASET.SETTING, cfg.DATASET.GALLERY
    if setting not in galleries:
        raise ValueError(f"{name} has the settings {', '.join(galleries)}, got DATASET.SETTING {setting!r}")
    rules = galleries[setting]
    if gallery and gallery not in rules:
        raise ValueError(f"{name}'s {setting} gallery is one of {', '.join(rules)}, got DATASET.GALLERY {gallery!r}")
    for key, unused in BENCHMARK_KEYS.items():
        value = getattr(cfg.DATASET, key, unused)
        if key not in reads and value != unused:
            raise ValueError(f"{name} does not read DATASET.{key} in the setting {setting}, got {value!r}")
    return setting, gallery or rules[0]


def name_gallery(rule: str, seed: int = 0, photos: str = "once", file_lists: str = "") -> str:
    """The gallery's name in results: its rule, with the seed of a draw and every switch that is not its default."""
    parts = [rule, *([f"seed {seed}"] if rule in DRAWN else [])]
    parts += {"once": [], "zse": ["zse repeats"], "original": ["original photos"]}[photos]
    return ", ".join([*parts, *(["zse file lists"] if file_lists else [])])


def split_classes(
    items: Sequence[SBIRDatum], unseen: Iterable[str], rule: str = "unseen", seed: int = 0
) -> Dict[str, Any]:
    """Images by use, for `SBIRDataset` -> {"train", "queries", "gallery"}.

    Sketches of unseen classes ask, their photos answer. The rules of the generalised setting add seen classes;
    a fifth is rounded down, and at least 1:

    - ``all_seen``: every seen photo joins the gallery.
    - ``sampled_20``: seen photos, a fifth as many as unseen ones, join the gallery, and seen sketches, a fifth as
      many as unseen ones, the queries (SEM-PCYC's code). They stay in training, as they do there.
    - ``classes_20``: all photos of whole seen classes, a fifth as many as unseen ones, join the gallery.
    - ``held_out``: a fifth of each seen class's photos leaves training and joins the gallery.

    Any other rule adds nothing. Draws depend on `seed`, class names and file names alone.

    Raises:
        ValueError: ``held_out``, and a seen class has one photo only.
    """
    unseen = set(unseen)
    train = [item for item in items if item.classname not in unseen]
    queries = [item for item in items if item.classname in unseen and item.domain == SKETCH]
    gallery = [item for item in items if item.classname in unseen and item.domain == PHOTO]
    photos = [item for item in train if item.domain == PHOTO]
    if rule == "all_seen":
        gallery += photos
    elif rule == "sampled_20":
        sketches = [item for item in train if item.domain == SKETCH]
        photos, sketches = (sorted(some, key=_identity) for some in (photos, sketches))
        gallery, queries = (
            test + _draw(seen, _fifth(len(test)), f"{rule}/{seed}/{kind}")
            for test, seen, kind in ((gallery, photos, "photo"), (queries, sketches, "sketch"))
        )
    elif rule == "classes_20":
        seen = sorted({item.classname for item in train})
        chosen = set(_draw(seen, _fifth(len(unseen)), f"{rule}/{seed}"))
        gallery += [item for item in photos if item.classname in chosen]
    elif rule == "held_out":
        held = _hold_out_photos(photos, seed)
        train = [item for item in train if item.domain == SKETCH or _identity(item) not in held]
        gallery += [item for item in photos if _identity(item) in held]
    return {"train": train, "queries": queries, "gallery": gallery}


def choose_test(
    parts: Mapping[str, Any], which: str, unseen: Sequence[str], held: Iterable[str] = (), seed: int = 0
) -> Tuple[Dict[str, Any], Optional[List[str]], str]:
    """Parts as from `split_classes`, tested on other classes -> (parts, those classes, what they are in words).

    For the unseen ones it is (parts, None, "").

    - ``unseen``: as they are.
    - ``pseudo_unseen``: sketches ask and photos answer of the seen classes `held`, which leave training; a recipe is
      chosen on these, before the unseen ones are looked at.
    - ``seen``: likewise of classes that are trained on, as many as there are unseen ones, so that chance is the same:
      the very images of training. The distance from ``unseen`` is what the model has not carried over.

    Args:
        held: seen classes that leave training.
        seed: by which ``seen`` draws.

    Raises:
        ValueError: another `which`, or no class is left.
    """
    if which not in TEST_CLASSES:
        raise ValueError(f"DATASET.TEST_CLASSES must be one of {', '.join(TEST_CLASSES)}, got {which!r}")
    if which == "unseen":
        return dict(parts), None, ""
    classes, words = sorted(held), "pseudo-unseen classes"
    if which == "seen":
        trained = sorted({item.classname for item in parts["train"]} - set(held))
        classes, words = _draw(trained, len(unseen), f"seen/{seed}"), f"seen classes (seed {seed})"
    if not classes:
        raise ValueError(f"DATASET.TEST_CLASSES {which}: the split has no such class")
    chosen = [item for item in parts["train"] if item.classname in set(classes)]
    sketches, photos = ([item for item in chosen if item.domain == domain] for domain in (SKETCH, PHOTO))
    return {**parts, "queries": sketches, "gallery": photos}, classes, f"{len(classes)} {words}"


def _hold_out_photos(photos: Iterable[SBIRDatum], seed: int) -> Set[tuple]:
    """Identities of a fifth of each class's photos; a photo that stands in two folders is one."""
    by_class: Dict[str, Set[tuple]] = {}
    for item in photos:
        by_class.setdefault(item.classname, set()).add(_identity(item))
    held: Set[tuple] = set()
    for name, identities in by_class.items():
        if len(identities) < 2:
            raise ValueError(f"DATASET.GALLERY held_out: class {name!r} has one photo, which training needs")
        held.update(_draw(sorted(identities), _fifth(len(identities)), f"held_out/{seed}/{name}"))
    return held


def _identity(item: SBIRDatum) -> tuple:
    """What a copy of the data in another place, with other folder names, has in common with this one."""
    return item.classname, os.path.basename(item.impath)


def _fifth(number: int) -> int:
    return max(1, number // 5)


def _draw(choices: List[Any], number: int, seed: str) -> List[Any]:
    """`number` of `choices` (or all, if they are fewer), in their order."""
    positions = random.Random(seed).sample(range(len(choices)), min(number, len(choices)))
    return [choices[position] for position in sorted(positions)]
