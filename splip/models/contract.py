"""What a frozen encoder of a user's own must be (``splip evaluate --encoder FILE.py:f``), tried before it is used."""

from __future__ import annotations

from typing import Any, Callable

import torch
from PIL import Image
from torch import Tensor

CONTRACT = (
    "FILE.py:f is a function f(device) that returns (encode, transform); transform(picture) makes of an RGB picture of "
    "Pillow's a float tensor (channels, height, width), always of one shape; encode(images) makes of a batch of them "
    "on the device a float tensor (images, numbers)"
)


@torch.no_grad()
def try_out(encode: Callable[..., Any], transform: Callable[..., Any], device: str) -> None:
    """Embed two pictures of different shapes. Later a fault would be a traceback of ours, or a number.

    Raises:
        ValueError: what is not as the contract has it, and the contract.
    """
    step = "transform"
    try:
        pictures = Image.new("RGB", (64, 48), "white"), Image.new("RGB", (40, 72), "red")
        images = [transform(picture) for picture in pictures]
        for image in images:
            if not (isinstance(image, Tensor) and image.is_floating_point() and image.dim() == 3):
                raise ValueError(f"it gave {_described(image)}")
        if images[0].shape != images[1].shape:
            raise ValueError(f"it gave shapes {tuple(images[0].shape)} and {tuple(images[1].shape)}")
        step = "encode"
        features = encode(torch.stack(images).float().to(device))
        if not (isinstance(features, Tensor) and features.is_floating_point() and features.dim() == 2):
            raise ValueError(f"it gave {_described(features)}")
        if len(features) != 2:
            raise ValueError(f"of two images it gave {_described(features)}")
        if not features.isfinite().all():
            raise ValueError("what it gave is not finite")
    except Exception as error:  # of a user's code
        said = " ".join(str(error).split())[:200] or type(error).__name__
        raise ValueError(f"{step} failed on a white and a red picture: {said}. {CONTRACT}") from error


def _described(value: Any) -> str:
    """ "a torch.uint8 tensor (3, 6, 6)", "a tuple"."""
    if isinstance(value, Tensor):
        return f"a {value.dtype} tensor {tuple(value.shape)}"
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" + (f" {tuple(shape)}" if isinstance(shape, tuple) else "")
