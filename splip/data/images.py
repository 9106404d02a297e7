"""Image files: their names, the versions that read them, and (from :mod:`splip.data.decode`) their content."""

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

READER = 4  # version of decode.py: increase it if it accepts more files or gives other pixels


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden: macOS's ``._x.jpg``, ``.ipynb_checkpoints`` and the like."""
    return name.startswith(".")


def has_image_suffix(name: str) -> bool:
    """Whether a file of this name counts as an image; hidden files do not."""
    return not is_hidden(name) and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def kind_of(name: str) -> str:
    """The group in which a file that is not an image is counted: lower-case suffix, "without suffix" or "hidden"."""
    return "hidden" if is_hidden(name) else os.path.splitext(name)[1].lower() or "without suffix"


def describe_skipped(skipped: Dict[str, int]) -> str:
    """ "3 .heic, 1 hidden", the largest number first; "" if nothing was skipped."""
    order = sorted(skipped.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {kind}" for kind, count in order if count)


def is_file(path: Union[str, Path]) -> bool:
    """Whether the path is a regular file or a link to one; a circular link is not."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        return False


def readers() -> str:
    """The versions that read images here: another version may read what one of them rejected."""
    codecs = [f"{name} {features.version(name)}" for name in ("jpg", "zlib", "libtiff", "webp", "avif")]
    faster = getattr(decode.simplejpeg, "__version__", decode.simplejpeg is not None)
    others = [f"{m.__name__} {getattr(m, '__version__', '')}" for m in (decode.pillow_heif, decode.svg.resvg_py) if m]
    Image.init()
    formats = " ".join(sorted(Image.OPEN))
    return f"{READER}, Pillow {PIL.__version__}, {', '.join(codecs)}, simplejpeg {faster}, {formats} {' '.join(others)}"
