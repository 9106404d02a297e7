"""A sketch-retrieval data set of a few hundred generated pixels, for the trainer's tests.

Each class is a shape, each instance a colour; photos are filled, sketches are outlines.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from splip.common.modalities import PHOTO, SKETCH
from splip.data.base import SBIRDataset, SBIRDatum
from splip.engine import DATASET_REGISTRY, get_cfg_default

# Where and in which precision trainers run that no test gives another: scripts/gpu_check.sh sets them.
ON_GPU = os.environ.get("SPLIP_TEST_DEVICE", "cpu") == "cuda"
PRECISION = os.environ.get("SPLIP_TEST_PREC", "fp32")
ON_CPU = pytest.mark.skipif(ON_GPU, reason="about a CPU: trainers run on a GPU here")
ROUNDING = 1e-4 if ON_GPU else 1e-6  # of an embedding of unit length, between two devices or two sizes of a batch
SIDES = {"tri": 3, "square": 4, "penta": 5, "hexa": 6, "octa": 8, "round": 40}
SEEN, PSEUDO, UNSEEN = ["tri", "square", "penta", "hexa"], ["hexa"], ["octa", "round"]
COLOURS = ["red", "green", "blue", "orange"]


def write_images(root: Path, per_class: int = 4) -> Path:
    """`root`/<class>_<instance>_{sketch,photo}.png."""
    rng = np.random.default_rng(0)
    for name, sides in SIDES.items():
        for instance in range(per_class):
            turn = float(rng.uniform(0, 360))
            colour = COLOURS[instance % len(COLOURS)]
            for kind, fill in (("sketch", None), ("photo", colour)):
                image = Image.new("RGB", (60, 52), "white")
                ink = ImageDraw.Draw(image)
                ink.regular_polygon((30, 26, 20), sides, rotation=turn, fill=fill, outline="black")
                image.save(root / f"{name}_{instance}_{kind}.png")
    return root


@DATASET_REGISTRY.register()
class TinySBIR(SBIRDataset):
    def __init__(self, cfg):
        setting, items = cfg.DATASET.SETTING, []
        for path in sorted(Path(cfg.DATASET.ROOT).glob("*.png")):
            classname, instance, kind = path.stem.split("_")
            domain = SKETCH if kind == "sketch" else PHOTO
            instance = instance if setting == "fg" else ""
            items.append(SBIRDatum(str(path), domain, classname, instance))
        test = [d for d in items if d.classname in UNSEEN]
        train = [d for d in items if d.classname in SEEN]
        photos = [d for d in test if d.domain == PHOTO]
        super().__init__(
            train=train,
            queries=[d for d in test if d.domain == SKETCH],
            gallery=photos + ([d for d in train if d.domain == PHOTO] if setting == "gzs" else []),
            seen=SEEN,
            unseen=UNSEEN,
            split_name="tiny",
            gallery_name="all_seen" if setting == "gzs" else "unseen",
            setting=setting,
            pseudo_unseen=PSEUDO,
            hold_out=cfg.TEST.FINAL_MODEL == "best_val",
        )


def tiny_cfg(root, backbone, output, *opts):
    """A frozen config: two epochs of SpLIP on TinySBIR in seconds."""
    import splip
    import splip.trainers  # registers them
    from splip.backbone.layout import CLIP_MEAN, CLIP_STD

    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    cfg.merge_from_list([
        "DATASET.NAME", "TinySBIR", "DATASET.ROOT", str(root), "OUTPUT_DIR", str(output),
        "TRAINER.NAME", "SpLIP", "MODEL.BACKBONE.NAME", str(backbone), "SEED", 1, "USE_CUDA", ON_GPU,
        "TRAINER.PREC", PRECISION,
        "INPUT.SIZE", (48, 48), "INPUT.INTERPOLATION", "bicubic",
        "INPUT.PIXEL_MEAN", list(CLIP_MEAN), "INPUT.PIXEL_STD", list(CLIP_STD),
        "INPUT.TRANSFORMS", ("random_resized_crop", "random_flip"),
        "DATALOADER.NUM_WORKERS", 0, "DATALOADER.TRAIN_X.BATCH_SIZE", 5,
        "OPTIM.MAX_EPOCH", 2, "OPTIM.LR", 0.001, "OPTIM.LR_SCHEDULER", "cosine",
        "TRAINER.SPLIP.PERMUTATIONS", 10, "TRAINER.SPLIP.JIGSAW_LAYERS", 1,
        *opts,
    ])  # fmt: skip
    cfg.freeze()
    return cfg
