"""Contact sheets and training curves: what is drawn where, and what is refused."""

from __future__ import annotations

import colorsys
import re

import matplotlib
import numpy as np
import pytest
from PIL import Image

from splip.retrieval import contact_sheet, sheets, training_curve
from splip.retrieval.sheets import RIGHT, WRONG, Row

BLUE, PINK = (0, 0, 255), (255, 0, 200)


def picture(colour=BLUE, size=(48, 48), mode="RGB"):
    return Image.new("RGB", size, colour).convert(mode)


def where(path, colour):
    """Left, top, right, bottom of the pixels of one colour, and how many there are."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    rows, columns = np.nonzero((pixels == colour).all(axis=2))
    assert len(rows), f"no pixel of {colour} in {path}"
    return columns.min(), rows.min(), columns.max(), rows.max(), len(rows)


def test_query_stands_left_of_its_hits(tmp_path):
    path = contact_sheet(
        [(picture(PINK), [(picture(), True, "cat"), (picture(), False, "dog")], "cat")], tmp_path / "s.png"
    )
    query, hits = where(path, PINK), where(path, BLUE)
    assert query[2] < hits[0]
    assert where(path, RIGHT)[0] < where(path, WRONG)[0]


def test_right_and_wrong_differ_without_colour(tmp_path):
    """A solid frame against a dashed one: on their top lines, all pixels or about half of them."""
    path = contact_sheet(
        [(picture(), [(picture(), True, ""), (picture(), False, "")], "")], tmp_path / "s.png", tile=120
    )
    pixels = np.asarray(Image.open(path).convert("RGB"))
    for colour, low, high in ((RIGHT, 1.0, 1.0), (WRONG, 0.4, 0.75)):
        top = where(path, colour)[1]
        columns = np.nonzero((pixels[top] == colour).all(axis=1))[0]
        share = len(columns) / (columns.max() - columns.min() + 1)
        assert low <= share <= high, (colour, share)
    hues = [colorsys.rgb_to_hsv(*(v / 255 for v in colour))[0] for colour in (RIGHT, WRONG)]
    assert abs(hues[0] - hues[1]) > 0.25


def test_two_methods_share_one_query(tmp_path):
    query, hits = picture(PINK), [(picture(), True, "cat")] * 3
    two = contact_sheet([(query, hits, "cat", "frozen"), (query, hits, "cat", "SpLIP")], tmp_path / "two.png")
    apart = contact_sheet(
        [(query, hits, "cat", "frozen"), (query.copy(), hits, "cat", "SpLIP")], tmp_path / "apart.png"
    )
    assert 2 * where(two, PINK)[4] == where(apart, PINK)[4]
    assert where(two, BLUE)[4] == where(apart, BLUE)[4]


def test_any_image_mode_and_shape(tmp_path):
    clear = Image.new("RGBA", (48, 48), (0, 0, 0, 0))
    images = [
        clear,
        picture(mode="L"),
        picture(mode="P"),
        picture(mode="1"),
        picture(size=(300, 20)),
        picture(size=(1, 90)),
    ]
    hits = [(image, True, "a name far too long for one tile, cut with an ellipsis") for image in images]
    path = contact_sheet(
        [Row(clear, hits, "title " * 20), Row(clear, hits[:2])], tmp_path / "new folder" / "s.png", heading="h " * 900
    )
    width, height = Image.open(path).size
    assert width < 7 * 200 and height < 3 * 250
    black = (np.asarray(Image.open(path).convert("RGB")) == 0).all(axis=2)
    assert not black[:, 200:320].any(), "transparent must show white, not black"


def test_same_rows_same_file(tmp_path):
    rows = [(picture(PINK), [(picture(), i % 2 == 0, str(i)) for i in range(10)], "cat")]
    one, two = contact_sheet(rows, tmp_path / "1.png"), contact_sheet(rows, tmp_path / "2.png")
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize(
    "rows, more, message",
    [
        ([], {}, "contact_sheet got no rows"),
        ([(picture(), [], "cat")], {}, r"row 0 \('cat'\) has no hits"),
        ([(picture(), [("a.png", True, "")], "cat")], {}, r"row 0 \('cat'\) holds a str, PIL images are wanted"),
        ([(picture(), [picture()])], {}, "row 0 must be"),
        ([picture()], {}, "row 0 must be"),
        ([(picture(), [(picture(), True, "")])], {"tile": 8}, "tile must be at least 32 pixels, got 8"),
    ],
)
def test_bad_sheets_are_refused(tmp_path, rows, more, message):
    with pytest.raises(ValueError, match=message):
        contact_sheet(rows, tmp_path / "s.png", **more)


def test_a_sheet_without_a_format_or_without_room_is_named(tmp_path, monkeypatch):
    rows = [(picture(), [(picture(), True, "")], "cat")]
    with pytest.raises(ValueError, match=r"the suffix of .* names no image format"):
        contact_sheet(rows, tmp_path / "sheet")
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left to write") as caught:
        contact_sheet(rows, tmp_path / "sheet.png")
    assert caught.value.filename == str(tmp_path / "sheet.png") and not list(tmp_path.iterdir())


def test_training_curve_draws_terms_and_validation(tmp_path):
    history = [{"epoch": e, "loss": 3 / e, "triplet": 1 / e, "class": 2 / e} for e in range(1, 6)]
    backend = matplotlib.rcParams._get("backend")  # as it is: rcParams["backend"] would choose one
    plain = Image.open(training_curve(history, tmp_path / "new folder" / "plain.png"))
    history[1]["val"], history[3]["val"] = 20.0, 30.0
    both = Image.open(training_curve(history, tmp_path / "both.png", title="a title"))
    assert both.height > plain.height and both.width == plain.width, "a row more"
    weighted = {"class": "class (x 0.5 in the loss)"}
    text = training_curve(history, tmp_path / "weighted.svg", names=weighted).read_text(encoding="utf-8")
    assert "<!-- class (x 0.5 in the loss) -->" in text and "<!-- class -->" not in text
    text = training_curve(history, tmp_path / "both.svg").read_text(encoding="utf-8")
    first = "mAP@all on pseudo-unseen classes, %"
    for words in ("loss", "triplet", "class", first, "best 30.0 (epoch 4)"):
        assert f"<!-- {words} -->" in text, words
    assert len(re.findall('<g id="axes_', text)) == 4, "each has an axis of its own"
    assert "Acc@1 on pseudo" in training_curve(history, tmp_path / "fg.svg", val_name="Acc@1").read_text("utf-8")
    assert matplotlib.rcParams._get("backend") == backend


def test_training_curve_of_one_epoch_has_a_whole_number_on_its_axis(tmp_path):
    text = training_curve([{"epoch": 7, "loss": float("nan"), "val": 50.0}], tmp_path / "c.svg").read_text("utf-8")
    drawn = re.findall("<!-- (.*?) -->", text)
    assert "7" in drawn and not any(label.startswith(("6.", "7.")) for label in drawn), drawn


@pytest.mark.parametrize(
    "history, message",
    [
        ([], "empty history"),
        ([{"epoch": 1, "loss": 1.0}, {"epoch": 2}], "entry 1 of the history has no 'loss'"),
        ([{"loss": 1.0}], "entry 0 of the history has no 'epoch'"),
        ([{"epoch": 1, "loss": "low"}], "entry 0 of the history: loss must be a number, got 'low'"),
    ],
)
def test_bad_histories_are_refused(tmp_path, history, message):
    with pytest.raises(ValueError, match=message):
        training_curve(history, tmp_path / "c.png")


def test_captions_in_other_scripts_are_drawn():
    """Pillow's own font draws a box for each of these, all alike."""
    from splip.retrieval.sheets import _font

    shapes = {letter: bytes(_font(24).getmask(letter)) for letter in "äßЖλşé"}
    assert len(set(shapes.values())) == len(shapes)


@pytest.mark.parametrize("score", ["0.51", "-0.12"])
def test_a_long_caption_keeps_the_score_and_the_end_of_the_name(score):
    font = sheets._font(12)
    cut = sheets._keep_end(f"{score} 2024/IMG_20240101_123456 (2).jpg", font, 120)
    assert cut.startswith(score) and "…" in cut and cut.endswith("(2).jpg")
    assert font.getlength(cut) <= 120
    assert sheets._keep_end(f"{score} a/b.jpg", font, 120) == f"{score} a/b.jpg"


def test_captions_that_differ_in_their_end_are_drawn_differently(tmp_path):
    image = Image.new("RGB", (20, 20))
    names = [f"0.51 2024/IMG_20240101_123456 ({i}).jpg" for i in (1, 2)]
    drawn = [contact_sheet([(image, [(image, None, name)])], tmp_path / f"{name[-6]}.png") for name in names]
    assert Image.open(drawn[0]).tobytes() != Image.open(drawn[1]).tobytes()
