"""MaPLe: each layer's visual prompts are a linear map of its text prompts (Khattak et al., CVPR 2023).

From the method (github.com/muzairkhattak/multimodal-prompt-learning at 69bce21, `trainers/maple.py`): 2 tokens, depth 9
of 12; the first text layer's start as the words "a photo", the others as N(0, 0.02); one Linear a layer, with torch's
start values, those of deeper layers alike; outputs of the last prompts go on through later layers; LayerNorms frozen.
From this repository's frame: the triplet loss beside the class loss, and optimiser, rates and epochs.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, List

from torch import Tensor, nn

from splip.baselines import TextPromptSettings
from splip.engine import TRAINER_REGISTRY
from splip.models.framed import FramedModel
from splip.training.trainer import SBIRTrainer


@dataclass(frozen=True)
class MaPLeSettings(TextPromptSettings):
    """Settings under TRAINER.MAPLESBIR; TEXT_DEPTH is that of both towers."""

    node = "MAPLESBIR"
    text_depth: int = 9


class MaPLeModel(FramedModel):
    """Text prompts, and the maps that make visual ones of them."""

    config_class = MaPLeSettings

    def add_parts(self) -> None:
        self.add_text_prompts()
        sizes = self.dims.text_width, self.dims.vision_width
        depth = min(len(self.text_prompts()), self.dims.vision_layers)
        first, deeper = nn.Linear(*sizes), nn.Linear(*sizes)
        self.trainable["maps"] = nn.ModuleList([first, *(copy.deepcopy(deeper) for _ in range(depth - 1))])

    def maps_of(self, modality: str) -> Any:
        """The maps of the layers."""
        return self.trainable["maps"]

    def visual_prompts(self, modality: str) -> List[Tensor]:
        pairs = zip(self.maps_of(modality), self.text_prompts())
        return self.before_blocks(modality, [to_vision(tokens) for to_vision, tokens in pairs])


@TRAINER_REGISTRY.register()
class MaPLeSBIR(SBIRTrainer):
    """Settings under TRAINER.MAPLESBIR."""

    model_class = MaPLeModel
