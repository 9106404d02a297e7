"""Draws the poses and backgrounds of Sketchmoji's photos, once: the result is the table scenes.tsv."""
from __future__ import annotations

import math
import random

import numpy as np

from splip.datasets.scenes import KINDS, ONE, SIZE, Scene, background, place

TURN = 20.0                # degrees, largest rotation either way
SCALE = (0.46, 0.86)       # side of the drawing as a part of the scene's
SCENES = 4                 # photos of each drawing
CONTRAST = 48              # levels of 256 in one channel, between the drawing's rim and what lies behind it
VISIBLE = 0.5              # part of the rim that must show that contrast


def draw_scenes(artist: str, name: str, drawing: np.ndarray) -> list[Scene]:
    """The fixed scenes of one drawing, (SIZE, SIZE, 4) uint8. Depends on artist and class name alone, and on how far
    the drawing stands out: a background it would vanish in is drawn again."""
    scenes = []
    for index in range(SCENES):
        rng = random.Random(f"sketchmoji scene {artist} {name} {index}")
        pose = draw_pose(rng)
        while touches_border(place(drawing, Scene(*pose, KINDS[0], 0))):
            pose = draw_pose(rng)
        for _ in range(64):
            # The colours never depend on the drawing, so they cannot tell the class.
            scene = Scene(*pose, KINDS[rng.getrandbits(31) % len(KINDS)], rng.getrandbits(48))
            if rim_contrast(drawing, scene) >= VISIBLE:
                break
        else:
            raise ValueError(f"{artist}/{name}: no background shows the drawing")
        scenes.append(scene)
    return scenes


def draw_pose(rng: random.Random) -> tuple[int, int, int, int, int]:
    """(a, b, tx, ty, flip) of a scene: turned, scaled, mirrored half the time, anywhere inside the frame."""
    angle = math.radians(TURN * (2 * rng.random() - 1))
    scale = SCALE[0] + (SCALE[1] - SCALE[0]) * rng.random()
    room = (1 - scale) / 2 * SIZE
    shift_x, shift_y = (room * (2 * rng.random() - 1) for _ in range(2))
    a, b = round(math.cos(angle) / scale * ONE), round(math.sin(angle) / scale * ONE)
    centre = (SIZE - 1) / 2
    x, y = centre + shift_x, centre + shift_y              # where the drawing's centre lands
    return (a, b, round(centre * ONE - a * x - b * y), round(centre * ONE - a * y + b * x), rng.getrandbits(1))


def touches_border(lanes: np.ndarray) -> bool:
    """Whether a placed drawing, (SIZE, SIZE, 4) as from `place`, reaches the frame: then it may be cut off."""
    alpha = lanes[..., 3]
    return bool(max(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()) > 64 * 256)


def rim_contrast(drawing: np.ndarray, scene: Scene) -> float:
    """Part of the drawing's rim (3 pixels) that differs from the background by CONTRAST in some channel, 0..1."""
    lanes = place(drawing, scene)
    solid = lanes[..., 3] > 128 * 256
    inner = solid.copy()
    for axis in (0, 1):
        for step in (-3, 3):
            inner &= np.roll(solid, step, axis)
    rim = solid & ~inner
    colour = lanes[..., :3][rim] // np.maximum(lanes[..., 3:][rim] // 255, 1)
    behind = background(scene.kind, scene.seed)[rim].astype(np.int32)
    return float((abs(colour - behind).max(1) >= CONTRAST).mean()) if rim.any() else 0.0
