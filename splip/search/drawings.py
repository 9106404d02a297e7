"""What people draw on, made into what a model was trained on: dark lines on white, filling a square."""

from __future__ import annotations

import os
from typing import List, NamedTuple, Tuple, Union

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from splip.data.images import as_rgb, open_rgb
from splip.data.strokes import PEN, StrokeSpec, draw, has_strokes, list_lines

MARGIN = 0.08  # of the square's side, around the ink
INK = 0.25  # how much darker than paper a stroke is at least, of 1
LEAST = 4e-4  # of the picture: less ink than this is a blank page
MOST = 0.7  # more of it than this is no drawing
WORKING = 1024  # longer side in pixels that is looked at


class Drawing(NamedTuple):
    """A drawing as the model wants it, and what was done to it, in words."""

    image: Image.Image
    mended: List[str]


def open_drawing(question: Union[str, os.PathLike]) -> Image.Image:
    """The picture that a file of a drawing shows, with its transparent parts; of strokes that of ``FILE.ndjson:N``,
    counted from 1, or the first.

    Raises:
        ValueError: naming the file: it cannot be read, or has no such drawing.
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
    """(file, number of the drawing in it) of ``FILE.ndjson:N``; other names are as they are, with 1."""
    whole = os.path.expanduser(os.fspath(question))
    path, _, number = whole.rpartition(":")
    return (path, int(number)) if has_strokes(path) and number.isdecimal() else (whole, 1)


def clean_drawing(image: Image.Image) -> Drawing:
    """Bring a drawing to dark lines on white, cropped to its ink and padded to a square.

    Transparent parts count as paper; light lines on dark are inverted; coloured, shaded or photographed paper is made
    white.

    Raises:
        ValueError: nothing is drawn on it.
    """
    mended = []
    image = as_rgb(image, keep_alpha=True)
    if max(image.size) > WORKING:  # before anything else of its size is computed
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
    """(grey picture, whether any of it was transparent); clear parts are light where the ink is dark, and dark where
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
    """The picture divided by its paper: what is left when strokes are closed over."""
    side = max(light.shape)
    small = Image.fromarray((light * 255).astype(np.uint8))
    small.thumbnail((128, 128))
    for step in (ImageFilter.MaxFilter(9), ImageFilter.MedianFilter(5), ImageFilter.GaussianBlur(4)):
        small = small.filter(step)  # strokes are closed over
    shade = np.asarray(small.resize(light.shape[::-1], Image.Resampling.BICUBIC), dtype=np.float32) / 255
    even = np.clip(light / np.maximum(shade, 0.05), 0, 1)
    noise = Image.fromarray((even * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(max(1, side / 800)))
    even = np.asarray(noise, dtype=np.float32) / 255
    low = max(0.0, float(np.percentile(even, 0.5)))  # a pencil is no ink: its darkest becomes dark
    return np.clip(1 - (1 - even) * 0.9 / max(0.3, 1 - low), 0, 1)


def _crop(light: np.ndarray, ink: np.ndarray) -> Image.Image:
    """What is inked, in a white square with a margin."""
    rows, columns = np.flatnonzero(_solid(ink.sum(axis=1))), np.flatnonzero(_solid(ink.sum(axis=0)))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    part = Image.fromarray((light[top:bottom, left:right] * 255).astype(np.uint8))
    side = round(max(part.size) / (1 - 2 * MARGIN))
    square = Image.new("L", (side, side), 255)
    square.paste(part, ((side - part.width) // 2, (side - part.height) // 2))
    return square.convert("RGB")


def _solid(counts: np.ndarray) -> np.ndarray:
    """Rows or columns with ink; single specks at the edge do not count where there is more."""
    return counts > 1 if (counts > 1).any() else counts > 0
