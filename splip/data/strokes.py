"""Drawings that are kept as strokes (QuickDraw's ``.ndjson``), read a line at a time.

A line of such a file is a JSON object whose ``drawing`` is a list of strokes: ``[[x, ...], [y, ...]]`` in the
simplified form, with a third list of times in the raw form (github.com/googlecreativelab/quickdraw-dataset). Both are
brought to the same box, so a file may mix them.
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
FINE = 16  # steps of one unit in a file, which raw drawings may have fractions of
FARTHEST = 2**20  # coordinates beyond are no drawing
LONGEST = 2**24  # bytes of one drawing


class Pen(NamedTuple):
    """How strokes are drawn; as ``DATASET.STROKE_WIDTH``, ``STROKE_MARGIN`` and ``STROKE_SMOOTH``.

    The defaults are near Sketchy's own sketches (medians of 400: lines of 3.0 pixels, the longer side of what is drawn
    172 of 256 pixels).
    """

    width: float = 3.0  # of lines, in pixels of SIZE
    margin: float = 0.16  # around the drawing, of the side
    smooth: bool = True  # anti-aliased edges

    @classmethod
    def from_cfg(cls, node: Any) -> Pen:
        """Out of ``cfg.DATASET``.

        Raises:
            ValueError: a width outside (0, 64] or a margin outside [0, 0.45].
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

    start: int  # bytes into the file
    length: int  # of its line
    pen: Pen


class Line(NamedTuple):
    """One drawing of a file, as it was listed."""

    start: int
    length: int
    word: str  # what its drawer was asked for; "" where the line does not say


def has_strokes(name: Union[str, os.PathLike]) -> bool:
    """Whether a file of this name holds drawings as strokes; hidden ones do not count."""
    base = os.path.basename(os.fspath(name))
    return not is_hidden(base) and os.path.splitext(base)[1].lower() == SUFFIX


def list_lines(path: Union[str, os.PathLike], at_most: int = 0) -> List[Line]:
    """The drawings of a file, each looked at; empty lines are passed over.

    Args:
        at_most: only the first so many; 0 = all.

    Raises:
        ValueError: a line is no drawing, there is none, or the file cannot be read; file and line are named.
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


def draw(
    path: Union[str, os.PathLike], spec: StrokeSpec, names: Sequence[str] = (), rng: Any = None
) -> Image.Image:
    """One drawing of a file as an RGB image of SIZE, black on white; only its own line is read.

    Args:
        names: of VARIETY: what `rng`, a `random.Random`, changes about it.

    Raises:
        ValueError: there is no drawing at this place of the file, or the file cannot be read; it is named.
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
    """A line's object, with strokes in it that can be drawn."""
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
    """Strokes of a file, in whole steps of 1 / FINE."""
    return [np.rint(np.asarray(stroke[:2], np.float64) * FINE).astype(np.int64) for stroke in drawing]
