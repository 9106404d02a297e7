"""Recognise images that this package itself writes next to others, so that they are not used as data."""

from __future__ import annotations

import os
import re
from typing import BinaryIO, Union

from PIL import Image

SHEET, CURVE = PRODUCTS = "splip contact sheet", "splip training curve"  # a PNG's text "Software"


def product_of(file: Union[str, os.PathLike, BinaryIO]) -> str:
    """The member of PRODUCTS that a file (PNG) is; "" for none."""
    try:
        with Image.open(file, formats=["PNG"]) as image:
            said = image.info.get("Software")
    except Exception:  # Pillow's readers raise many types of error for damaged files
        return ""
    return said if said in PRODUCTS else ""


COPY = re.compile(r"(\d{2,}_)?(\d{3,}_)")  # prefix that `splip search --copy-to` adds to a name


def is_copy(name: str, original: str) -> bool:
    """Whether `name` is the name that ``splip search --copy-to`` gives to a copy of `original` (:func:`copy_name`)."""
    (rest, end), (stem, suffix) = os.path.splitext(name), os.path.splitext(original)
    shortened = len(os.fsencode(name)) > 100
    found = COPY.match(rest)
    lefts = {rest[found.end() :], rest[found.end(1) :]} if found else set()  # its first number may be the original's
    return any(end == suffix and (left == stem or (shortened and stem.startswith(left))) for left in lefts if left)


def copy_name(original: str, question: int, rank: int, most: int = 255) -> str:
    """The name of the copy of a result: query number (0 = only one query), rank, and original name, shortened to
    `most` bytes in all; the end of the name with the suffix stays.
    """
    prefix = f"{question:02}_{rank:03}_" if question else f"{rank:03}_"
    stem, suffix = os.path.splitext(original)
    while stem and len(os.fsencode(prefix + stem + suffix)) > most:
        stem = stem[:-1]
    return prefix + stem + suffix
