"""The page in a real browser: the large view, chosen photos, what survives a reload, sizes, and axe-core's rules."""

import importlib.util
import os
import re
from pathlib import Path

import pytest
from pictures import colour_model, gallery
from test_page import CHROMIUM, browser, photos, playwright, served, stroke  # noqa: F401  (a fixture among them)

from splip.search.index import Index

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
expect = playwright.expect


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SPLIP_CACHE", str(tmp_path / "cache"))
    index = Index.open(tmp_path / "index", colour_model())
    index.add([gallery(tmp_path / "photos")], quiet=True)
    with served(index) as address:
        yield address


@pytest.fixture
def page(browser, home):  # noqa: F811
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=home)
    page = context.new_page()
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.goto(home)
    expect(page.locator("#about")).to_contain_text("6 photos")
    yield page
    assert not page.wrong, page.wrong
    context.close()


def ask(page, text="red"):
    page.locator("#text").fill(text)
    return photos(page)


def pasted(page):
    return page.evaluate("navigator.clipboard.readText()")


def test_a_click_opens_the_photo_large_and_keys_go_on(page, tmp_path):
    names = ask(page)
    page.locator("#photos .shot").nth(1).click()
    name = page.locator("#name")
    expect(name).to_contain_text(f"{names[1]} · 2 of 6")
    assert str(tmp_path / "photos") in name.inner_text(), "the full path"
    page.keyboard.press("ArrowRight")
    expect(name).to_contain_text(f"{names[2]} · 3 of 6")
    page.locator("#previous").click()
    page.keyboard.press("ArrowLeft")
    expect(name).to_contain_text(f"{names[0]} · 1 of 6")
    assert page.locator("#previous").is_disabled()
    page.locator("#look img").evaluate("image => image.decode()")
    page.locator("#copy-path").click()
    expect(page.locator("#status")).to_contain_text("can be pasted")
    assert pasted(page) in name.inner_text() and Path(pasted(page)).is_file()
    with page.expect_download() as download:
        page.locator("#download").click()
    assert Path(download.value.path()).read_bytes() == Path(pasted(page)).read_bytes()
    assert download.value.suggested_filename == names[0]
    page.locator("#more-like").click()
    expect(page.locator("#similar")).to_contain_text(f"Like {names[0]}")
    page.go_back()
    expect(page.locator("#similar")).to_be_hidden()
    assert page.locator("#text").input_value() == "red"


def test_a_finger_goes_through_the_photos(page):
    names = ask(page)
    page.locator("#photos .shot").first.click()
    for start, end, wanted in ((300, 100, names[1]), (300, 100, names[2]), (100, 300, names[1]), (100, 120, names[1])):
        for kind, x in (("pointerdown", start), ("pointerup", end)):
            page.locator("#look").dispatch_event(kind, {"pointerType": "touch", "clientX": x, "clientY": 50})
        expect(page.locator("#name")).to_contain_text(wanted)


def test_chosen_photos_are_copied_out(page, tmp_path):
    names = ask(page)
    for number in (2, 0):
        page.locator("#photos li").nth(number).hover()
        page.locator("#photos .tick").nth(number).check()
    page.locator("#photos .shot").nth(3).click()
    page.locator("#look .tick").check()
    page.keyboard.press("Escape")
    expect(page.locator("#count")).to_have_text("3 chosen")
    page.locator("#copy-paths").click()
    expect(page.locator("#status")).to_contain_text("can be pasted")
    assert [Path(line).name for line in pasted(page).splitlines()] == [names[2], names[0], names[3]]
    page.locator("#copy-to").fill("here")
    page.locator("#copy-form button").click()
    expect(page.locator("#status")).to_contain_text("give a whole path")
    page.locator("#copy-to").fill(str(tmp_path / "found"))
    page.locator("#copy-form button").click()
    expect(page.locator("#status")).to_contain_text(f"3 photos copied to {tmp_path / 'found'}")
    expect(page.locator("#chosen")).to_be_hidden()
    copies = sorted(path.name for path in (tmp_path / "found").iterdir())
    assert copies == [f"001_{names[2]}", f"002_{names[0]}", f"003_{names[3]}"]
    page.locator("#photos .tick").nth(2).check(force=True)
    page.locator("#copy-form button").click()
    expect(page.locator("#status")).to_contain_text("is there already")


def test_redo_and_a_clear_that_can_be_undone(page):
    stroke(page, (0.2, 0.2), (0.8, 0.8))
    stroke(page, (0.8, 0.2), (0.2, 0.8))
    page.keyboard.press("Delete")
    photos(page, 0)
    page.keyboard.press("Control+z")
    photos(page)
    saved = "import('./paper.js').then(paper => paper.save())"
    both = page.evaluate(saved)
    page.keyboard.press("Control+z")
    one = page.evaluate(saved)
    assert both.count("stroke") == 2 and one.count("stroke") == 1
    page.keyboard.press("Control+y")
    assert page.evaluate(saved) == both
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+Shift+z")
    assert page.evaluate(saved) == both
    page.locator("#undo").click()
    page.locator("#redo").click()
    assert page.evaluate(saved) == both
    stroke(page, (0.5, 0.2), (0.5, 0.8))
    assert page.locator("#redo").is_disabled()


def test_what_was_asked_survives_a_reload_and_has_an_address(page, browser):  # noqa: F811
    saved = "import('./paper.js').then(paper => paper.save())"
    stroke(page, (0.2, 0.2), (0.8, 0.8))
    first = page.evaluate(saved)
    page.wait_for_url(re.compile("#drawing="))
    page.wait_for_timeout(1500)  # it has settled
    page.locator("#text").fill("gre")  # this has not
    page.wait_for_url(re.compile("text=gre"))
    page.locator("#text").fill("green")
    page.wait_for_url(re.compile("text=green"))
    page.locator("#theme").click()
    theme = page.evaluate("document.documentElement.dataset.theme")
    page.reload()
    photos(page)
    assert page.evaluate(saved) == first and page.locator("#text").input_value() == "green"
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    page.go_back()
    expect(page.locator("#text")).to_have_value("")
    assert page.evaluate(saved) == first
    page.go_back()
    expect(page.locator("#welcome")).to_be_visible()
    assert page.evaluate(saved) == ""
    page.go_forward()
    photos(page)
    assert page.evaluate(saved) == first
    elsewhere = browser.new_page()
    elsewhere.goto(page.url)
    expect(elsewhere.locator("#status")).to_contain_text("does not have the drawing of that address")
    elsewhere.goto(page.url.split("#")[0] + "#text=blue")
    elsewhere.reload()
    assert photos(elsewhere)[0] == "blue.png"
    elsewhere.close()


def test_the_first_screen_invites(page):
    expect(page.locator("#newest li")).to_have_count(6)
    assert page.locator("#samples button").count() == 3
    page.get_by_label("Try a flower").click()
    photos(page)
    expect(page.locator("#welcome")).to_be_hidden()
    page.keyboard.press("Control+z")
    expect(page.locator("#welcome")).to_be_visible()


def test_a_photo_that_was_deleted_says_so(page, tmp_path):
    names = ask(page, "pink")
    (file,) = (tmp_path / "photos").rglob(names[1])
    file.unlink()
    page.locator("#photos .shot").first.click()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#name")).to_contain_text("is not there any more")
    page.keyboard.press("Escape")
    page.reload()
    expect(page.locator("#photos .gone")).to_have_text(f"{names[1]} is not there any more")


def test_the_header_and_the_answers_follow_the_index(browser, tmp_path):  # noqa: F811
    index, state = Index.open(tmp_path / "index", colour_model()), {"running": True, "done": 0, "total": 0, "error": ""}
    with served(index, indexing=lambda: state) as address:
        page = browser.new_page()
        page.goto(address)
        expect(page.locator("#about")).to_have_text("0 photos · model colours · looking for photos …")
        page.locator("#text").fill("red")
        state.update(done=3, total=6)
        expect(page.locator("#about")).to_contain_text("indexing 3 of 6")
        index.add([gallery(tmp_path / "photos")], quiet=True)
        assert photos(page)[0] == "red.png"  # nobody asked again
        state.update(running=False)
        expect(page.locator("#about")).to_have_text("6 photos · model colours")
        state.update(error="indexing ended with status 2")
        page.reload()
        expect(page.locator("#about")).to_contain_text("indexing ended with status 2")
        page.close()


def test_an_empty_index_says_what_to_do(browser, tmp_path):  # noqa: F811
    with served(Index.open(tmp_path / "index", colour_model())) as address:
        page = browser.new_page()
        page.goto(address)
        expect(page.locator("#none-yet")).to_contain_text("splip index FOLDER")
        page.close()


SIZES = {"phone": (390, 844), "small phone": (320, 568), "laptop": (1280, 800), "short": (1280, 400),
         "150 %": (853, 533), "large": (1920, 1080), "very large": (2560, 1300)}  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
def test_it_fits_and_photos_are_seen_while_one_draws(page, size):
    width, height = SIZES[size]
    page.set_viewport_size({"width": width, "height": height})
    stroke(page, (0.2, 0.2), (0.8, 0.8))
    photos(page)
    inside = page.evaluate("""[...document.querySelectorAll("button, input, canvas, p, li")].filter(e => e.offsetParent)
        .filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.id || e.className)""")
    assert not inside and page.evaluate("document.documentElement.scrollWidth <= innerWidth"), inside
    page.evaluate("scrollTo(0, 0)")
    top = page.locator("#photos li").first.bounding_box()["y"]
    assert top < 0.85 * height, f"the first photo begins {top} pixels below the top of {height}"
    if size in ("short", "150 %"):
        page.locator("#status").scroll_into_view_if_needed()
        box = page.locator("#status").bounding_box()
        assert box["y"] + box["height"] <= height + 1, "the panel scrolls to its end"


def test_the_tab_key_has_few_stops(page):
    ask(page)
    page.locator("body").click(position={"x": 5, "y": 5})
    stops = []
    for _ in range(30):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        if stops[-1] == "shot":
            break
    print(stops)
    assert stops[-1] == "shot" and len(stops) <= 10
    names = page.locator("#photos span").all_inner_texts()
    focused = "document.activeElement.querySelector('span').textContent"
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused) == names[1]
    page.keyboard.press("End")
    assert page.evaluate(focused) == names[-1]
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    expect(page.locator("#count")).to_have_text("1 chosen")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) != "none", "the keyboard's focus is seen"
    page.locator("#pen").click()
    assert page.evaluate(outline) == "none", "the mouse's is not"


def test_the_pen_shows_no_ring_and_the_keyboard_does(page):
    outline = "[document.activeElement.id, getComputedStyle(document.activeElement).outlineStyle]"
    stroke(page, (0.2, 0.2), (0.8, 0.8))
    assert page.evaluate(outline) == ["canvas", "none"]
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(outline) == ["canvas", "solid"]


AXE = importlib.util.find_spec("axe_playwright_python")


@pytest.mark.skipif(AXE is None, reason="axe-playwright-python is not installed")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(page, scheme):
    script = Path(os.path.dirname(AXE.origin), "axe.min.js").read_text(encoding="utf-8")
    page.emulate_media(color_scheme=scheme)

    def check(where):
        page.evaluate(script)
        found = page.evaluate("axe.run()")["violations"]
        assert not found, (where, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found])

    expect(page.locator("#newest li")).to_have_count(6)
    check("first screen")
    ask(page)
    page.locator("#photos .tick").first.check(force=True)
    check("photos")
    page.locator("#photos .shot").nth(1).click()
    check("large view")
