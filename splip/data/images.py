"""Image files: which names they have, and what they show as 8-bit RGB.

One list of formats and suffixes for data sets, search and the app, whatever this machine's Pillow could open besides:
some of Pillow's readers start other programs (EPS), others stand for films or documents.
"""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Dict, Optional, Tuple, Union

import numpy as np
import PIL
from PIL import Image, ImageOps, UnidentifiedImageError, features

try:
    import simplejpeg
except ModuleNotFoundError:
    simplejpeg = None

FORMATS: Dict[str, Tuple[str, ...]] = {  # Pillow's names, with the suffixes that files of that kind have
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".mpo",),  # what some cameras write under .jpg, too
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),  # Pillow 11.3 and newer
}
IMAGE_SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
READER = 2  # of this file: another one where it reads what it refused, or gives other pixels
MAX_PIXELS = 2**27  # of one image; what it takes to read one this large stays below 2 GB

OPAQUE = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr")  # modes that Pillow converts right
CLEAR = ("LA", "PA", "RGBA", "La", "RGBa")  # likewise, with transparency
WIDE = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # grey of more than 8 bits, which Pillow would clip at 255


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


def open_rgb(
    source: Union[str, os.PathLike, BinaryIO], at_least: int = 0, keep_alpha: bool = False
) -> Image.Image:
    """The image in a file as RGB: upright as its EXIF says, transparent parts on white, 16-bit grey scaled to 8.

    Of an animation or several pages, the first. Colour profiles are left alone, as CLIP's preprocessing does.

    Args:
        at_least: pixels of the shorter side that are needed; a much larger JPEG is decoded at an eighth, a quarter or
            half of its size, several times as fast. 0 = as it is.
        keep_alpha: an image with transparency stays as it is, RGBA.

    Raises:
        ValueError: naming the file: it is not there, of no format in ``FORMATS``, damaged, larger than ``MAX_PIXELS``,
            or holds values of no known range (32-bit grey, floating point) or colour space (Lab).
    """
    name = source if isinstance(source, (str, os.PathLike)) else getattr(source, "name", "that was sent")
    try:
        if name is source and not stat.S_ISREG(os.stat(source).st_mode):  # a pipe would be waited for
            raise ValueError("it is no file")
        with Image.open(source, formats=_readable()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"its {image.width:,} x {image.height:,} pixels are more than {MAX_PIXELS:,}")
            if image.format == "JPEG" and not at_least and isinstance(source, (str, os.PathLike)):
                decoded = _decode_jpeg(source, image)
                if decoded is not None:
                    return decoded
            if at_least and image.mode in ("RGB", "L"):
                scale = 2 * at_least / min(image.size)  # twice, so that the resize that follows has something to do
                if scale < 1:
                    image.draft(None, (max(1, int(image.width * scale)), max(1, int(image.height * scale))))
            if keep_alpha and (image.mode in CLEAR or "transparency" in image.info):
                _require_mode(image)
                ImageOps.exif_transpose(image, in_place=True)
                return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
            return _to_rgb(image)
    except Exception as error:  # Pillow's readers raise a different type for each way in which a file can be broken
        raise ValueError(f"cannot read image {os.fspath(name)!r}: {_reason(source, error)}") from error


def _decode_jpeg(path: Union[str, os.PathLike], opened: Image.Image) -> Optional[Image.Image]:
    """The same pixels as Pillow's from the same libjpeg-turbo, 1.4 times as fast (benchmarks/loading.py), where
    simplejpeg is installed; None where Pillow has to do it: turned, in other colours, or anything but whole.
    """
    if simplejpeg is None or opened.mode not in ("RGB", "L") or opened.getexif().get(0x0112, 1) != 1:
        return None
    try:
        pixels = simplejpeg.decode_jpeg(Path(path).read_bytes(), strict=True)
    except ValueError:
        return None
    return Image.fromarray(pixels) if pixels.shape[1::-1] == opened.size else None


def as_rgb(image: Image.Image) -> Image.Image:
    """A picture at hand as :func:`open_rgb` would show its file.

    Raises:
        ValueError: its pixels have no known range (32-bit grey, floating point) or colour space.
    """
    return image if image.mode == "RGB" and not image.getexif() else _to_rgb(image.copy())


def describe_image(path: Union[str, os.PathLike]) -> Tuple[int, int]:
    """(width, height) of an image that can be read, found out at little cost.

    A JPEG with its end mark and a PNG with right checksums are believed, anything else is decoded.

    Raises:
        ValueError: as :func:`open_rgb`.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("it is no file")
        with Image.open(path, formats=_readable()) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"its {image.width:,} x {image.height:,} pixels are more than {MAX_PIXELS:,}")
            _require_mode(image)
            size, kind = image.size, image.format
            if kind == "PNG":
                image.verify()
        if kind != "PNG" and not (kind in ("JPEG", "MPO") and _ends(path)):
            return open_rgb(path).size
        return size
    except Exception as error:
        raise ValueError(f"cannot read image {os.fspath(path)!r}: {_reason(path, error)}") from error


@lru_cache(maxsize=1)
def _readable() -> Tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)  # a Pillow may be built without some of them


def readers() -> str:
    """Which versions read images here: what one of them refused, another may read."""
    codecs = [f"{name} {features.version(name)}" for name in ("jpg", "zlib", "libtiff", "webp", "avif")]
    faster = getattr(simplejpeg, "__version__", simplejpeg is not None)
    Image.init()
    formats = " ".join(sorted(Image.OPEN))
    return f"{READER}, Pillow {PIL.__version__}, {', '.join(codecs)}, simplejpeg {faster}, {formats}"


def _reason(source, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        size = os.path.getsize(source) if isinstance(source, (str, os.PathLike)) else source.seek(0, os.SEEK_END)
        if not size:
            return "the file is empty"
        return f"its content is none of {', '.join(_readable())}, or damaged from the start"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror  # without the path, which stands before it
    return str(error) or type(error).__name__


def _require_mode(image: Image.Image) -> None:
    if image.mode == "I" and image.format not in ("PNG", "PPM"):  # of these, Pillow gives 0 to 65535
        raise ValueError("32-bit grey values have no known range; save it with 8 or 16 bits")
    if image.mode not in (*OPAQUE, *CLEAR, *WIDE):
        raise ValueError(f"pixels of mode {image.mode!r} have no known range as RGB; save it with 8 or 16 bits")


def _ends(path: Union[str, os.PathLike]) -> bool:
    """Whether a JPEG file's last bytes are its end mark."""
    with open(path, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 2))
        return file.read() == b"\xff\xd9"


def _to_rgb(image: Any) -> Image.Image:
    _require_mode(image)
    if image.mode in WIDE:
        image = _from_wide(image)
        ImageOps.exif_transpose(image, in_place=True)
        return image
    clear = image.mode in CLEAR or "transparency" in image.info
    tile = getattr(image, "tile", None)  # of a picture that came from a file
    if tile and tile[0][3] == "RGB;16B" and clear:  # Pillow keeps the high byte of a colour, and of this
        image.info["transparency"] = tuple(value >> 8 for value in image.info["transparency"])  # the low one
    ImageOps.exif_transpose(image, in_place=True)
    if not clear:
        return image.convert("RGB")
    shown = Image.new("RGB", image.size)
    rows = max(1, 2**22 // image.width)  # at a time: four copies of a large picture are too much memory
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        strip = (strip.convert("LA") if strip.mode == "La" else strip).convert("RGBA")  # Pillow's only way from La
        shown.paste(Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB"), (0, top))
    return shown


def _from_wide(image: Any) -> Image.Image:
    """16-bit grey (or what a TIFF has of bits) as RGB, black to white over the whole range."""
    white, inverted = 2**16 - 1, False
    if image.format == "TIFF":
        white = 2 ** min(16, int(np.max(image.tag_v2.get(258, 16)))) - 1  # BitsPerSample
        inverted = image.tag_v2.get(262) == 0  # PhotometricInterpretation: 0 is white; Pillow turns 8 bits only
    values = np.arange(2**16).clip(max=white)
    table = ((values * 255 + white // 2) // white).astype(np.uint8)
    if inverted:
        table = 255 - table
    clear = image.info.get("transparency")  # a PNG's one grey value that is not drawn
    if isinstance(clear, int):
        table[clear] = 255
    exif = image.getexif()
    grey = Image.fromarray(table[np.asarray(image)]).convert("RGB")
    if exif.get(0x0112):
        grey.getexif()[0x0112] = exif[0x0112]  # for the caller to turn it by
    return grey
