"""Read an image file as 8-bit RGB.

Data sets, search and the app share one list of formats and suffixes, even if this machine's Pillow can open more:
some of Pillow's readers start other programs (EPS), others are for videos or documents.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from functools import lru_cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, BinaryIO, Callable, Dict, Optional, Tuple, Union

import numpy as np
from PIL import Image, UnidentifiedImageError

from splip.data import svg
from splip.data.contents import describe_content, only_pixels

try:
    import simplejpeg
except ModuleNotFoundError:
    simplejpeg = None
pillow_heif: Any = import_module("pillow_heif") if find_spec("pillow_heif") else None
if pillow_heif:
    pillow_heif.register_heif_opener()

FORMATS: Dict[str, Tuple[str, ...]] = {  # Pillow's format names, with their file suffixes
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".mpo",),  # some cameras also write it as .jpg
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),  # Pillow 11.3 and newer
    **({"HEIF": (".heic", ".heif", ".hif")} if pillow_heif else {}),
    **({"SVG": (".svg",)} if svg.resvg_py else {}),
}
IMAGE_SUFFIXES = frozenset(suffix for suffixes in FORMATS.values() for suffix in suffixes)
MAX_PIXELS = 2**27  # of one image; reading one of this size takes less than 2 GB

OPAQUE = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr")  # modes that Pillow converts correctly
CLEAR = ("LA", "PA", "RGBA", "La", "RGBa")  # the same, with transparency
TURNS = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
SIDEWAYS = [TURNS[value] for value in (5, 6, 7, 8)]
WIDE = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # grey with more than 8 bits, which Pillow would clip at 255


def open_rgb(source: Union[str, os.PathLike, BinaryIO], at_least: int = 0, keep_alpha: bool = False) -> Image.Image:
    """The image in a file as RGB: rotated by its EXIF, transparent parts on white, 16-bit grey scaled to 8 bits.

    Of an animation or several pages, the first is read. Colour profiles are ignored, as in CLIP's preprocessing.
    Damage outside the pixels (texts, profiles, EXIF) is ignored, as in an image viewer.

    Args:
        at_least: pixels that the shorter side needs; a much larger JPEG is decoded at an eighth, a quarter or
            half of its size, several times as fast. 0 = full size.
        keep_alpha: return an image with transparency as RGBA.

    Raises:
        ValueError: the file is missing, not of a format in ``FORMATS``, damaged, larger than ``MAX_PIXELS``, or has
            values of an unknown range (32-bit grey, floating point) or colour space (Lab). The message names the file.
    """
    return _read(source, at_least, keep_alpha)[0]


def describe_image(path: Union[str, os.PathLike]) -> Tuple[int, int]:
    """(width, height) of the image that :func:`open_rgb` returns.

    It reads the image in the same way, a large JPEG at an eighth of its size: cheaper checks (an end mark, checksums)
    do not show whether reading works.

    Raises:
        ValueError: as :func:`open_rgb`.
    """
    return _read(path, 1, False)[1]


def as_rgb(image: Image.Image, keep_alpha: bool = False) -> Image.Image:
    """An image in memory as :func:`open_rgb` returns it from a file.

    Raises:
        ValueError: its pixels have an unknown range (32-bit grey, floating point) or colour space.
    """
    ready = image.mode == "RGB" or (keep_alpha and image.mode == "RGBA")
    if ready and "transparency" not in image.info and _turn(image) is None:
        return image
    return _shown(image, keep_alpha)


def _read(source: Any, at_least: int, keep_alpha: bool) -> Tuple[Image.Image, Tuple[int, int]]:
    """The result of :func:`open_rgb`, and the size of the image in the file after rotation."""
    name = source if isinstance(source, (str, os.PathLike)) else getattr(source, "name", "that was sent")
    try:
        if name is not source:
            return _read_file(source, at_least, keep_alpha)
        if not stat.S_ISREG(os.stat(source).st_mode):  # reading a pipe could wait forever
            raise ValueError("it is no file")
        # not the path: Pillow maps wrong pixels into memory for a TIFF that needs rotation
        with open(source, "rb") as file:
            return _read_file(file, at_least, keep_alpha)
    except Exception as error:  # Pillow's readers raise many types of error for damaged files
        raise ValueError(f"cannot read image {os.fspath(name)!r}: {_reason(error)}") from error


def _read_file(file: BinaryIO, at_least: int, keep_alpha: bool) -> Tuple[Image.Image, Tuple[int, int]]:
    try:
        return _decode(file, at_least, keep_alpha)
    except UnidentifiedImageError as error:
        what = describe_content(file)
        if svg.resvg_py is not None and what.startswith("it is an SVG"):
            return _decode(svg.as_png(file), at_least, keep_alpha)
        if what:
            raise ValueError(what) from error
        bare = only_pixels(file)  # None unless it is a PNG or a JPEG
        if bare is None:
            raise
    except (ValueError, SyntaxError, OSError, EOFError, IndexError, TypeError, struct.error, zlib.error):
        bare = only_pixels(file)
        if bare is None:
            raise
    return _decode(bare, at_least, keep_alpha)


def _decode(file: BinaryIO, at_least: int, keep_alpha: bool) -> Tuple[Image.Image, Tuple[int, int]]:
    with Image.open(file, formats=_readable()) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise ValueError(f"its {width:,} x {height:,} pixels are more than {MAX_PIXELS:,}")
        if image.format == "JPEG" and not at_least:
            decoded = _decode_jpeg(file, image)
            if decoded is not None:
                return decoded, decoded.size
        drafted = None
        if at_least and image.mode in ("RGB", "L"):
            scale = 2 * at_least / min(width, height)  # twice, so that the later resize still reduces it
            if scale < 1:
                drafted = image.draft(None, (max(1, int(width * scale)), max(1, int(height * scale))))
        shown = _shown(image, keep_alpha)
        if drafted is None:
            return shown, shown.size
        return shown, (height, width) if _turn(image) in SIDEWAYS else (width, height)


def _decode_jpeg(file: BinaryIO, opened: Image.Image) -> Optional[Image.Image]:
    """Decode with simplejpeg, if installed: the same pixels as Pillow from the same libjpeg-turbo, 1.4 times as fast
    (benchmarks/loading.py). None if Pillow must decode it: rotated, in other colours, or incomplete.
    """
    if simplejpeg is None or opened.mode not in ("RGB", "L") or _turn(opened) is not None:
        return None
    at = file.tell()
    file.seek(0)
    content = file.read()
    file.seek(at)
    try:
        pixels = simplejpeg.decode_jpeg(content, strict=True)
    except ValueError:
        return None
    return Image.fromarray(pixels) if pixels.shape[1::-1] == opened.size else None


@lru_cache(maxsize=1)
def _readable() -> Tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)  # Pillow may be built without some of them


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"its content is none of {', '.join(_readable())}, or damaged from the start"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror  # without the path, which is already in the message
    return str(error) or type(error).__name__


def _require_mode(image: Image.Image) -> None:
    if image.mode == "I" and image.format not in ("PNG", "PPM"):  # for these formats Pillow gives 0 to 65535
        raise ValueError("32-bit grey values have no known range; save it with 8 or 16 bits")
    if image.mode not in (*OPAQUE, *CLEAR, *WIDE):
        raise ValueError(f"pixels of mode {image.mode!r} have no known range as RGB; save it with 8 or 16 bits")


def _turn(image: Image.Image) -> Optional[Image.Transpose]:
    """The rotation or flip that EXIF asks for; None if EXIF has no valid orientation."""
    try:
        return TURNS.get(image.getexif().get(0x0112, 1))
    except Exception:  # EXIF is often damaged, and Pillow's reader then raises many types of error
        return None


def _shown(image: Any, keep_alpha: bool) -> Image.Image:
    """A new image, RGB or (if transparency is kept) RGBA, rotated upright, without the metadata of
    ``image``, so that nobody rotates it twice.
    """
    _require_mode(image)
    clear = _clear_colour(image)  # before the pixels are loaded
    image.load()
    if clear is None and image.mode not in (*CLEAR, *WIDE):
        shown = image.convert("RGB")
    else:
        converted = _wide(image, clear) if image.mode in WIDE else partial(_rgba, clear=clear)
        kept = keep_alpha and (clear is not None or image.mode in CLEAR)
        shown = Image.new("RGBA" if kept else "RGB", image.size)
        rows = max(1, 2**22 // image.width)  # at a time: four copies of a large image take too much memory
        for top in range(0, image.height, rows):
            strip = converted(image.crop((0, top, image.width, min(top + rows, image.height))))
            if strip.mode == "RGBA" and not kept:
                strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip).convert("RGB")
            shown.paste(strip, (0, top))
    turn = _turn(image)
    shown = shown.transpose(turn) if turn is not None else shown
    shown.info = {}
    return shown


def _clear_colour(image: Any) -> Any:
    """The transparent colour of an image, in the range of its loaded pixels; None if there is none."""
    clear, tile = image.info.get("transparency"), getattr(image, "tile", None)
    layout = tile[0][3] if tile and isinstance(tile[0][3], str) else ""
    if isinstance(clear, tuple) and (layout == "RGB;16B" or max(clear) > 255):  # Pillow keeps only the high bytes
        return tuple(value >> 8 for value in clear)
    if layout in ("L;2", "L;4") and isinstance(clear, int):  # which Pillow scales to 0 to 255
        return (clear * 255 // (3 if layout == "L;2" else 15)) & 255
    return clear


def _rgba(strip: Image.Image, clear: Any) -> Image.Image:
    if clear is not None:
        strip.info["transparency"] = clear
    return (strip.convert("LA") if strip.mode == "La" else strip).convert("RGBA")  # Pillow's only way from La


def _wide(image: Any, clear: Any) -> Callable[[Image.Image], Image.Image]:
    """A function that converts strips of 16-bit grey (TIFF: of its bit depth), scaled from black to white."""
    white, inverted = 2**16 - 1, False
    if image.format == "TIFF":
        white = 2 ** min(16, int(np.max(image.tag_v2.get(258, 16)))) - 1  # BitsPerSample
        inverted = image.tag_v2.get(262) == 0  # PhotometricInterpretation: 0 is white; Pillow inverts only 8 bits
    table = ((np.arange(2**16).clip(max=white) * 255 + white // 2) // white).astype(np.uint8)
    table = 255 - table if inverted else table

    def converted(strip: Image.Image) -> Image.Image:
        grey = np.asarray(strip)
        shown = Image.fromarray(table[grey])
        if not isinstance(clear, int):
            return shown.convert("RGB")
        alpha = Image.fromarray(np.where(grey == clear, 0, 255).astype(np.uint8))
        return Image.merge("LA", [shown, alpha]).convert("RGBA")

    return converted
