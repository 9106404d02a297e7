"""The real sketches and photos of sketchy25, where they are there (conftest says where they are looked for). These
tests write no picture of them but into the folder for temporary files.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from test_sketchy25 import LAYOUTS, build, config, root_of

from splip.backbone.layout import CLIP_MEAN, CLIP_STD
from splip.datasets import subsets
from splip.engine import build_trainer, set_random_seed
from splip.training import results
from splip.training.identity import data_digest

# Of the copy whose photos were encoded again (JPEG, quality 90): names and sizes of all files of sketchy25.yaml.
DIGEST = "aadc55f80929d96480f51e936a6bdc39"


def test_the_files_are_those_of_the_list_and_of_the_digest(real_root):
    there = sorted(str(path.relative_to(real_root / "sketchy25")) for path in (real_root / "sketchy25").rglob("*.*g"))
    assert there == sorted(subsets.read_names("sketchy25"))
    sizes = {Image.open(real_root / "sketchy25" / name).size for name in there[::125]}
    assert sizes == {(256, 256)}
    assert data_digest(build(real_root)) == DIGEST


def frozen(root, output, split):
    """What the frozen backbone makes of a few classes: (results.json, embeddings of the sketches)."""
    cfg = config(root, "sketchy25", "SPLIT", split)
    cfg.merge_from_list([
        "TRAINER.NAME", "FrozenCLIP", "MODEL.BACKBONE.NAME", "splip-hybrid", "INPUT.SIZE", (160, 160),
        "USE_CUDA", False,
        "INPUT.INTERPOLATION", "bicubic", "INPUT.PIXEL_MEAN", list(CLIP_MEAN), "INPUT.PIXEL_STD", list(CLIP_STD),
        "DATALOADER.NUM_WORKERS", 0, "OUTPUT_DIR", str(output), "SEED", 1,
    ])  # fmt: skip
    cfg.freeze()
    set_random_seed(1)
    trainer = build_trainer(cfg)
    trainer.train()
    left = json.loads((output / "results.json").read_text())
    return left, trainer.tester.encode(trainer.dataset.test_queries)


def test_a_true_tree_gives_the_same_numbers_to_the_last_digit(real_root, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "draw_sheet", lambda *args, **kwargs: None)
    (tmp_path / "few.txt").write_text("bat\ngiraffe\nwheelchair\n")
    found = {}
    for layout in ("folder", "archive", "tx_000000000000"):
        (tmp_path / layout).mkdir()
        root = root_of(layout, real_root, tmp_path / layout)
        if layout == "archive":  # of copies; elsewhere links stand for them
            root = Path(shutil.copytree(root, tmp_path / "copy"))
        found[layout] = frozen(root, tmp_path / layout / "output", str(tmp_path / "few.txt"))
    left, embeddings = found["folder"]
    print(left["metrics"]["min_r_k"])
    assert left["num_queries"] == left["num_gallery"] == 75 and left["metrics"]["min_r_k"]["mAP@all"] > 50
    for layout, (other, theirs) in found.items():
        assert torch.equal(embeddings, theirs), layout
        for key in ("metrics", "split", "gallery", "identity"):
            assert other[key] == left[key], (layout, key)
    shutil.rmtree(tmp_path / "copy")


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_training_reads_the_same_images_in_the_same_order(real_root, tmp_path, layout):
    here, there = build(root_of(layout, real_root, tmp_path), "sketchy25_fg"), build(real_root, "sketchy25_fg")
    assert data_digest(here) == data_digest(there)
    assert [(d.classname, d.instance, d.place) for d in here.train_x] == [
        (d.classname, d.instance, d.place) for d in there.train_x
    ]
