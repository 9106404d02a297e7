"""Read drawings that are stored as strokes (QuickDraw's ``.ndjson``), one line at a time.

A line of such a file is a JSON object whose ``drawing`` is a list of strokes: ``[[x, ...], [y, ...]]`` in the
simplified form, with a third list of times in the raw form (github.com/googlecreativelab/quickdraw-dataset). Both are
scaled to the same box, so a file may mix them.
"""

from __future__ import annotations

import json
import os
from typing import Any, List, NamedTuple, Sequence, Union

import numpy as np
from PIL import Image

from splip.data.drawn import Strokes, fit, render, vary
from splip.data.images import is_hidden

SUFFIX = ".ndjson"
FINE = 16  # steps per unit of a file, since raw drawings may have fractions of a unit
FARTHEST = 2**20  # largest valid coordinate
LONGEST = 2**24  # bytes of one drawing, at most


class Pen(NamedTuple):
    """How strokes are drawn: ``DATASET.STROKE_WIDTH``, ``STROKE_MARGIN`` and ``STROKE_SMOOTH``.

    The defaults are close to Sketchy's own sketches (medians of 400: lines of 3.0 pixels, the longer side of the drawn
    part 172 of 256 pixels).
    """

    width: float = 3.0  # of the lines, in pixels of an image of SIZE
    margin: float = 0.16  # around the drawing, as a fraction of the side
    smooth: bool = True  # anti-aliased edges

    @classmethod
    def from_cfg(cls, node: Any) -> Pen:
        """From ``cfg.DATASET``.

        Raises:
            ValueError: the width is outside (0, 64] or the margin outside [0, 0.45].
        """
        pen = cls(float(node.STROKE_WIDTH), float(node.STROKE_MARGIN), bool(node.STROKE_SMOOTH))
        if not 0 < pen.width <= 64:
            raise ValueError(f"DATASET.STROKE_WIDTH must be above 0 and at most 64 pixels, got {pen.width}")
        if not 0 <= pen.margin <= 0.45:
            raise ValueError(f"DATASET.STROKE_MARGIN must lie in [0, 0.45], got {pen.margin}")
        return pen


PEN = Pen()


class StrokeSpec(NamedTuple):
    """Which drawing of a file a datum is, and how it is drawn (`SBIRDatum.spec`)."""

    start: int  # offset in the file, in bytes
    length: int  # of its line, in bytes
    pen: Pen


class Line(NamedTuple):
    """One drawing of a file, as it was listed."""

    start: int
    length: int
    word: str  # the word that the person was asked to draw; "" if the line has none


def has_strokes(name: Union[str, os.PathLike]) -> bool:
    """Whether a file of this name contains drawings as strokes; hidden files do not count."""
    base = os.path.basename(os.fspath(name))
    return not is_hidden(base) and os.path.splitext(base)[1].lower() == SUFFIX


def list_lines(path: Union[str, os.PathLike], at_most: int = 0) -> List[Line]:
    """The drawings of a file, each checked; empty lines are skipped.

    Args:
        at_most: read only this many drawings from the start; 0 = all.

    Raises:
        ValueError: a line is not a drawing, the file has none or cannot be read; the message names file and line.
    """
    name, start, lines = os.fspath(path), 0, []
    try:
        with open(path, "rb") as file:
            for number, content in enumerate(iter(lambda: file.readline(LONGEST + 1), b""), 1):
                if len(content) > LONGEST:
                    raise ValueError(f"{name}:{number} is longer than {LONGEST:,} bytes: no drawing")
                if content.strip():
                    record = _parse(content, f"{name}:{number}")
                    lines.append(Line(start, len(content), str(record.get("word", ""))))
                    if len(lines) == at_most:
                        break
                start += len(content)
    except OSError as error:
        raise ValueError(f"cannot read drawings {name!r}: {error.strerror or error}") from error
    if not lines:
        raise ValueError(f"{name!r} holds no drawing")
    return lines


def draw(path: Union[str, os.PathLike], spec: StrokeSpec, names: Sequence[str] = (), rng: Any = None) -> Image.Image:
    """One drawing of a file as an RGB image of SIZE, black on white; only its own line is read.

    Args:
        names: members of VARIETY: the variations that `rng`, a `random.Random`, draws.

    Raises:
        ValueError: there is no drawing at this place in the file, or the file cannot be read; the message names it.
    """
    where = f"{os.fspath(path)}, byte {spec.start}"
    try:
        with open(path, "rb") as file:
            file.seek(spec.start)
            record = _parse(file.read(spec.length), where)
    except OSError as error:
        raise ValueError(f"cannot read drawing {where}: {error.strerror or error}") from error
    strokes = fit(_points(record["drawing"]), spec.pen.margin)
    width = spec.pen.width
    if names:
        strokes, width = vary(strokes, width, names, rng)
    return render(strokes, width, spec.pen.smooth)


def _parse(content: bytes, where: str) -> dict:
    """The JSON object of a line, checked to contain strokes that can be drawn."""
    try:
        record = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: no line of JSON ({error})") from error
    drawing = record.get("drawing") if isinstance(record, dict) else None
    if not isinstance(drawing, list) or not drawing:
        raise ValueError(f'{where}: no strokes under "drawing"')
    for stroke in drawing:
        if not (isinstance(stroke, list) and len(stroke) in (2, 3) and all(isinstance(axis, list) for axis in stroke)):
            raise ValueError(f"{where}: a stroke is [[x, ...], [y, ...]], with times as a third list in the raw form")
        xs, ys = stroke[:2]
        if not xs or len(xs) != len(ys):
            raise ValueError(f"{where}: a stroke of {len(xs)} x and {len(ys)} y")
        if not all(type(v) in (int, float) and -FARTHEST <= v <= FARTHEST for axis in (xs, ys) for v in axis):
            raise ValueError(f"{where}: coordinates are numbers from -{FARTHEST} to {FARTHEST}")
    return record


def _points(drawing: Sequence[Sequence[Sequence[float]]]) -> Strokes:
    """Strokes of a file, in integer steps of 1 / FINE."""
    return [np.rint(np.asarray(stroke[:2], np.float64) * FINE).astype(np.int64) for stroke in drawing]
