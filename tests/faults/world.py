"""What the faults are tried on: a small data set, a tiny CLIP, a finished run; and commands, run in this process."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

from conftest import make_tiny_clip_file
from PIL import Image, ImageDraw

from splip import cli
from splip.common.errors import guarded

ROOT = Path(__file__).parents[2]
CLASSES = {"cat": 3, "dog": 4, "fire engine": 5, "teapot": 6, "wheel": 40, "tree": 8}
UNSEEN = ("wheel", "tree")
METHOD = """
DATALOADER:
  TRAIN_X: {BATCH_SIZE: 4}
  TEST: {BATCH_SIZE: 16}
  NUM_WORKERS: 0
INPUT:
  SIZE: (48, 48)
  INTERPOLATION: "bicubic"
  PIXEL_MEAN: [0.48145466, 0.4578275, 0.40821073]
  PIXEL_STD: [0.26862954, 0.26130258, 0.27577711]
  TRANSFORMS: ["random_flip", "normalize"]
OPTIM: {NAME: "adam", LR: 0.001, MAX_EPOCH: 1}
TRAINER:
  SPLIP: {PERMUTATIONS: 10}
"""


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


def draw(path: Path, sides: int, kind: str, i: int = 0) -> Path:
    """One picture of a class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (60, 52), "white")
    fill = None if kind == "sketch" else ("red", "green", "blue", "orange")[i % 4]
    ImageDraw.Draw(image).regular_polygon((30, 26, 20), sides, rotation=10 * i, fill=fill, outline="black")
    image.save(path)
    return path


def load_train():
    spec = importlib.util.spec_from_file_location("train_of_faults", ROOT / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class World:
    """A folder of its own for one fault: ``data``, ``unseen.txt``, ``clip.pt``, ``method.yaml``, ``run``."""

    def __init__(self, folder: Path, original: Path, train) -> None:
        self.folder, self.train_module = folder, train
        shutil.copytree(original, folder, dirs_exist_ok=True, symlinks=True)
        self.data, self.run, self.out = folder / "data", folder / "run", folder / "out"
        self.split, self.clip, self.method = folder / "unseen.txt", folder / "clip.pt", folder / "method.yaml"

    def photo(self, name="cat", i=1) -> Path:
        return self.data / "photo" / name / f"{i}.png"

    def sketch(self, name="cat", i=1) -> Path:
        return self.data / "sketch" / name / f"{i}.png"

    def command(self, name, function) -> Outcome:
        out, err = io.StringIO(), io.StringIO()
        before = os.getcwd(), sys.stdout
        os.chdir(self.folder)
        try:
            with redirect_stdout(out), redirect_stderr(err):
                status = function()
        except SystemExit as stop:  # argparse
            status = stop.code if isinstance(stop.code, int) else 1
        finally:
            os.chdir(before[0])
            sys.stdout = before[1]  # train.py tees it
        return Outcome(status, out.getvalue(), err.getvalue())

    def train(self, *words, **files) -> Outcome:
        """``python train.py`` with SpLIP on the small data set, and what else is asked for."""
        arguments = {
            "--root": self.data, "--seed": 1, "--trainer": "SpLIP", "--backbone": self.clip,
            "--dataset-config-file": ROOT / "configs/datasets/folder.yaml", "--config-file": self.method,
            "--output-dir": self.out,
        }  # fmt: skip
        arguments.update({f"--{key.replace('_', '-')}": value for key, value in files.items()})
        line = [str(w) for pair in arguments.items() if pair[1] is not None for w in pair]
        line += ["DATASET.SPLIT", str(self.split), *map(str, words)]
        return self.command("train.py", lambda: guarded("train.py", lambda: self.train_module.main(line) and None))

    def bare(self, *words) -> Outcome:
        """``python train.py`` with these words alone."""
        line = list(map(str, words))
        return self.command("train.py", lambda: guarded("train.py", lambda: self.train_module.main(line) and None))

    def splip(self, *words) -> Outcome:
        """``splip ...``."""
        return self.command("splip", lambda: cli.main(list(map(str, words))))


def make_original(folder: Path, train) -> None:
    """The files of a world, with a finished run in them."""
    for name, sides in CLASSES.items():
        for i in range(1, 5):
            for kind in ("sketch", "photo"):
                draw(folder / "data" / kind / name / f"{i}.png", sides, kind, i)
    (folder / "unseen.txt").write_text("\n".join(UNSEEN) + "\n")
    make_tiny_clip_file(folder / "clip.pt")
    (folder / "method.yaml").write_text(METHOD)
    world = World(folder.with_name("first"), folder, train)
    done = world.train(output_dir=folder / "run")
    assert done.status == 0, done.err
