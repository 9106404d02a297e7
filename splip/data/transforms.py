"""Convert an image to the backbone's pixels, then augment it with random generators that the caller passes.

Images stay uint8 until they are on the device, which normalises a whole batch at once.
"""

from __future__ import annotations

import math
import random
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Callable, Dict, List, Sequence, Tuple

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps
from torch import Tensor
from torchvision.transforms import functional as F

from splip.backbone import backbone_info, clip_dims
from splip.backbone.layout import CLIP_MEAN, CLIP_STD
from splip.common.modalities import PHOTO, SKETCH
from splip.data.drawn import VARIETY
from splip.data.images import as_rgb

RESIZES = ("crop", "pad", "squash")
INTERPOLATIONS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
LONGEST = 16  # ratio of an image's sides, long : short, up to which it is resized without cutting
# Geometric transforms: a sketch and the photo that it was drawn from get the same ones.
GEOMETRY = ("random_resized_crop", "random_crop", "random_flip")
# Transforms of the appearance, each for one modality only.
APPEARANCE = {
    "sketch_redraw": SKETCH, "sketch_elastic": SKETCH, "sketch_erase": SKETCH, "photo_colour": PHOTO,
    "stroke_width": SKETCH, "stroke_jitter": SKETCH,
}  # fmt: skip
# "stroke_drop" is only for drawings from strokes; "normalize" is always done, CoOp's configs list it.
TRANSFORMS = (*GEOMETRY, *APPEARANCE, "stroke_drop", "normalize")


@dataclass(frozen=True)
class Preprocessing:
    """How every image becomes a backbone's input: as in CLIP, or as in another published method.

    Args:
        size: side in pixels.
        resize: ``crop``: the shorter side to ``size``, then the centre (CLIP). ``squash``: both sides to ``size``,
            which changes the aspect ratio (C: ClipPrompt). ``pad``: the longer side to ``size``, then black borders
            (C: Sketch_LVM's ``ImageOps.pad``).
        mean, std: of colours in [0, 1].
        interpolation: ``bicubic`` (CLIP) or ``bilinear`` (C: ClipPrompt).

    Raises:
        ValueError: ``resize`` or ``interpolation`` is unknown, or ``mean`` or ``std`` is invalid.
    """

    size: int
    resize: str = "crop"
    mean: Tuple[float, ...] = CLIP_MEAN
    std: Tuple[float, ...] = CLIP_STD
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        if self.resize not in RESIZES:
            raise ValueError(f"INPUT.RESIZE must be one of {RESIZES}, got {self.resize!r}")
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"INPUT.INTERPOLATION must be one of {tuple(INTERPOLATIONS)}, got {self.interpolation!r}")
        for name, least in (("mean", -math.inf), ("std", 0.0)):
            values = tuple(getattr(self, name))  # a list if it comes from a file
            if not all(least < value < math.inf for value in values):
                raise ValueError(f"INPUT.PIXEL_{name.upper()} must be finite, a deviation above 0, got {values}")
            object.__setattr__(self, name, values)

    @classmethod
    def from_cfg(cls, cfg: Any, clip: Any = None) -> Preprocessing:
        """From INPUT: bicubic, with the backbone's own mean and deviation unless OWN_STATISTICS is set.

        Args:
            clip: the backbone; None = one of OpenAI's CLIPs.

        Raises:
            ValueError: the images are not square or not of the backbone's size; or, without OWN_STATISTICS, the
                interpolation is not CLIP's, or mean and deviation are neither those of OpenAI's CLIPs (which config
                files have) nor those of this backbone.
        """
        node = cfg.INPUT
        if len(node.SIZE) != 2 or node.SIZE[0] != node.SIZE[1]:
            raise ValueError(f"INPUT.SIZE must be two equal sides, got {tuple(node.SIZE)}")
        if node.INTERPOLATION != "bicubic" and not node.OWN_STATISTICS:
            raise ValueError(
                f"INPUT.INTERPOLATION must be 'bicubic', as CLIP has it, got {node.INTERPOLATION!r} (bilinear is "
                "Dassl's default: was a method's file (--config-file) given?); INPUT.OWN_STATISTICS True takes it"
            )
        statistics, info = [], backbone_info(clip)
        for key, openai, wanted in (("PIXEL_MEAN", CLIP_MEAN, info.mean), ("PIXEL_STD", CLIP_STD, info.std)):
            given = tuple(float(value) for value in node[key])
            known = [choice for choice in (openai, wanted) if np.allclose(given, choice, rtol=0, atol=1e-4)]
            if len(given) != 3 or not (known or node.OWN_STATISTICS):
                raise ValueError(
                    f"INPUT.{key} must be CLIP's {wanted}, got {given}; INPUT.OWN_STATISTICS True takes other ones"
                )
            statistics.append(given if node.OWN_STATISTICS else wanted)
        side = clip_dims(clip).resolution if clip is not None else node.SIZE[0]
        if node.SIZE[0] != side:
            name = cfg.MODEL.BACKBONE.NAME
            raise ValueError(f"INPUT.SIZE is {tuple(node.SIZE)}, but backbone {name!r} takes {side} x {side} images")
        return cls(node.SIZE[0], node.RESIZE, statistics[0], statistics[1], node.INTERPOLATION)

    def __call__(self, image: Image.Image) -> Tensor:
        """One image -> a model's input, (3, size, size) float32; transparent parts become white."""
        return self.normalize(to_tensor(self.pixels(as_rgb(image)))[None])[0]

    def describe(self) -> Dict[str, Any]:
        """The settings as plain values."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @property
    def resampling(self) -> str:
        """How pixels are resized, for the key of a pixel cache: "crop", "squash bilinear"."""
        return self.resize if self.interpolation == "bicubic" else f"{self.resize} {self.interpolation}"

    def pixels(self, image: Image.Image) -> np.ndarray:
        """Image -> (size, size, 3) uint8."""
        return to_pixels(image, self.size, self.resize, self.interpolation)

    def normalize(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> float32 with this mean and deviation, on the same device."""
        return normalize(pixels, self.mean, self.std)


def preprocess(clip: Any) -> Preprocessing:
    """The preprocessing for a backbone of ``splip.load_clip``: a function of a PIL image.

    >>> batch = torch.stack([preprocess(clip)(Image.open(path)) for path in paths])
    """
    info = backbone_info(clip)
    return Preprocessing(clip_dims(clip).resolution, mean=info.mean, std=info.std)


def to_pixels(image: Image.Image, size: int, resize: str = "crop", interpolation: str = "bicubic") -> np.ndarray:
    """An image resized as in :class:`Preprocessing`, (size, size, 3) uint8.

    If an image's long side is more than LONGEST times its short side, its ends, which the crop drops, are cut off
    first: otherwise a line of 60,000 pixels would become 60,000 * size * size pixels.
    """
    image = image if image.mode == "RGB" else image.convert("RGB")
    if resize != "crop":
        how = (size, size), INTERPOLATIONS[interpolation]
        return np.array(image.resize(*how) if resize == "squash" else ImageOps.pad(image, *how))
    short, long = sorted(image.size)
    if long > LONGEST * short:
        kept = LONGEST * short + (long - LONGEST * short) % 2  # cut the same amount from both ends
        before = (long - kept) // 2
        across = image.width > image.height
        image = image.crop((before, 0, before + kept, short) if across else (0, before, short, before + kept))
    image = F.resize(image, size, F.InterpolationMode(interpolation))
    return np.array(F.center_crop(image, size))


def normalize(pixels: Tensor, mean: Sequence[float] = CLIP_MEAN, std: Sequence[float] = CLIP_STD) -> Tensor:
    """(B, 3, H, W) uint8 -> float32 with CLIP's mean and standard deviation or another, on the same device."""
    centre, spread = _constants(tuple(mean), tuple(std), pixels.device)
    return (pixels.float() / 255 - centre) / spread


@lru_cache(maxsize=16)
def _constants(mean: Tuple[float, ...], std: Tuple[float, ...], device: torch.device) -> Tuple[Tensor, Tensor]:
    """Mean and deviation as (3, 1, 1), copied to the device once, not in every step."""
    with torch.inference_mode(False):
        return torch.tensor(mean, device=device).view(3, 1, 1), torch.tensor(std, device=device).view(3, 1, 1)


def to_tensor(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) -> (3, H, W), both uint8."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


class Augmentation:
    """The training transforms of a config.

    Args:
        names: members of TRANSFORMS. GEOMETRY is applied first, then APPEARANCE, each in the given order. Before
            them, a sketch from strokes is drawn again with `strokes`, the names in `splip.data.drawn.VARIETY`.
        scale: area range of random_resized_crop (INPUT.RRCROP_SCALE); its aspect ratio is 3/4 to 4/3.
        padding: largest shift of random_crop, in pixels (INPUT.CROP_PADDING).
        interpolation: of random_resized_crop, as in :class:`Preprocessing`.

    Raises:
        ValueError: a name is unknown, or the scale is outside (0, 1].
    """

    def __init__(self, names: Sequence[str], scale=(0.08, 1.0), padding: int = 4, interpolation="bicubic") -> None:
        unknown = [name for name in names if name not in TRANSFORMS]
        if unknown:
            raise ValueError(f"INPUT.TRANSFORMS must be of {TRANSFORMS}, got {unknown}")
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"INPUT.RRCROP_SCALE must be 0 < low <= high <= 1, got {tuple(scale)}")
        self.names, self.scale, self.padding, self.interpolation = tuple(names), tuple(scale), padding, interpolation
        self.geometry: List[Callable] = [getattr(self, name) for name in names if name in GEOMETRY]
        self.strokes = tuple(name for name in names if name in VARIETY)

    def __call__(
        self, pixels: np.ndarray, domain: int, geometry: random.Random, appearance: random.Random, drawn: bool = False
    ) -> np.ndarray:
        """(S, S, 3) uint8 -> the same shape.

        Args:
            domain: SKETCH or PHOTO.
            geometry, appearance: random generators of the two groups.
            drawn: `pixels` were already drawn with `strokes`, which are not applied again.
        """
        for step in self.geometry:
            pixels = step(pixels, geometry)
        for name in self.names:
            if APPEARANCE.get(name) == domain and not (drawn and name in self.strokes):
                pixels = getattr(self, name)(pixels, appearance)
        return pixels

    # ---------------------------------------------------------------- geometry

    def random_resized_crop(self, pixels: np.ndarray, rng: random.Random) -> np.ndarray:
        size = len(pixels)
        area = rng.uniform(*self.scale) * size * size
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = (min(size, math.sqrt(area * ratio)) for ratio in (aspect, 1 / aspect))
        left, top = rng.uniform(0, size - width), rng.uniform(0, size - height)
        box = (left, top, left + width, top + height)
        return np.asarray(Image.fromarray(pixels).resize((size, size), INTERPOLATIONS[self.interpolation], box=box))

    def random_crop(self, pixels: np.ndarray, rng: random.Random) -> np.ndarray:
        size, pad = len(pixels), self.padding
        top, left = rng.randint(0, 2 * pad), rng.randint(0, 2 * pad)
        padded = np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
        return padded[top : top + size, left : left + size]

    def random_flip(self, pixels: np.ndarray, rng: random.Random) -> np.ndarray:
        return pixels[:, ::-1] if rng.random() < 0.5 else pixels

    # ---------------------------------------------------------------- appearance

    def sketch_redraw(self, pixels: np.ndarray, rng: random.Random) -> np.ndarray:
        """Another pen: lines thinner or thicker, or filled shapes reduced to outlines; two in five do not change."""
        image, way = Image.fromarray(pixels), rng.choice(("as it is", "as it is", "thinner", "thicker", "hollow"))
        if way == "as it is":
            return pixels
        if way != "hollow":
            return _other_width(pixels, way)
        eroded = np.asarray(image.filter(ImageFilter.MaxFilter(5)))
        return 255 - (eroded - pixels) if _left(eroded, pixels) > 0.3 else pixels  # no filled shapes

    def sketch_elastic(self, pixels: np.ndarray, rng: random.Random) -> np.ndarray:
        """A smooth warp of up to 6 % of the side, like an unsteady hand."""
        cells = torch.tensor([rng.uniform(-1, 1) for _ in range(2 * 4 * 4)]).view(1, 2, 4, 4)
        size = (len(pixels), len(pixels))
        field = torch.nn.functional.interpolate(cells, size, mode="bicubic", align_corners=True)  # (1, 2, S, S)
        shift = rng.uniform(0, 0.12) * field.permute(0, 2, 3, 1)  # the side is 2
        return F.elastic_transform(to_tensor(pixels), shift, fill=[255.0] * 3).permute(1, 2, 0).numpy()

    def sketch_erase(self, pixels: np.ndarray, rng: random.Random) -> np.ndarray:
        """Up to three small white patches, like missing strokes."""
        out, size = pixels.copy(), len(pixels)
        for _ in range(rng.randint(0, 3)):
            side = int(size * rng.uniform(0.08, 0.2))
            top, left = rng.randrange(size - side), rng.randrange(size - side)
            out[top : top + side, left : left + side] = 255
        return out

    def stroke_width(self, pixels: np.ndarray, rng: random.Random) -> np.ndarray:
        """For a sketch without strokes: lines thinner, unchanged or thicker."""
        way = rng.choice(("as it is", "thinner", "thicker"))
        return pixels if way == "as it is" else _other_width(pixels, way)

    def stroke_jitter(self, pixels: np.ndarray, rng: random.Random) -> np.ndarray:
        """For a sketch without strokes: rotate by up to 8 degrees, shift by up to 4 % of the side; fill with white."""
        size = len(pixels)
        shift = round(rng.uniform(-0.04, 0.04) * size), round(rng.uniform(-0.04, 0.04) * size)
        turn, fill = rng.uniform(-8, 8), (255, 255, 255)
        image = Image.fromarray(pixels).rotate(turn, Image.Resampling.BICUBIC, translate=shift, fillcolor=fill)
        return np.asarray(image)

    def photo_colour(self, pixels: np.ndarray, rng: random.Random) -> np.ndarray:
        """Change brightness, contrast, saturation and hue."""
        image = Image.fromarray(pixels)
        image = F.adjust_brightness(image, rng.uniform(0.7, 1.3))
        image = F.adjust_contrast(image, rng.uniform(0.7, 1.3))
        image = F.adjust_saturation(image, rng.uniform(0.3, 1.5))
        return np.asarray(F.adjust_hue(image, rng.uniform(-0.25, 0.25)))


def _other_width(pixels: np.ndarray, way: str) -> np.ndarray:
    """Lines one pixel wider on each side (``thicker``), or narrower if they do not disappear."""
    image = Image.fromarray(pixels)
    if way == "thicker":
        return np.asarray(image.filter(ImageFilter.MinFilter(3)))
    eroded = np.asarray(image.filter(ImageFilter.MaxFilter(3)))
    return eroded if _left(eroded, pixels) > 0.3 else pixels


def _left(eroded: np.ndarray, pixels: np.ndarray) -> float:
    """The fraction of the ink that is left."""
    return (255 - eroded).sum(dtype=np.int64) / max(1, (255 - pixels).sum(dtype=np.int64))
