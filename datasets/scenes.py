"""Compose Sketchmoji's photos: a drawing, rotated and shifted, on a procedural background.

Every pixel is the same on every machine, because all arithmetic is with integers. A scene's numbers come from a table
(`read_scenes`), so nothing here is random. About 1 ms per image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple, Union

import numpy as np
from PIL import Image

SIZE = 112  # pixels, side of a drawing and of a scene
ONE = 1 << 16  # fixed-point 1.0 of the pose
KINDS = ("gradient", "noise", "blobs", "stripes", "checker")
GOLDEN = 0x9E3779B97F4A7C15

_LINE = np.arange(SIZE, dtype=np.int64)
_Y, _X = _LINE[:, None], _LINE[None, :]


class Scene(NamedTuple):
    """Pose and background of one photo.

    A scene pixel (x, y) shows the drawing at (a x + b y + tx, a y - b x + ty) / ONE, mirrored left to right where
    `flip` is 1; `kind` is one of KINDS, and `seed`, below 2**63, determines the rest of the background.
    """

    a: int
    b: int
    tx: int
    ty: int
    flip: int
    kind: str
    seed: int


def show(path: str, scene: Scene) -> Image.Image:
    """The RGB image of a drawing in a scene."""
    return Image.fromarray(compose(read_drawing(path), scene))


def read_scenes(path: Union[str, Path]) -> Dict[Tuple[str, str], List[Scene]]:
    """Scene table -> {(artist, class): its scenes}. Columns: artist, class, then Scene's fields, tab-separated.

    Raises ValueError, with the line that cannot be read.
    """
    scenes: Dict[Tuple[str, str], List[Scene]] = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        try:
            artist, name, a, b, tx, ty, flip, kind, seed = line.split("\t")
            scene = Scene(int(a), int(b), int(tx), int(ty), int(flip), kind, int(seed))
            if kind not in KINDS or scene.flip not in (0, 1):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"{path}, line {number}: wanted artist, class, {', '.join(Scene._fields)} with kind one of {KINDS}, "
                f"got {line!r}"
            ) from None
        scenes.setdefault((artist, name), []).append(scene)
    return scenes


def read_drawing(path: Union[str, Path]) -> np.ndarray:
    """A photo drawing -> (SIZE, SIZE, 4) uint8 RGBA. ValueError: unreadable, or another size or mode."""
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ValueError(f"cannot read image {str(path)!r}: {error}") from error
    if pixels.shape != (SIZE, SIZE, 4) or pixels.dtype != np.uint8:
        raise ValueError(f"{str(path)!r}: wanted {SIZE}x{SIZE} RGBA, got {pixels.shape} {pixels.dtype}")
    return pixels


def compose(drawing: np.ndarray, scene: Scene) -> np.ndarray:
    """drawing: (SIZE, SIZE, 4) uint8 RGBA -> the scene, (SIZE, SIZE, 3) uint8 RGB."""
    lanes = place(drawing, scene)
    clear = (255 * 256 - lanes[..., 3:]) // 255  # weight of the background, 0..256
    under = background(scene.kind, scene.seed).astype(np.int32) * clear
    return ((lanes[..., :3] + under + 128) >> 8).clip(max=255).astype(np.uint8)


def place(drawing: np.ndarray, scene: Scene) -> np.ndarray:
    """The drawing in its pose -> (SIZE, SIZE, 4) int32: colour times alpha, then alpha, each 0..65280 (255 * 256).

    Bilinear, in steps of 1/16 pixel. The four weights sum to 256, so the four channels of a pixel (16 bits each) fit in
    one 64-bit number and are interpolated together.
    """
    rgba = drawing.astype(np.uint32)
    colour = (rgba[..., :3] * rgba[..., 3:] + np.uint32(127)) // np.uint32(255)
    packed = rgba[..., 3].astype(np.uint64) << np.uint64(48)
    for channel in range(3):
        packed |= colour[..., channel].astype(np.uint64) << np.uint64(16 * channel)
    if scene.flip:
        packed = packed[:, ::-1]
    wide = SIZE + 2  # a transparent border, for smooth edges
    padded = np.zeros((wide, wide), np.uint64)
    padded[1:-1, 1:-1] = packed
    pixels = padded.ravel()

    sx = (scene.a * _LINE + (scene.tx + ONE)) + (scene.b * _LINE)[:, None]
    sy = (scene.ty + ONE - scene.b * _LINE) + (scene.a * _LINE)[:, None]
    limit = (SIZE + 1) * ONE
    inside = np.flatnonzero((sx >= 0) & (sx < limit) & (sy >= 0) & (sy < limit))
    sx, sy = sx.ravel()[inside], sy.ravel()[inside]
    corner = (sy >> 16) * wide + (sx >> 16)
    fx, fy = (sx >> 12 & 15).astype(np.uint64), (sy >> 12 & 15).astype(np.uint64)
    gx, gy = np.uint64(16) - fx, np.uint64(16) - fy
    out = np.zeros(SIZE * SIZE, np.dtype("<u8"))
    out[inside] = gy * (gx * pixels[corner] + fx * pixels[corner + 1]) + fy * (
        gx * pixels[corner + wide] + fx * pixels[corner + wide + 1]
    )
    return out.view("<u2").reshape(SIZE, SIZE, 4).astype(np.int32)


def mix(numbers: np.ndarray) -> np.ndarray:
    """uint64 array -> uint64 array of hashes: the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = numbers ^ (numbers >> np.uint64(30))
    z = z * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def draws(seed: int, count: int) -> np.ndarray:
    """(count,) int64, each 0..2**31 - 1: SplitMix64 with initial state `seed`."""
    steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    return (mix(steps + np.uint64(seed)) >> np.uint64(33)).astype(np.int64)


def background(kind: str, seed: int) -> np.ndarray:
    """(SIZE, SIZE, 3) uint8: two colours mixed by a pattern of that kind, plus fine noise."""
    numbers = draws(seed, 40)
    first = numbers[:3] % 256
    second = (first + numbers[3:6] % 257 - 128).clip(0, 255)
    share = _PATTERNS[kind](numbers[8:]).astype(np.int32)[..., None]  # 0..256, weight of the second colour
    grain = (draws(seed ^ 0x5DEECE66D, SIZE * SIZE).astype(np.int32) & 15).reshape(SIZE, SIZE, 1) - 8
    out = (share * (second - first).astype(np.int32) >> 8) + (grain + first.astype(np.int32))
    return out.clip(0, 255).astype(np.uint8)


def _axes(numbers: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Two perpendicular coordinates, rotated by a pseudo-random angle, in about 1/16 pixel."""
    # 8 directions as integer vectors of length about 16
    u, v = ((16, 0), (15, 6), (11, 11), (6, 15), (0, 16), (-6, 15), (-11, 11), (-15, 6))[int(numbers[0] % 8)]
    return u * _X + v * _Y + 4096, u * _Y - v * _X + 4096


def _gradient(numbers: np.ndarray) -> np.ndarray:
    along, _ = _axes(numbers)
    low, high = int(along.min()), int(along.max())
    return (along - low) * 256 // (high - low)


def _lattice_weights(cell: int) -> np.ndarray:
    """(SIZE, SIZE // cell + 1) int64: smooth weights of the lattice points for each pixel of a line; sum 256."""
    weights = np.zeros((SIZE, SIZE // cell + 1), np.int64)
    step = _LINE % cell * 256 // cell
    step = step * step * (768 - 2 * step) >> 16  # 3 f^2 - 2 f^3
    weights[_LINE, _LINE // cell] = 256 - step
    weights[_LINE, _LINE // cell + 1] = step
    return weights


_OCTAVES = ((_lattice_weights(28), 2), (_lattice_weights(14), 1))  # cells of 28 and of 14 pixels; strengths


def _noise(numbers: np.ndarray) -> np.ndarray:
    total: Any = 0
    for (weights, strength), seed in zip(_OCTAVES, numbers.tolist()):
        side = weights.shape[1]
        lattice = (draws(seed, side * side) % 257).reshape(side, side)
        total = total + strength * (weights @ lattice @ weights.T >> 16)
    return total // 3


def _blobs(numbers: np.ndarray) -> np.ndarray:
    """Seven discs with different shades."""
    share = np.full((SIZE, SIZE), int(numbers[28] % 257))
    for x, y, radius, shade in numbers[:28].reshape(7, 4).tolist():
        inside = (_X - x % SIZE) ** 2 + (_Y - y % SIZE) ** 2 < (8 + radius % 25) ** 2
        share[inside] = shade % 257
    return share


def _stripes(numbers: np.ndarray) -> np.ndarray:
    along, _ = _axes(numbers)
    period = 16 * (10 + int(numbers[1] % 23))  # 10 to 32 pixels
    wave = (along + int(numbers[2] % period)) % period
    if numbers[3] % 2:
        return np.where(2 * wave < period, 256, 0)  # bars
    return 256 - abs(2 * wave - period) * 256 // period  # a triangle wave


def _checker(numbers: np.ndarray) -> np.ndarray:
    along, across = _axes(numbers)
    cell = 16 * (8 + int(numbers[1] % 17))  # 8 to 24 pixels
    return (along // cell + across // cell) % 2 * 256


_PATTERNS = dict(zip(KINDS, (_gradient, _noise, _blobs, _stripes, _checker)))
