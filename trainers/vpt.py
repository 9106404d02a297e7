"""VPT: learned tokens in CLIP's vision tower and nothing else (Jia et al., "Visual Prompt Tuning", ECCV 2022), as the
authors of MaPLe run it beside their own methods.

From the method (github.com/muzairkhattak/multimodal-prompt-learning at 69bce21): 8 tokens in each of 12 layers, start
values N(0, 0.02), behind the patches, the first layer's before `ln_pre`, each later layer's in place of those before;
LayerNorms frozen; texts "a photo of a". VISION_DEPTH 1 is VPT-shallow, whose tokens pass all layers. From this
repository's frame: the triplet loss beside the class loss, and optimiser, rates and epochs.
"""

from __future__ import annotations

from dataclasses import dataclass

from splip.baselines import VisualPromptSettings
from splip.engine import TRAINER_REGISTRY
from splip.models.framed import FramedModel
from splip.training.trainer import SBIRTrainer


@dataclass(frozen=True)
class VPTSettings(VisualPromptSettings):
    """Settings under TRAINER.VPTSBIR."""

    node = "VPTSBIR"
    visual_prompts: int = 8


class VPTModel(FramedModel):
    """Prompts in the vision tower."""

    config_class = VPTSettings

    def add_parts(self) -> None:
        self.add_visual_prompts()


@TRAINER_REGISTRY.register()
class VPTSBIR(SBIRTrainer):
    """Settings under TRAINER.VPTSBIR. MaPLe's repository, in which these trainers can run, has a VPT of its own."""

    model_class = VPTModel
