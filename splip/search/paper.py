"""Find the ink of a drawing: on a screen, on paper, in a photograph of paper. Used by `splip.search.drawings`.

Arrays are float32 (H, W) in [0, 1]: *light* is lightness, *ink* is how much darker a pixel is than its paper.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np
from scipy import ndimage

STEP = 0.08  # difference of lightness that people see as a line
EVEN = 0.35  # share of pixels of one lightness from which on a picture is drawn on a screen, not photographed
BAR = 0.9  # share of a row that is not paper, from which on it is a frame or a bar
FAR = 0.15  # a small group of strokes that is farther from the drawing than this share of the side is no part of it
SMALL = 0.25  # ... if it is smaller than this share of the drawing
LOW = 0.08  # ... and so is a row of things near the edge that is lower than this share of the side
OUTLINED = 0.6  # share of an area's border that is a darker line, from which on the area is coloured in
EDGE = 0.1  # least difference of lightness across the border of a sheet
AROUND = 0.8  # share of the page's width and height from which on a rectangle is a frame around the page
NEAR = 4  # pixels of 256 across which lines belong together
BEYOND = 0.08  # share of a box; what goes on so far beyond it is cut by it
GRID = 4  # from so many full straight lines on, a page is squared or lined


def from_a_screen(light: np.ndarray) -> bool:
    """Whether a picture is from a screen, not photographed: most neighbours are equal, and one shade prevails."""
    equal = float((np.diff(light, axis=1) == 0).mean()) if light.shape[1] > 1 else 1.0
    return equal > 0.5 and mode_of(light)[1] >= EVEN


def ink_of(light: np.ndarray, screen: bool) -> Tuple[np.ndarray, bool]:
    """How much ink there is, from 0 (paper) to 1, and whether the ink is lighter than its paper.

    Args:
        screen: whether the paper has one shade everywhere (:func:`from_a_screen`).
    """
    if screen:
        mode, _ = mode_of(light)
        apart = light - mode
        if on_both_sides(apart):
            return without_fill(np.abs(apart)), False
        return without_fill(np.maximum(-apart if darker(apart) else apart, 0)), not darker(apart)
    step = max(1, max(light.shape) // 256)
    small = ndimage.gaussian_filter(light, 1)[::step, ::step]
    dips, peaks = (top(small, size=(7, 7)) for top in (ndimage.black_tophat, ndimage.white_tophat))
    more = float(peaks[peaks > STEP].sum()) / max(1.0, float(dips[dips > STEP].sum()))
    inverted = more > (1.2 if np.median(light) < 0.6 else 4)
    return uneven(1 - light if inverted else light), inverted


def mode_of(light: np.ndarray) -> Tuple[float, float]:
    """The commonest lightness, and the share of pixels that have it (within 1.5 %)."""
    counts = np.bincount((light * 255).astype(np.uint8).ravel(), minlength=256)
    near = np.convolve(counts, np.ones(7), mode="same")
    best = int(near.argmax())
    return best / 255, float(near[best] / counts.sum())


def darker(apart: np.ndarray) -> bool:
    """Whether strokes are darker than their paper. apart: lightness minus that of the paper."""
    return float((-apart[apart < -STEP]).sum()) >= float(apart[apart > STEP].sum())


def on_both_sides(apart: np.ndarray) -> bool:
    """Whether a drawing in colours has strokes that are darker, and others that are lighter than the paper."""
    down, up = float((apart < -STEP).mean()), float((apart > STEP).mean())
    return min(down, up) > 0.25 * max(down, up) > 0.002


def uneven(light: np.ndarray) -> np.ndarray:
    """Ink on paper whose lightness changes: in relation to the paper around it, which a closing finds under strokes."""
    width = max(9, round(max(light.shape) / 14)) | 1
    paper = ndimage.grey_closing(ndimage.gaussian_filter(light, 1), size=(width, width))
    smooth = ndimage.gaussian_filter(light, max(0.6, max(light.shape) / 1200))
    found = 1 - np.clip(smooth / np.maximum(paper, 0.05), 0, 1)
    noise = 3 * float(np.median(np.abs(found - np.median(found)))) + float(np.median(found))
    return np.maximum(found - noise, 0)


def without_surroundings(light: np.ndarray) -> Tuple[int, int, int, int]:
    """(top, bottom, left, right) of the picture without frames and bars along its edges, which are not paper."""
    quarter, half = (light.shape[0] // 4, light.shape[1] // 4), (light.shape[0] // 2, light.shape[1] // 2)
    middle = light[quarter[0] : quarter[0] + max(1, half[0]), quarter[1] : quarter[1] + max(1, half[1])]
    mode, _ = mode_of(middle)
    other = np.abs(light - mode) > STEP
    top, bottom, left, right = 0, light.shape[0], 0, light.shape[1]
    moved = True
    while moved and bottom - top > 16 and right - left > 16:
        part, moved = other[top:bottom, left:right], False
        for edge, line in (("top", part[0]), ("bottom", part[-1]), ("left", part[:, 0]), ("right", part[:, -1])):
            if line.mean() > BAR:
                top, bottom = top + (edge == "top"), bottom - (edge == "bottom")
                left, right, moved = left + (edge == "left"), right - (edge == "right"), True
    if (bottom - top) * (right - left) < 0.1 * light.size:
        return 0, light.shape[0], 0, light.shape[1]
    bars = light[:top], light[bottom:], light[:, :left], light[:, right:]
    drawn = [mode_of(bar)[0] for bar in bars if bar.size and _goes_on(light, mode_of(bar)[0], top, bottom, left, right)]
    if drawn:  # what looks like paper is coloured in, and its surroundings are the paper
        whole = [not bar.size or min(abs(mode_of(bar)[0] - shade) for shade in drawn) < STEP for bar in bars]
        top, left = (0 if whole[0] else top), (0 if whole[2] else left)
        bottom, right = (light.shape[0] if whole[1] else bottom), (light.shape[1] if whole[3] else right)
    inner = light[top:bottom, left:right]
    rows, columns = np.median(light[:, left:right], axis=1), np.median(light[top:bottom], axis=0)
    if inner.shape[0] > 2 and inner.shape[1] > 2:  # a bar ends at once; paper that gets darker does not
        top = top if top and abs(rows[top] - rows[top - 1]) > STEP / 2 else 0
        left = left if left and abs(columns[left] - columns[left - 1]) > STEP / 2 else 0
        bottom = bottom if bottom < len(rows) and abs(rows[bottom - 1] - rows[bottom]) > STEP / 2 else len(rows)
        right = right if right < len(columns) and abs(columns[right - 1] - columns[right]) > STEP / 2 else len(columns)
    return top, bottom, left, right


def _goes_on(light: np.ndarray, shade: float, top: int, bottom: int, left: int, right: int) -> bool:
    """Whether what is in a box goes on beyond it, on a ground of this shade: the roof above a wall that is coloured."""
    step = -(-max(light.shape) // 256)
    apart = np.abs(light[::step, ::step] - shade) > STEP
    labels, _ = ndimage.label(ndimage.binary_dilation(apart, iterations=NEAR))
    inside = np.bincount(labels[top // step : bottom // step, left // step : right // step].ravel(), minlength=2)
    inside[0] = 0
    if not inside.any():
        return False
    rows, columns = ndimage.find_objects(labels)[int(inside.argmax()) - 1]
    beyond = max(
        top - rows.start * step, rows.stop * step - bottom, left - columns.start * step, columns.stop * step - right
    )
    return beyond > NEAR * step + BEYOND * min(bottom - top, right - left)


def without_fill(ink: np.ndarray) -> np.ndarray:
    """Ink without even areas that darker lines surround: what somebody coloured in. For pictures from a screen."""
    ink = ink.copy()
    values, counts = np.unique((ink[ink > STEP / 2] * 255).astype(np.uint8), return_counts=True)
    for value in values[counts > 1e-3 * ink.size] / 255:
        labels, _ = ndimage.label(np.abs(ink - value) < 0.02)
        sizes = np.bincount(labels.ravel())
        if sizes[1:].max(initial=0) < 1e-3 * ink.size:
            continue  # a page of text has many shades, and no area
        for i, box in enumerate(ndimage.find_objects(labels), start=1):
            if sizes[i] < 1e-3 * ink.size or value < STEP / 2:
                continue
            grown = tuple(slice(max(0, part.start - 4), part.stop + 4) for part in box)
            area = labels[grown] == i
            around = ndimage.binary_dilation(area, iterations=4) & ~ndimage.binary_dilation(area, iterations=2)
            if around.any() and (ink[grown][around] > value + STEP).mean() > OUTLINED:
                ink[grown][ndimage.binary_dilation(area, iterations=1) & (ink[grown] < value + STEP)] = 0
    return ink


def sheet_of(light: np.ndarray) -> np.ndarray:
    """The mask (H, W) of a sheet of paper that lies on something darker; everything, if there is none."""
    whole = np.ones(light.shape, dtype=bool)
    smooth = ndimage.grey_closing(light, size=(15, 15))
    values = np.sort(smooth.ravel())[:: max(1, smooth.size // 4096)]
    cut = otsu(values)
    bright = smooth > cut
    if values[-1] - values[0] < 0.2 or values[values > cut].mean() - values[values <= cut].mean() < 0.2:
        return whole
    labels, count = ndimage.label(bright)
    if not count:
        return whole
    sizes = np.bincount(labels.ravel())[1:]
    largest = labels == sizes.argmax() + 1
    sheet = ndimage.binary_fill_holes(largest)
    if largest.sum() < 0.8 * sheet.sum():  # strokes around something, not a sheet
        return whole
    edge = np.concatenate([sheet[0], sheet[-1], sheet[:, 0], sheet[:, -1]])
    if not 0.15 < sheet.mean() < 0.95 or edge.mean() > 0.25:
        return whole
    rim = sheet & ~ndimage.binary_erosion(sheet, iterations=6), ndimage.binary_dilation(sheet, iterations=6) & ~sheet
    if smooth[rim[0]].mean() - smooth[rim[1]].mean() < EDGE:  # light that fades: a lamp, a flash
        return whole
    return ndimage.binary_erosion(sheet, iterations=max(3, round(max(light.shape) / 80)))


def otsu(values: np.ndarray) -> float:
    """The threshold that parts sorted values into two groups with the least variance inside (Otsu, 1979)."""
    n = np.arange(1, len(values))
    sums = np.cumsum(values)
    low, high = sums[:-1] / n, (sums[-1] - sums[:-1]) / (len(values) - n)
    return float(values[int((n * (len(values) - n) * (low - high) ** 2).argmax())])


def without_grid(ink: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mask of ink without the lines of squared or lined paper."""
    lines = np.zeros_like(mask)
    for axis in (0, 1):
        share = mask.mean(axis=1 - axis)
        full = share > 0.6
        starts = np.flatnonzero(np.diff(np.concatenate([[0], full.astype(int)])) == 1)
        if len(starts) >= GRID:
            lines |= np.expand_dims(ndimage.binary_dilation(full), 1 - axis)
    if not lines.any():
        return mask
    printed = float(np.median(ink[lines & mask]))
    strokes = ink > max(1.4 * printed, printed + STEP)
    if strokes.mean() > 4e-4:
        return strokes
    rest = mask & ~lines
    return rest if rest.any() else mask  # a drawing of straight lines alone


def main_part(mask: np.ndarray, page: bool) -> np.ndarray:
    """The mask of ink without specks, without what lies along the edge, and without small groups far from the rest.

    Args:
        page: whether this is the whole page; a low row near its edge (tools, a signature) is no part then.
    """
    side, (labels, count) = max(mask.shape), ndimage.label(mask, structure=np.ones((3, 3)))
    boxes = ndimage.find_objects(labels)
    if count > 1:
        sizes, biggest = np.bincount(labels.ravel()), max(max(_size(box)) for box in boxes)
        largest = 1 + int(np.argmax([max(_size(box)) for box in boxes]))
        speck = max(12, 0.5 * line_width(labels == largest) ** 2)  # a dot of the pen is larger
        drop = np.array([False, *(
            (sizes[i] < speck and max(_size(box)) < 0.03 * biggest) or _at_the_edge(labels, i, box)
            or (page and _frames(labels, i, box))
            for i, box in enumerate(boxes, start=1)
        )])  # fmt: skip
        if not drop[1:].all():
            mask = mask & ~drop[labels]
    step = -(-side // 256)
    reach = max(2, round(FAR * side / step / 2))  # groups grow by this much, so they meet across FAR of the side
    rows, columns = (np.arange(0, n, step) for n in mask.shape)
    pooled = np.logical_or.reduceat(np.logical_or.reduceat(mask, rows, axis=0), columns, axis=1)
    groups, count = ndimage.label(ndimage.binary_dilation(pooled, iterations=reach))
    if count < 2:
        return mask
    boxes = ndimage.find_objects(groups)
    extents = np.array([max(_size(box)) - 2 * reach for box in boxes])
    if page:
        near = round(FAR * side / step) + reach
        for i, box in enumerate(boxes):
            ends = [part.stop < near or part.start > n - near for part, n in zip(box, pooled.shape)]
            if any(end and size - 2 * reach < LOW * side / step for end, size in zip(ends, _size(box))):
                extents[i] = 1
    main = boxes[int(np.argmax(extents))]
    keep = [False, *(e >= SMALL * max(extents) or _overlap(b, main) for e, b in zip(extents, boxes))]
    whole = np.kron(np.array(keep)[groups], np.ones((step, step), dtype=bool))
    return mask & whole[: mask.shape[0], : mask.shape[1]]


def _overlap(one: Tuple[slice, ...], other: Tuple[slice, ...]) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other))


def _size(box: Tuple[slice, ...]) -> Tuple[int, int]:
    return box[0].stop - box[0].start, box[1].stop - box[1].start


def _at_the_edge(labels: np.ndarray, i: int, box: Tuple[slice, ...]) -> bool:
    """Whether a connected part is no drawing: a straight line across the page, or something (a thumb, the hole of a
    binder) that touches the edge and stays near it."""
    (height, width), shape = _size(box), labels.shape
    if min(height, width) < 0.03 * max(shape) and (height > 0.85 * shape[0] or width > 0.85 * shape[1]):
        return True
    inner = box[0].start > 0 and box[1].start > 0 and box[0].stop < shape[0] and box[1].stop < shape[1]
    if inner or (max(height, width) >= 0.6 * max(shape) and min(height, width) > 0.12 * max(shape)):
        return False
    y, x = np.nonzero(labels[box] == i)
    y, x = y + box[0].start, x + box[1].start
    away = np.minimum.reduce([y, x, shape[0] - 1 - y, shape[1] - 1 - x])
    return float((away > 0.15 * max(shape)).mean()) < 0.6


def _frames(labels: np.ndarray, i: int, box: Tuple[slice, ...]) -> bool:
    """Whether a connected part is a frame around nearly the whole page."""
    (height, width), shape = _size(box), labels.shape
    if height < AROUND * shape[0] or width < AROUND * shape[1]:
        return False
    part = labels[box] == i
    border = max(3, round(0.05 * max(shape)))
    return not part[border:-border, border:-border].any()


def with_width(mask: np.ndarray, width: float) -> np.ndarray:
    """Ink (H, W) in [0, 1] of the strokes of a mask with their usual width changed to ``width``, in pixels.

    Edges move, so a stroke that is wider than the others stays so. No stroke becomes thinner than ``width``.
    """
    own = line_width(mask)
    by = (width - own) / 2
    if by < 0:  # a notch in an edge would become a gap
        mask = ndimage.gaussian_filter(mask.astype(np.float32), own / 30) > 0.5
    outside, inside = ndimage.distance_transform_edt(~mask), ndimage.distance_transform_edt(mask)
    moved = by + 1 - np.where(mask, 1 - inside, outside)
    if by < 0:
        ridge = (inside >= ndimage.maximum_filter(inside, size=3)) & (inside > -by / 2)
        moved = np.maximum(moved, width / 2 + 0.5 - ndimage.distance_transform_edt(~ridge))
    return np.clip(moved, 0, 1)


def line_width(mask: np.ndarray) -> float:
    """The usual width of strokes, in pixels."""
    depth = ndimage.distance_transform_edt(mask)
    ridge = mask & (depth >= ndimage.maximum_filter(depth, size=3))
    return 2 * float(np.quantile(depth[ridge], 0.4)) if ridge.any() else 0.0
