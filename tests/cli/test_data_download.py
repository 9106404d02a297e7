"""Archives of the published data sets: unpacked whole, or refused with a reason and without a trace."""

import io
import stat
import tarfile
import zipfile

import gdown
import pytest
import requests
from tiny_benchmarks import make_quickdraw, make_sketchy, make_tuberlin, pack

from splip import cli
from splip.cli import data_download as download
from splip.data import mirrors
from splip.data.sources import DRIVE, find_source

MAKERS = {"Sketchy": make_sketchy, "TUBerlin": make_tuberlin, "QuickDraw": make_quickdraw}
CLASSES = ["airplane", "ant"]


@pytest.fixture
def source(tmp_path):
    """The three data sets, two classes each."""
    for make in MAKERS.values():
        make(tmp_path / "source", classes=CLASSES)
    return tmp_path / "source"


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def zip_of(path, members, top="Sketchy"):
    """A zip of Sketchy's folders, one file each, and ``members``: {name or ZipInfo: content}."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for folder in download.FOLDERS["Sketchy"]:
            file.writestr(f"{top}/{folder}/ant/1.png", b"image")
        for name, content in members.items():
            file.writestr(name, content)
    return path


def tar_of(path, *infos):
    """A tar.gz of Sketchy's folders, one file each, and what ``infos`` describe (without content)."""
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as file:
        for folder in download.FOLDERS["Sketchy"]:
            info = tarfile.TarInfo(f"{folder}/ant/1.png")
            info.size = 5
            file.addfile(info, io.BytesIO(b"image"))
        for info in infos:  # the headers alone, which addfile refuses from Python 3.13 on
            file.fileobj.write(info.tobuf(file.format, file.encoding, file.errors))
    return path


def tar_info(name, **fields):
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def refused(archive, message, root, name="Sketchy"):
    """The archive is refused with ``message``, and ``root`` is as empty as before."""
    with pytest.raises(ValueError, match=message):
        download.unpack(archive, name, root)
    assert list(root.iterdir()) == []


# --------------------------------------------------------------------- what is accepted


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(("suffix", "top"), [(".zip", "any name"), (".tar", ""), (".tar.gz", "a/b")])
def test_every_layout_of_an_archive_ends_the_same(source, tmp_path, name, suffix, top, capsys):
    archive = pack(source, name, tmp_path / f"downloaded{suffix}", top)
    root = tmp_path / "data"
    assert cli.main(["data", "download", name, "--root", str(root), "--archive", str(archive)]) == 0
    assert files_below(root / name) == files_below(source / name)
    assert [path.name for path in root.iterdir()] == [name]
    assert stat.S_IMODE((root / name).stat().st_mode) == stat.S_IMODE((source / name).stat().st_mode)
    out = capsys.readouterr().out
    assert f"splip data check {name} --root {root}" in out

    archive.unlink()  # a finished data set needs no archive
    assert cli.main(["data", "download", name, "--root", str(root), "--archive", str(archive)]) == 0
    assert "is there already" in capsys.readouterr().out


def test_what_stands_beside_the_data_set_is_left_out(tmp_path):
    extra = {"READ ME.txt": b"", "Sketchy/zeroshot0/cname_cid.txt": b"ant 0"}
    extra.update({f"__MACOSX/Sketchy/{folder}/ant/._1.png": b"" for folder in download.FOLDERS["Sketchy"]})
    download.unpack(zip_of(tmp_path / "a.zip", extra), "Sketchy", tmp_path / "data")
    wanted = {f"{folder}/ant/1.png" for folder in download.FOLDERS["Sketchy"]} | {"zeroshot0/cname_cid.txt"}
    assert set(files_below(tmp_path / "data" / "Sketchy")) == wanted


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "a/../../evil.png", "C:\\evil.png", "a\\..\\evil.png"])
def test_a_path_that_leads_outside(tmp_path, name):
    (tmp_path / "data").mkdir()
    message = "leads outside of the folder"
    refused(zip_of(tmp_path / "a.zip", {name: b"x"}), message, tmp_path / "data")
    refused(tar_of(tmp_path / "a.tar.gz", tar_info(name)), message, tmp_path / "data")


def test_links_devices_and_encrypted_files(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    link, pipe = zipfile.ZipInfo("Sketchy/link"), zipfile.ZipInfo("Sketchy/pipe")
    link.external_attr, pipe.external_attr = stat.S_IFLNK << 16, stat.S_IFIFO << 16
    refused(zip_of(tmp_path / "a.zip", {link: b"/etc/passwd"}), "'Sketchy/link' is link", root)
    refused(zip_of(tmp_path / "b.zip", {pipe: b""}), "'Sketchy/pipe' is device", root)
    for kind, said in ((tarfile.SYMTYPE, "link"), (tarfile.LNKTYPE, "link"), (tarfile.CHRTYPE, "device"),
                       (tarfile.BLKTYPE, "device"), (tarfile.FIFOTYPE, "device")):  # fmt: skip
        info = tar_info("odd", type=kind, linkname="/etc/passwd")
        refused(tar_of(tmp_path / "a.tar.gz", info), f"'odd' is {said}", root)

    locked = zip_of(tmp_path / "c.zip", {"Sketchy/locked.png": b"x"})
    content = bytearray(locked.read_bytes())
    content[content.rindex(b"PK\1\2") + 8] |= 1  # the flag in the central directory
    locked.write_bytes(content)
    refused(locked, "'Sketchy/locked.png' is encrypted", root)


def test_bombs(tmp_path, monkeypatch):
    root = tmp_path / "data"
    root.mkdir()
    zeros = zip_of(tmp_path / "a.zip", {"Sketchy/zeros.png": bytes(10**6)})
    refused(zeros, r"its 0\.0 MB unpack to more than 0\.\d MB", root)
    vast = tar_info("vast.png", size=10**15)  # says so only; nothing follows
    refused(tar_of(tmp_path / "b.tar.gz", vast), "unpack to more than", root)
    extended = tar_info("long.png", pax_headers={"comment": "x" * 10**6})
    refused(tar_of(tmp_path / "c.tar.gz", extended), r"extended header of 1\.0 MB", root)

    plain = zip_of(tmp_path / "d.zip", {})
    monkeypatch.setattr(download, "MAX_FILES", 2)
    refused(plain, "holds more than 2 files", root)
    monkeypatch.setattr(download, "MAX_FILES", 3)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 14}))
    refused(plain, r"unpacks to 0\.0 MB, but .*data has 0\.0 MB free", root)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 15}))
    assert download.unpack(plain, "Sketchy", root).is_dir()


def test_a_sparse_file(tmp_path):
    header = tar_info("sparse.png", type=tarfile.GNUTYPE_SPARSE)
    (tmp_path / "data").mkdir()
    refused(tar_of(tmp_path / "a.tar.gz", header), "'sparse.png' is sparse", tmp_path / "data")


def test_headers_that_lie(tmp_path):
    """A file that is longer or shorter than its header says is found while it is unpacked."""
    root = tmp_path / "data"
    root.mkdir()
    for number, said in ((1, 3), (2, 300)):
        archive = zip_of(tmp_path / f"{number}.zip", {"Sketchy/other.png": b"0123456789" * 10})
        content = bytearray(archive.read_bytes())
        at = content.rindex(b"PK\1\2") + 24  # its length, in the central directory
        content[at : at + 4] = said.to_bytes(4, "little")
        archive.write_bytes(content)
        refused(archive, "can be read to its end|not as long as its header says", root)


def test_damaged_foreign_and_missing_archives(source, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    for suffix in (".zip", ".tar", ".tar.gz"):
        whole = pack(source, "TUBerlin", tmp_path / f"whole{suffix}")
        half = tmp_path / f"half{suffix}"
        half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        refused(half, "no zip or tar that can be read to its end", root, "TUBerlin")
    broken = tmp_path / "whole.zip"
    content = bytearray(broken.read_bytes())
    content[200] ^= 255  # in the first picture
    broken.write_bytes(content)
    refused(broken, "can be read to its end: Bad CRC-32", root, "TUBerlin")
    page = tmp_path / "page.zip"
    page.write_text("<html>Quota exceeded</html>")
    refused(page, "remove it and download again", root)
    other = pack(source, "QuickDraw", tmp_path / "other.tar.gz")
    refused(other, "no archive of Sketchy: expected .*EXTEND_image_sketchy_ready.*found QuickDraw/images/ai", root)
    twice = zip_of(tmp_path / "twice.zip", {f"copy/{folder}/ant/1.png": b"" for folder in download.FOLDERS["Sketchy"]})
    refused(twice, "side by side, once", root)
    with pytest.warns(UserWarning, match="Duplicate name"):
        same = zip_of(tmp_path / "same.zip", {f"Sketchy/{download.FOLDERS['Sketchy'][0]}/ant/1.png": b"image"})
    refused(same, "holds '256x256/sketch/tx_000000000000_ready/ant/1.png' twice", root)
    with pytest.raises(FileNotFoundError, match=r"no archive at .*gone\.zip"):
        download.unpack(tmp_path / "gone.zip", "Sketchy", root)


def test_an_unpacking_that_stops_leaves_nothing_that_looks_finished(source, tmp_path, monkeypatch, capsys):
    archive, root = pack(source, "Sketchy", tmp_path / "a.tar.gz"), tmp_path / "data"
    write, written = download._write, []

    def stop_at_the_third(*arguments):
        written.append(write(*arguments))
        if len(written) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(download, "_write", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        download.unpack(archive, "Sketchy", root)
    assert list(root.iterdir()) == []

    monkeypatch.setattr(download, "_write", write)
    (root / ".Sketchy-killed" / "Sketchy" / "256x256").mkdir(parents=True)  # what a kill leaves
    download.unpack(archive, "Sketchy", root)
    assert files_below(root / "Sketchy") == files_below(source / "Sketchy")
    assert ".Sketchy-killed was left by an unpacking" in capsys.readouterr().out


# ------------------------------------------------------------------------- the download


def test_the_download_goes_by_id_resumes_and_is_unpacked(source, tmp_path, monkeypatch):
    archive, calls = pack(source, "QuickDraw", tmp_path / "drive.zip"), []

    def fake(**arguments):
        calls.append(arguments)
        with open(arguments["output"], "wb") as file:
            file.write(archive.read_bytes())
        return arguments["output"]

    monkeypatch.setattr(gdown, "download", fake)
    root = tmp_path / "data"
    assert cli.main(["data", "download", "QuickDraw", "--root", str(root)]) == 0
    held = str(root / "QuickDraw.archive")
    assert calls == [{"id": "1EZ8xWRzCi8JcKiFtciD2PwguofC785gK", "output": held, "resume": True}]
    assert files_below(root / "QuickDraw") == files_below(source / "QuickDraw")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (requests.ConnectionError("no route"), "no connection to Google Drive: no route"),
        (gdown.exceptions.FileURLRetrievalError("Too many users"), "refused (perhaps its daily quota): Too many users"),
        (None, "refused (perhaps its daily quota): gdown gave no file"),
    ],
)
def test_a_download_that_fails_says_what_to_do(tmp_path, monkeypatch, capsys, error, reason):
    def fake(**arguments):
        if error:
            raise error

    monkeypatch.setattr(gdown, "download", fake)
    assert cli.main(["data", "download", "TUBerlin", "--root", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    for wanted in (reason, "12VV40j5Nf4hNBfFy0AhYEtql1OjwXAUC/view", f"--root {tmp_path} --archive FILE",
                   "a mirror, which holds less: --from sdiaeyu6n/tu-berlin"):  # fmt: skip
        assert wanted in said, said


def test_a_full_disk_is_no_fault_of_the_network(tmp_path, monkeypatch):
    def fake(**arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(gdown, "download", fake)
    with pytest.raises(OSError, match="No space left"):
        mirrors.fetch_drive(find_source("Sketchy", DRIVE), tmp_path)
