"""Perceptual hashes of drawings: they tell near-copies, whatever the margin, size or colours. numpy and pillow only."""

from __future__ import annotations

from typing import Iterator, Tuple

import numpy as np
from PIL import Image

BITS = 256
BYTES = BITS // 8
GREY = np.array([0.299, 0.587, 0.114], np.float32)


def _dct_matrix(size: int) -> np.ndarray:
    """Orthonormal DCT-II, (size, size) float64."""
    k, n = np.mgrid[:size, :size]
    matrix = np.cos(np.pi * k * (2 * n + 1) / (2 * size)) * np.sqrt(2 / size)
    matrix[0] /= np.sqrt(2)
    return matrix


_DCT = _dct_matrix(32)


def on_white(rgba: np.ndarray) -> np.ndarray:
    """(H, W, 4) uint8 -> its grey values on white, (H, W) float32 in [0, 255]."""
    alpha = rgba[..., 3].astype(np.float32) / 255
    return rgba[..., :3].astype(np.float32) @ GREY * alpha + 255 * (1 - alpha)


def perceptual_hash(rgba: np.ndarray) -> np.ndarray:
    """256-bit DCT hash of a drawing, cropped to what is drawn: (H, W, 4) uint8 -> (32,) uint8.

    The 16 x 16 lowest frequencies of the drawing at 32 x 32 pixels, each against their median, so that half of the bits
    are set and two unrelated drawings differ in about 128.

    Raises:
        ValueError: nothing is drawn (no pixel with alpha above 32).
    """
    ys, xs = np.nonzero(rgba[..., 3] > 32)
    if not len(ys):
        raise ValueError("cannot hash an empty drawing: no pixel has an alpha above 32")
    grey = on_white(rgba)[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    side = max(grey.shape)
    square = np.full((side, side), 255, np.float32)
    top, left = (side - grey.shape[0]) // 2, (side - grey.shape[1]) // 2
    square[top : top + grey.shape[0], left : left + grey.shape[1]] = grey
    small = np.asarray(Image.fromarray(square.astype(np.uint8)).resize((32, 32), Image.BOX), np.float64)
    low = (_DCT @ small @ _DCT.T)[:16, :16].ravel()
    return np.packbits(low > np.median(low[1:]))


def distances(a: np.ndarray, b: np.ndarray, chunk: int = 4096) -> Iterator[Tuple[int, np.ndarray]]:
    """Differing bits of packed hashes a (n, 32) and b (m, 32) uint8: yields (start, (rows, m) float32) by rows of a."""
    signs = (np.unpackbits(b, axis=1).astype(np.float32) * 2 - 1).T
    for start in range(0, len(a), chunk):
        part = np.unpackbits(a[start : start + chunk], axis=1).astype(np.float32) * 2 - 1
        yield start, (BITS - part @ signs) / 2


def nearest(a: np.ndarray, b: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """For each packed hash of a (n, 32): differing bits (n,) to its nearest in b, and that one's index (n,), int64."""
    bits, index = np.empty(len(a), np.int64), np.empty(len(a), np.int64)
    for start, d in distances(a, b):
        bits[start : start + len(d)], index[start : start + len(d)] = d.min(1).round(), d.argmin(1)
    return bits, index
