"""HEIC photos and SVG drawings, where the packages that read them are installed."""

import io

import numpy as np
import pytest
from PIL import Image

from splip.data import decode, svg
from splip.data.images import describe_image, open_rgb
from splip.search.drawings import clean_drawing, open_drawing

needs_svg = pytest.mark.skipif(svg.resvg_py is None, reason="resvg-py is not installed")
needs_heic = pytest.mark.skipif(decode.pillow_heif is None, reason="pillow-heif is not installed")
HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 12" fill="none" stroke="currentColor" stroke-width="2">'
LINE = '<path d="M2 6 H22"/>'


def written(folder, text):
    (folder / "icon.svg").write_text(text, encoding="utf-8")
    return folder / "icon.svg"


@needs_svg
def test_an_icon_is_drawn_black_on_white(tmp_path):
    path = written(tmp_path, f"{HEAD}{LINE}</svg>")
    image = open_rgb(path)
    assert image.size == describe_image(path) == (512, 256) and image.mode == "RGB"
    pixels = np.asarray(image)
    assert pixels[128, 256].tolist() == [0, 0, 0] and pixels[20, 256].tolist() == [255, 255, 255]
    assert open_rgb(path, keep_alpha=True).mode == "RGBA"
    assert clean_drawing(open_drawing(path)).image.size
    bare = written(tmp_path, "<svg viewBox='0 0 12 24'><path d='M2 6 H22' stroke='red'/></svg>")
    assert open_rgb(bare).size == (256, 512), "without a namespace, as in a web page"


@needs_svg
def test_nothing_outside_the_file_is_read(tmp_path):
    Image.new("RGB", (9, 9), "red").save(tmp_path / "secret.png")
    plain = np.asarray(open_rgb(written(tmp_path, f"{HEAD}{LINE}</svg>")))
    for more in (
        f'<image href="{tmp_path / "secret.png"}" width="24" height="12"/>',
        f'<image href="file://{tmp_path / "secret.png"}" width="24" height="12"/>',
        f'<g><use href="{tmp_path / "icon.svg"}#x"/></g><script>1</script>',
    ):
        assert np.array_equal(np.asarray(open_rgb(written(tmp_path, f"{HEAD}{LINE}{more}</svg>"))), plain), more


def uses(levels):
    """Ten <use> of ten <use> of ..."""
    parts = ['<g id="a0"><path d="M1 1 L2 2"/></g>']
    parts += [f'<g id="a{n}">{10 * f"""<use href="#a{n - 1}"/>"""}</g>' for n in range(1, levels + 1)]
    return "".join(parts)


REFUSED = {
    "entities": ("<!DOCTYPE svg [<!ENTITY a 'aaaa'>]><svg>&a;</svg>", "entities, which are not read"),
    "a bomb of uses": (f"{HEAD}{uses(9)}</svg>", "draws more than 100,000 parts"),
    "a loop of uses": (f'{HEAD}<g id="a"><use href="#a"/></g></svg>', "draws more than 100,000 parts"),
    "nested": (f"{HEAD}{'<g>' * 300}{'</g>' * 300}</svg>", "nested too deeply"),
    "a strip": (f"{HEAD.replace('24 12', '9000 1')}{LINE}</svg>", "twenty times as long"),
    "cut off": (f"{HEAD}{LINE}", "the SVG is damaged"),
    "large": (f"{HEAD}{' ' * (4 * 2**20)}</svg>", "larger than 4 MB"),
}


@needs_svg
@pytest.mark.parametrize("case", REFUSED)
def test_an_svg_that_would_take_too_much_is_refused(tmp_path, case):
    text, said = REFUSED[case]
    with pytest.raises(ValueError, match=rf"cannot read image '.*icon.svg': .*{said}"):
        open_rgb(written(tmp_path, text))


@needs_svg
def test_a_huge_size_is_drawn_small(tmp_path):
    head = HEAD.replace("viewBox", 'width="1e9" height="5e8" viewBox')
    path = written(tmp_path, f"{head}{LINE}</svg>")
    assert open_rgb(path).size == (512, 256)


@needs_heic
def test_a_phones_photo_is_read(tmp_path):
    """Turned as libheif turns it, by the file's own transformation; EXIF is then not read a second time."""
    image = Image.new("RGB", (64, 32), "white")
    image.paste("red", (0, 0, 32, 32))
    image.save(tmp_path / "phone.heic", quality=90)
    read = open_rgb(tmp_path / "phone.heic")
    assert read.size == describe_image(tmp_path / "phone.heic") == (64, 32) and read.mode == "RGB"
    left, right = (np.asarray(read)[16, x].astype(int) for x in (10, 54))
    assert left[0] > 200 > left[1] and right.min() > 200, (left, right)
    assert open_rgb(io.BytesIO((tmp_path / "phone.heic").read_bytes())).size == (64, 32)


@needs_heic
def test_a_damaged_phone_photo_is_named(tmp_path):
    Image.new("RGB", (64, 32), "white").save(tmp_path / "phone.heic")
    (tmp_path / "cut.heic").write_bytes((tmp_path / "phone.heic").read_bytes()[:200])
    with pytest.raises(ValueError, match=r"cannot read image '.*cut.heic'"):
        open_rgb(tmp_path / "cut.heic")
