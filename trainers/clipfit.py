"""CLIPFit-like: LayerNorms of the image tower and biases of the text tower (Li et al., "Vision-Language Model
Fine-Tuning via Simple Parameter-Efficient Modification", EMNLP 2024).

From the method (github.com/minglllli/CLIPFit at 4dde049): weights and biases of the image tower's LayerNorms; each text
layer's `mlp.c_proj.bias`; + 8 * mean over classes of 1 - cos(text, frozen text). It is called "like" for what is from
the frame here: the triplet loss beside the class loss, texts "a photo of a", optimiser, rates and epochs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Sequence

import torch
from torch import Tensor, nn

from splip.baselines import BaselineSettings
from splip.engine import TRAINER_REGISTRY
from splip.losses import distance
from splip.models.framed import FramedModel, Step
from splip.training.trainer import SBIRTrainer


@dataclass(frozen=True)
class CLIPFitSettings(BaselineSettings):
    """Settings under TRAINER.CLIPFITLIKE."""

    node = "CLIPFITLIKE"
    layernorm: str = "vision"
    anchor_text: float = 8.0  # weight of the pull to the frozen texts


class CLIPFitModel(FramedModel):
    """Vision LayerNorms and text biases."""

    config_class = CLIPFitSettings
    frozen_texts: Tensor

    def __init__(self, clip: Any, classnames: Sequence[str], config: CLIPFitSettings) -> None:
        super().__init__(clip, classnames, config)
        with torch.no_grad():  # nothing was trained yet
            self.register_buffer("frozen_texts", self.class_features(), persistent=False)
        self.loss_weights["anchor_text"] = config.anchor_text

    def add_parts(self) -> None:
        blocks = self.clip.transformer.resblocks
        biases = {f"layer_{i}": block.mlp.c_proj.bias.requires_grad_(True) for i, block in enumerate(blocks)}
        self.trainable["biases"] = nn.ParameterDict(biases)

    def more_terms(self, step: Step) -> Dict[str, Tensor]:
        return {"anchor_text": distance(step.texts, self.frozen_texts).mean()}


@TRAINER_REGISTRY.register()
class CLIPFitLike(SBIRTrainer):
    """Settings under TRAINER.CLIPFITLIKE; LR_PROMPTS is the biases' rate."""

    model_class = CLIPFitModel
