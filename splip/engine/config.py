"""Config defaults: the keys of Dassl that SpLIP's trainers and data sets read, with its names and values.

Nothing reads a key that is missing here, so a config file that sets it is refused.
"""

from __future__ import annotations

from yacs.config import CfgNode

_DEFAULTS = {
    "OUTPUT_DIR": "./output",  # folder of the run
    "RESUME": "",  # folder of the run to continue
    "SEED": -1,  # negative: a different one each run
    "USE_CUDA": True,  # compute on a GPU if torch finds one
    "VERBOSE": True,  # Dassl's; nothing depends on it here
    "INPUT": {
        "SIZE": (224, 224),  # height and width, equal: the backbone's
        "INTERPOLATION": "bilinear",  # bilinear or bicubic
        "TRANSFORMS": (),  # training augmentation, by name
        "PIXEL_MEAN": [0.485, 0.456, 0.406],  # must be CLIP's for a CLIP
        "PIXEL_STD": [0.229, 0.224, 0.225],  # likewise
        "CROP_PADDING": 4,  # pixels, of random_crop
        "RRCROP_SCALE": (0.08, 1.0),  # area, of random_resized_crop
    },
    "DATASET": {
        "ROOT": "",  # folder that holds the data sets
        "NAME": "",  # a registered data set
    },
    "DATALOADER": {
        "NUM_WORKERS": 4,  # processes that read images; -1: by the number of cores
        "TRAIN_X": {
            "BATCH_SIZE": 32,  # training sketches, each with two photos; of all processes together
        },
        "TEST": {
            "BATCH_SIZE": 32,  # images
        },
    },
    "MODEL": {
        "BACKBONE": {
            "NAME": "",  # splip-hybrid, ViT-B/32, a Hugging Face or open_clip name, or a file
        },
    },
    "OPTIM": {
        "NAME": "adam",  # adam, adamw, sgd, ...
        "LR": 0.0003,  # rate of what has no factor of its own
        "WEIGHT_DECAY": 5e-4,  # of all trained weights
        "MOMENTUM": 0.9,  # of sgd
        "SGD_DAMPNING": 0,  # Dassl's spelling
        "SGD_NESTEROV": False,  # Nesterov's momentum
        "ADAM_BETA1": 0.9,  # of adam
        "ADAM_BETA2": 0.999,  # likewise
        "LR_SCHEDULER": "single_step",  # single_step, multi_step or cosine
        "STEPSIZE": (-1,),  # epochs; single_step: -1 or 0 = never
        "GAMMA": 0.1,  # factor of each step of the schedule
        "MAX_EPOCH": 10,  # epochs; one has each training sketch once
        "STAGED_LR": False,  # parts that NEW_LAYERS does not name learn at LR * BASE_LR_MULT
        "NEW_LAYERS": (),  # parts that learn at the full rate, with STAGED_LR
        "BASE_LR_MULT": 0.1,  # of the other parts, with STAGED_LR
        "WARMUP_EPOCH": -1,  # epochs; 0 or less = none
        "WARMUP_TYPE": "linear",  # linear or constant
        "WARMUP_CONS_LR": 1e-5,  # rate of a constant warm-up
        "WARMUP_MIN_LR": 1e-5,  # first rate of a linear warm-up
        "WARMUP_RECOUNT": True,  # the schedule starts after the warm-up; a cosine is as long as the epochs left
    },
    "TRAIN": {
        "CHECKPOINT_FREQ": 0,  # epochs between checkpoints that are kept; 0 = the last one only
        "PRINT_FREQ": 10,  # batches
    },
    "TEST": {
        "NO_TEST": False,  # train only
        "FINAL_MODEL": "last_step",  # last_step, or best_val: by mAP on pseudo-unseen classes
    },
    "TRAINER": {
        "NAME": "",  # a registered trainer
    },
}


def get_cfg_default() -> CfgNode:
    """A new, unfrozen config; keys that it does not have cannot be merged into it."""
    return CfgNode(_DEFAULTS).clone()
