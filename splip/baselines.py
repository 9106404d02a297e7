"""Settings that baselines have in common (`splip.models.framed`); those of one are in its file in `trainers/`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from splip.config import LossSettings, require_own_layernorms


@dataclass(frozen=True)
class BaselineSettings(LossSettings):
    """Of every baseline: what is trained beside its own parts, and the rates."""

    photo_template: str = "a photo of a"  # comes before the class names of L_class
    layernorm: str = "none"  # towers whose LayerNorms are trained; leaky: as CLIP-AT's released code has it
    layernorm_shared: bool = True  # False: each modality trains its own vision LayerNorms
    lr_layernorm: float = 1.0  # factors on OPTIM.LR
    lr_prompts: float = 1.0  # likewise

    def __post_init__(self) -> None:
        super().__post_init__()
        require_own_layernorms(self)
        if not (self.triplet or self.alpha > 0):
            raise ValueError(f"TRAINER.{self.node} has no loss: TRIPLET must be True, or ALPHA above 0")

    @property
    def learned_words(self) -> int:
        """How many of the template's first words learned prompts stand for."""
        return 0

    @property
    def knows_modality(self) -> bool:
        """Whether a sketch and a photo are encoded in different ways."""
        return not self.layernorm_shared


@dataclass(frozen=True)
class VisualPromptSettings(BaselineSettings):
    """Of baselines with learned prompts in the vision tower."""

    visual_prompts: int = 2  # tokens in a layer
    vision_depth: int = 12  # number of visual layers, from the first, that have them; a larger number = all
    prompts_shared: bool = True  # False: sketches and photos have their own
    prompt_std: float = 0.02  # of their start values

    def __post_init__(self) -> None:
        super().__post_init__()
        require_depth(self, "vision_depth")

    @property
    def knows_modality(self) -> bool:
        return not (self.layernorm_shared and self.prompts_shared)


@dataclass(frozen=True)
class TextPromptSettings(BaselineSettings):
    """Of baselines with learned prompts in the text tower."""

    text_prompts: int = 2  # tokens in a layer; in the first one they start as the template's first words
    text_depth: int = 12  # number of text layers, from the first, that have them; a larger number = all

    def __post_init__(self) -> None:
        super().__post_init__()
        require_depth(self, "text_depth")
        if not self.alpha > 0:
            raise ValueError(f"{self.key('alpha')} 0 leaves text prompts that no loss reads: set it above 0")

    @property
    def learned_words(self) -> int:
        return self.text_prompts


def require_depth(config: Any, name: str) -> None:
    """Raise ValueError if a method is left without the prompts that it is about."""
    if getattr(config, name) < 1:
        raise ValueError(f"{config.key(name)} must be at least 1, got {getattr(config, name)}: there are no prompts")
