"""More training sketches for the seen classes of a published data set (``DATASET.EXTRA_SKETCHES``): QuickDraw's
drawings as strokes, TU-Berlin's pictures, or your own.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Set, Tuple

from splip.common.modalities import SKETCH
from splip.data.archives import Archive
from splip.data.base import SBIRDatum
from splip.data.classes import normalise, read_shipped
from splip.data.listing import list_classes
from splip.data.strokes import PEN, Pen, StrokeSpec, has_strokes, list_lines

# QuickDraw's words for classes with another name elsewhere. A class with exactly the word's name has priority.
WORDS = {"motorbike": "motorcycle", "crocodile": "crocodilian", "the eiffel tower": "eiffel tower"}


def read_extra(node: Any, archive: Archive, seen: Iterable[str], tested: Iterable[str]) -> List[SBIRDatum]:
    """Sketches of the `seen` classes in ``DATASET.EXTRA_SKETCHES``: ``<class>.ndjson`` or ``<class>/*``.

    Args:
        node: ``cfg.DATASET``.
        seen: training classes.
        tested: classes of queries in the test or in model selection. Their drawings are never read, even if the class
            is seen.

    Raises:
        ValueError: no such folder; it has none of these classes; a class is there twice; a file's drawings are of
            another class than its name, or cannot be drawn; or a stroke key is set but no strokes are drawn.
    """
    folder, at_most = Path(node.EXTRA_SKETCHES).expanduser(), node.EXTRA_PER_CLASS
    if at_most < 0:
        raise ValueError(f"DATASET.EXTRA_PER_CLASS must be at least 0, got {at_most}")
    pen, known, allowed = Pen.from_cfg(node), set(read_shipped(archive.classes)), set(seen) - set(tested)
    found = _find(folder, known)
    items: List[SBIRDatum] = []
    for classname in sorted(set(found) & allowed):
        path, images = found[classname]
        if has_strokes(path):
            items += _drawings(path, classname, known, pen, at_most)
        else:
            names = images[: at_most or None]
            items += [SBIRDatum(os.path.join(path, name), SKETCH, classname, listed=True) for name in names]
    if not items:
        raise ValueError(f"DATASET.EXTRA_SKETCHES: {folder} has no sketches of classes that are trained on")
    if pen != PEN and not any(item.spec for item in items):
        raise ValueError(f"DATASET.STROKE_*: {folder} has no drawings of strokes (.ndjson), which these keys are for")
    classes, of_test = {item.classname for item in items}, set(found) & known - allowed
    print(
        f"{folder}: {len(items):,} more training sketches of {len(classes)} seen classes; {len(of_test)} classes "
        f"that are tested and {len(set(found) - known)} that {archive.folder} has not are left out"
    )
    return items


def _find(folder: Path, known: Set[str]) -> Dict[str, Tuple[str, List[str]]]:
    """{class: (its file or folder, images of the folder)}."""
    if not folder.is_dir():
        raise ValueError(f"DATASET.EXTRA_SKETCHES: no folder {str(folder)!r}")
    entries = {name: files.images for name, files in list_classes(folder).items() if files.images}
    entries.update({path.name: [] for path in sorted(folder.iterdir()) if has_strokes(path) and path.is_file()})
    found: Dict[str, Tuple[str, List[str]]] = {}
    for name, images in entries.items():
        classname = _class_of(os.path.splitext(name)[0] if has_strokes(name) else name, known)
        if classname in found:
            raise ValueError(f"{folder}: {os.path.basename(found[classname][0])!r} and {name!r} are both {classname!r}")
        found[classname] = str(folder / name), images
    return found


def _drawings(path: str, classname: str, known: Set[str], pen: Pen, at_most: int) -> List[SBIRDatum]:
    lines = list_lines(path, at_most)
    for number, line in enumerate(lines, 1):
        if line.word and _class_of(line.word, known) != classname:
            raise ValueError(f"{path}: drawing {number} shows {line.word!r}, which is not class {classname!r}")
    specs = [StrokeSpec(line.start, line.length, pen) for line in lines]
    return [SBIRDatum(path, SKETCH, classname, spec=spec, listed=True) for spec in specs]


def _class_of(word: str, known: Set[str]) -> str:
    name = normalise(word)
    return name if name in known else WORDS.get(name, name)
