"""Frozen image encoders of other libraries, tested on our data sets: the first baselines of every SBIR table."""

from __future__ import annotations

import inspect
import os
from typing import Any, Callable, NamedTuple, Optional, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from splip.backbone.foreign import OPEN_CLIP, load_or_explain
from splip.common.plugins import import_module
from splip.models.contract import CONTRACT, try_out


class Encoder(NamedTuple):
    """An image encoder with its own library's preprocessing.

    ``encode``: batch of images from ``transform`` -> (B, d). ``transform``: PIL image -> (3, H, W) float32.
    """

    encode: Callable[[Tensor], Tensor]
    transform: Callable[[Image.Image], Tensor]


def load_encoder(name: str, device: str = "cpu") -> Encoder:
    """A frozen encoder by name.

    Args:
        name: ``open_clip:ARCHITECTURE:TAG_OR_FILE``, ``hf-hub:owner/model``, ``local-dir:FOLDER`` (open_clip: CLIP,
            SigLIP, ...); ``MODULE:FUNCTION`` or ``FILE.py:FUNCTION`` (Python: called with the device, returns (encode,
            transform)); any other name is a vision model of Hugging Face (DINOv2, SigLIP, ViT, ...): ``hf:...``,
            ``owner/name`` or a folder.

    Raises:
        ValueError: the library is not installed, or there is no such model.
    """
    try:
        if name.startswith(OPEN_CLIP):
            found = _open_clip(name, device)
        elif ":" in name and not name.startswith("hf:"):
            found = _python(name, device)
        else:
            found = _hugging_face(name[len("hf:") :] if name.startswith("hf:") else name, device)
    except ModuleNotFoundError as error:
        raise ValueError(f"encoder {name!r} needs {error.name}, which is not installed") from error
    except ValueError as error:
        raise ValueError(f"encoder {name!r}: {error}") from error
    return found


def _open_clip(name: str, device: str) -> Encoder:
    import open_clip

    architecture, pretrained = name, None
    if name.startswith("open_clip:"):
        architecture, _, pretrained = name[len("open_clip:") :].partition(":")
        if not pretrained:
            raise ValueError("open_clip:ARCHITECTURE:TAG_OR_FILE is wanted")
    made = load_or_explain(
        open_clip.create_model_and_transforms, architecture, pretrained=pretrained, device=device, precision="fp32"
    )
    model, transform = made[0].eval(), made[2]
    return Encoder(model.encode_image, transform)


def _hugging_face(name: str, device: str) -> Encoder:
    from transformers import AutoImageProcessor, AutoModel

    place = os.path.expanduser(name)
    processor: Any = load_or_explain(AutoImageProcessor.from_pretrained, place)
    model: Any = load_or_explain(AutoModel.from_pretrained, place, dtype=torch.float32).eval().to(device)

    def encode(images: Tensor) -> Tensor:
        if hasattr(model, "get_image_features"):  # a model with an image and a text encoder
            found = model.get_image_features(pixel_values=images)
            return getattr(found, "pooler_output", found)
        out = model(pixel_values=images)
        pooled = getattr(out, "pooler_output", None)
        return pooled if pooled is not None else out.last_hidden_state[:, 0]  # the class token

    def transform(image: Image.Image) -> Tensor:
        return torch.as_tensor(np.asarray(processor(image, return_tensors="pt")["pixel_values"][0]))

    return Encoder(encode, transform)


def _python(name: str, device: str) -> Encoder:
    """The encoder from a user's function, tested on two images, so that its errors appear here and not later."""
    where, _, function = name.rpartition(":")
    made: Any = getattr(import_module(where), function, None)
    if made is None:
        raise ValueError(f"{where} has no {function} ({CONTRACT})")
    try:
        inspect.signature(made).bind(device)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{function} cannot be called with a device ({error}): {CONTRACT}") from error
    found = made(device)
    if not (isinstance(found, tuple) and len(found) == 2 and all(map(callable, found))):
        raise ValueError(f"{function}(device) must return (encode, transform), got {type(found).__name__}: {CONTRACT}")
    try_out(*found, device)
    return Encoder(*found)


class Prepared:
    """An encoder's transform, used instead of `splip.data.transforms.Preprocessing`."""

    size = 0
    resize = "its own"

    def __init__(self, transform: Callable[[Image.Image], Tensor]) -> None:
        self.transform = transform

    def pixels(self, image: Image.Image) -> np.ndarray:
        return self.transform(image).permute(1, 2, 0).float().numpy()

    def normalize(self, pixels: Tensor) -> Tensor:
        return pixels

    def describe(self) -> dict:
        return {"transform": "the encoder's own"}


class EncoderModel:
    """The part of a `RetrievalModel` that an evaluator needs.

    Args:
        encode: images (B, ...) -> (B, d); with ``knows_modality`` it takes the images and their modality.
        classes: the training classes; None = not known.
    """

    def __init__(
        self, encode: Callable[..., Tensor], knows_modality: bool = False, classes: Optional[Sequence[str]] = None
    ) -> None:
        self._encode, self.knows_modality, self.classes = encode, knows_modality, classes

    def eval(self) -> EncoderModel:
        return self

    @torch.no_grad()
    def encode(self, images: Tensor, modality: str) -> Tensor:
        features = self._encode(images, modality) if self.knows_modality else self._encode(images)
        return torch.nn.functional.normalize(features.float(), dim=-1)

    def describe(self) -> dict:
        return {}
