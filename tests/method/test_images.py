"""splip/data/images.py and the pixels that come of it: what a file shows, or a refusal that names it."""

from __future__ import annotations

import io
import os
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms as T

from splip.data import decode
from splip.data.images import IMAGE_SUFFIXES, MAX_PIXELS, describe_image, open_rgb
from splip.data.transforms import LONGEST, to_pixels

RAMP = np.arange(256, dtype=np.uint16).reshape(16, 16)


def png(width, height, depth, colour, rows, clear=b""):
    """A PNG written by hand: Pillow writes no 16-bit colours."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))]
    chunks += [(b"tRNS", clear)] if clear else []
    chunks += [(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    packed = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("name", ["grey.png", "grey.tif", "grey.pgm"])
def test_sixteen_bit_grey_keeps_its_shades(tmp_path, name):
    Image.fromarray(RAMP * 257).save(tmp_path / name)
    read = np.asarray(open_rgb(str(tmp_path / name)))
    assert all(np.array_equal(read[..., channel], RAMP) for channel in range(3)), read[..., 0]


def test_an_inverted_and_a_twelve_bit_tiff(tmp_path):
    Image.fromarray(RAMP * 257).save(tmp_path / "negative.tif", tiffinfo={262: 0})
    assert np.array_equal(np.asarray(open_rgb(str(tmp_path / "negative.tif")))[..., 0], 255 - RAMP)
    packed = bytes([0xFF, 0xF8, 0x00])  # 4095 and 2048, 12 bits each
    tags = [(256, 3, 2), (257, 3, 1), (258, 3, 12), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1), (278, 3, 1),
            (279, 4, 3)]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    content = b"II*\0" + struct.pack("<I", 12) + packed + b"\0" + struct.pack("<H", len(tags)) + entries + bytes(4)
    read = np.asarray(open_rgb(io.BytesIO(content)))[0, :, 0]
    assert read.tolist() == [255, 128], read


def test_sixteen_bit_colours_and_their_transparency():
    def read(content):
        return np.asarray(open_rgb(io.BytesIO(content)))[0].tolist()

    pixels = struct.pack(">6H", 65535, 0, 300, 0x1234, 0x1234, 0x1234)
    assert read(png(2, 1, 16, 2, [pixels])) == [[255, 0, 1], [0x12] * 3]
    clear = struct.pack(">3H", 0x1234, 0x1234, 0x1234)
    assert read(png(2, 1, 16, 2, [pixels], clear)) == [[255, 0, 1], [255] * 3]
    assert read(png(2, 1, 16, 0, [struct.pack(">2H", 0, 300)], struct.pack(">H", 300))) == [[0] * 3, [255] * 3]
    assert read(png(2, 1, 16, 4, [struct.pack(">4H", 0, 65535, 0, 0)])) == [[0] * 3, [255] * 3]


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr"])
def test_modes_that_pillow_converts(tmp_path, mode):
    Image.new("RGB", (4, 4), "white").convert(mode).save(tmp_path / "white.tif")
    try:
        Image.open(tmp_path / "white.tif").load()
    except OSError as error:
        pytest.skip(f"this Pillow cannot read what it wrote: {error}")
    low, high = open_rgb(str(tmp_path / "white.tif")).getextrema()[0]
    assert (low, high) == (255, 255), mode


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_white(tmp_path, mode):
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((1, 1), (0, 0, 0, 255))
    image.convert(mode).save(tmp_path / "clear.png")
    read = open_rgb(str(tmp_path / "clear.png"))
    assert read.mode == "RGB"
    assert (read.getpixel((0, 0)), read.getpixel((1, 1))) == ((255, 255, 255), (0, 0, 0))


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_values_of_no_known_range_are_refused(tmp_path, mode):
    Image.new(mode, (4, 4)).save(tmp_path / "wide.tif")
    for read in (open_rgb, describe_image):
        with pytest.raises(ValueError, match=r"cannot read image .*wide\.tif.*no known range.*8 or 16 bits"):
            read(str(tmp_path / "wide.tif"))


@pytest.mark.parametrize("depth", [8, 16])
def test_exif_turns_the_picture(tmp_path, depth):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    picture = Image.fromarray(RAMP[:8].astype(np.uint8) if depth == 8 else RAMP[:8] * 257)
    picture.save(tmp_path / "turned.png", exif=exif)
    read = np.asarray(open_rgb(str(tmp_path / "turned.png")))[..., 0]
    assert np.array_equal(read, np.rot90(RAMP[:8], -1)), read


def whole(kind):
    buffer = io.BytesIO()
    Image.effect_noise((60, 50), 80).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


BROKEN = {  # file: (content, what is said of it)
    "empty.png": (b"", "the file is empty"),
    "text.png": (b"no image", "its content is none of JPEG, "),
    "cut.png": (whole("PNG")[:-900], ""),
    "flipped.png": (whole("PNG")[:500] + b"\0\0\0" + whole("PNG")[503:], ""),
    "cut.jpg": (whole("JPEG")[:500], "Truncated"),
    "last5.jpg": (whole("JPEG")[:-200], "truncated"),
    "cut.webp": (whole("WEBP")[:-300], ""),
    "document.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "it is a PostScript file"),
    "document.png": (b"%PDF-1.4\n", "it is a PDF document, which is not read: export it as PNG"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_unreadable_images_are_named_also_by_the_cheap_look(tmp_path, name):
    content, reason = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    for read in (open_rgb, describe_image):
        with pytest.raises(ValueError, match=rf"cannot read image '.*{re.escape(name)}': .*{reason}"):
            read(str(tmp_path / name))


def test_what_is_no_file_is_named_and_never_waited_for(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    os.symlink("loop.jpg", tmp_path / "loop.jpg")
    os.symlink("nowhere", tmp_path / "dangling.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    reasons = {"folder.jpg": "it is no file", "pipe.jpg": "it is no file", "loop.jpg": "Too many levels of symbolic"}
    for name, reason in {**reasons, "dangling.jpg": "No such file"}.items():
        for read in (open_rgb, describe_image):
            with pytest.raises(ValueError, match=rf"cannot read image '.*{name}': {reason}"):
                read(str(tmp_path / name))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_that_unpacks_to_too_much_is_refused_before(tmp_path):
    side = int(MAX_PIXELS**0.5) + 1
    (tmp_path / "bomb.png").write_bytes(png(side, side, 1, 0, [b""]))
    for read in (open_rgb, describe_image):
        with pytest.raises(ValueError, match=r"bomb\.png.*: its 11,586 x 11,586 pixels are more than 134,217,728"):
            read(str(tmp_path / "bomb.png"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_the_cheap_look_agrees_with_the_whole_one(tmp_path, kind):
    (tmp_path / "x.img").write_bytes(whole(kind))
    assert describe_image(tmp_path / "x.img") == open_rgb(tmp_path / "x.img").size == (60, 50)
    (tmp_path / "x.img").write_bytes(whole(kind) + b"appended by a camera")
    assert describe_image(tmp_path / "x.img") == (60, 50)


# ------------------------------------------------------------------------- to pixels


@pytest.mark.parametrize("shape", [(60, 52), (52, 60), (32, 32), (7, 3), (3000, 200), (200, 3000), (33, 512), (1, 1)])
def test_ordinary_shapes_are_clips_own_preprocessing(shape):
    image = Image.effect_noise(shape, 60).convert("RGB")
    clip = T.Compose([T.Resize(32, T.InterpolationMode.BICUBIC), T.CenterCrop(32)])
    assert np.array_equal(to_pixels(image, 32), np.asarray(clip(image))), shape


@pytest.mark.parametrize("shape", [(700, 10), (701, 10), (10, 700), (2000, 37)])
def test_long_shapes_are_cut_first_and_look_the_same(shape):
    waves = 127 + 120 * np.sin(np.indices(shape[::-1]).sum(0) / 9)
    image = Image.fromarray(waves.astype(np.uint8)).convert("RGB")
    clip = T.Compose([T.Resize(32, T.InterpolationMode.BICUBIC), T.CenterCrop(32)])
    difference = np.abs(to_pixels(image, 32).astype(int) - np.asarray(clip(image)).astype(int)).max()
    assert max(shape) > LONGEST * min(shape) and difference <= 9, difference  # half a pixel's shift at most


def test_an_extreme_shape_is_never_blown_up(monkeypatch):
    largest, resize = [], Image.Image.resize

    def noted(self, size, *args, **kwargs):
        largest.append(size[0] * size[1])
        return resize(self, size, *args, **kwargs)

    monkeypatch.setattr(Image.Image, "resize", noted)
    assert to_pixels(Image.new("RGB", (60_000, 1), "red"), 96)[50, 50].tolist() == [255, 0, 0]
    assert to_pixels(Image.new("RGB", (1, 60_001), "red"), 96).shape == (96, 96, 3)
    assert max(largest) <= (LONGEST + 1) * 96 * 96, largest


def test_documents_and_films_are_no_images():
    assert not {".pdf", ".mpg", ".eps", ".psd"} & IMAGE_SUFFIXES


# ------------------------------------------------------------- the faster way for JPEG

ways = pytest.mark.skipif(decode.simplejpeg is None, reason="simplejpeg is not installed")
JPEGS = {
    "4:2:0": {}, "4:4:4": {"subsampling": 0}, "4:2:2": {"subsampling": 1}, "progressive": {"progressive": True},
    "coarse": {"quality": 20}, "fine": {"quality": 100}, "restarts": {"restart_marker_blocks": 2},
    "grey": {}, "optimised": {"optimize": True},
}  # fmt: skip


@pytest.fixture
def picture():
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (13, 17, 3), dtype=np.uint8))
    return small.resize((171, 129), Image.Resampling.BICUBIC)  # neither side a whole number of blocks


@ways
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_has_pillows_pixels_whichever_way_it_is_decoded(tmp_path, monkeypatch, picture, kind):
    path = tmp_path / "x.jpg"
    (picture.convert("L") if kind == "grey" else picture).save(path, **JPEGS[kind])
    taken = []
    whole = decode._decode_jpeg
    monkeypatch.setattr(decode, "_decode_jpeg", lambda *a: taken.append(whole(*a)) or taken[-1])
    fast = np.asarray(open_rgb(path)).astype(int)
    monkeypatch.setattr(decode, "simplejpeg", None)
    slow = np.asarray(open_rgb(path)).astype(int)
    assert taken[0] is not None and taken[1] is None, "one by either way"
    assert np.abs(fast - slow).max() <= 1, np.abs(fast - slow).max()


@ways
def test_what_is_not_an_ordinary_jpeg_goes_pillows_way(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg")
    picture.save(tmp_path / "x.jpg")
    content = (tmp_path / "x.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    for name in ("turned", "cmyk", "cut"):
        with Image.open(tmp_path / f"{name}.jpg") as opened:
            assert decode._decode_jpeg(opened.fp, opened) is None, name
    assert open_rgb(tmp_path / "turned.jpg").size == (129, 171)
    with pytest.raises(ValueError, match=r"cut\.jpg'?: image file is truncated"):
        open_rgb(tmp_path / "cut.jpg")
