"""Convert a drawing to the form that models are trained on: dark lines on white that fill a square."""

from __future__ import annotations

import os
from typing import List, NamedTuple, Tuple, Union

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from splip.data.images import as_rgb, open_rgb
from splip.data.strokes import PEN, StrokeSpec, draw, has_strokes, list_lines

MARGIN = 0.08  # around the ink, as a share of the square's side
INK = 0.25  # least difference in lightness of stroke and paper, in [0, 1]
LEAST = 4e-4  # share of inked pixels; below it the page is blank
MOST = 0.7  # share of inked pixels; above it the image is not a drawing
WORKING = 1024  # longer side in pixels of the image that is processed


class Drawing(NamedTuple):
    """A drawing in the model's form, and the changes that were made, as text."""

    image: Image.Image
    mended: List[str]


def open_drawing(question: Union[str, os.PathLike]) -> Image.Image:
    """The image in a drawing's file, with its transparent parts. For strokes: drawing N of ``FILE.ndjson:N`` (from 1),
    or the first.

    Raises:
        ValueError: the file cannot be read, or has no such drawing; the message names it.
    """
    path, number = split_number(question)
    if not has_strokes(path):
        return open_rgb(path, keep_alpha=True)
    lines = list_lines(path, max(1, number))
    if not 1 <= number <= len(lines):
        raise ValueError(f"{path!r}: no drawing {number}; they are counted from 1, and this file has {len(lines)}")
    line = lines[number - 1]
    return draw(path, StrokeSpec(line.start, line.length, PEN._replace(margin=MARGIN)))


def split_number(question: Union[str, os.PathLike]) -> Tuple[str, int]:
    """(file, number of the drawing in it) of ``FILE.ndjson:N``; other names are unchanged, with number 1."""
    whole = os.path.expanduser(os.fspath(question))
    path, _, number = whole.rpartition(":")
    return (path, int(number)) if has_strokes(path) and number.isdecimal() else (whole, 1)


def clean_drawing(image: Image.Image) -> Drawing:
    """Convert a drawing to dark lines on white, cropped to its ink and padded to a square.

    Transparent parts count as paper. Light lines on dark are inverted. Coloured, shaded or photographed paper becomes
    white.

    Raises:
        ValueError: nothing is drawn on it.
    """
    mended = []
    image = as_rgb(image, keep_alpha=True)
    if max(image.size) > WORKING:  # first, so that every later step is on the small image
        image = image.copy()
        image.thumbnail((WORKING, WORKING))
    grey, was_clear = _flatten(image)
    if was_clear:
        mended.append("transparent parts taken as paper")
    light = np.asarray(grey, dtype=np.float32) / 255
    edge = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
    if np.median(edge) < 0.5 and np.median(light) < 0.6:
        light, mended = 1 - light, [*mended, "inverted: light lines on dark"]
        edge = 1 - edge
    if np.median(edge) < 0.94 or np.percentile(edge, 5) < 0.85:
        light = _without_shade(light)
        mended.append("paper made white")
    ink = light < 1 - INK
    share = float(ink.mean())
    if share < LEAST:
        raise ValueError("nothing is drawn on it: it is blank")
    if share > MOST:
        raise ValueError("it is no drawing: nearly all of it is dark")
    square = _crop(light, ink)
    if square.size != grey.size:
        mended.append("cropped to what is drawn")
    return Drawing(square, mended)


def _flatten(image: Image.Image) -> tuple:
    """(grey image, whether any part was transparent). Transparent parts become light if the ink is dark, and dark if
    the ink is light.
    """
    if image.mode != "RGBA":
        return ImageOps.grayscale(image), False
    alpha = np.asarray(image.getchannel("A"), dtype=np.float32) / 255
    colour = np.asarray(ImageOps.grayscale(image.convert("RGB")), dtype=np.float32)
    clear = alpha < 0.5
    if not clear.any():
        return ImageOps.grayscale(as_rgb(image)), False
    paper = 255.0 if not (~clear).any() or colour[~clear].mean() < 160 else 0.0
    return Image.fromarray((colour * alpha + paper * (1 - alpha)).astype(np.uint8)), True


def _without_shade(light: np.ndarray) -> np.ndarray:
    """The image divided by its paper. The paper is the image after filters that remove the strokes."""
    side = max(light.shape)
    small = Image.fromarray((light * 255).astype(np.uint8))
    small.thumbnail((128, 128))
    for step in (ImageFilter.MaxFilter(9), ImageFilter.MedianFilter(5), ImageFilter.GaussianBlur(4)):
        small = small.filter(step)  # removes the strokes
    shade = np.asarray(small.resize(light.shape[::-1], Image.Resampling.BICUBIC), dtype=np.float32) / 255
    even = np.clip(light / np.maximum(shade, 0.05), 0, 1)
    noise = Image.fromarray((even * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(max(1, side / 800)))
    even = np.asarray(noise, dtype=np.float32) / 255
    low = max(0.0, float(np.percentile(even, 0.5)))  # pencil is lighter than ink: its darkest value becomes dark
    return np.clip(1 - (1 - even) * 0.9 / max(0.3, 1 - low), 0, 1)


def _crop(light: np.ndarray, ink: np.ndarray) -> Image.Image:
    """The inked part, in a white square with a margin."""
    rows, columns = np.flatnonzero(_solid(ink.sum(axis=1))), np.flatnonzero(_solid(ink.sum(axis=0)))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    part = Image.fromarray((light[top:bottom, left:right] * 255).astype(np.uint8))
    side = round(max(part.size) / (1 - 2 * MARGIN))
    square = Image.new("L", (side, side), 255)
    square.paste(part, ((side - part.width) // 2, (side - part.height) // 2))
    return square.convert("RGB")


def _solid(counts: np.ndarray) -> np.ndarray:
    """Rows or columns with ink. Those with a single inked pixel count only if none has more."""
    return counts > 1 if (counts > 1).any() else counts > 0
