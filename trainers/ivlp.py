"""IVLP: learned tokens in both of CLIP's towers, independent of each other: the baseline beside MaPLe (Khattak et al.,
CVPR 2023), "independent vision-language prompting".

From the method (github.com/muzairkhattak/multimodal-prompt-learning at 69bce21): 2 + 2 tokens in each of 12 layers. The
first text layer's start as the words "a photo", the others as N(0, 0.02); class texts end in a full stop. Places of the
tokens as in VPT and CoOp; LayerNorms frozen. From this repository's frame: the triplet loss beside the class loss, and
optimiser, rates and epochs.
"""

from __future__ import annotations

from dataclasses import dataclass

from splip.baselines import TextPromptSettings, VisualPromptSettings
from splip.engine import TRAINER_REGISTRY
from splip.models.framed import FramedModel
from splip.training.trainer import SBIRTrainer


@dataclass(frozen=True)
class IVLPSettings(VisualPromptSettings, TextPromptSettings):
    """Settings under TRAINER.IVLPSBIR."""

    node = "IVLPSBIR"


class IVLPModel(FramedModel):
    """Prompts in both towers."""

    config_class = IVLPSettings

    def add_parts(self) -> None:
        self.add_visual_prompts()
        self.add_text_prompts()


@TRAINER_REGISTRY.register()
class IVLPSBIR(SBIRTrainer):
    """Settings under TRAINER.IVLPSBIR."""

    model_class = IVLPModel
