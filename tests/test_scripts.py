"""The demo script from its first line to its last, on data and a backbone that differ in size only."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_tiny_clip_file
from PIL import Image

from splip import search

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def small_run(tmp_path):
    """Environment that points zs_sketchmoji.sh at a small data set and a tiny CLIP."""
    rng = np.random.default_rng(0)
    for kind in ("sketch", "photo"):
        for name in ("ant", "bee", "cow", "dog"):
            folder = tmp_path / "data" / kind / name
            folder.mkdir(parents=True)
            for i in range(4):
                Image.fromarray(rng.integers(0, 256, (48, 48, 3), np.uint8)).save(folder / f"{i}.png")
    (tmp_path / "unseen.txt").write_text("cow\ndog\n")
    options = {
        "DATASET.NAME": "SBIRFolder", "DATASET.ROOT": tmp_path / "data", "DATASET.SPLIT": tmp_path / "unseen.txt",
        "MODEL.BACKBONE.NAME": make_tiny_clip_file(tmp_path / "clip.pt"), "INPUT.SIZE": "(48,48)",
        "DATALOADER.TRAIN_X.BATCH_SIZE": 4, "DATALOADER.NUM_WORKERS": 0, "OPTIM.MAX_EPOCH": 2,
    }
    words = " ".join(f"{key} {value}" for key, value in options.items())
    return {**os.environ, "PYTHON": sys.executable, "OUTPUT": str(tmp_path / "output"), "OPTS": words}


def run(env, *seeds):
    command = ["bash", "scripts/splip/zs_sketchmoji.sh", *seeds]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_demo_trains_compares_and_keeps_what_is_finished(small_run, capsys):
    out = run(small_run, "1")
    output = Path(small_run["OUTPUT"])
    for trainer in ("FrozenCLIP", "LayerNormCLIP", "SpLIP"):
        assert (output / trainer / "seed1" / "results.json").is_file()
        assert f"| {trainer}" in out, out[-2000:]
    assert Image.open(output / "compare.png").width > 500
    assert (output / "SpLIP" / "seed1" / "training_curve.png").is_file()

    photos = Path(small_run["OUTPUT"]).parent / "data" / "photo"
    sketch = photos.parent / "sketch" / "cow" / "0.png"
    search.main([str(sketch), "--run", str(output / "SpLIP" / "seed1"), "--photos", str(photos), "--top", "3",
                 "--sheet", str(output / "found.png"), "--device", "cpu"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(sketch) and len(lines) == 5 and Image.open(output / "found.png").width > 200
    cosines = [float(line.split()[0]) for line in lines[1:4]]
    assert cosines == sorted(cosines, reverse=True) and all(Path(line.split()[1]).is_file() for line in lines[1:4])

    again = run(small_run, "1", "2")
    assert again.count("Finished before") == 3
    row = next(line for line in again.splitlines() if line.startswith("| SpLIP"))
    assert "1 2" in row and "±" in row


def test_a_folder_without_run_or_photos_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .*nowhere"):
        search.load_run(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="no image below"):
        search.find_images(tmp_path)
