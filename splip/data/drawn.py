"""Draw strokes as images, bit for bit the same on every machine; and vary a drawing as another person would draw it.

Coordinates are integers in units of 1/64 pixel from the first step, and the only square root is IEEE's, which is
correctly rounded. A drawing takes about 2 ms.
"""

from __future__ import annotations

import math
import random
from typing import List, Sequence, Tuple

import numpy as np
from PIL import Image

SIZE = 256  # pixels, side of an image; as in Sketchy's sketches
ONE = 64  # units in a pixel
VARIETY = ("stroke_width", "stroke_jitter", "stroke_drop")  # the variations of `vary`

Strokes = List[np.ndarray]  # each (2, n) int64: x and y


def fit(strokes: Strokes, margin: float) -> Strokes:
    """Strokes in any units, scaled equally in x and y and centred in an image with this margin."""
    points = np.concatenate(strokes, axis=1)
    low, extent = points.min(axis=1), points.max(axis=1) - points.min(axis=1)
    inner = SIZE * ONE - 2 * round(SIZE * ONE * margin)
    longest = max(1, int(extent.max()))
    offset = (SIZE * ONE - extent * inner // longest) // 2
    return [(stroke - low[:, None]) * inner // longest + offset[:, None] for stroke in strokes]


def render(strokes: Strokes, width: float, smooth: bool = True) -> Image.Image:
    """Draw strokes in units of 1/64 pixel as an RGB image, black on white, with round ends and corners.

    Args:
        width: of the lines, in pixels.
        smooth: pixels at an edge are grey, by their distance to the line; else every pixel is black or white.
    """
    radius, ramp = round(width * ONE / 2), ONE // 2 if smooth else 0
    ink = np.zeros((SIZE, SIZE), np.int64)  # 0 to ONE
    for stroke in strokes:
        ends = stroke.T.tolist()
        for a, b in zip(ends, ends[1:] or ends):
            _add_line(ink, a, b, radius, ramp)
    grey = (255 * (ONE - ink) + ONE // 2) // ONE
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def _add_line(ink: np.ndarray, a: Sequence[int], b: Sequence[int], radius: int, ramp: int) -> None:
    """Darken the pixels near the line from a to b."""
    reach = radius + ramp
    first = [max(0, (min(p, q) - reach - ONE // 2) // ONE) for p, q in zip(a, b)]
    last = [min(SIZE, (max(p, q) + reach + ONE // 2) // ONE + 1) for p, q in zip(a, b)]
    if first[0] >= last[0] or first[1] >= last[1]:
        return
    columns, rows = (np.arange(low, high, dtype=np.int64) for low, high in zip(first, last))
    x, y = columns[None, :] * ONE + (ONE // 2 - a[0]), rows[:, None] * ONE + (ONE // 2 - a[1])  # centres minus a
    dx, dy = b[0] - a[0], b[1] - a[1]
    square = dx * dx + dy * dy
    if square:
        along = (x * dx + y * dy).clip(0, square)  # position of the nearest point along the line
        x, y = x - along * dx // square, y - along * dy // square
    distance = np.sqrt((x * x + y * y).astype(np.float64)).astype(np.int64)
    new = (reach - distance).clip(0, ONE) if ramp else np.where(distance <= radius, ONE, 0)
    part = ink[first[1] : last[1], first[0] : last[0]]
    np.maximum(part, new, out=part)


# ----------------------------------------------------------------------------- variety


def vary(strokes: Strokes, width: float, names: Sequence[str], rng: random.Random) -> Tuple[Strokes, float]:
    """Vary a drawing as another person would draw it -> (strokes, width of the lines).

    - ``stroke_drop``: each stroke is dropped with probability 0.15, as long as 0.7 of the drawing's length remains.
    - ``stroke_jitter``: the drawing is rotated by up to 8 degrees and shifted by up to 4 % of the side; in addition,
      each stroke by up to 4 degrees and 1.3 %.
    - ``stroke_width``: lines are 0.6 to 1.6 times as wide.
    """
    if "stroke_drop" in names:
        strokes = _drop(strokes, rng)
    if "stroke_jitter" in names:
        centre = np.full((2, 1), SIZE * ONE // 2, np.int64)
        whole = _move(rng, 0.14, 0.04)
        moved = []
        for stroke in strokes:
            own, middle = _move(rng, 0.07, 0.013), (stroke.min(axis=1) + stroke.max(axis=1))[:, None] // 2
            moved.append(_moved(_moved(stroke, own, middle), whole, centre))
        strokes = moved
    if "stroke_width" in names:
        width *= rng.uniform(0.6, 1.6)
    return strokes, width


def _move(rng: random.Random, slope: float, shift: float) -> Tuple[float, float, float]:
    """(slope of the rotation, shift to the right, shift down), both shifts in units."""
    side = SIZE * ONE * shift
    return rng.uniform(-slope, slope), rng.uniform(-side, side), rng.uniform(-side, side)


def _moved(stroke: np.ndarray, move: Tuple[float, float, float], centre: np.ndarray) -> np.ndarray:
    """Rotate about a centre and shift, without sine and cosine, whose last bit differs between machines."""
    slope, right, down = move
    x, y = (stroke - centre).astype(np.float64)
    long = math.sqrt(1 + slope * slope)
    turned = np.stack([(x - slope * y) / long + right, (y + slope * x) / long + down])
    return np.rint(turned).astype(np.int64) + centre


def _drop(strokes: Strokes, rng: random.Random) -> Strokes:
    steps = [np.sqrt((np.diff(stroke) ** 2).sum(axis=0).astype(np.float64)).astype(np.int64) for stroke in strokes]
    lengths = [ONE + int(step.sum()) for step in steps]  # integers: a sum of floats depends on the order
    room, kept = 0.3 * sum(lengths), []
    for stroke, length in zip(strokes, lengths):
        if rng.random() < 0.15 and length <= room:
            room -= length
        else:
            kept.append(stroke)
    return kept
