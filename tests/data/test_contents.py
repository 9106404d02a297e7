"""What is no picture is called by its name, with what to do; class names that are nearly alike are named together."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from tiny_benchmarks import SKETCHY_SKETCHES, make_sketchy

from splip.data import contents, decode
from splip.data.base import PHOTO, SKETCH, SBIRDataset, SBIRDatum
from splip.data.classes import near
from splip.data.contents import advise, describe_content
from splip.data.images import describe_image, open_rgb


def media(brand, *others):
    return struct.pack(">I", 16 + 4 * len(others)) + b"ftyp" + brand + bytes(4) + b"".join(others) + bytes(99)


DRAWINGS = {  # content -> what is said of it
    "plain.svg": (b"<svg xmlns='http://www.w3.org'/>", "it is an SVG drawing, which is not read: pip install"),
    "inkscape.svg": (b"\xef\xbb\xbf<?xml?>\n<!-- " + b"x" * 900 + b" -->\n<!DOCTYPE svg>\n<SVG>", "an SVG drawing"),
    "page.svg": (b"<!doctype html><body><svg/></body>", "a web page, as a failed download leaves"),
    "wide.svg": ("<?xml version='1.0'?><svg/>".encode("utf-16"), "an SVG drawing"),
    "prefixed.svg": (b"<?xml version='1.0'?><svg:svg xmlns:svg='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
    "packed.svgz": (b"\x1f\x8b\x08" + bytes(99), "a packed file .gzip, as SVGZ is.*export it as PNG"),
    "paper.pdf": (b"%PDF-1.7\n", "it is a PDF document, which is not read: export it as PNG"),
    "late.pdf": (b"\r\n\r\n%PDF-1.3\n", "a PDF document"),
    "picture.ai": (b"%PDF-1.5 Adobe Illustrator", "a PDF document"),
    "picture.eps": (b"\xc5\xd0\xd3\xc6" + bytes(40), "a PostScript file"),
    "layers.psd": (b"8BPS\0\1" + bytes(40), "it is a Photoshop file .PSD., which is not read: export it as PNG"),
    "large.psb": (b"8BPS\0\2" + bytes(40), "a Photoshop file"),
    "layers.xcf": (b"gimp xcf v011\0", "a GIMP file"),
    "layers.kra": (b"PK\3\4" + bytes(40), "a ZIP archive .*Krita"),
    "phone.heic": (media(b"heic"), "it is a HEIC picture, which is not read: pip install pillow-heif, or save"),
    "other.heic": (media(b"mif1", b"mif1", b"heic"), "a HEIC picture"),
    "film.heif": (media(b"hevc"), "a HEIC picture"),
    "film.mp4": (media(b"isom", b"mp41"), "a film .*save a frame of it as PNG"),
    "film.mov": (media(b"qt  "), "a film"),
    "film.avi": (b"RIFF\0\0\0\0AVI " + bytes(40), "a film"),
    "camera.cr3": (media(b"crx "), "raw file"),
    "new.jxl": (b"\xff\x0a" + bytes(40), "a JPEG XL picture"),
    "scan.jp2": (b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 picture"),
    "favicon.ico": (b"\0\0\1\0\1\0", "an icon"),
    "sketch.excalidraw": (b'{\n  "type": "excalidraw",', "an Excalidraw drawing"),
    "failed.jpg": (b"<!DOCTYPE html>\n<html>404", "a web page, as a failed download leaves"),
    "pointer.png": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull fetches the file"),
    "nothing.png": (b"", "the file is empty"),
    "words.png": (b"a drawing of a cat", "its content is none of JPEG, .*or damaged from the start"),
}  # fmt: skip


@pytest.fixture
def bare(monkeypatch):
    """A Python without what reads HEIC and SVG."""
    monkeypatch.setattr(decode.svg, "resvg_py", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    decode._readable.cache_clear()
    yield
    decode._readable.cache_clear()


@pytest.mark.parametrize("name", DRAWINGS)
def test_what_is_no_picture_is_called_by_its_name(tmp_path, bare, name):
    content, said = DRAWINGS[name]
    (tmp_path / name).write_bytes(content)
    for read in (open_rgb, describe_image, lambda path: open_rgb(path, keep_alpha=True)):
        with pytest.raises(ValueError, match=rf"cannot read image '.*{name}': .*{said}"):
            read(tmp_path / name)
    with pytest.raises(ValueError, match=rf"cannot read image 'that was sent': .*{said}"):
        open_rgb(io.BytesIO(content))


def test_an_avif_says_which_pillow_reads_it(monkeypatch):
    file = io.BytesIO(media(b"avif", b"mif1"))
    monkeypatch.setitem(Image.OPEN, "AVIF", None)
    assert describe_content(file) == "", "a damaged one is no matter of Pillow's version"
    monkeypatch.delitem(Image.OPEN, "AVIF")
    monkeypatch.setattr(contents, "__version__", "11.2")
    assert "an AVIF picture, which is not read: Pillow 11.2 cannot; 11.3 and newer can" in describe_content(file)


def test_files_of_other_kinds_in_a_folder():
    assert advise(["a.svg", "b.SVG", "c.heic", "d.txt"]) == (
        " (HEIC and SVG are not read: save as JPEG or PNG, or pip install pillow-heif and pip install resvg-py)"
    )
    assert advise([".psd"]) == " (PSD is not read: save as JPEG or PNG)"
    assert advise(["a.txt", "README"]) == ""


# --------------------------------------------------------------------------- class names


def dataset(tmp_path, sketches, photos, unseen):
    Image.fromarray(np.zeros((4, 4, 3), dtype=np.uint8)).save(tmp_path / "x.png")
    items = [SBIRDatum(str(tmp_path / "x.png"), SKETCH, name) for name in sketches]
    items += [SBIRDatum(str(tmp_path / "x.png"), PHOTO, name) for name in photos]
    return SBIRDataset(
        train=[item for item in items if item.classname not in unseen],
        queries=[item for item in items if item.classname in unseen and item.domain == SKETCH],
        gallery=[item for item in items if item.classname in unseen and item.domain == PHOTO],
        seen=sorted({item.classname for item in items} - set(unseen)), unseen=unseen, split_name="x", gallery_name="x",
    )  # fmt: skip


@pytest.mark.parametrize(
    "one, other, unseen",
    [
        ("ice cream cone", "ice-cream cone (toy)", False), ("ice cream cone", "ice cream cone (toy)", True),
        ("t-shirt", "tshirt", False), ("rock'n'roll", "rock\u2019n\u2019roll", False), ("caf\u00e9", "cafe", False),
        ("hot dog", "hot dog.", True), ("axe", "ax", False),
    ],
)  # fmt: skip
def test_a_class_without_photos_names_the_nearest_that_has_no_sketch(tmp_path, one, other, unseen):
    rest = ["ant", "bee", "cow", "dog"]
    with pytest.raises(ValueError, match=r"class .* has no (photo|sketch) \(near: ") as said:
        dataset(tmp_path, [*rest, one], [*rest, other], ["dog", *([one] if unseen else [])])
    assert repr(one) in str(said.value) or one in str(said.value)
    assert other in str(said.value), said.value


def test_what_is_not_near_is_not_named(tmp_path):
    with pytest.raises(ValueError, match=r"class 'zebra' has no photo$"):
        dataset(tmp_path, ["ant", "bee", "dog", "zebra"], ["ant", "bee", "dog"], ["dog"])
    assert near(["zebra"], ["ant", "bee"]) == near([], ["ant"]) == ""
    assert near(["Whel", "tre"], ["wheel", "tree"]) == " (near: wheel, tree)"


def test_a_benchmarks_misspelt_folder_and_list_name_the_nearest(tmp_path):
    import splip
    import splip.datasets
    from splip.engine import get_cfg_default

    data = make_sketchy(tmp_path, photos=1, sketches=1)
    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    cfg.DATASET.ROOT = str(data)
    (tmp_path / "mine.txt").write_text("aeroplane\ncat\n")
    cfg.DATASET.SPLIT = str(tmp_path / "mine.txt")
    with pytest.raises(ValueError, match=r"names classes that Sketchy has not: \['aeroplane'\] \(near: airplane\)"):
        splip.datasets.sketchy.Sketchy1(cfg)
    cfg.DATASET.SPLIT = ""
    folder = data / SKETCHY_SKETCHES
    (folder / "airplane").rename(folder / "air plane (toy)")
    with pytest.raises(ValueError, match=r"holds no sketch of 1 classes .*\['airplane'\] \(near: air plane \(toy\)\)"):
        splip.datasets.sketchy.Sketchy1(cfg)
