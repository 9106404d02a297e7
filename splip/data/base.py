"""The interface of every sketch-based retrieval data set for the trainers.

A data set lists its images. `SBIRDataset` labels them, holds out the pseudo-unseen classes when
they select the model, and rejects data that cannot be used for training or ranking.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections import defaultdict
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set

from PIL import Image

from splip.common.modalities import MODALITIES, PHOTO, SKETCH
from splip.data.classes import near
from splip.data.images import open_rgb
from splip.data.strokes import StrokeSpec, draw
from splip.engine import DatasetBase, Datum

SETTINGS = ("zs", "gzs", "fg", "cross")


class SBIRDatum(Datum):
    """One sketch or photo.

    Args:
        impath: an existing file; it names the image in every error message.
        domain: SKETCH or PHOTO.
        classname: the class; `SBIRDataset` turns it into `label` (-1 until then).
        instance: in the fine-grained setting, the object that is shown (the same for a sketch and
            its photo); "" in other settings.
        spec: what the data set's `load_image` needs in addition to `impath` (small, picklable).
        listed: `impath` comes from a directory listing, so the file is not checked again.
        place: the image's name in every layout of the data set, if there are several layouts.

    Raises:
        ValueError: there is no file at `impath`, or the domain is unknown.
    """

    def __init__(
        self,
        impath: str,
        domain: int,
        classname: str,
        instance: str = "",
        spec: Any = None,
        label: int = -1,
        listed: bool = False,
        place: str = "",
    ) -> None:
        if not (listed or os.path.isfile(impath)):
            raise ValueError(f"no image file at {impath!r} (class {classname!r})")
        if domain not in (SKETCH, PHOTO):
            raise ValueError(f"domain must be {SKETCH} (sketch) or {PHOTO} (photo), got {domain!r}")
        super().__init__(impath=impath, label=label, domain=domain, classname=classname)
        self.instance, self.spec, self.place = instance, spec, place

    def with_label(self, label: int) -> SBIRDatum:
        """A copy with this `label`."""
        labelled = copy.copy(self)
        labelled._label = label
        return labelled


def describe_split(name: str, seen: Iterable[str], unseen: Iterable[str]) -> Dict[str, Any]:
    """{"name", "sha256", "seen", "unseen"}: counts, and a digest of both sorted class lists."""
    seen, unseen = sorted(seen), sorted(unseen)
    text = "\n".join(["seen", *seen, "unseen", *unseen])
    digest = hashlib.sha256(text.encode("utf-8")).hexdigest()
    return {"name": name, "sha256": digest, "seen": len(seen), "unseen": len(unseen)}


class SBIRDataset(DatasetBase):
    """Seen classes to train on; queries (sketches) and a gallery (photos) to test on.

    Args:
        train: sketches and photos of every seen class, unlabelled.
        queries: test sketches, of unseen classes.
        gallery: test photos: of the unseen classes, and of seen ones if the setting requires it.
        seen, unseen: the class lists of the split; each listed class must have images.
        split_name, gallery_name: written into every result.
        setting: one of SETTINGS.
        pseudo_unseen: seen classes that may be held out to select a model.
        hold_out: hold them out (pass `cfg.TEST.FINAL_MODEL == "best_val"`): they move from
            `train_x` to `val_queries` and `val_gallery` (in the generalised setting `val_gallery`
            also has the photos of the training classes). Otherwise all seen classes are used for
            training, and these two lists are empty.
        overlap: whether test classes may be seen classes (cross-data set gallery `all_unseen`).
        tested: classes of `queries` and `gallery`, if they are not the unseen ones (DATASET.TEST_CLASSES).

    Attributes:
        train_x: labels index `classnames`, the sorted classes in training.
        test_queries, test_gallery: labels index `test_classnames` (sorted).
        val_queries, val_gallery: labels index `val_classnames` (sorted).
        setting, gallery_name, split, seen, unseen, overlap: as given; `split` is from `describe_split`.
        tested: the tested classes, `unseen` or others; the generalised setting may add seen classes.

    Raises:
        ValueError: a class has no images or only one modality, a class is in both lists, or there are
            no pseudo-unseen classes to hold out; fine-grained: a sketch has no photo, or all photos of
            a class are of one instance. The message names the class or file.
    """

    domains = MODALITIES

    def __init__(
        self,
        *,
        train: Sequence[SBIRDatum],
        queries: Sequence[SBIRDatum],
        gallery: Sequence[SBIRDatum],
        seen: Sequence[str],
        unseen: Sequence[str],
        split_name: str,
        gallery_name: str,
        setting: str = "zs",
        pseudo_unseen: Sequence[str] = (),
        hold_out: bool = False,
        overlap: bool = False,
        tested: Optional[Sequence[str]] = None,
    ) -> None:
        if setting not in SETTINGS:
            raise ValueError(f"DATASET.SETTING must be one of {SETTINGS}, got {setting!r}")
        self.setting, self.gallery_name, self.overlap = setting, gallery_name, overlap
        self.seen, self.unseen = sorted(seen), sorted(unseen)
        self.tested = self.unseen if tested is None else sorted(tested)
        self.split = describe_split(split_name, seen, unseen)
        _check_lists(seen, unseen, pseudo_unseen, setting, overlap)

        held = set(pseudo_unseen) if hold_out else set()
        if hold_out and not held:
            raise ValueError(
                f"TEST.FINAL_MODEL best_val needs pseudo-unseen classes; split {split_name!r} has none: use last_step"
            )
        unknown = sorted({item.classname for item in train} - set(seen))
        if unknown:
            raise ValueError(f"training images of what are not seen classes of split {split_name!r}: {unknown}")
        training = [item for item in train if item.classname not in held]
        val_queries = [d for d in train if d.classname in held and d.domain == SKETCH]
        val_gallery = (
            [d for d in train if d.domain == PHOTO and (d.classname in held or setting == "gzs")] if held else []
        )

        everything = [*train, *queries, *gallery]
        _check_modalities(train, seen, "seen", everything)
        _check_modalities([*queries, *gallery], self.tested, "unseen" if tested is None else "test", everything)
        _check_domains(queries, SKETCH, "queries")
        _check_domains(gallery, PHOTO, "gallery")
        if setting == "fg":
            _check_instances(training, training, negatives=True)
            _check_instances(val_queries, val_gallery)
            _check_instances(queries, gallery)

        train_x, _ = _label(training)
        (self.val_queries, self.val_gallery), self.val_classnames = _label(val_queries, val_gallery)
        (self.test_queries, self.test_gallery), self.test_classnames = _label(queries, gallery)
        super().__init__(
            train_x=train_x[0],
            val=[*self.val_queries, *self.val_gallery] or None,
            test=[*self.test_queries, *self.test_gallery],
        )

    def lists(self) -> List[Sequence[SBIRDatum]]:
        """Every list of images: training, test and validation."""
        return [self.train_x, self.test_queries, self.test_gallery, self.val_queries, self.val_gallery]

    def load_image(self, datum: SBIRDatum) -> Image.Image:
        """The RGB image of `datum`; if its file contains strokes, they are drawn.

        Raises:
            ValueError: the file cannot be read; the message names it.
        """
        if isinstance(datum.spec, StrokeSpec):
            return draw(datum.impath, datum.spec)
        return open_rgb(datum.impath)


def _label(*lists: Sequence[SBIRDatum]):
    """Label all lists by the sorted classes of all of them -> (labelled lists, class names)."""
    classnames = sorted({item.classname for items in lists for item in items})
    index = {name: label for label, name in enumerate(classnames)}
    return [[d.with_label(index[d.classname]) for d in items] for items in lists], classnames


def _check_lists(seen, unseen, pseudo_unseen, setting: str, overlap: bool) -> None:
    if len(set(seen)) < (1 if setting == "fg" else 2):
        raise ValueError(f"too few seen classes to train on: {sorted(seen)}")
    both = sorted(set(seen) & set(unseen))
    if both and not overlap:
        raise ValueError(f"classes both seen and unseen: {both}")
    unknown = sorted(set(pseudo_unseen) - set(seen))
    if unknown:
        raise ValueError(f"pseudo-unseen classes that are not seen classes: {unknown}{near(unknown, seen)}")
    if pseudo_unseen and set(pseudo_unseen) == set(seen):
        raise ValueError("every seen class is pseudo-unseen: none is left to train on")


def _check_modalities(
    items: Iterable[SBIRDatum], classes: Sequence[str], role: str, everything: Sequence[SBIRDatum]
) -> None:
    """Check that each of `classes` has a sketch and a photo in `items`."""
    found = _modalities(items)
    for name in classes:
        missing = [MODALITIES[m] for m in (SKETCH, PHOTO) if m not in found[name]]
        if len(missing) == 2:
            raise ValueError(f"{role} class {name!r} has no images")
        if missing:
            there = _modalities(everything)  # the class may be spelt differently there
            others = [other for other, domains in there.items() if domains == {MODALITIES.index(missing[0])}]
            raise ValueError(f"{role} class {name!r} has no {missing[0]}{near([name], others)}")


def _modalities(items: Iterable[SBIRDatum]) -> Dict[str, Set[int]]:
    """{class: its modalities}."""
    found: Dict[str, Set[int]] = defaultdict(set)
    for item in items:
        found[item.classname].add(item.domain)
    return found


def _check_domains(items: Iterable[SBIRDatum], domain: int, role: str) -> None:
    for item in items:
        if item.domain != domain:
            raise ValueError(f"{role} hold a {MODALITIES[item.domain]}: {item.impath!r}")


def _check_instances(queries: Sequence[SBIRDatum], gallery: Sequence[SBIRDatum], negatives=False):
    """Check that each sketch has its photo and, for training, that each class has photos of several instances."""
    photos: Dict[str, Set[str]] = defaultdict(set)
    for item in gallery:
        if item.domain == PHOTO:
            photos[item.classname].add(item.instance)
    sketches: List[SBIRDatum] = [item for item in queries if item.domain == SKETCH]
    for item in sketches:
        if not item.instance or item.instance not in photos[item.classname]:
            raise ValueError(
                f"sketch {item.impath!r} has no photo of its instance {item.instance!r} in class {item.classname!r}"
            )
        if negatives and len(photos[item.classname]) < 2:
            raise ValueError(
                f"class {item.classname!r} has photos of one instance only: "
                "fine-grained training needs another one as negative"
            )
