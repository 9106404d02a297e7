"""Draws the SVG icons of the source packages at one size, cropped to what is drawn, and writes the PNG files.

Same packages, same pinned resvg-py, NumPy and Pillow: same bytes. Nothing here depends on time, locale or file order.
"""
from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Callable

import numpy as np
import resvg_py
from PIL import Image

from splip.datasets.scenes import SIZE  # side of every stored drawing, pixels

MARGIN = 0.03     # empty border on each side, as a part of the drawing's longer side
LINE = 11         # pixels of a sketch drawn at 3 * SIZE: width of the outline that is left of a filled shape
PROBE = 256       # pixels of the first rendering, which finds what is drawn


def iconify_svg(package: Path) -> Callable[[str], str]:
    """A function icon name -> SVG document with a viewBox, following the package's aliases."""
    data = json.loads((package / "icons.json").read_text(encoding="utf-8"))

    def svg(name: str) -> str:
        while name in data.get("aliases", {}):
            name = data["aliases"][name]["parent"]
        icon = data["icons"][name]
        box = [icon.get(key, data.get(key, default)) for key, default in
               (("left", 0), ("top", 0), ("width", 16), ("height", 16))]
        return (f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                f'viewBox="{" ".join(map(str, box))}">{icon["body"]}</svg>')

    return svg


def openmoji_svg(package: Path) -> Callable[[str], str]:
    """A function code points -> OpenMoji's black line drawing as an SVG document."""
    return lambda code: (package / "black" / "svg" / f"{code}.svg").read_text(encoding="utf-8")


def rasterise(svg: str, size: int) -> np.ndarray:
    """SVG document -> (size, size, 4) uint8 RGBA with straight alpha."""
    png = bytes(resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def draw(svg: str, size: int = SIZE) -> np.ndarray:
    """SVG document -> (size, size, 4) uint8 RGBA: the drawing centred, its longer side filling all but MARGIN.

    ValueError: nothing is drawn at all.
    """
    head = re.search(r"<svg\b[^>]*>", svg)
    left, top, width, height = (float(v) for v in re.search(r'viewBox="([^"]+)"', head.group()).group(1).split())
    alpha = rasterise(with_viewbox(svg, head, left, top, width, height), PROBE)[..., 3]
    rows, columns = np.flatnonzero(alpha.max(1) > 16), np.flatnonzero(alpha.max(0) > 16)
    if not len(rows):
        raise ValueError("the drawing is blank")
    pixel = max(width, height) / PROBE                                    # drawing units per probe pixel
    x0, x1, y0, y1 = columns[0], columns[-1] + 1, rows[0], rows[-1] + 1
    side = round(max(x1 - x0, y1 - y0) * (1 + 2 * MARGIN) * pixel, 4)
    # The probe centres a drawing that is not square, so the box is measured from the view's centre.
    x = round(left + width / 2 + ((x0 + x1) / 2 - PROBE / 2) * pixel - side / 2, 4)
    y = round(top + height / 2 + ((y0 + y1) / 2 - PROBE / 2) * pixel - side / 2, 4)
    return rasterise(with_viewbox(svg, head, x, y, side, side), size)


def with_viewbox(svg: str, head: re.Match, x: float, y: float, width: float, height: float) -> str:
    """The document with another visible part, and no size of its own."""
    tag = re.sub(r'\s(viewBox|width|height)="[^"]*"', "", head.group())
    side = max(width, height)
    x, y = x + (width - side) / 2, y + (height - side) / 2
    tag = f'{tag[:-1]} viewBox="{x:g} {y:g} {side:g} {side:g}" width="{side:g}" height="{side:g}">'
    return svg[:head.start()] + tag + svg[head.end():]


def erode(mask: np.ndarray, radius: int) -> np.ndarray:
    """(H, W) bool -> the pixels whose octagon of that radius lies in the mask (outside the picture counts as clear)."""
    for step in range(radius):
        padded = np.pad(mask, 1)
        mask = mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        if step % 2:
            mask = mask & padded[:-2, :-2] & padded[:-2, 2:] & padded[2:, :-2] & padded[2:, 2:]
    return mask


def to_sketch(rgba: np.ndarray) -> np.ndarray:
    """(3S, 3S, 4) drawing in black on nothing -> (S, S) uint8: dark lines on white.

    What is filled wider than two LINEs keeps an outline of one LINE: a solid shape becomes a contour, a stroke stays.
    """
    grey, alpha = rgba[..., :3].astype(np.int32).sum(2) // 3, rgba[..., 3].astype(np.int32)
    ink = ((255 - grey) * alpha + 127) // 255
    ink[erode(ink >= 128, LINE)] = 0
    side = len(ink) // 3
    return (255 - (ink.reshape(side, 3, side, 3).sum((1, 3)) + 4) // 9).astype(np.uint8)


def to_photo(rgba: np.ndarray) -> np.ndarray:
    """Colours in 5 bits and alpha in 4, clear pixels black: what the eye does not miss and PNG stores in half."""
    out = rgba.astype(np.int32)
    alpha = (out[..., 3:] * 15 + 127) // 255 * 17
    colour = (out[..., :3] * 31 + 127) // 255 * 255 // 31
    return np.concatenate([np.where(alpha > 0, colour, 0), alpha], axis=2).astype(np.uint8)


def png_bytes(pixels: np.ndarray) -> bytes:
    """(S, S) grey or (S, S, 4) RGBA uint8 -> the smallest of Pillow's PNG encodings, without any metadata."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
