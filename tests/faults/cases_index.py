"""More faults, a row each: what an index cannot see, remembers, leaves out, and calls by its name. As in cases.py."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from contextlib import contextmanager
from unittest import mock

import PIL
from cases import case
from cases_disk import outside
from PIL import Image
from world import draw


def index(world, *words):
    return world.splip("index", *words, "--model", world.run, "--index", world.folder / "index")


def search(world, *words, photos=None):
    """A search in ``photos`` -> its outcome, with what it said on stderr at the end of what it printed."""
    where = ["--photos", photos] if photos else []
    done = world.splip("search", *words, *where, "--model", world.run, "--index", world.folder / "index")
    return both(done)


def both(done):
    return done._replace(out=done.out + done.err) if done.status == 0 else done


def filled(world, *words):
    """The photos of the data set, indexed."""
    done = index(world, world.data / "photo", *words)
    assert done.status == 0 and "24 new" in done.out, done
    return done


@contextmanager
def failing(function, number, *paths):
    """``os.<function>`` fails for these paths, and for what lies below them."""
    plain, names = getattr(os, function), [str(path) for path in paths]

    def fail(path, *args, **kwargs):
        text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
        if any(text == name or text.startswith(name + os.sep) for name in names):
            raise OSError(number, os.strerror(number), text)
        return plain(path, *args, **kwargs)

    with mock.patch.object(os, function, fail):
        yield


# ------------------------------------------------------------- what cannot be seen now is not gone


def away(world, take, bring):
    """Index, take something away, index, bring it back -> what the second run says; nothing was embedded again."""
    filled(world)
    take()
    done = both(index(world))
    bring()
    last = index(world)
    assert last.out.startswith("24 unchanged") and "not there" not in last.out, last.out
    return done


NAS = r"OK: not there, or empty: .*photo/cat"


@case("new", "a disk mounted below the added folder is away: an empty subfolder", NAS)
def _(world):
    folder, disk = world.data / "photo/cat", world.folder / "disk"
    return away(world, lambda: (folder.rename(disk), folder.mkdir()), lambda: (folder.rmdir(), disk.rename(folder)))


@case("new", "the same, with a hidden mark and another folder in the mount point", NAS)
def _(world):
    folder, disk = world.data / "photo/cat", world.folder / "disk"

    def take():
        folder.rename(disk)
        (folder / "lost+found").mkdir(parents=True)
        (folder / ".not-mounted").write_text("")

    return away(world, take, lambda: (shutil.rmtree(folder), disk.rename(folder)))


@case("new", "a disk whose mount point goes with it", NAS)
def _(world):
    folder, elsewhere = world.data / "photo/cat", world.folder / "nas"
    with mock.patch("os.path.ismount", lambda path: str(path) == str(folder) and folder.is_dir()):
        return away(world, lambda: folder.rename(elsewhere), lambda: elsewhere.rename(folder))


@case("new", "photos that are links to a disk that is away", r"OK: unreadable: .*cat/1\.png: now: broken link")
def _(world):
    folder, disk = world.data / "photo/cat", world.folder / "disk"
    folder.rename(disk)
    folder.mkdir()
    for path in disk.iterdir():
        (folder / path.name).symlink_to(path)
    return away(world, lambda: disk.rename(world.folder / "off"), lambda: (world.folder / "off").rename(disk))


@case("new", "what a user deleted: a photo, a folder, and by --forget an emptied one", r"OK: 4 images forgotten")
def _(world):
    filled(world)
    world.photo("dog").unlink()
    shutil.rmtree(world.data / "photo/tree")
    for path in (world.data / "photo/cat").iterdir():
        path.unlink()
    done = index(world)
    assert "15 unchanged, 5 gone" in done.out and "photo/cat" in done.out, done.out
    forgotten = index(world, "--forget", world.data / "photo/cat")
    assert "photo/cat" not in index(world).out
    return forgotten


# ------------------------------------------------------------- found under a fault, remembered as a fact


@case("new", "an AVIF that this Pillow cannot read, then Pillow is upgraded", r"OK: 1 new, 24 unchanged")
def _(world):
    from splip.data import decode

    Image.open(world.photo()).save(world.photo().with_name("new.avif"))
    old = tuple(name for name in decode._readable() if name != "AVIF")
    with mock.patch.object(decode, "_readable", lambda: old), mock.patch.object(PIL, "__version__", "10.3"):
        first = index(world, world.data / "photo")
        assert "24 new, 1 unreadable" in first.out, first.out
        assert "24 unchanged, 1 unreadable" in index(world).out
    return index(world)


@case("new", "a photo that could not be read for want of memory", r"OK: 1 new, 23 unchanged")
def _(world):
    from splip.data import decode

    plain, broken = decode._shown, []

    def fail_once(image, *how):
        if not broken:
            broken.append(image)
            raise MemoryError
        return plain(image, *how)

    with mock.patch.object(decode, "_shown", fail_once):
        first = index(world, world.data / "photo")
    assert "23 new, 1 unreadable" in first.out, first.out
    return index(world)


@case("new", "training photos that were links to a disk that was away", r"OK")
def _(world):
    disk = world.folder / "disk"
    (world.data / "photo/cat").rename(disk)
    (world.data / "photo/cat").mkdir()
    for path in disk.iterdir():
        (world.data / "photo/cat" / path.name).symlink_to(path)
    (disk / "1.png").rename(world.folder / "away.png")
    with mock.patch("splip.data.listing.SETTLED", 0):
        first = world.train(output_dir=world.folder / "first")
        assert "left out, no images: 1 .png" in first.out, first.out
        (world.folder / "away.png").rename(disk / "1.png")
        second = world.train()
    assert "left out" not in second.out, second.out
    return second


# ------------------------------------------------------------- an exclude that excludes nothing


def exclude_case(what, says, pattern, private="private"):
    @case("new", f"--exclude {what}", says)
    def do(world):
        draw(world.data / "photo" / private / "secret.png", 3, "photo")
        done = index(world, world.data / "photo", "--exclude", pattern.format(photo=world.data / "photo"))
        kept = index(world, "--list").out
        assert '"images": 24' in kept or "excludes nothing" in done.out, kept
        found = search(world, world.sketch(), "-f", "--top", "100").out
        assert ("secret" in found) == ("excludes nothing" in done.out), done.out
        return done


exclude_case("private/", "OK: 24 new; no images: 1 excluded", "private/")
exclude_case("./private", "OK: 24 new; no images: 1 excluded", "./private")
exclude_case("an absolute path below the folder", "OK: 24 new; no images: 1 excluded", "{photo}/private")
exclude_case("a path from the working folder", "OK: 24 new; no images: 1 excluded", "data/photo/private")
exclude_case("**/@eaDir/**", "OK: 24 new; no images: 1 excluded", "**/@eaDir/**", "@eaDir")
exclude_case("#recycle, a comment to gitignore", "OK: 24 new; no images: 1 excluded", "#recycle", "#recycle")
exclude_case("a folder that is not there", r"OK: --exclude privat/ excludes nothing", "privat/")
exclude_case("a path beside the folder", r"OK: --exclude .*/beside excludes nothing", "{photo}/../beside")


@case("new", "--exclude that is no pattern", r"splip index: --exclude '\[z-a\]' is no pattern of gitignore")
def _(world):
    return index(world, world.data / "photo", "--exclude", "[z-a]")


# ------------------------------------------------------------- one unreadable thing stops one thing


def unreadable_case(what, says, function, number, where):
    @case("new", what, says)
    def do(world):
        filled(world)
        draw(world.data / "photo/dog/more.png", 7, "photo", 3)
        with failing(function, number, world.data / "photo" / where):
            done = index(world)
        assert "1 new" in done.out and "gone" not in done.out, done.out
        last = index(world)
        assert "25 unchanged" in last.out, last.out
        return done


unreadable_case("a folder that may be listed, not entered", r"OK: Permission denied: .*photo/cat; what is known",
                "stat", errno.EACCES, "cat")  # fmt: skip
unreadable_case("a photo with a stale file handle", r"OK: unreadable: .*cat/1\.png: now: Stale file handle",
                "stat", errno.ESTALE, "cat/1.png")  # fmt: skip
unreadable_case("a folder of a disk that fails", r"OK: Input/output error: .*photo/cat; what is known",
                "scandir", errno.EIO, "cat")  # fmt: skip


@case("new", "a folder of an index that is a file now, beside one that is whole", r"OK: not there, or empty: .*other")
def _(world):
    other = world.folder / "other"
    draw(other / "x.png", 3, "photo")
    assert index(world, other, world.data / "photo").status == 0
    shutil.rmtree(other)
    other.write_text("")
    draw(world.data / "photo/dog/more.png", 7, "photo", 3)
    done = index(world, other, world.data / "photo")
    assert "1 new, 24 unchanged" in done.out, done.out
    return done


@case("new", "two drawings, one of them blank", "nothing is drawn on it: it is blank")
def _(world):
    Image.new("RGB", (60, 60), "white").save(world.folder / "blank.png")
    done = search(world, world.folder / "blank.png", world.sketch(), photos=world.data / "photo")
    assert ".png\n" in done.out and (world.folder / "search.png").is_file(), done.out
    return done


# ------------------------------------------------------------- names are only names


@case("new", "a line break in a photo's name", r"OK: cat/a\\nb\\x1b\.png")
def _(world):
    world.photo().rename(world.photo().with_name("a\nb\x1b.png"))
    return search(world, world.sketch(), "--top", "24", photos=world.data / "photo")


@case("new", "bytes that are no text and a line break in names, paths alone", r"OK: 1 names hold .*--json")
def _(world):
    os.rename(world.photo(), os.fsencode(world.photo().with_name("a\u2028b")) + b"\xff.png")
    done = search(world, world.sketch(), "--top", "24", "-f", photos=world.data / "photo")
    assert len(done.out.splitlines()) == 25, done.out
    return done


@case("new", "a drawing and its photo whose names have a line break", "OK: search.png")
def _(world):
    draw(world.folder / "my\ndrawing.png", 3, "sketch")
    return search(world, "my\ndrawing.png", "--text", "a\nb", photos=world.data / "photo")


@case("new", "--copy-to of a photo with a name of 254 bytes", "OK: search.png")
def _(world):
    long = "ä" * 125 + ".png"
    world.photo().rename(world.photo().with_name(long))
    found = world.folder / "found"
    done = search(world, world.sketch(), "--top", "24", "--copy-to", found, photos=world.data / "photo")
    assert len(list(found.iterdir())) == 24 and all(Image.open(path).size == (60, 52) for path in found.iterdir())
    return done


@case("new", "photos that are gone since they were indexed", r"OK: not copied: .*1\.png.*not drawn.*cat/1\.png")
def _(world):
    filled(world)
    world.photo().unlink()
    done = search(world, world.sketch(), "--top", "24", "--copy-to", world.folder / "found")
    assert done.out.count(".png\n") >= 24 and len(list((world.folder / "found").iterdir())) == 23, done.out
    return done._replace(out=done.out.replace("\n", " "))


@case("new", "--copy-to where one of the names is taken", r"found/003_.* is there already")
def _(world):
    filled(world)
    first = search(world, world.sketch(), "--copy-to", world.folder / "found", "--top", "3")
    for path in (world.folder / "found").glob("00[12]_*"):
        path.unlink()
    done = search(world, world.sketch(), "--copy-to", world.folder / "found", "--top", "3")
    assert len(list((world.folder / "found").iterdir())) == 1, "it stopped half way"
    assert done.out.splitlines()[:4] == first.out.splitlines()[:4], "what was found was not printed"
    return done


# ------------------------------------------------------------- own products are not input


@case("new", "a search twice in the folder that its sheet is drawn into", r"OK: 1 splip contact sheet")
def _(world):
    photos = world.data / "photo"
    first = search(world, world.sketch(), "--top", "40", "--sheet", photos / "found.png", photos=photos)
    second = search(world, world.sketch(), "--top", "40", "--sheet", photos / "found.png", photos=photos)
    assert [done.out.count(f"{photos}{os.sep}") for done in (first, second)] == [24 + 1, 24 + 1], second.out
    return second


@case("new", "the pictures of a run and of a comparison among the photos", r"OK: 24 new; no images: 2 splip contact")
def _(world):
    for name in ("retrieval.png", "training_curve.png"):
        shutil.copy(world.run / name, world.data / "photo" / name)
    shutil.copy(world.run / "retrieval.png", world.photo().with_name("renamed.png"))
    done = index(world, world.data / "photo")
    assert "1 splip training curve" in done.out and "24 unchanged; no images: 2 splip" in index(world).out, done.out
    return done


@case("new", "copies that splip search made among the photos", r"OK: 24 unchanged; no images: 5 copied by splip search")
def _(world):
    filled(world)
    search(world, world.sketch(), "--top", "5", "--copy-to", world.data / "photo/found")
    return index(world)


@case("new", "a contact sheet among the training photos", r"photo/cat/found\.png' is a splip contact sheet")
def _(world):
    shutil.copy(world.run / "retrieval.png", world.photo().with_name("found.png"))
    return world.train()


@case("new", "a file of somebody else at search.png", r"OK: no sheet is drawn: search\.png is there already")
def _(world):
    (world.folder / "search.png").write_text("mine")
    done = search(world, world.sketch(), photos=world.data / "photo")
    assert done.out.count(".png\n") >= 10 and (world.folder / "search.png").read_text() == "mine"
    return done


@case("new", "a folder that may not be written to, and no --sheet", r"OK: no sheet is drawn: Read-only file system")
def _(world):
    filled(world)
    error = OSError(errno.EROFS, os.strerror(errno.EROFS), "search.png")
    with mock.patch("splip.retrieval.sheets.whole_file", side_effect=error):
        return search(world, world.sketch())


# ------------------------------------------------------------- seconds before the first word


def quick_case(what, says, *words):
    @case("new", f"{what}, before torch is imported", says)
    def do(world):
        code = (
            "import sys; from splip.cli import main; status = main(sys.argv[1:]); "
            "sys.exit(status if not {'torch', 'faiss', 'torchvision'} & {*sys.modules} else 9)"
        )
        named = [word.format(sketch=world.sketch(), split=world.split) for word in words]
        return outside(world, [sys.executable, "-c", code, *named], PYTHONPATH=os.pathsep.join(sys.path))


quick_case("search with a drawing that is not there", "no file 'gone.png'", "search", "gone.png")
quick_case("search with a model that is not there", "no model at 'nowhere'", "search", "{sketch}", "--model", "nowhere")
quick_case("search in a folder that is not there", "no folder", "search", "{sketch}", "--photos", "nowhere")
quick_case("index of a folder that is not there", "no folder", "index", "nowhere")
quick_case("export of a missing run", "no model at 'nowhere'", "export", "--model", "nowhere", "--output", "x")
quick_case("evaluate of a missing run", "no run's output folder", "evaluate", "--run", "nowhere", "--output-dir", "x")
quick_case("comparison of missing runs", "holds no finished run", "compare", "nowhere", "--output", "x")
quick_case("a page with a missing model", "no model at 'nowhere'", "app", "--model", "nowhere")
quick_case("table of a missing folder", "no results.json below", "table", "nowhere")
