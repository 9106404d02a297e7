"""SpLIP's settings as a frozen dataclass. Only the trainers' config uses yacs.

The letter after a field says where its default comes from (docs/FIDELITY.md): F a figure or table of the paper, A its
abstract, P another paper's text, C released code of another method, H the first author's other code, R a
re-implementation of the method, N a note by a third party, D our decision.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

LAYERNORMS = ("both", "vision", "text", "none")
TEXT_CONDITIONINGS = ("batch", "instance")
BT_POOLS = ("inside", "mean", "attention")
BVT_STATES = ("eot", "all")
ACTIVATIONS = ("relu", "gelu")
MARGINS = ("adaptive", "fixed")
DISTANCES = ("sq_l2", "cosine")
NEGATIVES = ("random", "semi_hard", "batch_hard", "batch_all")
TILES = ("crop", "resize")
KINDS = {bool: "True or False", int: "a whole number", float: "a finite number", str: "a text"}
MOST_PERMUTATIONS = 5_000  # the time to choose them grows with the square (splip.jigsaw.permutation_bank)


@dataclass(frozen=True)
class SpLIPConfig:
    """The method's settings. Each field, in capitals, is a key of ``cfg.TRAINER.SPLIP``."""

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
    free_prompts: int = 0  # learned visual prompts for each modality, besides V^tg (not in the paper)
    sketch_template: str = "a sketch of a"  # (F)
    photo_template: str = "a photo of a"  # (F)
    layernorm: str = "both"  # towers whose LayerNorms are trained (N: they are trained; R, P: both towers)
    layernorm_shared: bool = True  # False: each modality trains its own vision LayerNorms (C: ClipPrompt)
    train_proj: bool = False  # train CLIP's visual projection (C: ClipPrompt)
    # rates: factors on OPTIM.LR (D)
    lr_layernorm: float = 1.0  # LayerNorms
    lr_mappers: float = 1.0  # B_t, B_v, B_vt and free prompts
    lr_solver: float = 1.0  # jigsaw solver
    lr_proj: float = 1.0  # visual projection
    # losses
    triplet: bool = True  # L_triplet (A)
    distance: str = "sq_l2"  # squared L2 of unit vectors = 2 (1 - cos) (R), or cosine = 1 - cos (P: CLIP-AT)
    negatives: str = "random"  # each triplet's own (F), or from the batch: semi_hard, batch_hard, batch_all (D)
    margin: str = "adaptive"  # mu = cos of class names, or fixed_margin (F)
    margin_template: str = "a photo of a"  # comes before the class names that mu compares (D)
    fixed_margin: float = 0.2  # (N)
    margin_scale: float = 1.0  # mu -> margin_scale * mu + margin_shift (D)
    margin_shift: float = 0.0  # see margin_scale (D)
    same_class_margin: float = 0.3  # mu if c+ = c- (fine-grained), where the formula gives 1 (P, C: 0.15 to 0.3)
    logit_scale: float = 0.0  # inverse temperature of L_class; 0 = the backbone's own (D)
    alpha: float = 1.0  # weight of L_class, 0 = off (D)
    beta: float = 1.0  # weight of L_cjs, 0 = off (D)
    contrastive: float = 0.0  # weight of an in-batch contrastive loss, 0 = off (not in the paper)
    contrastive_temperature: float = 0.1  # of that loss
    # jigsaw
    grid: int = 3  # tiles a side (F)
    permutations: int = 2000  # size of the bank (H; R: 1,000 and 100)
    tiles: str = "crop"  # if a side is not a multiple of grid: crop the jigsaw (H, R), or resize (D)
    jigsaw_layers: int = 2  # of the solver's transformer encoder (N)
    jigsaw_seed: int = 0  # of the bank (D)

    def __post_init__(self) -> None:
        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            accepted = isinstance(value, (int, float) if kind is float else kind)
            accepted = accepted and isinstance(value, bool) == (kind is bool)
            if not accepted or (kind is float and not abs(value) < float("inf")):  # NaN is not
                raise ValueError(f"TRAINER.SPLIP.{field.name.upper()} must be {KINDS[kind]}, got {value!r}")
        for name, choices in (
            ("layernorm", LAYERNORMS), ("text_conditioning", TEXT_CONDITIONINGS), ("margin", MARGINS),
            ("bt_pool", BT_POOLS), ("bvt_states", BVT_STATES), ("bvt_activation", ACTIVATIONS),
            ("distance", DISTANCES), ("tiles", TILES), ("negatives", NEGATIVES),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"TRAINER.SPLIP.{name.upper()} must be one of {choices}, got {getattr(self, name)!r}")
        for name, least in (
            ("text_prompts", 1), ("visual_prompts", 1), ("text_depth", 0), ("vision_depth", 0), ("grid", 2),
            ("permutations", 1), ("jigsaw_layers", 1), ("alpha", 0), ("beta", 0), ("logit_scale", 0),
            ("bv_layers", 1), ("bvt_width", 0), ("free_prompts", 0), ("contrastive", 0), ("fixed_margin", 0),
            ("same_class_margin", 0),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"TRAINER.SPLIP.{name.upper()} must be at least {least}, got {getattr(self, name)}")
        for name, most in (("grid", 10), ("permutations", MOST_PERMUTATIONS)):
            if getattr(self, name) > most:
                raise ValueError(f"TRAINER.SPLIP.{name.upper()} must be at most {most:,}, got {getattr(self, name):,}")
        for name in ("lr_layernorm", "lr_mappers", "lr_solver", "lr_proj", "contrastive_temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"TRAINER.SPLIP.{name.upper()} must be above 0, got {getattr(self, name)}")
        if not self.layernorm_shared and self.layernorm not in ("both", "vision"):
            raise ValueError(
                "TRAINER.SPLIP.LAYERNORM_SHARED False trains the vision LayerNorms of each modality: LAYERNORM must be "
                f"'both' or 'vision', got {self.layernorm!r}"
            )
        for name in ("sketch_template", "photo_template", "margin_template"):
            if any(mark in getattr(self, name) for mark in ("{", "}", "<|")):
                raise ValueError(
                    f"TRAINER.SPLIP.{name.upper()} is put before the class name and takes no placeholder: "
                    f"write 'a photo of a', for example; got {getattr(self, name)!r}"
                )
        if not (self.triplet or self.alpha > 0 or self.beta > 0 or self.contrastive > 0):
            raise ValueError("TRAINER.SPLIP has no loss: TRIPLET must be True, or ALPHA, BETA or CONTRASTIVE above 0")
        if self.use_bt and self.text_depth > 0 and not self._texts_are_read:
            raise ValueError(
                "TRAINER.SPLIP.USE_BT True has no effect: no prompt is made from texts (USE_BVT, VISION_DEPTH) and "
                "no loss reads them (ALPHA). Set USE_BT False, or switch one of these on"
            )
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
        return visual or textual or self.layernorm in ("both", "vision") or self.train_proj

    @property
    def knows_modality(self) -> bool:
        """Whether a sketch and a photo are encoded in different ways."""
        return self.use_bv or self.use_bvt or self.free_prompts > 0 or not self.layernorm_shared


# Settings that inference does not read: models that differ only in these give the same embeddings.
TRAINING_ONLY = (
    "prototype_momentum", "bt_shuffled", "lr_layernorm", "lr_mappers", "lr_solver", "lr_proj", "triplet", "distance",
    "negatives", "margin", "margin_template", "fixed_margin", "margin_scale", "margin_shift", "same_class_margin",
    "logit_scale", "alpha", "beta", "contrastive", "contrastive_temperature", "grid", "permutations", "tiles",
    "jigsaw_layers", "jigsaw_seed",
)
