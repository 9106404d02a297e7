"""What this package itself writes beside pictures, so that it is not taken for one of them."""

from __future__ import annotations

import os
import re
from typing import BinaryIO, Union

from PIL import Image

SHEET, CURVE = PRODUCTS = "splip contact sheet", "splip training curve"  # a PNG's text "Software"


def product_of(file: Union[str, os.PathLike, BinaryIO]) -> str:
    """Which of PRODUCTS a file is (PNG); "" for none."""
    try:
        with Image.open(file, formats=["PNG"]) as image:
            said = image.info.get("Software")
    except Exception:  # Pillow's readers raise a different type for each way in which a file can be broken
        return ""
    return said if said in PRODUCTS else ""


COPY = re.compile(r"(\d{2,}_)?(\d{3,}_)")  # what `splip search --copy-to` puts before a name


def is_copy(name: str, original: str) -> bool:
    """Whether a file is called as ``splip search --copy-to`` calls its copy of another one (:func:`copy_name`)."""
    (rest, end), (stem, suffix) = os.path.splitext(name), os.path.splitext(original)
    shortened = len(os.fsencode(name)) > 100
    found = COPY.match(rest)
    lefts = {rest[found.end() :], rest[found.end(1) :]} if found else set()  # its first number may be the original's
    return any(end == suffix and (left == stem or (shortened and stem.startswith(left))) for left in lefts if left)


def copy_name(original: str, question: int, rank: int, most: int = 255) -> str:
    """What the copy of a hit is called: number of the question (0 = the only one), rank, and name in at most so many
    bytes; the name's end, which says what it is, stays.
    """
    prefix = f"{question:02}_{rank:03}_" if question else f"{rank:03}_"
    stem, suffix = os.path.splitext(original)
    while stem and len(os.fsencode(prefix + stem + suffix)) > most:
        stem = stem[:-1]
    return prefix + stem + suffix
