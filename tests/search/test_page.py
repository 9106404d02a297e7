"""The page in a real browser: draw, see, undo, upload, look, on a wide and on a narrow window."""

import io
import math
import os
import re
import shutil
import time

import pytest
from pictures import colour_model, drawing, gallery
from PIL import Image
from test_server import serve as served

from splip.search.index import Index

pytest.importorskip("faiss")
uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    index = Index.open(tmp_path_factory.mktemp("index"), colour_model())
    index.add([gallery(tmp_path_factory.mktemp("photos"))], quiet=True)
    with served(index) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[(1280, 900), (390, 844)], ids=["wide", "narrow"])
def page(request, browser, address):
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height}, has_touch=width < 500)
    page = context.new_page()
    wrong = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address)
    page.expected_errors = []
    yield page
    wrong = [text for text in wrong if not any(expected in text for expected in page.expected_errors)]
    assert not wrong, wrong
    context.close()


def stroke(page, *points):
    """Draw with the mouse; points in shares of the canvas."""
    box = page.locator("#canvas").bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*at[0])
    page.mouse.down()
    for x, y in at[1:]:
        page.mouse.move(x, y, steps=4)
    page.mouse.up()


def photos(page, count=6):
    playwright.expect(page.locator("#photos > li")).to_have_count(count, timeout=10_000)
    return page.locator("#photos span").all_inner_texts()


def test_draw_undo_clear(page):
    playwright.expect(page.locator("#about")).to_contain_text("6 photos · model colours")
    assert page.locator("#undo").is_disabled() and page.locator("#hint").is_visible()
    stroke(page, (0.2, 0.2), (0.8, 0.8))
    photos(page)
    playwright.expect(page.locator("#status")).to_contain_text(re.compile(r"6 photos · \d+ ms"))
    assert not page.locator("#hint").is_visible()
    page.keyboard.press("Control+z")
    photos(page, 0)
    assert page.locator("#undo").is_disabled()
    stroke(page, (0.5, 0.5), (0.6, 0.5))
    photos(page)
    page.locator("#clear").click()
    photos(page, 0)


def test_results_follow_while_it_is_drawn(page):
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 150, steps=10)
    photos(page)  # the pen is still down
    page.mouse.up()


def test_no_question_waits_until_the_browser_is_idle(page):
    page.evaluate("() => { HTMLCanvasElement.prototype.toBlob = () => {}; }")  # Chromium's takes up to a second
    stroke(page, (0.2, 0.2), (0.8, 0.8))
    photos(page)


def test_the_eraser_leaves_a_blank_page(page):
    page.expected_errors = ["422"]
    stroke(page, (0.5, 0.5), (0.52, 0.5))
    photos(page)
    page.locator("#eraser").click()
    page.locator("#width").fill("40")
    for y in (0.42, 0.5, 0.58):
        stroke(page, (0.3, y), (0.7, y))
    playwright.expect(page.locator("#status")).to_contain_text("blank")
    photos(page, 0)


def test_words_alone(page):
    page.locator("#text").fill("red")
    assert photos(page)[0] == "red.png"


def test_upload_a_photo_and_go_on_from_a_result(page, tmp_path):
    gallery(tmp_path)
    page.locator("input[value=photo]").check()
    page.locator("#upload").set_input_files(tmp_path / "cold" / "blue.png")
    playwright.expect(page.locator("#photos span").first).to_have_text("blue.png")
    page.locator("#photos .shot").nth(2).click()
    page.locator("#more-like").click()
    playwright.expect(page.locator("#similar")).to_be_visible()
    name = page.locator("#similar span").inner_text().replace("Like ", "")
    playwright.expect(page.locator("#photos span").first).to_have_text(name)
    page.locator("#back").click()
    playwright.expect(page.locator("#similar")).to_be_hidden()
    playwright.expect(page.locator("#photos span").first).to_have_text("blue.png")


def test_what_was_understood_of_a_drawing_is_shown(page, tmp_path):
    assert page.locator("#understood").is_hidden()
    drawing(tmp_path / "drawing.png", background=(40, 60, 40), ink="white")
    page.locator("#upload").set_input_files(tmp_path / "drawing.png")
    playwright.expect(page.locator("#understood")).to_be_visible()
    playwright.expect(page.locator("#status")).to_contain_text("inverted: light lines on dark")
    image = page.locator("#understood img")
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 192
    page.locator("#clear").click()
    playwright.expect(page.locator("#understood")).to_be_hidden()


def test_what_is_no_picture_is_said(page, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    page.locator("#upload").set_input_files(tmp_path / "notes.txt")
    playwright.expect(page.locator("#status")).to_contain_text("notes.txt is no picture")


def test_look_at_a_photo_by_keyboard(page):
    page.locator("#text").fill("green")
    photos(page)
    page.locator("#photos .shot").first.focus()
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#look")).to_be_visible()
    assert "green.png" in page.locator("#name").inner_text()
    page.keyboard.press("Escape")
    playwright.expect(page.locator("#look")).to_be_hidden()


def test_nothing_sticks_out_and_dark_is_dark(page, tmp_path):
    drawing(tmp_path / "drawing.png")
    page.locator("#upload").set_input_files(tmp_path / "drawing.png")
    photos(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    small = page.evaluate("""[...document.querySelectorAll("button")].filter(b => b.offsetParent && b.id != "theme"
        && b.getBoundingClientRect().height < 34).map(b => b.textContent)""")
    assert not small, f"too small for a finger: {small}"
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    time.sleep(0.05)
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    assert page.evaluate("getComputedStyle(document.querySelector('canvas')).backgroundColor") == "rgb(255, 255, 255)"


# ------------------------------------------------------------- with the model that ships with the package


def arc(x, y, width, height, start=0, end=360, points=24):
    angles = [math.radians(start + (end - start) * i / points) for i in range(points + 1)]
    return [(x + width * math.cos(a), y + height * math.sin(a)) for a in angles]


CAT = [
    arc(0.5, 0.55, 0.28, 0.26), [(0.27, 0.42), (0.24, 0.16), (0.42, 0.31)], [(0.58, 0.31), (0.76, 0.16), (0.73, 0.42)],
    arc(0.39, 0.5, 0.04, 0.05), arc(0.61, 0.5, 0.04, 0.05), [(0.46, 0.6), (0.54, 0.6), (0.5, 0.65), (0.46, 0.6)],
    arc(0.45, 0.67, 0.05, 0.05, 0, 180, 8), arc(0.55, 0.67, 0.05, 0.05, 0, 180, 8), [(0.35, 0.62), (0.12, 0.57)],
    [(0.35, 0.66), (0.13, 0.69)], [(0.65, 0.62), (0.88, 0.57)], [(0.65, 0.66), (0.87, 0.69)],
]  # fmt: skip
SCISSORS = [
    [(0.35, 0.65), (0.78, 0.12)], [(0.65, 0.65), (0.22, 0.12)], arc(0.27, 0.77, 0.13, 0.13),
    arc(0.73, 0.77, 0.13, 0.13),
]  # fmt: skip


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Photos of Sketchmoji, four each of 68 classes, as files named after them."""
    import splip
    import splip.datasets
    from splip.common.modalities import PHOTO
    from splip.engine import build_dataset, get_cfg_default

    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    cfg.DATASET.NAME = "Sketchmoji"
    data, folder, of = build_dataset(cfg), tmp_path_factory.mktemp("scenes"), {}
    for item in [*data.train_x, *data.test_gallery]:
        if item.domain == PHOTO:
            of.setdefault(item.classname, []).append(item)
    classes = ["cat", "scissors", *[name for name in sorted(of)[::10] if name not in ("cat", "scissors")][:66]]
    for name in classes:
        for i, item in enumerate(of[name][:4]):
            data.load_image(item).save(folder / f"{name}_{i}.jpg")
    return folder


class Film:
    """Screenshots as an animated GIF, if SPLIP_ANIMATION names one: the picture in README."""

    def __init__(self):
        self.path, self.frames = os.environ.get("SPLIP_ANIMATION"), []

    def shoot(self, page, milliseconds):
        if self.path:
            page.wait_for_timeout(400)  # photos are drawn
            shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            self.frames.append((shot.resize((800, 800 * shot.height // shot.width), Image.LANCZOS), milliseconds))

    def close(self):
        if self.path:
            first, *others = [frame.quantize(64, dither=Image.Dither.NONE) for frame, _ in self.frames]
            durations = [milliseconds for _, milliseconds in self.frames]
            first.save(self.path, save_all=True, append_images=others, duration=durations, loop=0, optimize=True)


@pytest.mark.parametrize("strong", [2, 0])
def test_weak_matches_are_below_a_line(browser, tmp_path_factory, strong):
    index = Index.open(tmp_path_factory.mktemp("index"), colour_model())
    index.add([gallery(tmp_path_factory.mktemp("photos"))], quiet=True)
    with served(index) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(address)
        stroke(page, (0.2, 0.2), (0.8, 0.8))
        photos(page)
        assert page.locator("#weak-title").is_hidden(), "the scores of this model were not measured"
        index.model.scores = Only(strong)
        stroke(page, (0.2, 0.8), (0.8, 0.2))
        playwright.expect(page.locator("#weak > li")).to_have_count(6 - strong, timeout=10_000)
        photos(page, strong)
        assert page.locator("#weak-title").is_visible()
        status = page.locator("#status").inner_text()
        assert ("Nothing here looks much like it" in status) == (strong == 0), status
        first = page.locator("#photos .shot, #weak .shot").first
        first.click()
        said = page.locator("#name").inner_text()
        assert "1 of 6 · cosine" in said and "of 100" in said, said
        for number in range(2, 7):
            page.keyboard.press("ArrowRight")
            playwright.expect(page.locator("#name")).to_contain_text(f"{number} of 6")
        page.close()


class Only:
    """Scores by which the first few results are no weak matches."""

    def __init__(self, strong):
        self.strong, self.asked = strong, 0

    def share(self, cosine):
        self.asked += 1
        return 0.2 if (self.asked - 1) % 6 < self.strong else 0.01


def test_draw_a_cat_and_see_cats(browser, scenes, tmp_path_factory):
    index = Index.open(tmp_path_factory.mktemp("index"))
    assert index.add([scenes], quiet=True).added == 272
    film = Film()
    with served(index) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        for name, strokes in (("cat", CAT), ("scissors", SCISSORS)):
            for line in strokes:
                stroke(page, *line)
                if name == "scissors":
                    film.shoot(page, 700)
            playwright.expect(page.locator("#photos li, #weak li")).to_have_count(60, timeout=10_000)
            time.sleep(1)  # the last stroke's answer
            if name == "scissors":
                film.shoot(page, 3000)
            found = page.locator("#photos span, #weak span").all_inner_texts()[:10]
            assert any(shown.startswith(f"{name}_") for shown in found), found
            assert "ms" in page.locator("#status").inner_text()
            page.locator("#clear").click()
        page.close()
    film.close()
