"""SpLIP's settings: a frozen dataclass inside the library, yacs only at the edge.

Letters behind a field say how sure its default is (docs/FIDELITY.md): F figure or table of the paper,
N third-party note, D our decision.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Dict

LAYERNORMS = ("both", "vision", "text", "none")
TEXT_CONDITIONINGS = ("batch", "instance")
MARGINS = ("adaptive", "fixed")
PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class SpLIPConfig:
    """What the method needs to know; every field is a key of ``cfg.TRAINER.SPLIP`` in capitals."""

    # prompts
    use_bt: bool = True  # B_t, vision -> text prompts T (F)
    use_bv: bool = True  # B_v, template tokens -> visual prompts (F)
    use_bvt: bool = True  # B_vt, text states of the seen classes -> visual prompts (F)
    text_prompts: int = 4  # m, tokens of T (F)
    visual_prompts: int = 2  # n, tokens of V^ms_l (F)
    text_depth: int = 12  # text layers, from the first, that take T; more than there are means all (F: all)
    vision_depth: int = 12  # visual layers, from the first, that take prompts (F: all)
    text_conditioning: str = "batch"  # T from the batch (prototype at inference) or from each image (D)
    prototype_momentum: float = 0.99  # of the running mean that stands for the batch at inference (D)
    sketch_template: str = "a sketch of a"  # (F)
    photo_template: str = "a photo of a"  # (F)
    layernorm: str = "both"  # towers whose LayerNorms are trained (N that they are, D both)
    # losses
    triplet: bool = True  # L_triplet
    margin: str = "adaptive"  # mu = cos of class names, or fixed_margin (F)
    fixed_margin: float = 0.2  # (N)
    margin_scale: float = 1.0  # mu -> margin_scale * mu + margin_shift (D)
    margin_shift: float = 0.0
    same_class_margin: float = 1.0  # where c+ = c- (fine-grained); the formula gives cos = 1 (D)
    logit_scale: float = 0.0  # inverse temperature of L_class; 0 = the backbone's own (D)
    alpha: float = 1.0  # weight of L_class, 0 = off (D)
    beta: float = 1.0  # weight of L_cjs, 0 = off (D)
    # jigsaw
    grid: int = 3  # tiles a side (F)
    permutations: int = 100  # size of the bank (D)
    jigsaw_layers: int = 2  # of the solver's transformer encoder (N)
    jigsaw_seed: int = 0  # of the bank (D)

    def __post_init__(self) -> None:
        for name, choices in (
            ("layernorm", LAYERNORMS), ("text_conditioning", TEXT_CONDITIONINGS), ("margin", MARGINS)
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"TRAINER.SPLIP.{name.upper()} must be one of {choices}, got {getattr(self, name)!r}")
        for name, least in (
            ("text_prompts", 1), ("visual_prompts", 1), ("text_depth", 0), ("vision_depth", 0), ("grid", 2),
            ("permutations", 1), ("jigsaw_layers", 1), ("alpha", 0), ("beta", 0), ("logit_scale", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"TRAINER.SPLIP.{name.upper()} must be at least {least}, got {getattr(self, name)}")
        if not 0 <= self.prototype_momentum < 1:
            raise ValueError(f"TRAINER.SPLIP.PROTOTYPE_MOMENTUM must lie in [0, 1), got {self.prototype_momentum}")

    @property
    def learns(self) -> bool:
        """Whether there is anything to train: a loss, and a parameter that it can move."""
        prompts = self.use_bt or self.use_bv or self.use_bvt
        return (prompts or self.layernorm != "none") and (self.triplet or self.alpha > 0 or self.beta > 0)


def extend_cfg(cfg: Any) -> None:
    """Add SpLIP's keys with their defaults to a Dassl (yacs) config, in place.

    This and ``import splip.trainers, splip.datasets`` are the two lines a host repository needs.
    """
    from yacs.config import CfgNode

    cfg.TRAINER.SPLIP = CfgNode({name.upper(): value for name, value in asdict(SpLIPConfig()).items()})
    cfg.TRAINER.SPLIP.PREC = "fp32"  # fp32 | bf16 | fp16 (with gradient scaling, CUDA only)
    cfg.TRAINER.SPLIP.RECOMPUTE = False  # run blocks again in the backward pass: less memory, one more forward pass
    cfg.DATASET.SETTING = "zs"  # zs | gzs | fg | cross
    cfg.DATASET.SPLIT = ""  # name of the class split; empty = the data set's default
    cfg.DATASET.GALLERY = ""  # gallery rule of the setting; empty = its default
    cfg.DATASET.GALLERY_SEED = 0  # of the rules that draw from the seen classes
    cfg.DATASET.TARGET = ""  # cross: the class list, and with it the data set, that is tested on
    cfg.DATASET.PHOTOS = "once"  # once | zse: Sketchy's original photos twice, as in ZSE-SBIR's lists
    cfg.DATASET.FILE_LISTS = ""  # empty = read folders; zse = ZSE-SBIR's lists below ROOT; else the folder of them
    cfg.DATASET.CACHE = False  # keep decoded images (uint8, input size) in memory after their first use
    cfg.DATASET.PIXEL_CACHE = ""  # keep them in this folder instead, for later runs too; empty = nowhere


def config_from_cfg(cfg: Any) -> SpLIPConfig:
    """The method's settings out of a yacs config.

    Raises:
        ValueError: a value is not accepted, or the config was never extended.
    """
    if "SPLIP" not in cfg.TRAINER:
        raise ValueError("cfg.TRAINER.SPLIP is missing: call splip.extend_cfg(cfg) before merging files")
    node: Dict[str, Any] = cfg.TRAINER.SPLIP
    return SpLIPConfig(**{field.name: node[field.name.upper()] for field in fields(SpLIPConfig)})
