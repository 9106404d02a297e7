"""Config defaults: the keys of Dassl that SpLIP's trainers and data sets read, with its names and values.

Nothing reads a key that is missing here, so a config file that sets it is refused.
"""
from __future__ import annotations

from yacs.config import CfgNode

_DEFAULTS = {
    "OUTPUT_DIR": "./output",
    "RESUME": "",  # folder of the run to continue
    "SEED": -1,  # negative: a different one each run
    "USE_CUDA": True,
    "VERBOSE": True,
    "INPUT": {
        "SIZE": (224, 224),
        "INTERPOLATION": "bilinear",
        "TRANSFORMS": (),  # training augmentation, by name
        "PIXEL_MEAN": [0.485, 0.456, 0.406],
        "PIXEL_STD": [0.229, 0.224, 0.225],
        "CROP_PADDING": 4,  # pixels, of random_crop
        "RRCROP_SCALE": (0.08, 1.0),  # area, of random_resized_crop
    },
    "DATASET": {"ROOT": "", "NAME": ""},
    "DATALOADER": {
        "NUM_WORKERS": 4,
        "TRAIN_X": {"BATCH_SIZE": 32},
        "TEST": {"BATCH_SIZE": 32},
    },
    "MODEL": {"BACKBONE": {"NAME": ""}},
    "OPTIM": {
        "NAME": "adam",
        "LR": 0.0003,
        "WEIGHT_DECAY": 5e-4,
        "MOMENTUM": 0.9,
        "SGD_DAMPNING": 0,  # Dassl's spelling
        "SGD_NESTEROV": False,
        "ADAM_BETA1": 0.9,
        "ADAM_BETA2": 0.999,
        "LR_SCHEDULER": "single_step",
        "STEPSIZE": (-1,),  # epochs; single_step: -1 or 0 = never
        "GAMMA": 0.1,
        "MAX_EPOCH": 10,
        "STAGED_LR": False,  # parts that NEW_LAYERS does not name learn at LR * BASE_LR_MULT
        "NEW_LAYERS": (),
        "BASE_LR_MULT": 0.1,
        "WARMUP_EPOCH": -1,  # epochs; 0 or less = none
        "WARMUP_TYPE": "linear",
        "WARMUP_CONS_LR": 1e-5,  # rate of a constant warm-up
        "WARMUP_MIN_LR": 1e-5,  # first rate of a linear warm-up
        "WARMUP_RECOUNT": True,  # the schedule starts after the warm-up; a cosine is as long as the epochs left
    },
    "TRAIN": {
        "CHECKPOINT_FREQ": 0,  # epochs between checkpoints that are kept; 0 = the last one only
        "PRINT_FREQ": 10,  # batches
    },
    "TEST": {
        "NO_TEST": False,
        "FINAL_MODEL": "last_step",
    },
    "TRAINER": {"NAME": ""},
}


def get_cfg_default() -> CfgNode:
    """A new, unfrozen config; keys that it does not have cannot be merged into it."""
    return CfgNode(_DEFAULTS).clone()
