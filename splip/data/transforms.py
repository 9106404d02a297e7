"""From a picture to the backbone's pixels: CLIP's own resize and crop, then light augmentation.

Images stay uint8 until they are on the device, where a whole batch is normalised at once.
"""

from __future__ import annotations

import math
import random
from typing import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as F

from splip.backbone import CLIP_MEAN, CLIP_STD

AUGMENTATIONS = ("random_resized_crop", "random_crop", "random_flip")
LONGEST = 16  # sides of a picture, long : short, up to which it is resized whole
TRANSFORMS = (*AUGMENTATIONS, "normalize")  # "normalize" always happens; CoOp's configs name it


def to_pixels(image: Image.Image, size: int) -> np.ndarray:
    """CLIP's preprocessing: shorter side to `size` (bicubic), centre crop -> (size, size, 3) uint8.

    Of an image more than LONGEST times as long as it is short, the ends, which the crop would drop, are cut off first:
    a line of 60,000 pixels would else become 60,000 * size * size of them.
    """
    short, long = sorted(image.size)
    if long > LONGEST * short:
        kept = LONGEST * short + (long - LONGEST * short) % 2  # as much off one end as off the other
        before = (long - kept) // 2
        across = image.width > image.height
        image = image.crop((before, 0, before + kept, short) if across else (0, before, short, before + kept))
    if image.mode != "RGB":
        image = image.convert("RGB")
    image = F.resize(image, size, F.InterpolationMode.BICUBIC)
    return np.array(F.center_crop(image, size))


def normalize(pixels: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 -> float32 with CLIP's mean and standard deviation, on the same device."""
    mean = torch.tensor(CLIP_MEAN, device=pixels.device).view(3, 1, 1)
    std = torch.tensor(CLIP_STD, device=pixels.device).view(3, 1, 1)
    return (pixels.float() / 255 - mean) / std


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) -> (3, H, W), both uint8."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


class Augmentation:
    """The training transforms of a config, drawn from a generator that is passed in.

    Args:
        names: of TRANSFORMS, applied in the order given.
        scale: area range of random_resized_crop (INPUT.RRCROP_SCALE); its aspect is 3/4 to 4/3.
        padding: pixels that random_crop may shift by (INPUT.CROP_PADDING).

    Raises:
        ValueError: an unknown name, or a scale outside (0, 1].
    """

    def __init__(self, names: Sequence[str], scale=(0.08, 1.0), padding: int = 4) -> None:
        unknown = [name for name in names if name not in TRANSFORMS]
        if unknown:
            raise ValueError(f"INPUT.TRANSFORMS must be of {TRANSFORMS}, got {unknown}")
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"INPUT.RRCROP_SCALE must be 0 < low <= high <= 1, got {tuple(scale)}")
        self.scale, self.padding = scale, padding
        steps = {name: getattr(self, name) for name in AUGMENTATIONS}
        self.steps: Sequence[Callable] = [steps[name] for name in names if name in steps]

    def __call__(self, pixels: np.ndarray, rng: random.Random) -> np.ndarray:
        """(S, S, 3) uint8 -> the same shape."""
        for step in self.steps:
            pixels = step(pixels, rng)
        return pixels

    def random_resized_crop(self, pixels: np.ndarray, rng: random.Random) -> np.ndarray:
        size = len(pixels)
        area = rng.uniform(*self.scale) * size * size
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = (min(size, math.sqrt(area * ratio)) for ratio in (aspect, 1 / aspect))
        left, top = rng.uniform(0, size - width), rng.uniform(0, size - height)
        box = (left, top, left + width, top + height)
        return np.asarray(Image.fromarray(pixels).resize((size, size), Image.BICUBIC, box=box))

    def random_crop(self, pixels: np.ndarray, rng: random.Random) -> np.ndarray:
        size, pad = len(pixels), self.padding
        top, left = rng.randint(0, 2 * pad), rng.randint(0, 2 * pad)
        padded = np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
        return padded[top : top + size, left : left + size]

    def random_flip(self, pixels: np.ndarray, rng: random.Random) -> np.ndarray:
        return pixels[:, ::-1] if rng.random() < 0.5 else pixels
