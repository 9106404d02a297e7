"""What lies below a folder, and what is left out of it."""

import os

import pytest
from pictures import paint

from splip.data.images import describe_skipped
from splip.search.excludes import Excludes, as_lines
from splip.search.walk import require_folder, walk


def left_out(folder, *patterns):
    """(what of the folder's files is left out, patterns that leave nothing out)."""
    lines = as_lines(patterns, str(folder))
    whole, rest = walk(str(folder)), walk(str(folder), list(lines))
    out = sorted(os.path.relpath(path, folder) for path in set(whole.files) - set(rest.files))
    return out, [lines[line] for line in rest.excludes.unused]


def test_images_are_found_and_the_rest_is_counted(tmp_path):
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / ".thumbnails").mkdir()
    for name in ("b.JPG", "a/x.png", "a/deep/y.tiff", "a/._x.png", ".thumbnails/t.png", "c.jxl", "a/d.jxl", "e.pdf",
                 "README", "f.mpg"):  # fmt: skip
        (tmp_path / name).write_bytes(b"")
    os.symlink(tmp_path, tmp_path / "a" / "again")
    os.symlink("loop.jpg", tmp_path / "loop.jpg")
    os.symlink("nowhere", tmp_path / "lost.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    found = walk(str(tmp_path))
    assert sorted(os.path.relpath(path, tmp_path) for path in found.files) == ["a/deep/y.tiff", "a/x.png", "b.JPG"]
    assert describe_skipped(found.skipped) == (
        "2 .jxl, 2 broken link, 1 .mpg, 1 .pdf, 1 hidden, 1 linked folder, 1 no file, 1 without suffix"
    )
    assert not found.folders_unseen and set(found.files_unseen) == {str(tmp_path / n) for n in ("loop.jpg", "lost.png")}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    folder = tmp_path / "photos"
    for name in (
        "private/a.png", "trips/private/b.png", "private.png", "trips/[old]/c.png", "[old]/d.png", "#recycle/e.png",
        "!first/f.png", "end /g.png", "trips/x.gif", "o/h.png", "@eaDir/t/i.png",
    ):  # fmt: skip
        paint(folder / name, "red")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize(
    "pattern, out",
    [
        ("private/", ["private/a.png", "trips/private/b.png"]),
        ("private", ["private/a.png", "trips/private/b.png"]),
        ("/private", ["private/a.png"]),
        ("./private", ["private/a.png"]),
        ("./private/", ["private/a.png"]),
        ("photos/private", ["private/a.png"]),  # as seen from the working folder
        ("photos/trips/*", ["trips/[old]/c.png", "trips/private/b.png", "trips/x.gif"]),
        ("trips//private", ["trips/private/b.png"]),
        ("trips/../private", ["private/a.png"]),
        ("{photos}/private", ["private/a.png"]),
        ("{photos}/trips/p*", ["trips/private/b.png"]),
        ("{linked}/private/", ["private/a.png"]),
        ("**/private/**", ["private/a.png", "trips/private/b.png"]),
        ("**/@eaDir/**", ["@eaDir/t/i.png"]),
        ("private*", ["private.png", "private/a.png", "trips/private/b.png"]),
        ("*.gif", ["trips/x.gif"]),
        ("trips/*.gif", ["trips/x.gif"]),
        ("[old]/", ["o/h.png"]),  # a class of signs, as gitignore has it
        ("./[old]", ["[old]/d.png"]),  # a path that is there
        ("#recycle", ["#recycle/e.png"]),
        ("!first", ["!first/f.png"]),
        ("end ", ["end /g.png"]),
    ],
)
def test_what_is_left_out_is_what_was_meant(photos, tmp_path, pattern, out):
    os.symlink(photos, tmp_path / "linked")
    assert left_out(photos, pattern.format(photos=photos, linked=tmp_path / "linked")) == (out, [])


@pytest.mark.parametrize(
    "pattern",
    ["privat/", "*.GIF", "../private", "{photos}2/private", "/trips/c.png", "*.{gif,png}", "trips/old", "photos", "["],
)
def test_what_excludes_nothing_is_named(photos, pattern):
    pattern = pattern if "{gif" in pattern else pattern.format(photos=photos)
    assert left_out(photos, "*.gif", pattern) == (["trips/x.gif"], [pattern])


def test_what_is_taken_in_again(photos):
    assert left_out(photos, "*.png", "!private.png")[0] == [
        "!first/f.png", "#recycle/e.png", "@eaDir/t/i.png", "[old]/d.png", "end /g.png", "o/h.png", "private/a.png",
        "trips/[old]/c.png", "trips/private/b.png",
    ]  # fmt: skip


@pytest.mark.parametrize("pattern", ["", " ", "/", "./", "x\\", "[z-a]"])
def test_what_is_no_pattern_is_refused(photos, pattern):
    with pytest.raises(ValueError, match=r"^--exclude .*(names nothing|is no pattern of gitignore)"):
        as_lines([pattern], str(photos))


def test_lines_mean_the_same_from_any_folder(photos, tmp_path, monkeypatch):
    lines = list(as_lines(["photos/private", "./trips", "x/y"], str(photos)))
    monkeypatch.chdir("/")
    assert lines == ["/private", "/trips", "x/y"] and Excludes(lines)("private", True)


def test_a_folder_is_required(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for name in ("file", "file/x", "gone"):
        with pytest.raises(ValueError, match=f"no folder '.*{name}'"):
            require_folder(str(tmp_path / name))

    def stat(path, **kwargs):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "stat", stat)
    require_folder("/shut")  # it is one, to be named as shut
