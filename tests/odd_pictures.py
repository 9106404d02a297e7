"""Odd files, made here: those that viewers show, and those that nothing reads."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, features

SIDE = 40  # of all of them, 30 high
RAMP = np.arange(SIDE * 30, dtype=np.uint16).reshape(30, SIDE)
COLOURS = np.random.default_rng(0).integers(0, 256, (30, SIDE, 3), dtype=np.uint8)


def chunk(kind: bytes, data: bytes, crc: int = 0) -> bytes:
    """A PNG's chunk; ``crc`` is added to its right checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", (zlib.crc32(kind + data) + crc) % 2**32)


def png(depth=8, colour=2, rows=None, before=(), after=(), end=True, damage=0) -> bytes:
    """A PNG written by hand: 8-bit colours unless told otherwise, with chunks before and after its pixels."""
    rows = [row.tobytes() for row in COLOURS] if rows is None else rows
    pixels = bytearray(zlib.compress(b"".join(b"\0" + row for row in rows)))
    if damage:
        pixels[len(pixels) // 2] ^= damage
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, len(rows), depth, colour, 0, 0, 0))
    last = chunk(b"IEND", b"") if end else b""
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(before) + chunk(b"IDAT", bytes(pixels)) + b"".join(after) + last


def exif(*entries, cut=None) -> bytes:
    """EXIF of entries (tag, type, count, four bytes of value)."""
    body = b"II*\0" + struct.pack("<IH", 8, len(entries))
    body += b"".join(struct.pack("<HHI", tag, kind, count) + value for tag, kind, count, value in entries) + bytes(4)
    return body[:cut]


ORIENTED = (0x0112, 3, 1, struct.pack("<HH", 6, 0))  # a quarter turn
NEGATIVE = (0x9203, 9, 1, struct.pack("<i", -5))  # a signed number below 0
EXIFS = {
    "negative": exif(ORIENTED, NEGATIVE), "negative_rational": exif(ORIENTED, (0x9204, 10, 1, b"\xff\xff\xff\x7f")),
    "lies": exif(ORIENTED, (0x010E, 2, 2**31, b"\0\0\0\x7f")), "of_no_type": exif(ORIENTED, (0x0100, 99, 1, bytes(4))),
    "circular": exif(ORIENTED, (0x8769, 4, 1, struct.pack("<I", 8))), "cut": exif(ORIENTED, cut=14),
    "nowhere": exif(ORIENTED, (0x8825, 4, 1, b"\xff\xff\xff\xff")), "text": b"no EXIF at all", "empty": b"",
    "nine": exif((0x0112, 3, 1, struct.pack("<HH", 9, 0))), "a_word": exif((0x0112, 2, 4, b"six\0")),
    "three": exif((0x0112, 3, 2, struct.pack("<HH", 6, 6))), "double": b"Exif\0\0" + exif(ORIENTED),
}  # fmt: skip


def saved(kind: str, image=None, **options) -> bytes:
    out = io.BytesIO()
    (image or Image.fromarray(COLOURS)).save(out, kind, **options)
    return out.getvalue()


def jpeg_with(data: bytes, marker: bytes = b"\xff\xe1") -> bytes:
    """A JPEG with a segment of these bytes at its head."""
    whole = saved("JPEG")
    return whole[:2] + marker + struct.pack(">H", len(data) + 2) + data + whole[2:]


def icc(size: int) -> bytes:
    return chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(size)))


def text(size: int, kind: bytes = b"zTXt") -> bytes:
    middle = {b"zTXt": b"Comment\0\0", b"iTXt": b"Comment\0\1\0\0\0", b"tEXt": b"Comment\0"}[kind]
    return chunk(kind, middle + (b"x" * size if kind == b"tEXt" else zlib.compress(b"x" * size)))


WIDE = [row.astype(">u2").tobytes() for row in 50 * RAMP]  # 0 to 59,950, by 50
CLEAR_WIDE = chunk(b"tRNS", struct.pack(">H", 50 * 600))  # one of its shades, in the middle
WIDE_COLOURS = [row.astype(">u2").tobytes() for row in COLOURS.astype(np.uint16) * 257]
NIBBLES = [bytes(16 * (x % 16) + (x + 1) % 16 for x in range(y, y + SIDE, 2)) for y in range(30)]


def picture(pixels: np.ndarray = COLOURS, mode: str = "") -> Image.Image:
    return Image.fromarray(pixels).convert(mode) if mode else Image.fromarray(pixels)


WIDE_COLOUR = (COLOURS[3, 4].astype(np.uint16) * 257).astype(">u2").tobytes()
CLEAR = picture(np.dstack([COLOURS, COLOURS[..., 0]]))
SIDEWAYS, UPSIDE_DOWN = {"tiffinfo": {0x0112: 6}}, {"tiffinfo": {0x0112: 3}}
PIXELS = {  # PNGs of COLOURS, with what is wrong or too much beside the pixels
    "plain": png(),
    "text": png(before=[text(3 * 2**20)]),
    "text_after": png(after=[text(3 * 2**20)]),
    "international": png(before=[text(2**21, b"iTXt")]),
    "texts": png(before=[text(2**20 - 1)] * 70),
    "long_text": png(before=[text(2**21, b"tEXt")]),
    "bad_text": png(before=[chunk(b"zTXt", b"x\0\5x")]),
    "profile": png(before=[icc(5 * 2**20)]),
    "profile_of_a_kind": png(before=[chunk(b"iCCP", b"x\0\7x")]),
    "bad_profile": png(before=[chunk(b"iCCP", b"x")]),
    "gamma": png(before=[chunk(b"gAMA", b"\0")]),
    "chroma": png(before=[chunk(b"cHRM", b"\0")]),
    "dots": png(before=[chunk(b"pHYs", b"\0")]),
    "checksum": png(before=[chunk(b"tEXt", b"a\0b", crc=1)]),
    "time": png(after=[chunk(b"tIME", b"\1", crc=9)]),
    "short_clear": png(before=[chunk(b"tRNS", b"\0")]),
    "own": png(before=[chunk(b"prVt", b"x" * 99)]),
    "frames": png(before=[chunk(b"acTL", struct.pack(">II", 0, 0))]),
    "no_end": png(end=False),
    "trailing": png() + b"more" * 99,
}
SHOWN = {  # what viewers show
    **{f"{name}.png": content for name, content in PIXELS.items()},
    "wide.png": png(16, 0, WIDE),
    "wide_clear.png": png(16, 0, WIDE, [CLEAR_WIDE]),
    "wide_clear_text.png": png(16, 0, WIDE, [CLEAR_WIDE, text(2**21)]),
    "wide_colours_clear.png": png(16, 2, WIDE_COLOURS, [chunk(b"tRNS", WIDE_COLOUR)]),
    "wide_alpha.png": png(16, 4, [np.stack([50 * row, 54 * row], 1).astype(">u2").tobytes() for row in RAMP]),
    "nibbles_clear.png": png(4, 0, NIBBLES, [chunk(b"tRNS", struct.pack(">H", 7))]),
    "bits_clear.png": png(1, 0, [bytes([0x5A] * 5)] * 30, [chunk(b"tRNS", struct.pack(">H", 0))]),
    "grey_clear.png": png(8, 0, [row.astype(np.uint8).tobytes() for row in RAMP // 5], [chunk(b"tRNS", b"\0\x64")]),
    "palette.png": saved("PNG", picture().quantize(9), transparency=bytes(range(0, 90, 10))),
    **{f"exif_{name}.png": png(before=[chunk(b"eXIf", data)]) for name, data in EXIFS.items()},
    **{f"exif_{name}_after.png": png(after=[chunk(b"eXIf", data)]) for name, data in EXIFS.items()},
    **{f"exif_{name}.jpg": jpeg_with(b"Exif\0\0" + data) for name, data in EXIFS.items()},
    **{f"exif_{name}.webp": saved("WEBP", exif=data) for name, data in EXIFS.items() if data},
    "plain.jpg": saved("JPEG"),
    "trailing.jpg": saved("JPEG") + b"more",
    "progressive.jpg": saved("JPEG", progressive=True),
    "cmyk.jpg": saved("JPEG", picture(mode="CMYK")),
    "grey.jpg": saved("JPEG", picture(mode="L")),
    "jfif.jpg": jpeg_with(b"JFIF\0", b"\xff\xe0"),
    "adobe.jpg": jpeg_with(b"Adobe", b"\xff\xee"),
    "icc_part.jpg": jpeg_with(b"ICC_PROFILE\0\2\3xxxx", b"\xff\xe2"),
    "mpf.jpg": jpeg_with(b"MPF\0II*\0garbage", b"\xff\xe2"),
    "photoshop.jpg": jpeg_with(b"Photoshop 3.0\x008BIM\4\4\0", b"\xff\xed"),
    "xmp.jpg": jpeg_with(b"http://ns.adobe.com/xap/1.0/\0<x"),
    "no_tables.jpg": saved("JPEG").replace(b"\xff\xc4", b"\xff\xfe"),  # viewers have the usual ones
    "multi.mpo": saved("MPO", save_all=True, append_images=[picture(255 - COLOURS)]),
    "turned.tif": saved("TIFF", **SIDEWAYS),
    "lzw.tif": saved("TIFF", compression="tiff_lzw", **UPSIDE_DOWN),
    "grey_turned.tif": saved("TIFF", picture(COLOURS[..., 0]), **SIDEWAYS),
    "clear_turned.tif": saved("TIFF", CLEAR, **SIDEWAYS),
    "wide.tif": saved("TIFF", picture(50 * RAMP)),
    "wide_turned.tif": saved("TIFF", picture(50 * RAMP), **SIDEWAYS),
    "details.tif": saved("TIFF", tiffinfo={0x8769: 2**30}),
    "pages.tif": saved("TIFF", save_all=True, append_images=[Image.new("L", (9, 9))]),
    "anim.gif": saved("GIF", save_all=True, append_images=[picture(255 - COLOURS)]),
    "cut_anim.gif": saved("GIF", save_all=True, append_images=[picture(255 - COLOURS)])[:-300],
    "clear.gif": saved("GIF", picture().quantize(9), transparency=3),
    "plain.bmp": saved("BMP"),
    **({"exif_negative.avif": saved("AVIF", exif=EXIFS["negative"])} if features.check("avif") else {}),
    "wide.pgm": saved("PPM", picture(50 * RAMP)),
    "clear.webp": saved("WEBP", CLEAR, lossless=True),
}

BROKEN = {  # what is damaged where its pixels are, or no picture
    "empty.png": b"",
    "words.png": b"hello",
    "head.png": png()[:40],
    "cut.png": png()[:-400],
    "damaged.png": png(damage=64),
    "head.jpg": saved("JPEG")[:100],
    "cut.jpg": saved("JPEG")[:-300],
    "last_bytes.jpg": saved("JPEG")[:-3],
    "ended.jpg": saved("JPEG")[:160] + b"\xff\xd9",
    "lossless.jpg": saved("JPEG").replace(b"\xff\xc0", b"\xff\xc3"),
    "twelve_bits.jpg": saved("JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
    "float.tif": saved("TIFF", Image.new("F", (9, 9))),
    "signed.tif": saved("TIFF", Image.new("I", (9, 9))),
    "lab.tif": saved("TIFF", Image.new("LAB", (9, 9))),
    "cut.tif": saved("TIFF")[:-500],
    "cut.gif": saved("GIF")[:-200],
    "cut.webp": saved("WEBP")[:-99],
    "cut.bmp": saved("BMP")[:-99],
    "cut.ppm": saved("PPM")[:-99],
}
