"""datasets/listing.py: what is kept between runs is what a fresh look would find."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from splip.data import listing
from splip.data.listing import list_classes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SPLIP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(listing, "SETTLED", 0)  # else folders this young are listed anew each time
    for name, files in {"bat": ["2.png", "1.JPEG", "s.sh"], "alarm clock": ["1.jpg", ".1.jpg.part"]}.items():
        path = tmp_path / "images" / name
        path.mkdir(parents=True)
        for file in files:
            (path / file).write_bytes(b"")
    (tmp_path / "images" / "readme.txt").write_text("no class")
    (tmp_path / "images" / ".hidden").mkdir()
    return tmp_path / "images"


@pytest.fixture
def looked(monkeypatch):
    """Class folders that were looked into, by name."""
    names, look = [], listing._list_files
    monkeypatch.setattr(listing, "_list_files", lambda path: names.append(Path(path).name) or look(path))
    return names


def images(folder):
    return {name: files.images for name, files in list_classes(folder).items()}


def slowly(folder):
    """The same, read from the disk with no memory."""
    found = {}
    for path in sorted(p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."):
        files = [p.name for p in path.iterdir() if p.suffix.lower() in (".png", ".jpg", ".jpeg") and p.name[0] != "."]
        found[path.name] = sorted(files)
    return found


def test_images_and_other_files_are_told_apart(folder):
    assert list_classes(folder) == {"alarm clock": (["1.jpg"], []), "bat": (["1.JPEG", "2.png"], ["s.sh"])}
    assert images(folder) == slowly(folder)


def test_the_second_look_opens_no_class_folder(folder, looked):
    first = list_classes(folder)
    assert looked == ["alarm clock", "bat"]
    assert list_classes(folder) == first and len(looked) == 2, looked


CHANGES = {
    "file added": (lambda f: (f / "bat" / "3.png").write_bytes(b""), ["bat"]),
    "file removed": (lambda f: (f / "bat" / "2.png").unlink(), ["bat"]),
    "file renamed": (lambda f: (f / "bat" / "2.png").rename(f / "bat" / "4.png"), ["bat"]),
    "class added": (lambda f: shutil.copytree(f / "bat", f / "cow"), ["cow"]),
    "class removed": (lambda f: shutil.rmtree(f / "bat"), []),
    "class renamed": (lambda f: (f / "bat").rename(f / "ant"), ["ant"]),
    "class replaced, times kept": (lambda f: replace(f / "bat"), ["bat"]),
}


def replace(path):
    times = path.stat()
    (path / "2.png").rename(path / "5.png")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # as unpacking an archive does


@pytest.mark.parametrize("case", CHANGES)
def test_a_changed_tree_is_noticed(folder, looked, case):
    change, changed = CHANGES[case]
    before = images(folder)
    looked.clear()
    change(folder)
    assert images(folder) == slowly(folder) != before
    assert looked == changed, "only what changed is looked at again"
    assert images(folder) == slowly(folder) and looked == changed


def test_a_folder_that_just_changed_is_not_trusted_yet(folder, looked, monkeypatch):
    monkeypatch.setattr(listing, "SETTLED", 10**12)
    list_classes(folder)
    list_classes(folder)
    assert looked == ["alarm clock", "bat"] * 2


def test_a_place_that_cannot_be_written_to_costs_time_only(folder, looked, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPLIP_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        with pytest.warns(UserWarning, match="cannot be kept in .*file.*SPLIP_CACHE names another folder"):
            assert images(folder) == slowly(folder)
    assert looked == ["alarm clock", "bat"] * 2


def test_no_home_is_no_error(folder, monkeypatch):
    def nowhere():
        raise RuntimeError("no home")

    monkeypatch.delenv("SPLIP_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    assert images(folder) == slowly(folder)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 0, "classes": {}}', '{"format": 1}'])
def test_a_damaged_memory_is_forgotten(folder, tmp_path, looked, content):
    list_classes(folder)
    (kept,) = (tmp_path / "cache" / "listings").iterdir()
    kept.write_text(content)
    assert images(folder) == slowly(folder) and looked == ["alarm clock", "bat"] * 2
    assert images(folder) == slowly(folder) and len(looked) == 4, "it is whole again"


def test_a_link_that_led_nowhere_is_looked_at_again(folder, looked, tmp_path):
    """No time of the class folder tells that what it leads to is there again."""
    os.symlink(tmp_path / "disk" / "far.png", folder / "bat" / "far.png")
    assert list_classes(folder)["bat"] == (["1.JPEG", "2.png"], ["far.png", "s.sh"])
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "far.png").write_bytes(b"")
    assert list_classes(folder)["bat"] == (["1.JPEG", "2.png", "far.png"], ["s.sh"])
    assert looked == ["alarm clock", "bat", "bat"]
    list_classes(folder)
    assert len(looked) == 3


def test_what_counts_as_an_image_is_part_of_the_memory(folder, looked, monkeypatch):
    list_classes(folder)
    monkeypatch.setattr(listing, "FORMAT", [*listing.FORMAT, ".new"])
    list_classes(folder)
    assert looked == ["alarm clock", "bat"] * 2


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EACCES, errno.EIO])
def test_what_cannot_be_looked_at_is_no_class_with_fewer_images(folder, monkeypatch, number):
    plain = os.stat

    def stat(path, *args, **kwargs):
        if str(path).endswith("2.png"):
            raise OSError(number, os.strerror(number), path)
        return plain(path, *args, **kwargs)

    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(OSError, match=r"bat/2\.png"):
        list_classes(folder)
    monkeypatch.undo()
    assert images(folder) == slowly(folder)


def test_a_class_that_is_a_link_to_a_disk_that_is_away(folder, tmp_path):
    (folder / "bat").rename(tmp_path / "bat")
    os.symlink(tmp_path / "bat", folder / "bat")
    before = list_classes(folder)
    (tmp_path / "bat").rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError, match=r"leads nowhere.*images/bat"):
        list_classes(folder)
    (tmp_path / "away").rename(tmp_path / "bat")
    assert list_classes(folder) == before
    os.symlink("gone.txt", folder / "notes.txt")
    assert list_classes(folder) == before
