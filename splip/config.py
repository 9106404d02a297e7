"""Settings of methods as frozen dataclasses: those that methods share, and SpLIP's. Only trainers' configs use yacs.

The letter after a field says where its default comes from (docs/FIDELITY.md): F a figure or table of the paper, A its
abstract, P another paper's text, C released code of another method, H the first author's other code, R a
re-implementation of the method, N a note by a third party, D our decision.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Dict

LAYERNORMS = ("both", "vision", "text", "none", "leaky")
TEXT_CONDITIONINGS = ("batch", "instance")
BT_POOLS = ("inside", "mean", "attention")
BVT_STATES = ("eot", "all")
ACTIVATIONS = ("relu", "gelu")
MARGINS = ("adaptive", "fixed")
DISTANCES = ("sq_l2", "cosine")
PROMPT_STARTS = ("small", "token_mean", "token_norm")
NEGATIVES = ("random", "semi_hard", "batch_hard", "batch_all")
TILES = ("crop", "resize")
KINDS = {bool: "True or False", int: "a whole number", float: "a finite number", str: "a text"}
MOST_PERMUTATIONS = 5_000  # the time to choose them grows with the square (splip.jigsaw.permutation_bank)


CHOICES = {  # of every setting of that name
    "layernorm": LAYERNORMS, "text_conditioning": TEXT_CONDITIONINGS, "margin": MARGINS, "bt_pool": BT_POOLS,
    "bvt_states": BVT_STATES, "bvt_activation": ACTIVATIONS, "distance": DISTANCES, "tiles": TILES,
    "negatives": NEGATIVES, "prompt_start": PROMPT_STARTS,
}  # fmt: skip
LEAST = {
    "text_prompts": 1, "visual_prompts": 1, "text_depth": 0, "vision_depth": 0, "grid": 2, "permutations": 1,
    "jigsaw_layers": 1, "alpha": 0, "beta": 0, "logit_scale": 0, "bv_layers": 1, "bvt_width": 0, "free_prompts": 0,
    "contrastive": 0, "fixed_margin": 0, "same_class_margin": 0, "anchor_image": 0, "anchor_text": 0,
    "anchor_logits": 0, "divergence": 0, "divergence_triplets": 2, "patch_shuffle": 0, "patch_margin": 0, "shots": 1,
    "mcc_sketch": 0, "mcc_photo": 0, "mcc_sketch_at": -1, "mcc_photo_at": -1, "anchor": 0, "prompts_after": 0,
    "consistency": 0, "triplet_weight": 0, "class_weight": 0, "prompts": 1,
}  # fmt: skip
MOST = {"mcc_sketch_at": 1, "mcc_photo_at": 1, "grid": 10, "permutations": MOST_PERMUTATIONS}
ABOVE_0 = (
    "lr_layernorm", "lr_mappers", "lr_solver", "lr_proj", "lr_prompts", "contrastive_temperature", "prompt_std",
    "temperature", "lr_backbone",
)  # fmt: skip
TEMPLATES = ("sketch_template", "photo_template", "margin_template")


@dataclass(frozen=True)
class Settings:
    """A method's settings. Each field, in capitals, is a key of ``cfg.TRAINER.<node>``.

    Raises:
        ValueError: a value is of another type, or is not one of those that its name allows (tables above).
    """

    node: ClassVar[str] = ""

    @classmethod
    def defaults(cls) -> Dict[str, Any]:
        """Default values by key, in capitals."""
        return {name.upper(): value for name, value in asdict(cls()).items()}

    def __post_init__(self) -> None:
        held = {field.name: (getattr(self, field.name), type(field.default)) for field in fields(self)}
        for name, (value, kind) in held.items():
            accepted = isinstance(value, (int, float) if kind is float else kind)
            accepted = accepted and isinstance(value, bool) == (kind is bool)
            if not accepted or (kind is float and not abs(value) < float("inf")):  # NaN is not
                raise ValueError(f"{self.key(name)} must be {KINDS[kind]}, got {value!r}")
            if name in CHOICES and kind is str and value not in CHOICES[name]:
                raise ValueError(f"{self.key(name)} must be one of {CHOICES[name]}, got {value!r}")
            if name in LEAST and value < LEAST[name]:
                raise ValueError(f"{self.key(name)} must be at least {LEAST[name]}, got {value}")
            if name in MOST and value > MOST[name]:
                raise ValueError(f"{self.key(name)} must be at most {MOST[name]:,}, got {value:,}")
            if name in ABOVE_0 and not value > 0:
                raise ValueError(f"{self.key(name)} must be above 0, got {value}")
            if name in TEMPLATES and any(mark in value for mark in ("{", "}", "<|")):
                raise ValueError(
                    f"{self.key(name)} is put before the class name and takes no placeholder: "
                    f"write 'a photo of a', for example; got {value!r}"
                )

    @classmethod
    def key(cls, name: str) -> str:
        """The config's key of a field."""
        return f"TRAINER.{cls.node}.{name.upper()}"


@dataclass(frozen=True)
class CapacitySettings(Settings):
    """Of MCC's term, :func:`splip.losses.capacity_loss`, which any method may add."""

    mcc_sketch: float = 0.0  # weight of MCC's term on sketches; 0 = off
    mcc_photo: float = 0.0  # likewise, of photos
    mcc_sketch_at: float = 0.0  # the mean cosine that it asks for
    mcc_photo_at: float = 0.0  # likewise, of photos

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("mcc_sketch", "mcc_photo"):
            if getattr(self, f"{name}_at") != 0 and getattr(self, name) == 0:
                raise ValueError(f"{self.key(name + '_at')} has no effect while {name.upper()}, its weight, is 0")

    @property
    def has_mcc(self) -> bool:
        """Whether the term is on."""
        return self.mcc_sketch > 0 or self.mcc_photo > 0


@dataclass(frozen=True)
class LossSettings(CapacitySettings):
    """What the triplet and class losses of all methods here are set by."""

    triplet: bool = True  # L_triplet (A)
    distance: str = "sq_l2"  # squared L2 of unit vectors = 2 (1 - cos) (R), or cosine = 1 - cos (P: CLIP-AT)
    margin: str = "adaptive"  # mu = cos of class names, or fixed_margin (F)
    margin_template: str = "a photo of a"  # comes before the class names that mu compares (D)
    fixed_margin: float = 0.2  # (N)
    margin_scale: float = 1.0  # mu -> margin_scale * mu + margin_shift (D)
    margin_shift: float = 0.0  # see margin_scale (D)
    same_class_margin: float = 0.3  # mu if c+ = c- (fine-grained), where the formula gives 1 (P, C: 0.15 to 0.3)
    logit_scale: float = 0.0  # inverse temperature of L_class; 0 = the backbone's own (D)
    alpha: float = 1.0  # weight of L_class, 0 = off (D)


@dataclass(frozen=True)
class SpLIPConfig(LossSettings):
    """SpLIP's settings. Each field, in capitals, is a key of ``cfg.TRAINER.SPLIP``."""

    node = "SPLIP"

    # prompts
    use_bt: bool = True  # B_t, vision -> text prompts T (F)
    use_bv: bool = True  # B_v, template tokens -> visual prompts (F)
    use_bvt: bool = True  # B_vt, text states of the seen classes -> visual prompts (F)
    text_prompts: int = 4  # m, tokens of T (F)
    visual_prompts: int = 2  # n, tokens of V^ms_l (F)
    text_depth: int = 12  # number of text layers, from the first, that take T; a larger number = all (F: all)
    vision_depth: int = 12  # number of visual layers, from the first, that take prompts (F: all)
    text_conditioning: str = "batch"  # T from the batch (prototype at inference) or from each image (D)
    prototype_momentum: float = 0.99  # of the running mean that replaces the batch at inference (D)
    bt_pool: str = "inside"  # B_t's pooling over patches: inside (after its first layer), mean, attention (D)
    bt_positions: bool = False  # B_t reads E_0 with CLIP's position embeddings (R: one with, one without)
    bt_shuffled: bool = True  # the batch's T also uses the shuffled sketches (F: E_0 of all four images)
    bv_layers: int = 1  # linear layers of B_v (R)
    bv_positions: bool = True  # B_v reads words with CLIP's position embeddings: W_0 (R)
    bv_normalize: bool = True  # normalise B_v's input to zero mean and unit variance, as B_vt's (D)
    bvt_states: str = "all"  # B_vt reads each text's mean over all tokens (R), or its end-of-text state (D)
    bvt_width: int = 256  # hidden width of B_vt; 0 = the visual width (R)
    bvt_activation: str = "relu"  # of B_vt (R)
    prompt_start: str = "small"  # visual prompts start near 0; or token_mean, token_norm: as tokens (not in the paper)
    prompts_after: int = 0  # steps in which LayerNorms learn, and prompts do not yet (not in the paper)
    free_prompts: int = 0  # learned visual prompts for each modality, besides V^tg (not in the paper)
    sketch_template: str = "a sketch of a"  # (F)
    photo_template: str = "a photo of a"  # (F)
    # towers whose LayerNorms are trained (N: they are trained; R, P: both towers); leaky: as CLIP-AT's code has it (C)
    layernorm: str = "both"
    layernorm_shared: bool = True  # False: each modality trains its own vision LayerNorms (C: ClipPrompt)
    train_proj: bool = False  # train CLIP's visual projection (C: ClipPrompt)
    # rates: factors on OPTIM.LR (D)
    lr_layernorm: float = 1.0  # LayerNorms
    lr_mappers: float = 1.0  # B_t, B_v, B_vt and free prompts
    lr_solver: float = 1.0  # jigsaw solver
    lr_proj: float = 1.0  # visual projection
    # losses
    negatives: str = "random"  # each triplet's own (F), or from the batch: semi_hard, batch_hard, batch_all (D)
    beta: float = 1.0  # weight of L_cjs, 0 = off (D)
    contrastive: float = 0.0  # weight of an in-batch contrastive loss, 0 = off (not in the paper)
    contrastive_temperature: float = 0.1  # of that loss
    anchor: float = 0.0  # weight of 1 - cos to the frozen CLIP's embedding of an image, 0 = off (not in the paper)
    # jigsaw
    grid: int = 3  # tiles a side (F)
    permutations: int = 2000  # size of the bank (H; R: 1,000 and 100)
    tiles: str = "crop"  # if a side is not a multiple of grid: crop the jigsaw (H, R), or resize (D)
    jigsaw_layers: int = 2  # of the solver's transformer encoder (N)
    jigsaw_seed: int = 0  # of the bank (D)
    patch_shuffle: float = 0.0  # weight of CLIP-AT's jigsaw, which the paper's is compared with (P); 0 = off
    patch_margin: float = 0.3  # of that loss, in units of 1 - cos (P)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_own_layernorms(self)
        if self.train_proj and self.layernorm == "leaky":
            raise ValueError("TRAINER.SPLIP.LAYERNORM leaky trains the projection, too: set TRAIN_PROJ False")
        if not (self.triplet or self.alpha > 0 or self.beta > 0 or self.contrastive > 0):
            raise ValueError("TRAINER.SPLIP has no loss: TRIPLET must be True, or ALPHA, BETA or CONTRASTIVE above 0")
        if self.use_bt and self.text_depth > 0 and not self._texts_are_read:
            raise ValueError(
                "TRAINER.SPLIP.USE_BT True has no effect: no prompt is made from texts (USE_BVT, VISION_DEPTH) and "
                "no loss reads them (ALPHA). Set USE_BT False, or switch one of these on"
            )
        if self.prompts_after > 0 and self.layernorm == "none" and not self.train_proj:
            raise ValueError("TRAINER.SPLIP.PROMPTS_AFTER needs something that learns before: LAYERNORM or TRAIN_PROJ")
        if self.beta > 0 and self.permutations < 2:
            raise ValueError("TRAINER.SPLIP.PERMUTATIONS 1 gives the jigsaw nothing to solve: set 2 or more, or BETA 0")
        if not 0 <= self.prototype_momentum < 1:
            raise ValueError(f"TRAINER.SPLIP.PROTOTYPE_MOMENTUM must lie in [0, 1), got {self.prototype_momentum}")

    @property
    def texts_reach_images(self) -> bool:
        """Whether prompts of the image encoder are made from the states of the class texts."""
        return self.use_bvt and self.vision_depth > 0

    @property
    def _texts_are_read(self) -> bool:
        return self.texts_reach_images or self.alpha > 0

    @property
    def learns(self) -> bool:
        """Whether a loss can change any parameter other than the jigsaw solver's."""
        visual = self.vision_depth > 0 and (self.use_bv or self.use_bvt or self.free_prompts > 0)
        textual = self._texts_are_read and (self.layernorm == "text" or (self.use_bt and self.text_depth > 0))
        return visual or textual or self.layernorm in ("both", "vision", "leaky") or self.train_proj

    @property
    def knows_modality(self) -> bool:
        """Whether a sketch and a photo are encoded in different ways."""
        return self.use_bv or self.use_bvt or self.free_prompts > 0 or not self.layernorm_shared


def require_own_layernorms(config: Any) -> None:
    """Raise ValueError if each modality is to train its own vision LayerNorms, and none are trained."""
    if not config.layernorm_shared and config.layernorm not in ("both", "vision"):
        raise ValueError(
            f"{config.key('layernorm_shared')} False trains the vision LayerNorms of each modality: LAYERNORM must be "
            f"'both' or 'vision', got {config.layernorm!r}"
        )


# Settings that inference does not read: models that differ only in these give the same embeddings.
TRAINING_ONLY = (
    "prototype_momentum", "bt_shuffled", "lr_layernorm", "lr_mappers", "lr_solver", "lr_proj", "triplet", "distance",
    "negatives", "margin", "margin_template", "fixed_margin", "margin_scale", "margin_shift", "same_class_margin",
    "logit_scale", "alpha", "beta", "contrastive", "contrastive_temperature", "grid", "permutations", "tiles",
    "jigsaw_layers", "jigsaw_seed", "lr_prompts", "prompt_std", "anchor_image", "anchor_text", "anchor_logits",
    "anchor_templates", "divergence", "divergence_triplets", "patch_shuffle", "patch_margin",
    "shots", "mcc_sketch", "mcc_photo", "mcc_sketch_at", "mcc_photo_at", "anchor", "prompts_after", "prompt_start",
    "consistency", "temperature", "triplet_weight", "class_weight", "lr_backbone",
)  # fmt: skip
