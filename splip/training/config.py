"""The config keys that Dassl does not have: of the loop, of data sets, and of every registered trainer and data set."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Type

from splip.config import SpLIPConfig
from splip.data.galleries import STROKE_KEYS
from splip.engine import DATASET_REGISTRY, TRAINER_REGISTRY
from splip.models.base import RetrievalModel

FINAL_MODELS = ("last_step", "best_val")


def extend_cfg(cfg: Any) -> None:
    """Add these keys with their defaults to a Dassl (yacs) config, in place.

    A host repository needs only this line and ``import splip.trainers, splip.datasets``. Your own trainers and data
    sets add their keys, too, if they are registered before this call.
    """
    from yacs.config import CfgNode

    # fp32 | bf16 | fp16 (with gradient scaling, CUDA only) | auto (bf16 where the processor or GPU has units for it)
    cfg.TRAINER.PREC = "fp32"  # fp32 | bf16 | fp16 (GPU only) | auto: bf16 where the device has units for it
    cfg.TRAINER.TF32 = False  # on GPUs: float32 products in TF32, faster and less exact
    cfg.TRAINER.COMPILE = False  # run the loss through torch.compile: faster steps on GPUs after minutes of compiling
    cfg.TRAINER.GRAD_CHECKPOINTING = False  # run blocks again in the backward pass: less memory, one more forward pass
    cfg.TRAINER.MICRO_BATCH = 0  # images through the vision tower at a time, with the whole batch's gradient; 0 = all
    cfg.TRAINER.SPLIP = CfgNode(SpLIPConfig.defaults())
    cfg.OPTIM.BY_STEP = False  # rates follow the schedule and its warm-up at every step rather than at every epoch
    cfg.OPTIM.WARMUP_STEPS = 0  # with BY_STEP: number of steps of a linear warm-up, in place of WARMUP_EPOCH
    cfg.OPTIM.GRAD_CLIP = 0.0  # clip gradients to this norm (over all trained parts); 0 = never
    cfg.OPTIM.AVERAGE_EPOCHS = 0  # test the mean of the weights after each of the last n epochs; 0 = the last weights
    cfg.OPTIM.AVERAGE_MEAN = 0.0  # with AVERAGE_STD: epochs weigh in that mean as a Gaussian around this epoch (from 1)
    cfg.OPTIM.AVERAGE_STD = 0.0  # in epochs; 0 = all weigh the same
    cfg.INPUT.RESIZE = "crop"  # crop | pad | squash
    cfg.INPUT.SKETCH_VIEWS = 0  # fixed views of each training sketch, drawn from the seed; 0 = new ones in each epoch
    cfg.INPUT.PHOTO_VIEWS = 0  # and of each photo; set both or neither
    cfg.TRAINER.PATCH_CACHE = ""  # keep the patch embeddings of views and test images: memory, or a folder; empty = no
    cfg.TEST.SWAPPED = False  # test a second time, with sketches embedded as photos and photos as sketches
    cfg.INPUT.OWN_STATISTICS = False  # take INPUT's PIXEL_MEAN, PIXEL_STD, INTERPOLATION even if they are not CLIP's
    cfg.DATASET.SETTING = "zs"  # zs | gzs | fg | cross
    cfg.DATASET.SPLIT = ""  # name of the class split; empty = the data set's default
    cfg.DATASET.GALLERY = ""  # gallery rule of the setting; empty = its default
    cfg.DATASET.GALLERY_SEED = 0  # of the rules that draw from the seen classes
    cfg.DATASET.TARGET = ""  # cross: the class list, and so the data set, to test on
    # once | zse: Sketchy's original photos twice, as in ZSE-SBIR's lists | original: without the added photos
    cfg.DATASET.PHOTOS = "once"
    cfg.DATASET.SUBSET = ""  # sketchy25: the part of Sketchy that this shipped list names; empty = all of it
    cfg.DATASET.TEST_CLASSES = "unseen"  # unseen | seen (as many, trained on) | pseudo_unseen (not trained on)
    cfg.DATASET.FILE_LISTS = ""  # empty = read folders; zse = ZSE-SBIR's lists below ROOT; else the folder of them
    cfg.DATASET.EXTRA_SKETCHES = ""  # more training sketches of seen classes: <class>.ndjson (strokes) or <class>/*
    cfg.DATASET.EXTRA_PER_CLASS = 0  # use only the first n of each class; 0 = all
    cfg.DATASET.TRAIN_CLASSES = 0  # train on so many of the seen classes; 0 = all
    cfg.DATASET.TRAIN_SKETCHES = 0  # train on so many sketches of each class, and all its photos; 0 = all
    cfg.DATASET.ALSO = ""  # sketchmoji: train on its seen classes, too
    for key, value in STROKE_KEYS.items():  # how strokes are drawn: WIDTH in pixels of 256, MARGIN of the side, SMOOTH
        cfg.DATASET[key] = value
    cfg.DATASET.CACHE = False  # keep decoded images (uint8, input size) in memory after their first use
    cfg.DATASET.PIXEL_CACHE = ""  # keep them in this folder instead, for later runs too; empty = nowhere
    for name in TRAINER_REGISTRY.registered_names():
        trainer: Any = TRAINER_REGISTRY.get(name)  # a host's trainer has no model_class
        settings = trainer.model_class.settings if hasattr(trainer, "model_class") else {}
        if settings and trainer.node not in cfg.TRAINER:
            cfg.TRAINER[trainer.node] = CfgNode(dict(settings))
    for registry in (TRAINER_REGISTRY, DATASET_REGISTRY):
        for name in registry.registered_names():
            own = getattr(registry.get(name), "extend_cfg", None)
            if own is not None:
                own(cfg)


def check_cfg(
    cfg: Any, model_class: Type[RetrievalModel], name: str = "", settings: Optional[Mapping[str, Any]] = None
) -> None:
    """Refuse values of the loop's keys that would be ignored, or fail later.

    Args:
        model_class: of the model that is trained or tested.
        name: of the trainer, for messages.
        settings: the model's, by key, if it is to be trained.

    Raises:
        ValueError: naming the key, its value and what is accepted.
    """
    trains = model_class.trains()
    for key in ("GRAD_CHECKPOINTING", "MICRO_BATCH"):
        if cfg.TRAINER[key] and trains and key not in model_class.memory_keys:
            raise ValueError(f"TRAINER.{key} {cfg.TRAINER[key]}: {name} does not support it")
    final, optim = cfg.TEST.FINAL_MODEL, cfg.OPTIM
    if final not in FINAL_MODELS:
        raise ValueError(f"TEST.FINAL_MODEL must be one of {FINAL_MODELS}, got {final!r}")
    for key, value, least in (
        ("DATALOADER.TRAIN_X.BATCH_SIZE", cfg.DATALOADER.TRAIN_X.BATCH_SIZE, 1),
        ("DATALOADER.TEST.BATCH_SIZE", cfg.DATALOADER.TEST.BATCH_SIZE, 1),
        ("DATALOADER.NUM_WORKERS", cfg.DATALOADER.NUM_WORKERS, -1),
        ("OPTIM.MAX_EPOCH", optim.MAX_EPOCH, 1),
        ("OPTIM.GRAD_CLIP", optim.GRAD_CLIP, 0),
        ("OPTIM.WARMUP_STEPS", optim.WARMUP_STEPS, 0),
        ("TRAINER.MICRO_BATCH", cfg.TRAINER.MICRO_BATCH, 0),
        ("INPUT.SKETCH_VIEWS", cfg.INPUT.SKETCH_VIEWS, 0),
        ("INPUT.PHOTO_VIEWS", cfg.INPUT.PHOTO_VIEWS, 0),
    ):
        if not value >= least:
            raise ValueError(f"{key} must be at least {least}, got {value}")
    if not 0 <= optim.AVERAGE_EPOCHS <= optim.MAX_EPOCH:
        raise ValueError(f"OPTIM.AVERAGE_EPOCHS must be 0 to {optim.MAX_EPOCH}, got {optim.AVERAGE_EPOCHS}")
    if optim.AVERAGE_STD < 0:
        raise ValueError(f"OPTIM.AVERAGE_STD must be at least 0, got {optim.AVERAGE_STD}")
    if (optim.AVERAGE_STD and not optim.AVERAGE_EPOCHS) or (optim.AVERAGE_MEAN and not optim.AVERAGE_STD):
        raise ValueError("OPTIM.AVERAGE_MEAN needs AVERAGE_STD above 0, and that AVERAGE_EPOCHS: how many are averaged")
    if optim.AVERAGE_EPOCHS and final == "best_val":
        raise ValueError("OPTIM.AVERAGE_EPOCHS means the last epochs, TEST.FINAL_MODEL best_val the best one")
    if optim.WARMUP_STEPS and not optim.BY_STEP:
        raise ValueError("OPTIM.WARMUP_STEPS needs OPTIM.BY_STEP True: without it rates change between epochs only")
    views = cfg.INPUT.SKETCH_VIEWS, cfg.INPUT.PHOTO_VIEWS
    if (0 in views) != (views == (0, 0)):
        raise ValueError(f"INPUT.SKETCH_VIEWS and INPUT.PHOTO_VIEWS go together, got {views}")
    reader = model_class.reads_images(settings) if settings else ""
    if cfg.TRAINER.PATCH_CACHE and reader:
        raise ValueError(f"TRAINER.PATCH_CACHE keeps no images, and {name}'s {reader} reads them: set it to ''")
    if cfg.TRAINER.PATCH_CACHE and trains and 0 in views:
        raise ValueError(
            "TRAINER.PATCH_CACHE keeps the patch embeddings of fixed views: set INPUT.SKETCH_VIEWS and PHOTO_VIEWS. "
            "Without them every image is augmented again each time"
        )
