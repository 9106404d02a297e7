"""Identify by its first bytes a file that no image reader accepts; and reduce an image file to its pixels."""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import BinaryIO, Dict, Iterable, List, Optional, Tuple

from PIL import Image, __version__

HEAD = 4096  # bytes that are read
EXPORT, SAVE = "export it as PNG", "save it as JPEG or PNG"

# First bytes, kind of file, advice.
PREFIXES: Tuple[Tuple[bytes, str, str], ...] = (
    (b"8BPS", "a Photoshop file (PSD)", EXPORT),
    (b"%!PS", "a PostScript file (EPS)", EXPORT),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file (EPS)", EXPORT),
    (b"gimp xcf", "a GIMP file (XCF)", EXPORT),
    (b"CSFCHUNK", "a Clip Studio file", EXPORT),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile (WMF)", EXPORT),
    (b"AT&TFORM", "a DjVu document", EXPORT),
    (b"\x1f\x8b", "a packed file (gzip, as SVGZ is)", EXPORT),
    (b"PK\x03\x04", "a ZIP archive (as files of Krita, Sketch, Procreate and Office are)", EXPORT),
    (b"\0\0\1\0", "an icon (ICO)", SAVE),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture", SAVE),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture", SAVE),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture", SAVE),
    (b"\xff\x0a", "a JPEG XL picture", SAVE),
    (b"\x76\x2f\x31\x01", "an OpenEXR picture", SAVE),
    (b"#?RADIANCE", "a Radiance picture (HDR)", SAVE),
    (b"qoif", "a QOI picture", SAVE),
    (b"FUJIFILMCCD-RAW", "a camera's raw file (RAF)", SAVE),
    (b"\x1aE\xdf\xa3", "a film (WebM)", "save a frame of it as PNG"),
    (b"version https://git-lfs", "not the file but Git LFS's note of it", "git lfs pull fetches the file"),
)
HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
MARKUP = (  # first text of a file, after any XML prologue
    (b"<svg", "an SVG drawing", f"pip install resvg-py, or {EXPORT}"),
    (b"<!doctype html", "a web page, as a failed download leaves", "fetch the file again"),
    (b"<html", "a web page, as a failed download leaves", "fetch the file again"),
    (b'"excalidraw', "an Excalidraw drawing", EXPORT),
)
SUFFIXES: Dict[str, str] = {  # of image and drawing formats that are not read, with their names
    **dict.fromkeys((".heic", ".heif"), "HEIC"), **dict.fromkeys((".svg", ".svgz"), "SVG"), ".pdf": "PDF",
    ".psd": "PSD", ".ai": "AI", ".eps": "EPS", ".xcf": "XCF", ".kra": "KRA", ".jxl": "JPEG XL", ".jp2": "JPEG 2000",
    ".ico": "ICO", ".tga": "TGA", ".cr2": "CR2", ".cr3": "CR3", ".nef": "NEF", ".arw": "ARW", ".dng": "DNG",
}  # fmt: skip
NEEDS = {"HEIC": "pillow-heif", "SVG": "resvg-py"}  # packages that read a format, if they are installed


def describe_content(file: BinaryIO) -> str:
    """ "it is a PDF document, which is not read: export it as PNG"; "" if it is unknown."""
    file.seek(0)
    head = file.read(HEAD)
    if not head:
        return "the file is empty"
    what, todo = _kind(head)
    return f"it is {what}: {todo}" if todo.startswith("git") else what and f"it is {what}, which is not read: {todo}"


def advise(names: Iterable[str]) -> str:
    """ " (HEIC and SVG are not read: save them as JPEG or PNG)" if the names or suffixes have such formats."""
    found = sorted({SUFFIXES.get((os.path.splitext(name)[1] or name).lower(), "") for name in names} - {""})
    more = " and ".join(f"pip install {NEEDS[name]}" for name in found if name in NEEDS)
    how = "save as JPEG or PNG" + (f", or {more}" if more else "")
    return f" ({' and '.join(found)} {'is' if len(found) == 1 else 'are'} not read: {how})" * bool(found)


def _kind(head: bytes) -> Tuple[str, str]:
    for prefix, what, todo in PREFIXES:
        if head.startswith(prefix):
            return what, todo
    if b"%PDF-" in head[:1024]:  # PDF readers allow other bytes before it
        return "a PDF document", EXPORT
    if head[4:8] == b"ftyp":
        return _of_boxes(head[8 : min(len(head), max(16, struct.unpack(">I", head[:4])[0]))])
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "a film (AVI)", "save a frame of it as PNG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP" and "WEBP" not in Image.OPEN:
        return "a WebP picture", "install a Pillow that was built with WebP"
    text = head.replace(b"\0", b"").lower()  # also UTF-16
    found = [(text.find(mark), what, todo) for mark, what, todo in MARKUP if mark in text]
    return min(found)[1:] if found else ("", "")


def _of_boxes(brands: bytes) -> Tuple[str, str]:
    """The kind of an ISO media file, from its brands."""
    if b"avif" in brands or b"avis" in brands:
        if "AVIF" in Image.OPEN:
            return "", ""  # damaged
        return "an AVIF picture", f"Pillow {__version__} cannot; 11.3 and newer can: pip install -U pillow"
    if any(brand in brands for brand in HEIF):
        return ("", "") if "HEIF" in Image.OPEN else ("a HEIC picture", f"pip install pillow-heif, or {SAVE}")
    if brands.startswith(b"crx"):
        return "a camera's raw file (CR3)", SAVE
    return "a film (MP4 or QuickTime)", "save a frame of it as PNG"


PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
SHORTEST = {0: 2, 2: 6}  # bytes of a PNG's transparency, by its colour type
SEGMENTS = {0xE0: (b"JFIF\0", 14), 0xE1: (b"Exif\0\0", 14), 0xEE: (b"Adobe", 12)}  # JPEG segments that change its look


def only_pixels(file: BinaryIO) -> Optional[BinaryIO]:
    """A PNG or JPEG without texts, profiles and other parts that do not change how it looks; None if it is neither, or
    has no such parts: then they are not the cause of the error.

    Image viewers show a file whose texts are damaged or decompress to more than Pillow allows; Pillow rejects it.
    """
    file.seek(0)
    start = file.read(len(PNG))
    if start == PNG:
        kept, left_out = _chunks(file)
        return io.BytesIO(b"".join([PNG, *kept])) if left_out else None
    if start.startswith(JPEG):
        file.seek(2)
        kept, left_out = _segments(file)
        return io.BytesIO(b"".join([JPEG[:2], *kept, file.read()])) if left_out else None
    return None


def _chunks(file: BinaryIO) -> Tuple[List[bytes], int]:
    """A PNG's kept chunks (pixels, palette, transparency, orientation), and the number of the removed ones."""
    kept: List[bytes] = []
    left_out, colour = 0, -1
    head = file.read(8)
    while len(head) == 8:
        length, kind = struct.unpack(">I4s", head)
        body = file.read(length + 4)
        if kind == b"IHDR" and length >= 10:
            colour = body[9]
        sound = body[-4:] == struct.pack(">I", zlib.crc32(kind + body[:-4]))
        clear = kind == b"tRNS" and length >= SHORTEST.get(colour, 0)
        if not kind[:1].islower() or (sound and (clear or kind == b"eXIf")):
            kept.append(head + body)
        else:
            left_out += 1
        head = file.read(8)
    return kept, left_out


def _segments(file: BinaryIO) -> Tuple[List[bytes], int]:
    """The same for the segments of a JPEG, up to the start of its pixels."""
    kept: List[bytes] = []
    left_out = 0
    while True:
        at = file.tell()
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (0xFF, 0xDA, 0xD9):  # pixels, or not understood
            file.seek(at)
            return kept, left_out
        length = struct.unpack(">H", head[2:])[0]
        body = file.read(max(0, length - 2))
        start, least = SEGMENTS.get(head[1], (b"", 2**16))
        if 0xE0 <= head[1] <= 0xEF or head[1] == 0xFE:
            if not (body.startswith(start) and len(body) >= least and (head[1] != 0xE1 or _is_exif(body))):
                left_out += 1
                continue
        kept.append(head + body)


def _is_exif(data: bytes) -> bool:
    try:
        exif = Image.Exif()
        exif.load(data)
        return exif.get(0x0112, 1) in range(10)
    except Exception:  # Pillow's reader raises many types of error for damaged data
        return False
