"""Which images are for training, queries and gallery: the gallery rules of every setting (docs/DATASETS.md)."""

from __future__ import annotations

import os
import random
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from splip.common.modalities import PHOTO, SKETCH
from splip.data.base import SBIRDatum
from splip.data.strokes import PEN

GALLERIES: Dict[str, Tuple[str, ...]] = {  # for each setting, the default first
    "zs": ("unseen",),
    "gzs": ("all_seen", "sampled_20", "classes_20", "held_out"),
    "fg": ("category", "all"),
    "cross": ("unseen_minus_source", "unseen_minus_related", "all_unseen"),
}
DRAWN = ("sampled_20", "classes_20", "held_out")  # random rules, with seed DATASET.GALLERY_SEED
STROKE_KEYS = {f"STROKE_{name.upper()}": default for name, default in PEN._asdict().items()}
TEST_CLASSES = ("unseen", "seen", "pseudo_unseen")  # values of cfg.DATASET.TEST_CLASSES
BENCHMARK_KEYS = {  # keys of cfg.DATASET, each with the value that means "not used"
    "PHOTOS": "once", "FILE_LISTS": "", "TARGET": "", "SUBSET": "", "TEST_CLASSES": "unseen",
    "EXTRA_SKETCHES": "", "EXTRA_PER_CLASS": 0, "TRAIN_CLASSES": 0, "TRAIN_SKETCHES": 0, "ALSO": "", **STROKE_KEYS,
}  # fmt: skip


def read_setting(
    cfg, name: str, galleries: Mapping[str, Sequence[str]] = GALLERIES, reads: Iterable[str] = ()
) -> Tuple[str, str]:
    """(setting, gallery rule) of data set ``name``, from its config.

    Args:
        galleries: the rules of each of its settings, the default first.
        reads: the members of BENCHMARK_KEYS that it reads.

    Raises:
        ValueError: the setting or gallery is unknown, or a key is set that the data set would ignore.
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
    """The gallery's name in results: its rule, the seed of a random rule, and all options that are not the default."""
    parts = [rule, *([f"seed {seed}"] if rule in DRAWN else [])]
    parts += {"once": [], "zse": ["zse repeats"], "original": ["original photos"]}[photos]
    return ", ".join([*parts, *(["zse file lists"] if file_lists else [])])


def split_classes(
    items: Sequence[SBIRDatum], unseen: Iterable[str], rule: str = "unseen", seed: int = 0
) -> Dict[str, Any]:
    """Images by use, for `SBIRDataset` -> {"train", "queries", "gallery"}.

    Sketches of unseen classes are queries, photos of unseen classes are the gallery. The rules of the generalised
    setting add seen classes; a fifth is rounded down, and is at least 1:

    - ``all_seen``: every seen photo joins the gallery.
    - ``sampled_20``: seen photos, a fifth as many as unseen ones, join the gallery; seen sketches, a fifth as
      many as unseen ones, join the queries. They also stay in training. Both as in SEM-PCYC's code.
    - ``classes_20``: all photos of whole seen classes, a fifth as many as unseen ones, join the gallery.
    - ``held_out``: a fifth of each seen class's photos moves from training to the gallery.

    Any other rule adds nothing. Random choices depend only on `seed`, class names and file names.

    Raises:
        ValueError: the rule is ``held_out`` and a seen class has only one photo.
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
    """Change the test classes of the parts from `split_classes` -> (parts, test classes, their description).

    For the unseen classes the result is (parts, None, "").

    - ``unseen``: no change.
    - ``pseudo_unseen``: sketches and photos of the seen classes `held` are queries and gallery, and leave training.
      Use it to choose hyperparameters before any test on the unseen classes.
    - ``seen``: the training images of as many training classes as there are unseen ones, so that the chance level is
      the same. The difference to ``unseen`` is what the model does not transfer.

    Args:
        held: seen classes that leave training.
        seed: for the random choice of ``seen``.

    Raises:
        ValueError: `which` is unknown, or no class is left.
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


def train_on_fewer(
    train: Sequence[SBIRDatum], classes: int, sketches: int, held: Iterable[str] = ()
) -> Tuple[List[SBIRDatum], str]:
    """A part of the training images -> (it, its description); a smaller part is within every larger one.

    Args:
        classes: so many training classes (DATASET.TRAIN_CLASSES); 0 = all.
        sketches: so many sketches of each of them, and all its photos (DATASET.TRAIN_SKETCHES); 0 = all.
        held: classes that are not for training; they keep all images.

    Raises:
        ValueError: the data have fewer, or a number is below 0; fewer than two classes are left.
    """
    held, words = set(held), []
    names = sorted({item.classname for item in train} - held)
    if classes:
        if not 2 <= classes <= len(names):
            raise ValueError(f"DATASET.TRAIN_CLASSES must be 2 to {len(names)}, or 0 for all, got {classes}")
        names = _shuffled(names, "train_classes")[:classes]
        words.append(f"{classes} training classes")
    kept = [item for item in train if item.classname in held | {*names}]
    if sketches:
        by_class: Dict[str, List[SBIRDatum]] = {name: [] for name in names}
        for item in kept:
            if item.domain == SKETCH and item.classname not in held:
                by_class[item.classname].append(item)
        fewest = min(map(len, by_class.values()))
        if not 1 <= sketches <= fewest:
            raise ValueError(f"DATASET.TRAIN_SKETCHES must be 1 to {fewest}, or 0 for all, got {sketches}")
        drawn = {
            id(item)
            for name, items in by_class.items()
            for item in _shuffled(sorted(items, key=_identity), f"train_sketches/{name}")[:sketches]
        }
        kept = [item for item in kept if item.domain != SKETCH or item.classname in held or id(item) in drawn]
        words.append(f"{sketches} sketches of each")
    return kept, ", ".join(words)


def _hold_out_photos(photos: Iterable[SBIRDatum], seed: int) -> Set[tuple]:
    """Identities of a fifth of each class's photos; a photo that is in two folders counts once."""
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
    """A key of the image that is the same in every copy of the data, wherever it is and however folders are named."""
    return item.classname, os.path.basename(item.impath)


def _fifth(number: int) -> int:
    return max(1, number // 5)


def _shuffled(choices: Sequence[Any], seed: str) -> List[Any]:
    return random.Random(seed).sample(list(choices), len(choices))


def _draw(choices: List[Any], number: int, seed: str) -> List[Any]:
    """`number` of `choices` (or all, if they are fewer), in their order."""
    positions = random.Random(seed).sample(range(len(choices)), min(number, len(choices)))
    return [choices[position] for position in sorted(positions)]
