"""Sketchmoji's scenes: every pixel as pinned, and as a slow composition in Python's whole numbers has it."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from splip.datasets.scenes import KINDS, ONE, SIZE, Scene, background, compose, read_drawing, read_scenes
from splip.datasets.sketchmoji import EMBEDDED, PHOTO_ARTISTS

PINNED = {
    "gradient": {
        "noto/accordion": "366d9a7f9d3b8605",
        "twemoji/abacus": "43eca675ed53ecf8",
        "fxemoji/airplane": "364a83856a4f4ead",
    },
    "noise": {
        "noto/airplane": "c4084a31ec6050a6",
        "twemoji/auto_rickshaw": "06a683a374b91826",
        "fxemoji/american_football": "9f75946b59c18ab4",
    },
    "blobs": {
        "noto/ambulance": "616a77fef829dbec",
        "twemoji/accordion": "ad22b65aec392824",
        "fxemoji/ant": "ca25d24138d6cc1a",
    },
    "stripes": {
        "noto/abacus": "99cf688381b5aec2",
        "twemoji/alembic": "d9b1cdf78c9c5b66",
        "fxemoji/alarm_clock": "371d7e42746fcc01",
    },
    "checker": {
        "noto/alarm_clock": "40f18a7aa4fa18b6",
        "twemoji/articulated_lorry": "13ce3349285061b0",
        "fxemoji/aerial_tramway": "153240312c0e581d",
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_composed_scenes_are_the_same_everywhere(kind):
    scenes = read_scenes(EMBEDDED / "scenes.tsv")
    found = {}
    for name in PHOTO_ARTISTS:
        key = next(key for key, values in scenes.items() if key[0] == name and values[0].kind == kind)
        drawing = read_drawing(EMBEDDED / "photo" / name / f"{key[1]}.png")
        found["/".join(key)] = hashlib.sha256(compose(drawing, scenes[key][0]).tobytes()).hexdigest()[:16]
    assert found == PINNED[kind], f"{kind}: composed {found}, pinned {PINNED[kind]}"


def test_composition_equals_a_slow_one():
    rng = np.random.default_rng(0)
    drawing = rng.integers(0, 256, (SIZE, SIZE, 4), dtype=np.uint8)
    for flip in (0, 1):
        scene = Scene(90001, -20011, 123456, -654321, flip, "noise", 42)
        fast, behind = compose(drawing, scene), background(scene.kind, scene.seed)
        for x, y in rng.integers(0, SIZE, (150, 2)).tolist():
            slow = slow_pixel(drawing, behind, scene, x, y)
            assert fast[y, x].tolist() == slow, f"pixel {x}, {y}, flip {flip}: {fast[y, x]} instead of {slow}"


def slow_pixel(drawing, behind, scene, x, y):
    """One pixel of `compose`, from its definition, in Python's whole numbers."""
    sx = scene.a * x + scene.b * y + scene.tx
    sy = scene.a * y - scene.b * x + scene.ty
    column, row, fx, fy = sx >> 16, sy >> 16, (sx >> 12) % 16, (sy >> 12) % 16
    total = [0, 0, 0, 0]
    for dy, wy in ((0, 16 - fy), (1, fy)):
        for dx, wx in ((0, 16 - fx), (1, fx)):
            i, j = row + dy, column + dx
            if not (0 <= i < SIZE and 0 <= j < SIZE):
                continue
            *colour, alpha = (int(v) for v in drawing[i, SIZE - 1 - j if scene.flip else j])
            for c, value in enumerate([*((v * alpha + 127) // 255 for v in colour), alpha]):
                total[c] += wx * wy * value
    clear = (255 * 256 - total[3]) // 255
    return [min(255, (total[c] + int(behind[y, x, c]) * clear + 128) >> 8) for c in range(3)]


def test_an_upright_opaque_drawing_comes_back_unchanged():
    drawing = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 4), dtype=np.uint8)
    drawing[..., 3] = 255
    np.testing.assert_array_equal(compose(drawing, Scene(ONE, 0, 0, 0, 0, "checker", 7)), drawing[..., :3])
    np.testing.assert_array_equal(compose(drawing, Scene(ONE, 0, 0, 0, 1, "checker", 7)), drawing[:, ::-1, :3])


@pytest.mark.parametrize("kind", KINDS)
def test_backgrounds_depend_on_their_seed_and_vary(kind):
    first, again, other = background(kind, 3), background(kind, 3), background(kind, 4)
    assert (first == again).all() and (first != other).mean() > 0.5
    assert first.shape == (SIZE, SIZE, 3) and first.std() > 2, f"{kind} is flat: {first.std()}"


def test_a_damaged_scene_table_is_named(tmp_path):
    path = tmp_path / "scenes.tsv"
    path.write_text("# head\nnoto\tcat\t1\t2\t3\t4\t0\tsnow\t9\n")
    with pytest.raises(ValueError, match=r"line 2.*snow"):
        read_scenes(path)
