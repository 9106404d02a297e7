"""The setting cross: train on one data set, test on the unseen classes of another."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Sequence, Tuple

from splip.data.archives import PHOTO_CHOICES, SKETCHY
from splip.data.base import SBIRDatum
from splip.data.classes import normalise
from splip.data.galleries import split_classes
from splip.datasets.subsets import SUBSETS


class Source(NamedTuple):
    """Where images are and how they are read; the fields are those of ``cfg.DATASET``."""

    root: str
    photos: str = "once"
    file_lists: str = ""
    subset: str = ""


class Target(NamedTuple):
    """A data set that can be the test set."""

    family: str  # the data set; it cannot be its own target
    unseen: Callable[[Source], List[str]]  # its unseen classes, in normalised spelling
    read: Callable[[Source, Sequence[str]], List[SBIRDatum]]  # the images of given classes


# key: ``DATASET.ALSO``; a function of DATASET.ROOT and the tested classes -> training images
ALSO: Dict[str, Callable[[str, Iterable[str]], List[SBIRDatum]]] = {}
TARGETS: Dict[str, Target] = {}  # key: ``DATASET.TARGET``; each data set adds its own


def find_target(wanted: str, family: str) -> Target:
    """The target that ``DATASET.TARGET`` names. ValueError: unknown, or it is the training data set."""
    others = {name: target for name, target in TARGETS.items() if target.family != family}
    if wanted not in others:
        choices = ", ".join(others)
        raise ValueError(f"DATASET.TARGET is one of {choices} where {family} is trained on, got {wanted!r}")
    return others[wanted]


def keys_read(node: Any, families: Iterable[str]) -> List[str]:
    """The keys of `galleries.BENCHMARK_KEYS` that have an effect in this setting, for these data sets.

    Args:
        node: ``cfg.DATASET``.
        families: the training data set and the test data set.
    """
    families, keys = set(families), []
    sketchy, archives = SKETCHY.folder in families, families - {"Sketchmoji"}
    if node.SETTING == "cross":
        keys.append("TARGET")
    if node.SETTING in ("zs", "fg") and archives:
        keys.append("TEST_CLASSES")
    if sketchy:
        keys.append("SUBSET")
    if archives and not (sketchy and node.SUBSET):  # a subset lists each file once
        keys += ["FILE_LISTS", *(["PHOTOS"] if sketchy and node.SETTING != "fg" else [])]
    return keys


def read_source(node: Any) -> Source:
    """The fields of ``cfg.DATASET``. ValueError: PHOTOS or SUBSET has an invalid value."""
    if node.PHOTOS not in PHOTO_CHOICES:
        raise ValueError(f"DATASET.PHOTOS must be one of {PHOTO_CHOICES}, got {node.PHOTOS!r}")
    if node.SUBSET and node.SUBSET not in SUBSETS:
        raise ValueError(f"DATASET.SUBSET must be one of {', '.join(SUBSETS)}, got {node.SUBSET!r}")
    return Source(node.ROOT, node.PHOTOS, node.FILE_LISTS, node.SUBSET)


def name_split(split: str, family: str, subset: str) -> str:
    """A split's name in results, with its subset, because results on a subset are not those on the whole data set."""
    return f"{split}, {subset}" if subset and SUBSETS[subset].archive.folder == family else split


def read_test(target: Target, source: Source, seen: Sequence[str], rule: str) -> Tuple[List[str], Dict[str, Any]]:
    """The test classes and their images -> (classes, {"queries", "gallery"}).

    Args:
        seen: classes of the training data set.
        rule: of `without_trained`.

    Raises:
        ValueError: no class is left, or as the target's ``read``.
    """
    listed = target.unseen(source)
    tested = without_trained(listed, seen, rule)
    left_out = sorted(set(listed) - set(tested))
    print(f"Tested on {len(tested)} of {target.family}'s {len(listed)} unseen classes; left out by {rule}: "
          f"{', '.join(left_out) or 'none'}")  # fmt: skip
    if not tested:
        raise ValueError(f"DATASET.GALLERY {rule} leaves none of {target.family}'s unseen classes")
    parts = split_classes(target.read(source, tested), tested)
    return tested, {"queries": parts["queries"], "gallery": parts["gallery"]}


def without_trained(unseen: Sequence[str], seen: Iterable[str], rule: str) -> List[str]:
    """The unseen classes of a target that are also not trained on, by one of these rules:

    - ``unseen_minus_source``: leave out classes with the name of a training class.
    - ``unseen_minus_related``: leave out classes whose name has the same last word as a training class:
      ``red apple`` and ``apple``, ``top hat`` and ``hat`` (also, without need, ``hot dog`` and ``dog``).
    - ``all_unseen``: keep all.
    """
    trained = {normalise(name) for name in seen}
    if rule == "all_unseen":
        return list(unseen)
    if rule == "unseen_minus_source":
        return [name for name in unseen if normalise(name) not in trained]
    last = {name.split()[-1] for name in trained}
    return [name for name in unseen if normalise(name).split()[-1] not in last]
