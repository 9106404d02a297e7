"""Drawings kept as strokes: read a line at a time, drawn to the same pixels everywhere, and varied."""

import hashlib
import json
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_strokes import HOOK, HOUSE, REAL, line, raw, write_strokes

from splip.data import strokes
from splip.data.checking import check_images
from splip.data.drawn import ONE, SIZE, VARIETY, fit, render, vary
from splip.data.strokes import PEN, Pen, StrokeSpec, draw, has_strokes, list_lines


def picture(drawing, pen=PEN, tmp=None):
    path = tmp / "drawing.ndjson"
    path.write_text(line(drawing))
    return np.asarray(draw(path, StrokeSpec(0, path.stat().st_size, pen)))[..., 0]


def ink_box(grey):
    rows, columns = np.nonzero(grey < 255)
    return rows.min(), 255 - rows.max(), columns.min(), 255 - columns.max()


def digest(pictures):
    return hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in pictures)).hexdigest()[:16]


# ---------------------------------------------------------------------------- pictures


def test_pictures_are_the_same_everywhere(tmp_path):
    pens = [PEN, Pen(1.0, 0.0), Pen(7.5, 0.3, False)]
    found = digest(picture(drawing, pen, tmp_path) for drawing in (HOUSE, HOOK, raw(HOOK)) for pen in pens)
    assert found == "78666d1586bd63dd", found


def test_variety_is_the_same_everywhere(tmp_path):
    path = write_strokes(tmp_path / "a.ndjson", count=4)
    specs = [StrokeSpec(entry.start, entry.length, PEN) for entry in list_lines(path)]
    found = digest(np.asarray(draw(path, spec, VARIETY, random.Random(k))) for k, spec in enumerate(specs))
    assert found == "3202f3db11833761", found


def test_both_forms_of_a_drawing_are_one_picture(tmp_path):
    plain = picture(HOUSE, tmp=tmp_path)
    for scale, shift in ((1.0, 0.0), (4.0, 333.5), (0.5, -70.25)):
        difference = int(abs(picture(raw(HOUSE, scale, shift), tmp=tmp_path).astype(int) - plain).max())
        assert difference <= 2, (scale, shift, difference)


def test_a_slow_drawing_agrees(tmp_path):
    """Every pixel's distance to every line, by the definition."""
    pen = Pen(4.0, 0.1)
    longest = max(max(xs + ys) for xs, ys in HOOK)
    scale = SIZE * (1 - 2 * pen.margin) / longest
    width = max(max(xs) for xs, _ in HOOK) * scale
    at = [[((SIZE - width) / 2 + x * scale, SIZE * pen.margin + y * scale) for x, y in zip(*stroke)] for stroke in HOOK]
    ours, worst = picture(HOOK, pen, tmp_path), 0.0
    for y in range(0, SIZE, 3):
        for x in range(0, SIZE, 3):
            nearest = min(away((x + 0.5, y + 0.5), a, b) for points in at for a, b in zip(points, points[1:] or points))
            wanted = 255 * (1 - min(1.0, max(0.0, pen.width / 2 + 0.5 - nearest)))
            worst = max(worst, abs(wanted - ours[y, x]))
    assert worst < 12, f"grey differs by {worst:.1f}: more than coordinates of 1/{ONE} pixel explain"


def away(point, a, b):
    (px, py), (ax, ay), (bx, by) = point, a, b
    square = (bx - ax) ** 2 + (by - ay) ** 2
    t = min(1.0, max(0.0, ((px - ax) * (bx - ax) + (py - ay) * (by - ay)) / square)) if square else 0.0
    return math.hypot(px - ax - t * (bx - ax), py - ay - t * (by - ay))


def test_the_pen(tmp_path):
    square = [[[0, 100, 100, 0, 0], [0, 0, 100, 100, 0]]]
    ink = {width: (255 - picture(square, Pen(width), tmp_path)).sum() / 255 for width in (2.0, 4.0, 8.0)}
    side = SIZE * (1 - 2 * PEN.margin)
    for width, amount in ink.items():
        assert amount == pytest.approx(4 * side * width, rel=0.05), (width, amount)
    for margin in (0.0, 0.1, 0.3):
        edges = ink_box(picture(square, Pen(2.0, margin), tmp_path))
        assert all(abs(edge - (SIZE * margin - 1.5)) <= 1.5 for edge in edges) or margin == 0, (margin, edges)
    assert set(np.unique(picture(HOOK, Pen(smooth=False), tmp_path))) == {0, 255}
    assert len(np.unique(picture(HOOK, PEN, tmp_path))) > 20
    wide = ink_box(picture([[[0, 200], [0, 50]]], tmp=tmp_path))
    assert abs(wide[0] - wide[1]) <= 1 and wide[0] > wide[2] + 40, f"not centred, or not evenly scaled: {wide}"


def test_a_dot(tmp_path):
    grey = picture([[[5], [9]], [[5, 5], [9, 9]]], Pen(10.0), tmp_path)
    assert (255 - grey).sum() / 255 == pytest.approx(math.pi * 25, rel=0.05)
    assert max(ink_box(grey)) - min(ink_box(grey)) <= 1, "in the middle"


@pytest.mark.parametrize(("keys", "message"), [
    ({"STROKE_WIDTH": 0.0}, "STROKE_WIDTH must be above 0"), ({"STROKE_WIDTH": 100.0}, "at most 64"),
    ({"STROKE_MARGIN": 0.5}, r"STROKE_MARGIN must lie in \[0, 0.45\]"), ({"STROKE_MARGIN": -0.1}, "STROKE_MARGIN"),
])  # fmt: skip
def test_a_pen_that_draws_nothing_is_refused(keys, message):
    node = {"STROKE_WIDTH": 3.0, "STROKE_MARGIN": 0.16, "STROKE_SMOOTH": True, **keys}
    with pytest.raises(ValueError, match=message):
        Pen.from_cfg(SimpleNamespace(**node))


# ------------------------------------------------------------------------------- files


def test_lines_are_found_and_read_alone(tmp_path, monkeypatch):
    path = tmp_path / "cat.ndjson"
    path.write_bytes(b"\n".join([line(HOUSE, "cat").encode(), b"", line(raw(HOOK), "Katze").encode() + b"\r"]))
    first, second = list_lines(path)
    assert (first.word, second.word) == ("cat", "Katze") and list_lines(path, 1) == [first]
    parsed = []
    load = json.loads
    monkeypatch.setattr(strokes.json, "loads", lambda content: parsed.append(content) or load(content))
    assert draw(path, StrokeSpec(second.start, second.length, PEN)).size == (SIZE, SIZE)
    assert parsed == [line(raw(HOOK), "Katze").encode() + b"\r"], "more than its own line was read"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "bad.ndjson:2: no line of JSON"),
        ("[1]", 'bad.ndjson:2: no strokes under "drawing"'),
        ('{"drawing": []}', "no strokes"),
        ('{"drawing": "[[[1],[2]]]"}', "no strokes"),
        ('{"drawing": [[[1, 2]]]}', r"a stroke is \[\[x, ...\], \[y, ...\]\]"),
        ('{"drawing": [[[1, 2], [1, 2], [1], [1]]]}', "a stroke is"),
        ('{"drawing": [[[1, 2], [1]]]}', "a stroke of 2 x and 1 y"),
        ('{"drawing": [[[], []]]}', "a stroke of 0 x and 0 y"),
        ('{"drawing": [[["1"], [2]]]}', "coordinates are numbers"),
        ('{"drawing": [[[true], [2]]]}', "coordinates are numbers"),
        ('{"drawing": [[[NaN], [2]]]}', "coordinates are numbers"),
        ('{"drawing": [[[1e400], [2]]]}', "coordinates are numbers"),
        ('{"drawing": [[[99999999999999999999999], [2]]]}', "coordinates are numbers"),
        ("[" * 100000, "no line of JSON"),
    ],
)
def test_lines_that_are_no_drawings(tmp_path, text, message):
    path = tmp_path / "bad.ndjson"
    path.write_text(f"{line(HOUSE)}\n{text}\n")
    with pytest.raises(ValueError, match=message):
        list_lines(path)
    with pytest.raises(ValueError, match=message):
        check_images([str(path)])
    assert len(list_lines(path, 1)) == 1, "what is not wanted is not looked at"


def test_files_that_are_none(tmp_path, monkeypatch):
    (tmp_path / "empty.ndjson").write_text("\n\n")
    with pytest.raises(ValueError, match=r"empty.ndjson' holds no drawing"):
        list_lines(tmp_path / "empty.ndjson")
    with pytest.raises(ValueError, match=r"cannot read drawings .*gone.ndjson': No such file"):
        list_lines(tmp_path / "gone.ndjson")
    with pytest.raises(ValueError, match=r"gone.ndjson, byte 0: No such file"):
        draw(tmp_path / "gone.ndjson", StrokeSpec(0, 10, PEN))
    path = write_strokes(tmp_path / "a.ndjson")
    with pytest.raises(ValueError, match=r"a.ndjson, byte 3: no line of JSON"):
        draw(path, StrokeSpec(3, 40, PEN))  # as where the file is another one now
    monkeypatch.setattr(strokes, "LONGEST", 50)
    with pytest.raises(ValueError, match=r"a.ndjson:1 is longer than 50 bytes"):
        list_lines(path)
    assert has_strokes("x/CAT.NDJSON") and not has_strokes("x/._cat.ndjson") and not has_strokes("cat.png")


def test_a_file_is_looked_at_once(tmp_path):
    path = str(write_strokes(tmp_path / "a.ndjson"))
    assert check_images([path, path]) == 1 and check_images([path]) == 0


# ----------------------------------------------------------------------------- variety


def shapes(drawing):
    return fit([np.asarray(stroke, dtype=np.int64) * 16 for stroke in drawing], PEN.margin)


def test_each_kind_of_variety_does_its_own():
    plain = shapes(HOUSE)
    widths, kept = set(), set()
    for seed in range(60):
        same, width = vary(plain, 3.0, ["stroke_width"], random.Random(seed))
        assert same is plain and 0.6 * 3 <= width <= 1.6 * 3
        widths.add(width)
        moved, width = vary(plain, 3.0, ["stroke_jitter"], random.Random(seed))
        assert width == 3.0 and [m.shape for m in moved] == [p.shape for p in plain]
        far = max(np.abs(m - p).max() for m, p in zip(moved, plain)) / (SIZE * ONE)
        assert 0 < far < 0.16, f"moved by {far:.3f} of the side"
        fewer, width = vary(plain, 3.0, ["stroke_drop"], random.Random(seed))
        assert width == 3.0 and fewer and all(any(f is p for p in plain) for f in fewer)
        length = [sum(np.hypot(*np.diff(s)).sum() for s in part) for part in (fewer, plain)]
        assert length[0] >= 0.65 * length[1], length
        kept.add(len(fewer))
    assert len(widths) == 60 and kept == {2, 3}, kept
    assert vary(plain, 3.0, [], random.Random(0)) == (plain, 3.0)


def test_strokes_move_on_their_own():
    """Else it would be the turn and shift of a whole picture."""
    plain = shapes([[[0, 100], [0, 0]], [[0, 100], [100, 100]]])
    gaps = []
    for seed in range(20):
        (a, b), _ = vary(plain, 3.0, ["stroke_jitter"], random.Random(seed))
        slopes = [math.atan2(*(s[::-1, 1] - s[::-1, 0])) for s in (a, b)]
        gaps.append(abs(slopes[0] - slopes[1]))
    assert max(gaps) > math.radians(2) and max(gaps) < math.radians(9), gaps


def test_the_longest_stroke_is_never_dropped():
    alone = shapes([[[0, 255], [0, 255]]])
    assert all(len(vary(alone, 3.0, ["stroke_drop"], random.Random(seed))[0]) == 1 for seed in range(50))
    assert render(alone, 3.0).getextrema()[0][0] == 0


# -------------------------------------------------------------------- real drawings


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real drawings: there is no {REAL} (SPLIP_REAL names another folder)")
def test_real_drawings():
    """All of them can be listed; some of each class are drawn, to the same pixels as when this was written."""
    files = sorted(REAL.glob("*.ndjson"))
    lines = {path: list_lines(path) for path in files}
    counts = {path.stem: len(found) for path, found in lines.items()}
    assert (len(counts), sum(counts.values())) == (345, 10541), "as its README says"
    assert all(entry.word == path.stem for path, found in lines.items() for entry in found)
    pictures = [
        np.asarray(draw(path, StrokeSpec(found[k].start, found[k].length, PEN)))[..., 0]
        for path, found in lines.items() for k in (0, -1)
    ]  # fmt: skip
    shares = np.array([(255 - grey.astype(int)).mean() / 255 for grey in pictures])
    assert 0.002 < shares.min() and shares.max() < 0.5, (shares.min(), shares.max())
    assert all(abs(a - b) <= 2 for grey in pictures for a, b in zip(ink_box(grey)[::2], ink_box(grey)[1::2]))
    assert digest(pictures) == "e5c09b687f08b932", digest(pictures)
