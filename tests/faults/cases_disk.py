"""More faults, a row each: full disks, names and links, locked files, scripts, environments. As in cases.py."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager

from cases import CANNOT, case
from PIL import Image
from world import ROOT, Outcome, draw


def outside(world, words, **variables):
    """A command in a process of its own."""
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(words, cwd=world.folder, env=environment, capture_output=True, text=True, timeout=300)
    return Outcome(done.returncode, done.stdout, done.stderr)


def limited(world, kilobytes, words):
    """A command whose files may have so many kB: a disk that is full. That is not its user's fault: status 1."""
    return outside(world, ["bash", "-c", 'ulimit -f "$0"; exec "$@"', str(kilobytes), sys.executable, *map(str, words)])


def training(world, *words):
    """Words of a run on the small data set."""
    return [
        ROOT / "train.py", "--root", world.data, "--backbone", world.clip, "--config-file", world.method, "--seed", 1,
        "--dataset-config-file", ROOT / "configs/datasets/folder.yaml", "--output-dir", world.out, *words,
        "DATASET.SPLIT", world.split,
    ]  # fmt: skip


def as_users(outcome, status=1):
    """An outcome whose status is rightly another one than 2, as one that can be judged."""
    return outcome._replace(status=2) if outcome.status == status else outcome


@contextmanager
def no_permission(*paths):
    """Files that may not be read, also where the tests are run by root."""
    import builtins

    real, shut = builtins.open, {os.fspath(path) for path in paths}

    def refuse(file, *args, **kwargs):
        if isinstance(file, (str, os.PathLike)) and os.fspath(file) in shut:
            raise PermissionError(13, "Permission denied", os.fspath(file))
        return real(file, *args, **kwargs)

    builtins.open = refuse
    try:
        yield
    finally:
        builtins.open = real


# ------------------------------------------------------------------------ names, links, rights


@case(18, "11,000 x 11,000 PNG (121 megapixels)", "OK")
def _(world):
    world.photo().unlink()
    Image.new("1", (11_000, 11_000), 1).save(world.photo())
    return world.train()


@case(28, "a terminal that shows ASCII alone", "OK")
def _(world):
    (world.data / "photo/cat").rename(world.data / "photo/Räder 🎡")
    (world.data / "sketch/cat").rename(world.data / "sketch/Räder 🎡")
    words = map(str, training(world, "--trainer", "FrozenCLIP"))
    return outside(world, [sys.executable, *words], LC_ALL="C", PYTHONIOENCODING="ascii")


@case(30, "a link photo/all to photo", r"photo/all has no images \(there is the folder 'all'\)")
def _(world):
    (world.data / "photo/all").symlink_to(world.data / "photo")
    return world.train()


@case(32, "a folder called sub.jpg in a class", "OK")
def _(world):
    (world.photo().parent / "sub.jpg").mkdir()
    return world.train()


@case(34, "an empty class folder that the list names", r"photo/empty has no images \(there is nothing\)")
def _(world):
    (world.data / "photo/empty").mkdir()
    world.split.write_text("wheel\nempty\n")
    return world.train()


@case(44, "a photo that may not be read", CANNOT + "Permission denied")
def _(world):
    with no_permission(world.photo()):
        return world.train()


@case(111, "a checkpoint that may not be read", r"splip search: (?!.*damaged).*Permission denied")
def _(world):
    from unittest import mock

    path = next((world.run / "splip").glob("model.pth.tar-*"))
    with mock.patch("zipfile.ZipFile", side_effect=PermissionError(13, "Permission denied", str(path))):
        return world.splip("search", world.sketch(), "--model", world.run, "--photos", world.data / "photo")


# ------------------------------------------------------------------------ settings and runs


@case(65, "BATCH_SIZE larger than the data, and FrozenCLIP", "OK")
def _(world):
    return world.train("DATALOADER.TRAIN_X.BATCH_SIZE", 32, trainer="FrozenCLIP")


@case(65, "BATCH_SIZE larger than the data, and --eval-only", "BATCH_SIZE is 32, but there are only 16")
def _(world):
    return world.train("DATALOADER.TRAIN_X.BATCH_SIZE", 32, "--eval-only", model_dir=world.run)


@case(85, "Sketchmoji with a --root that is not there", "OK: Sketchmoji comes with the package: there is no")
def _(world):
    return world.bare("--trainer", "FrozenCLIP", "--no-train", "--root", "/nonexistent", "--output-dir", world.out,
                      "--dataset-config-file", ROOT / "configs/datasets/sketchmoji.yaml",
                      "--config-file", ROOT / "configs/trainers/SpLIP/hybrid.yaml")  # fmt: skip


@case(92, "resumed with another number of workers", "OK")
def _(world):
    done = world.train("OPTIM.MAX_EPOCH", 2, "DATALOADER.NUM_WORKERS", 0)
    for path in ("splip/model.pth.tar-2", "results.json"):
        (world.out / path).unlink()
    first = next((world.out / "splip").glob("model.pth.tar-1"), None)
    if done.status or first is None:
        return done._replace(err=done.err + "nothing to resume") if done.status else done
    (world.out / "splip/checkpoint").write_text("model.pth.tar-1\n")
    return world.train("OPTIM.MAX_EPOCH", 2, "DATALOADER.NUM_WORKERS", 2, resume=world.out)


@case(97, "searching with a checkpoint of which the end lacks", "is damaged or no checkpoint")
def _(world):
    path = next((world.run / "splip").glob("model.pth.tar-*"))
    path.write_bytes(path.read_bytes()[:-2000])
    return world.splip("search", world.sketch(), "--model", world.run, "--photos", world.data / "photo")


@case(107, "CHECKPOINT_FREQ -5", "OK")
def _(world):
    return world.train("TRAIN.CHECKPOINT_FREQ", -5)


@case(157, "search's sheet where a folder is", r"taken\.png")
def _(world):
    (world.folder / "taken.png").mkdir()
    return world.splip("search", world.sketch(), "--model", world.run, "--photos", world.data / "photo", "--index",
                       world.folder / "index", "--sheet", world.folder / "taken.png")  # fmt: skip


# ------------------------------------------------------------------------ full disks


@case(109, "disk full while a checkpoint is written", r"No space left to write.*model\.pth\.tar-1")
def _(world):
    return as_users(limited(world, 200, training(world, "--trainer", "SpLIP")))


@case(110, "disk full while pictures are written", r"No space left to write.*retrieval\.png")
def _(world):
    done = limited(world, 20, training(world, "--trainer", "FrozenCLIP"))
    assert not (world.out / "results.json").is_file(), "a run whose pictures lack counts as finished"
    return as_users(done)


@case(164, "disk full while encoders are exported", r"No space left to write.*sketch\.pt2")
def _(world):
    words = ["-m", "splip", "export", "--model", world.run, "--format", "pt2", "--output", world.folder / "encoders"]
    done = limited(world, 300, words)
    assert not list((world.folder / "encoders").glob("*.pt2*")), "a part of a file was left"
    return as_users(done)


@case("new", "disk full while a model is saved", r"No space left to write.*model\.safetensors")
def _(world):
    saved = world.folder / "saved"
    words = ["-m", "splip", "export", "--model", world.run, "--format", "pretrained", "--output", saved]
    done = limited(world, 100, words)
    assert not list(saved.glob("*")), "a part of a model was left"
    return as_users(done)


@case(136, "a data set's folder that is half copied", r"is there, but without .*move it away")
def _(world):
    (world.folder / "root/Sketchy").mkdir(parents=True)
    return world.splip("data", "download", "Sketchy", "--root", world.folder / "root")


# ------------------------------------------------------------------------ scripts and environments


@case(180, "sh instead of bash", "OK: Zero-shot SBIR on the embedded benchmark")
def _(world):
    return outside(world, ["sh", ROOT / "scripts/splip/zs_sketchmoji.sh", "--help"])


@case(181, "CFG=nope", "no config file 'configs/trainers/SpLIP/nope.yaml'")
def _(world):
    return outside(world, ["bash", ROOT / "scripts/splip/zs_sketchmoji.sh"], CFG="nope", OUTPUT=str(world.out))


@case(182, "GALLERY=nope", r"GALLERY must be one of all_seen .*got 'nope'")
def _(world):
    return outside(world, ["bash", ROOT / "scripts/splip/gzs_sketchy.sh"], GALLERY="nope", DATA=str(world.folder))


@case(184, "PYTHON=/nonexistent", "/nonexistent: No such file")
def _(world):
    script = ["bash", ROOT / "scripts/splip/zs_sketchmoji.sh"]
    done = outside(world, script, PYTHON="/nonexistent", OUTPUT=str(world.out))
    return as_users(done, 127)


@case(185, "FAST=1 without data", "QuickDraw is not below")
def _(world):
    return outside(world, ["bash", ROOT / "scripts/splip/zs_quickdraw.sh", "1"], FAST="1", DATA="/nonexistent",
                   OUTPUT=str(world.out))  # fmt: skip


@case(187, "train.py from another folder, config by a relative path", "no config file 'configs/datasets/folder.yaml'")
def _(world):
    words = [sys.executable, ROOT / "train.py", "--dataset-config-file", "configs/datasets/folder.yaml"]
    return outside(world, words)


@case(186, "train.py by a Python that lacks what it needs", "is not installed in .*pip install -e")
def _(world):
    return outside(world, [sys.executable, "-S", ROOT / "train.py"], PYTHONPATH="")  # -S: without site-packages


@case(188, "train.py of one copy, another copy installed", "but the installed package is /elsewhere.*pip install -e")
def _(world):
    from unittest import mock

    import splip

    with mock.patch.object(splip, "__file__", "/elsewhere/splip/__init__.py"):
        return world.train()


@case("new", "a drawing of 60,000 x 1 pixels", "nothing is drawn on it: it is blank")
def _(world):
    draw(world.folder / "d.png", 3, "sketch")
    Image.new("L", (60_000, 1), 0).save(world.folder / "d.png")
    return world.splip("search", world.folder / "d.png", "--model", world.run, "--photos", world.data / "photo",
                       "--index", world.folder / "index")  # fmt: skip
