"""Convert a drawing to the form that models are trained on: dark lines on white that fill a square."""

from __future__ import annotations

import os
from typing import List, NamedTuple, Tuple, Union

import numpy as np
from PIL import Image, ImageOps

from splip.data.images import as_rgb, open_rgb
from splip.data.strokes import PEN, StrokeSpec, draw, has_strokes, list_lines

MARGIN = 0.08  # around the ink, as a share of the square's side
SIDE = 384  # of that square, in pixels
WIDTH = 0.027  # of strokes, as a share of that side
LEAST = 4e-5  # share of inked pixels; below it the page is blank
LINES = 0.12  # what is not clear counts as lines up to this width, as a share of the drawing
LOST = 0.05  # share of the ink that colour shows and lightness does not, from which on colour is used
MOST = 0.7  # share of inked pixels; above it the image is not a drawing
CROPPED = "cropped to what is drawn"  # nearly always done
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

    Transparent parts count as paper. Light lines on dark are inverted. Frames, bars and tools along the edge, what lies
    around a sheet, the lines of squared paper, colour inside lines, a date and a signature are left out. Pale lines
    become dark, very thin ones wider, very thick ones thinner.

    Raises:
        ValueError: nothing is drawn on it.
    """
    from splip.search import paper  # imported here: it needs scipy, which only drawings need

    mended: List[str] = []
    image = as_rgb(image, keep_alpha=True)
    grey, was_clear = _flatten(image)
    screen = paper.from_a_screen(np.asarray(grey, dtype=np.float32) / 255)
    if was_clear:
        mended.append("transparent parts taken as paper")
    small = _reduced(grey)
    light = np.asarray(small, dtype=np.float32) / 255
    top, bottom, left, right = paper.without_surroundings(light)
    sheet = np.zeros(light.shape, dtype=bool)
    sheet[top:bottom, left:right] = screen or paper.sheet_of(light[top:bottom, left:right])
    if not sheet.all():
        mended.append("cut to the paper")
        light = np.where(sheet, light, np.median(light[sheet]))
    found = _find(light, sheet, screen, page=True)
    top, bottom, left, right = _box(found.mask)
    scale = grey.width / small.width
    if scale > 1.05 and (bottom - top) * (right - left) < 0.5 * light.size:  # a small drawing: look at it closely
        pad = 0.1 * max(bottom - top, right - left)
        corners = (left - pad) * scale, (top - pad) * scale, (right + pad) * scale, (bottom + pad) * scale
        part = grey.crop((max(0, int(corners[0])), max(0, int(corners[1])),
                          min(grey.width, int(corners[2])), min(grey.height, int(corners[3]))))  # fmt: skip
        light = np.asarray(_reduced(part), dtype=np.float32) / 255
        found = _find(light, np.ones(light.shape, dtype=bool), screen, page=False)
        top, bottom, left, right = _box(found.mask)
    mode, _ = paper.mode_of(light)
    if found.inverted:
        mended.append("inverted: light lines on dark")
    if (mode if found.inverted else 1 - mode) > 0.06:
        mended.append("paper made white")
    if max(bottom - top, right - left) < 0.95 * max(light.shape):
        mended.append(CROPPED)
    return Drawing(_square(_drawn(found.ink, found.mask), found.mask), mended)


class _Found(NamedTuple):
    """The ink of a picture (H, W): how much, where the drawing's is, and whether it is lighter than its paper."""

    ink: np.ndarray
    mask: np.ndarray
    inverted: bool


def _reduced(grey: Image.Image) -> Image.Image:
    """At most WORKING pixels a side: the mean of the pixels, so that no line is skipped."""
    if max(grey.size) <= WORKING:
        return grey
    scale = WORKING / max(grey.size)
    return grey.resize((max(1, round(grey.width * scale)), max(1, round(grey.height * scale))), Image.Resampling.BOX)


def _find(light: np.ndarray, sheet: np.ndarray, screen: bool, page: bool) -> _Found:
    """The drawing's ink within the sheet.

    Raises:
        ValueError: there is none, or it is nearly everywhere.
    """
    from splip.search import paper

    ink, inverted = paper.ink_of(light, screen)
    ink = ink * sheet
    strongest = float(np.quantile(ink[ink > paper.STEP / 2], 0.95)) if (ink > paper.STEP / 2).any() else 0.0
    mask = ink > max(paper.STEP, 0.35 * strongest) if strongest > 0.3 else ink > max(0.5 * paper.STEP, 0.4 * strongest)
    if mask.sum() < LEAST * min(mask.size, 2**18):
        raise ValueError("nothing is drawn on it: it is blank")
    if mask.mean() > MOST * sheet.mean():
        raise ValueError("it is no drawing: nearly all of it is dark")
    return _Found(ink, paper.main_part(paper.without_grid(ink, mask), page), inverted)


def _box(mask: np.ndarray) -> Tuple[int, int, int, int]:
    """(top, bottom, left, right) of the ink."""
    rows, columns = np.flatnonzero(_solid(mask.sum(axis=1))), np.flatnonzero(_solid(mask.sum(axis=0)))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def _drawn(ink: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Lightness (H, W): the ink within and right around the mask, as dark as it is when it is black, on white."""
    from scipy import ndimage

    near = ndimage.binary_dilation(mask, iterations=2)
    strong = float(np.quantile(ink[mask], 0.8))
    return 1 - np.clip(ink / max(strong, 1e-3), 0, 1) * near


def _square(light: np.ndarray, mask: np.ndarray) -> Image.Image:
    """The inked part, in a white square of SIDE pixels with a margin; strokes WIDTH of it wide."""
    from splip.search import paper

    inner = SIDE * (1 - 2 * MARGIN)
    part = _cropped(light, mask)
    if max(part.size) < inner:  # larger first, so that a stroke's width can change by less than a pixel
        part = _resized(part, inner)
    width = WIDTH * max(part.size) / (1 - 2 * MARGIN)
    shade = np.pad(np.asarray(part), round(width), constant_values=255)
    own = shade < 128
    wider = width - paper.line_width(own)
    if own.any() and (wider > 0.1 * width or -2 * width < wider < -0.2 * width):  # else filled
        ink = paper.with_width(own, width)
        part = _cropped(1 - ink, ink > 0.5)  # with other edges, its size is another, too
    part = _resized(part, inner)
    square = Image.new("L", (SIDE, SIDE), 255)
    square.paste(part, ((SIDE - part.width) // 2, (SIDE - part.height) // 2))
    return square.convert("RGB")


def _cropped(light: np.ndarray, mask: np.ndarray) -> Image.Image:
    top, bottom, left, right = _box(mask)
    return Image.fromarray((light[top:bottom, left:right] * 255).astype(np.uint8))


def _resized(part: Image.Image, side: float) -> Image.Image:
    """A picture with a longer side of so many pixels."""
    scale = side / max(part.size)
    size = max(1, round(part.width * scale)), max(1, round(part.height * scale))
    return part.resize(size, Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX)


def _flatten(image: Image.Image) -> Tuple[Image.Image, bool]:
    """(grey image, whether any part was transparent). Lines with clear surroundings become black on white, whatever
    their colours. Other transparent parts become light if the ink is dark, and dark if the ink is light. Ink of both
    kinds, as on a sticker, is on light paper.
    """
    from splip.search import paper

    if image.mode != "RGBA":
        return _grey(image), False
    alpha = np.asarray(image.getchannel("A"), dtype=np.float32) / 255
    if alpha.min() > 0.5 or alpha.max() == 0:
        return _grey(as_rgb(image)), bool(alpha.max() == 0)
    solid = alpha > 0.5 * alpha.max()
    top, bottom, left, right = _box(solid)
    if alpha.min() == 0 and paper.line_width(solid) < LINES * max(bottom - top, right - left):
        return Image.fromarray(np.uint8(255 * (1 - alpha / alpha.max()))), True
    colour = np.asarray(ImageOps.grayscale(image.convert("RGB")), dtype=np.float32)
    shown = colour[alpha >= 0.5]
    light_alone = shown.size > 0 and np.quantile(shown, 0.03) > 160
    return Image.fromarray((colour * alpha + (0.0 if light_alone else 255.0) * (1 - alpha)).astype(np.uint8)), True


def _grey(image: Image.Image) -> Image.Image:
    """Lightness; or, on a screen, how near each pixel's colour is to the paper's, where lightness alone would lose much
    of the ink: red on green, blue on black.
    """
    from scipy import ndimage

    from splip.search import paper

    grey, colours = ImageOps.grayscale(image), np.asarray(image)
    light = np.asarray(grey, dtype=np.float32) / 255
    if (np.ptp(colours, axis=-1) < 32).all() or not paper.from_a_screen(light):
        return grey
    mode, _ = paper.mode_of(light)
    ground = np.median(colours[np.abs(light - mode) < 0.02], axis=0)
    apart = np.abs(colours - ground).max(axis=-1) / 255
    lost = _strong(apart) & ~_strong(np.abs(light - mode))
    depth = float(ndimage.distance_transform_edt(lost).max())
    if lost.sum() < LOST * _strong(apart).sum() or 2 * depth > LINES / 2 * max(lost.shape):
        return grey  # what only colour shows is little, or is what somebody coloured in
    return Image.fromarray(np.uint8(255 * (1 - apart)))


def _strong(ink: np.ndarray) -> np.ndarray:
    """The mask of what counts as ink where paper is 0 everywhere."""
    from splip.search import paper

    return ink > max(paper.STEP, 0.35 * float(np.quantile(ink, 0.999)))


def _solid(counts: np.ndarray) -> np.ndarray:
    """Rows or columns with ink. Those with a single inked pixel count only if none has more."""
    return counts > 1 if (counts > 1).any() else counts > 0
