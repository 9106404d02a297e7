"""Images are looked at once: by one version of what reads them."""

import os

import PIL
import pytest
from PIL import Image, PngImagePlugin

from splip.data import decode, images
from splip.data.checking import check_images
from splip.data.products import SHEET


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.setenv("SPLIP_CACHE", str(tmp_path / "cache"))
    for name in ("a.png", "b.gif"):
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    return [str(tmp_path / name) for name in ("a.png", "b.gif")]


def test_what_was_readable_is_looked_at_again_by_another_version(paths, monkeypatch):
    assert [check_images(paths) for _ in range(2)] == [2, 0]
    os.utime(paths[0], (1, 1))
    assert check_images(paths) == 1
    monkeypatch.setattr(PIL, "__version__", "0")
    assert [check_images(paths) for _ in range(2)] == [2, 0]
    monkeypatch.setattr(images, "READER", 0)
    monkeypatch.setattr(decode, "_readable", lambda: ("PNG",))
    with pytest.raises(ValueError, match=r"b\.gif.*none of PNG"):
        check_images(paths)


def test_a_sheet_of_ours_is_no_photo(paths):
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", SHEET)
    Image.new("RGB", (9, 9)).save(paths[0], pnginfo=info)
    with pytest.raises(ValueError, match=r"a\.png' is a splip contact sheet: take it out of the data"):
        check_images(paths)
