"""Image files: which names they have, what reads them, and (out of :mod:`splip.data.decode`) what they show."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Dict, Union

import PIL
from PIL import Image, features

from splip.data import decode
from splip.data.decode import FORMATS, IMAGE_SUFFIXES, MAX_PIXELS, as_rgb, describe_image, open_rgb

__all__ = [
    "FORMATS", "IMAGE_SUFFIXES", "MAX_PIXELS", "READER", "as_rgb", "describe_image", "describe_skipped",
    "has_image_suffix", "is_file", "is_hidden", "kind_of", "open_rgb", "readers",
]  # fmt: skip

READER = 3  # of decode.py: another one where it reads what it refused, or gives other pixels


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden: macOS's ``._x.jpg``, ``.ipynb_checkpoints`` and the like."""
    return name.startswith(".")


def has_image_suffix(name: str) -> bool:
    """Whether a file of this name counts as an image; hidden ones do not."""
    return not is_hidden(name) and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def kind_of(name: str) -> str:
    """What a file that is no image is counted as: its suffix in small letters, "without suffix" or "hidden"."""
    return "hidden" if is_hidden(name) else os.path.splitext(name)[1].lower() or "without suffix"


def describe_skipped(skipped: Dict[str, int]) -> str:
    """"3 .heic, 1 hidden", the most first; "" where nothing was skipped."""
    order = sorted(skipped.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {kind}" for kind, count in order if count)


def is_file(path: Union[str, Path]) -> bool:
    """Whether a plain file is there, or a link to one; a link that leads in a circle is none."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def readers() -> str:
    """Which versions read images here: what one of them refused, another may read."""
    codecs = [f"{name} {features.version(name)}" for name in ("jpg", "zlib", "libtiff", "webp", "avif")]
    faster = getattr(decode.simplejpeg, "__version__", decode.simplejpeg is not None)
    Image.init()
    formats = " ".join(sorted(Image.OPEN))
    return f"{READER}, Pillow {PIL.__version__}, {', '.join(codecs)}, simplejpeg {faster}, {formats}"
