"""splip/data/decode.py on odd files: what viewers show is read, and every way of reading says the same of a file."""

import io
import random
import re
import struct

import numpy as np
import pytest
from fuzz import mutate
from odd_pictures import BROKEN, COLOURS, EXIFS, PIXELS, RAMP, SHOWN, chunk, png
from PIL import Image

from splip.data.checking import check_images
from splip.data.images import as_rgb, describe_image, open_rgb
from splip.search.drawings import clean_drawing

pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning"), pytest.mark.filterwarnings("ignore::RuntimeWarning")]
WAYS = {  # of reading a file; those with a size of their own give it last
    "whole": open_rgb,
    "with its transparency": lambda path: open_rgb(path, keep_alpha=True),
    "sent": lambda path: open_rgb(io.BytesIO(path.read_bytes())),
    "in small": lambda path: open_rgb(path, at_least=4),
    "sent, in small": lambda path: open_rgb(io.BytesIO(path.read_bytes()), at_least=4),
}


def verdicts(path):
    """What the cheap look and every way of reading say of a file: a size, or a reason."""
    said = {}
    for way, read in {"look": describe_image, **WAYS}.items():
        try:
            found = read(path)
            said[way] = found if way == "look" else "read" if "small" in way else found.size
        except ValueError as error:
            said[way] = re.sub(r"^cannot read image .*?': |^cannot read image 'that was sent': ", "", str(error))
    sizes = {value for value in said.values() if isinstance(value, tuple)}
    return {value if isinstance(value, str) and value != "read" else "read" for value in said.values()}, sizes, said


@pytest.mark.parametrize("name", SHOWN)
def test_what_viewers_show_is_read_in_every_way(tmp_path, name):
    (tmp_path / name).write_bytes(SHOWN[name])
    outcome, sizes, said = verdicts(tmp_path / name)
    assert outcome == {"read"} and len(sizes) == 1, said
    assert check_images([str(tmp_path / name)]) == 1, "training refuses what everything else reads"


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_damaged_is_refused_in_every_way(tmp_path, name):
    (tmp_path / name).write_bytes(BROKEN[name])
    outcome, _, said = verdicts(tmp_path / name)
    assert "read" not in outcome and len(outcome) == 1, said
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / name))):
        check_images([str(tmp_path / name)])


def test_the_cheap_look_and_the_real_one_agree_on_damaged_files(tmp_path):
    """Some hundreds of mutations; `python tests/faults/fuzz.py` tries thousands."""
    rng, read, refused = random.Random(4), 0, 0
    seeds = [content for content in [*SHOWN.values(), *BROKEN.values()] if 0 < len(content) < 20_000]
    for _ in range(400):
        content = mutate(rng.choice(seeds), rng)
        (tmp_path / "x").write_bytes(content)
        outcome, sizes, said = verdicts(tmp_path / "x")
        if "read" in outcome:
            assert outcome == {"read"} and len(sizes) == 1, (said, content)
        read, refused = read + ("read" in outcome), refused + ("read" not in outcome)
    assert read > 20 and refused > 100, (read, refused)


@pytest.mark.parametrize("name", PIXELS)
def test_what_stands_beside_the_pixels_changes_none(name):
    assert np.array_equal(np.asarray(open_rgb(io.BytesIO(PIXELS[name]))), COLOURS)


@pytest.mark.parametrize("name", EXIFS)
def test_exif_turns_a_picture_once_or_not_at_all(name):
    """As far as it can be understood; a file of EXIF that cannot be is shown as it lies."""
    understood = name not in ("cut", "text", "empty", "nine", "a_word")
    for kind in (".png", "_after.png", ".jpg", ".webp"):
        content = SHOWN.get(f"exif_{name}{kind}")
        if content is None:
            continue
        read = open_rgb(io.BytesIO(content))
        assert read.size == ((30, 40) if understood else (40, 30)), (kind, read.size)
        if kind.endswith(".png"):
            assert np.array_equal(np.asarray(read), np.rot90(COLOURS, -1 if understood else 0)), kind
        assert as_rgb(read) is read, "it would be turned twice"


@pytest.mark.parametrize("name", ["turned.tif", "grey_turned.tif", "clear_turned.tif", "wide_turned.tif"])
def test_a_turned_tiff_shows_the_same_from_a_path_as_when_sent(tmp_path, name):
    """Pillow, given a path, maps the pixels of an unpacked TIFF in rows of the wrong length."""
    (tmp_path / name).write_bytes(SHOWN[name])
    by_path, sent = (np.asarray(open_rgb(source)) for source in (tmp_path / name, io.BytesIO(SHOWN[name])))
    assert np.array_equal(by_path, sent) and by_path.shape == (40, 30, 3)
    wanted = {"turned.tif": COLOURS, "grey_turned.tif": COLOURS[..., :1].repeat(3, axis=2)}.get(name)
    if wanted is not None:
        assert np.array_equal(by_path, np.rot90(wanted, -1))


# ------------------------------------------------------------------- transparency of a shade


def test_sixteen_bit_grey_with_a_clear_shade_keeps_its_shades_as_a_drawing():
    shown = open_rgb(io.BytesIO(SHOWN["wide_clear.png"]), keep_alpha=True)
    assert shown.mode == "RGBA"
    grey, alpha = (np.asarray(shown)[..., band] for band in (0, 3))
    assert np.array_equal(grey, np.round(50 * RAMP / 257).astype(np.uint8)), grey
    assert np.array_equal(alpha == 0, RAMP == 600) and set(alpha.ravel()) == {0, 255}


@pytest.mark.parametrize("depth, colour", [(16, 0), (8, 0), (4, 0), (16, 2), (8, 2)])
def test_a_drawing_on_a_clear_shade_is_seen(depth, colour):
    """Dark lines on paper whose shade is clear: every depth gives the drawing that 8 bits give."""
    line = np.zeros((30, 40), dtype=bool)
    line[5:25, 10:13] = line[20:23, 10:32] = True
    most = 2**depth - 1
    values = np.where(line, most // 10, most * 2 // 3)
    paper = int(values[0, 0])
    if depth == 4:
        rows = [(16 * row[::2] + row[1::2]).astype(np.uint8).tobytes() for row in values]
    else:
        kind = ">u2" if depth == 16 else "u1"
        rows = [np.repeat(row, 3 if colour == 2 else 1).astype(kind).tobytes() for row in values]
    clear = chunk(b"tRNS", struct.pack(">H", paper) * (3 if colour == 2 else 1))
    content = png(depth, colour, rows, [clear])
    picture = open_rgb(io.BytesIO(content), keep_alpha=True)
    alpha = np.asarray(picture)[..., 3]
    assert np.array_equal(alpha > 0, line), alpha
    for shown in (picture, Image.open(io.BytesIO(content))):
        drawing = clean_drawing(shown)
        assert "transparent parts taken as paper" in drawing.mended
        dark = np.asarray(drawing.image)[..., 0] < 100
        assert 0.1 < dark.mean() < 0.5, dark.mean()
