"""Drawings of a few strokes, as QuickDraw's files hold them."""

import json
import os
from pathlib import Path

REAL = Path(os.environ.get("SPLIP_REAL") or Path(__file__).parents[2] / "shared" / "real") / "quickdraw"
HOUSE = [
    [[0, 0, 200, 200, 0], [255, 100, 100, 255, 255]], [[0, 100, 200], [100, 0, 100]],
    [[90, 90, 120, 120], [255, 180, 180, 255]],
]  # fmt: skip
HOOK = [[[0, 40, 90], [0, 120, 255]], [[90, 160], [255, 200]], [[60], [20]]]


def line(drawing, word="", **more):
    return json.dumps({"word": word, "key_id": "1", "recognized": True, "drawing": drawing, **more})


def raw(drawing, scale=3.5, shift=411.25):
    """A drawing in the raw form: on another canvas, with times."""
    return [
        [[x * scale + shift for x in xs], [y * scale + shift for y in ys], list(range(0, 16 * len(xs), 16))]
        for xs, ys in drawing
    ]


def write_strokes(path, word="", count=2):
    """``count`` drawings, of which no two are alike, the second in the raw form."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for k in range(count):
        drawing = [[[x + 7 * k * (x > 90) for x in xs], ys] for xs, ys in (HOUSE, HOOK)[k % 2]]
        lines.append(line(raw(drawing) if k == 1 else drawing, word))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
