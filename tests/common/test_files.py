"""Files that are whole or not there, and names on one line."""

import errno
import os
import stat

import pytest

from splip.common.errors import shown
from splip.common.files import whole_file


def test_a_name_is_on_the_disk_when_it_is_there(tmp_path, monkeypatch):
    """The folder is synced after the file has its name: a power cut cannot take the name back."""
    plain, order = os.fsync, []

    def fsync(opened):
        is_folder = stat.S_ISDIR(os.fstat(opened).st_mode)
        order.append(("folder" if is_folder else "file", (tmp_path / "x.txt").exists()))
        plain(opened)

    monkeypatch.setattr(os, "fsync", fsync)
    for path in (tmp_path / "x.txt", "x.txt"):
        monkeypatch.chdir(tmp_path)
        with whole_file(path) as file:
            file.write(b"whole")
        assert order == [("file", False), ("folder", True)], order
        order.clear()
        assert (tmp_path / "x.txt").read_bytes() == b"whole" and os.listdir(tmp_path) == ["x.txt"]
        os.remove(path)


@pytest.mark.parametrize("number, passes", [(errno.EINVAL, True), (errno.EIO, False), (errno.ENOSPC, False)])
def test_a_file_system_that_syncs_no_folders_will_do_and_one_that_fails_will_not(tmp_path, monkeypatch, number, passes):
    plain = os.fsync

    def fsync(opened):
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            raise OSError(number, os.strerror(number))
        plain(opened)

    monkeypatch.setattr(os, "fsync", fsync)

    def write():
        with whole_file(tmp_path / "x") as file:
            file.write(b"1")

    if passes:
        write()
    else:
        with pytest.raises(OSError, match=r"Input/output error|No space left"):
            write()


def test_a_name_as_long_as_it_may_be(tmp_path):
    path = tmp_path / ("ä" * 127)
    for content in (b"1", b"2"):
        with whole_file(path) as file:
            file.write(content)
    assert path.read_bytes() == b"2" and len(os.listdir(tmp_path)) == 1
    with pytest.raises(ZeroDivisionError), whole_file(path):
        1 / 0  # noqa: B018
    assert path.read_bytes() == b"2" and len(os.listdir(tmp_path)) == 1


@pytest.mark.parametrize(
    "name, line",
    [("a\nb\r\x1b[31m", r"a\nb\r\x1b[31m"), ("a\u2028\u202eb", r"a\u2028\u202eb"), ("é 🎡 it's \\n", "é 🎡 it's \\n"),
     ("bytes \udcff", "bytes \udcff"), ("tab\tnul\x7f", r"tab\tnul\x7f")],
)  # fmt: skip
def test_names_are_shown_on_one_line(name, line):
    assert shown(name) == line
