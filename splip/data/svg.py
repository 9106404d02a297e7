"""Draw an SVG file as pixels, with resvg (``pip install resvg-py``): icons as photos, and drawings as drawings."""

from __future__ import annotations

import io
from importlib import import_module
from importlib.util import find_spec
from typing import Any, BinaryIO, Dict, List
from xml.etree import ElementTree

resvg_py: Any = import_module("resvg_py") if find_spec("resvg_py") else None

SIDE = 512  # pixels, the longer side
LARGEST = 4 * 2**20  # bytes
MOST_PARTS = 100_000  # elements, with those that <use> repeats
LEFT_OUT = ("image", "feImage", "script", "foreignObject")  # they can load other files, or are no drawing


def as_png(file: BinaryIO) -> BinaryIO:
    """The drawing as a PNG with transparent ground; what has no colour of its own (``currentColor``) is black.

    Nothing outside the file is read: pictures in it are left out, and so are references to other files.

    Raises:
        ValueError: it is damaged, too large, has entities, or repeats its parts too often.
    """
    file.seek(0)
    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"the SVG is larger than {LARGEST // 2**20} MB")
    if b"<!entity" in content.replace(b"\0", b"").lower():
        raise ValueError("the SVG defines entities, which are not read: export it as PNG")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ValueError(f"the SVG is damaged: {error}") from error
    if root.tag == "svg":  # written without its namespace, as in a web page
        root.set("xmlns", "http://www.w3.org/2000/svg")
    for parent in list(root.iter()):
        for child in [child for child in parent if _name(child) in LEFT_OUT]:
            parent.remove(child)
        for key in [key for key, value in parent.attrib.items() if key.endswith("href") and not value.startswith("#")]:
            del parent.attrib[key]
    _require_few(root)
    width, height = _size(root)
    side = {"width": SIDE} if width >= height else {"height": SIDE}
    text = ElementTree.tostring(root, encoding="unicode")
    try:
        drawn = resvg_py.svg_to_bytes(svg_string=text, skip_system_fonts=True, **side)
    except Exception as error:  # resvg's own error types
        raise ValueError(f"the SVG cannot be drawn: {error}") from error
    return io.BytesIO(bytes(drawn))


def _name(element: ElementTree.Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _size(root: ElementTree.Element) -> List[float]:
    """Width and height in some unit; equal ones if the file does not say."""
    box = root.get("viewBox", "").replace(",", " ").split()
    texts = box[2:] if len(box) == 4 else [root.get(key, "1").rstrip("pxtcmin% ") for key in ("width", "height")]
    try:
        width, height = map(float, texts)
    except ValueError:
        return [1.0, 1.0]
    if not 0.05 < width / max(height, 1e-9) < 20:
        raise ValueError("the SVG is more than twenty times as long as wide")
    return [width, height]


def _require_few(root: ElementTree.Element) -> None:
    """Raise ValueError if drawing it would repeat too many elements: each <use> can repeat what itself has <use>."""
    named = {element.get("id"): element for element in root.iter() if element.get("id")}
    counts: Dict[ElementTree.Element, float] = {}

    def count(element: ElementTree.Element, inside: int) -> float:
        if inside > 200:
            raise ValueError("the SVG is nested too deeply")
        if element not in counts:
            counts[element] = float("inf")  # while it is counted: a loop of <use> ends here
            total = 1 + sum(count(child, inside + 1) for child in element)
            if _name(element) == "use":
                links = [value[1:] for key, value in element.attrib.items() if key.endswith("href")]
                total += sum(count(named[link], inside + 1) for link in links if link in named)
            counts[element] = total
        return counts[element]

    if count(root, 0) > MOST_PARTS:
        raise ValueError(f"the SVG draws more than {MOST_PARTS:,} parts")
