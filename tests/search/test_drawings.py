"""What people draw on becomes dark lines on white in a square, or is refused."""

import numpy as np
import pytest
from pictures import drawing
from PIL import Image, ImageDraw, ImageFilter
from scipy import ndimage
from tiny_strokes import write_strokes

from splip.search.drawings import MARGIN, clean_drawing, open_drawing, split_number


def overlap(a, b, side=64):
    """Intersection over union of the ink of two drawings."""
    ink = [np.asarray(image.convert("L").resize((side, side))) < 190 for image in (a, b)]
    return (ink[0] & ink[1]).sum() / (ink[0] | ink[1]).sum()


def photographed(noise=3):
    """A drawing on paper under a lamp: shaded, yellowish, blurred, not quite black."""
    rng = np.random.default_rng(0)
    page = np.asarray(drawing(size=(320, 240), box=(60, 40, 180, 200), width=8, ink=(60, 60, 70)), dtype=float)
    shade = np.linspace(0.55, 0.9, 320)[None, :, None] * np.array([1.0, 0.95, 0.8])
    pixels = page * shade + rng.normal(0, noise, page.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))


def transparent(ink):
    return drawing(background=(0, 0, 0, 0), ink=ink, mode="RGBA")


CASES = {
    "as it should be": (drawing(), []),
    "large": (drawing(size=(3200, 2400), box=(600, 400, 1800, 2000), width=100), []),
    "in a corner": (drawing(size=(400, 400), box=(5, 5, 65, 85)), []),
    "light on dark": (drawing(background="black", ink="white"), ["inverted: light lines on dark"]),
    "blackboard": (
        drawing(background=(30, 60, 45), ink=(230, 235, 225)),
        ["inverted: light lines on dark", "paper made white"],
    ),
    "coloured paper": (drawing(background=(240, 220, 130), ink=(20, 40, 120)), ["paper made white"]),
    "photographed": (photographed(), ["paper made white"]),
    "transparent": (transparent("black"), ["transparent parts taken as paper"]),
    "transparent, light": (transparent("white"), ["transparent parts taken as paper"]),
    "coloured ink": (drawing(ink=(200, 30, 30)), []),
    "palette": (drawing().convert("P"), []),
    "one bit": (drawing().convert("1"), []),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_paper_gives_the_same_drawing(name):
    image, mended = CASES[name]
    found = clean_drawing(image)
    assert [note for note in found.mended if not note.startswith("cropped")] == mended
    assert found.image.mode == "RGB" and found.image.width == found.image.height
    grey = np.asarray(found.image.convert("L"))
    assert grey[0].min() > 240 and grey[:, -1].min() > 240, "the margin is white"
    rows = np.flatnonzero((grey < 190).any(axis=1))
    taken = (rows[-1] + 1 - rows[0]) / len(grey)
    assert abs(taken - (1 - 2 * MARGIN)) < 0.06, f"the drawing takes {taken:.2f} of the height"
    alike = overlap(found.image, clean_drawing(drawing()).image)
    assert alike > 0.5, f"overlap {alike:.2f}"


@pytest.mark.parametrize(
    "image, message",
    [
        (Image.new("RGB", (100, 100), "white"), "blank"),
        (Image.new("RGB", (100, 100), "black"), "blank"),
        (Image.new("RGB", (100, 100), (180, 160, 90)), "blank"),
        (Image.new("RGBA", (100, 100), (0, 0, 0, 0)), "blank"),
        (drawing(box=(50, 50, 51, 51), width=1, size=(400, 400)), "blank"),
    ],
)
def test_a_blank_page_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        clean_drawing(image)


def test_noise_on_paper_is_no_drawing():
    rng = np.random.default_rng(0)
    page = Image.fromarray((200 + rng.normal(0, 4, (200, 200, 3))).clip(0, 255).astype(np.uint8))
    with pytest.raises(ValueError, match="blank"):
        clean_drawing(page)


def test_a_black_page_is_no_drawing():
    page = np.full((100, 100, 3), 255, dtype=np.uint8)
    page[5:-5, 5:-5] = 0
    with pytest.raises(ValueError, match=r"nearly all of it is dark|blank"):
        clean_drawing(Image.fromarray(page))


def test_what_a_question_names(tmp_path):
    for question, wanted in {
        "a.ndjson": ("a.ndjson", 1), "a.ndjson:7": ("a.ndjson", 7), "b.NDJSON:12": ("b.NDJSON", 12),
        "a.png:7": ("a.png:7", 1), "x:y.png": ("x:y.png", 1), "a.ndjson:b": ("a.ndjson:b", 1),
    }.items():  # fmt: skip
        assert split_number(question) == wanted, question
    path = write_strokes(tmp_path / "a.ndjson", count=2)
    pages = [np.asarray(open_drawing(f"{path}{number}")) for number in ("", ":1", ":2")]
    assert (pages[0] == pages[1]).all() and (pages[0] != pages[2]).any()
    cleaned = clean_drawing(open_drawing(path))
    assert overlap(cleaned.image, open_drawing(path)) > 0.5, "it comes as the model wants it, but for half a line"
    (tmp_path / "b.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"b\.png"):
        open_drawing(tmp_path / "b.png")


def test_dots_of_the_pen_stay_and_crumbs_go():
    page = Image.new("RGB", (512, 512), "white")
    pen = ImageDraw.Draw(page)
    pen.ellipse((56, 56, 456, 456), outline="black", width=7)
    for x in (180, 330):
        pen.ellipse((x - 3.5, 196.5, x + 3.5, 203.5), fill="black")
    for x in range(100, 420, 40):
        pen.line((x, 480, x + 3, 481), fill="black", width=2)
    _, parts = ndimage.label(np.asarray(clean_drawing(page).image.convert("L")) < 128)
    assert parts == 3, f"a face with two eyes has three parts, not {parts}"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 40), (40, 3)])
def test_tiny_pictures_are_drawn_or_refused(size):
    for seed in range(20):
        noise = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
        try:
            clean_drawing(Image.fromarray(noise))
        except ValueError as error:
            assert "blank" in str(error) or "no drawing" in str(error), error
