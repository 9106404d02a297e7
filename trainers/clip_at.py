"""CLIP-AT: tokens at the first layer and LayerNorms, for sketches and for photos ("CLIP for All Things Zero-Shot
Sketch-Based Image Retrieval", Sain et al., CVPR 2023, arXiv 2303.13440).

Defaults are the paper's: 3 tokens for each modality, behind class token and patches of layer 1 only; LayerNorms of each
branch; [.3 + d(s, p+) - d(s, p-)]_+ + .5 (CE(s) + CE(p+)), d = 1 - cos, CE against "a photo of a [category]"; its
temperature is not given (here the backbone's). Fine-grained: common prompts and encoder, negatives of the category, and
.1 L_delta + L_PS, whose margin is not given (.3: a third party's). `*_released.yaml` is what the code of
github.com/aneeshan95/Sketch_LVM (ca33be98) runs: triplets alone, margin .2, one CLIP, tokens N(0, 1) that pass `ln_pre`
and all blocks, 1e-4 for them and 1e-6 for the rest, which is more than LayerNorms: LAYERNORM leaky (`splip.tuning`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping

import torch
from torch import Tensor

from splip.baselines import VisualPromptSettings
from splip.common import distributed
from splip.engine import TRAINER_REGISTRY
from splip.jigsaw import shuffled_pairs
from splip.losses import class_loss, distance, inverse_temperature, relative_divergence, triplet_loss
from splip.models.framed import FramedModel, Step
from splip.training.trainer import SBIRTrainer


@dataclass(frozen=True)
class ClipATSettings(VisualPromptSettings):
    """Settings under TRAINER.CLIPAT."""

    node = "CLIPAT"
    distance: str = "cosine"
    margin: str = "fixed"
    fixed_margin: float = 0.3
    alpha: float = 0.5
    visual_prompts: int = 3
    vision_depth: int = 1
    prompts_shared: bool = False
    prompt_std: float = 1.0
    layernorm: str = "vision"
    layernorm_shared: bool = False
    divergence: float = 0.0  # weight of L_delta
    divergence_triplets: int = 2  # of a category
    patch_shuffle: float = 0.0  # weight of L_PS
    patch_margin: float = 0.3  # of L_PS


class ClipATModel(FramedModel):
    """Tokens at the first layer, and LayerNorms."""

    config_class = ClipATSettings

    @classmethod
    def reads_images(cls, settings: Mapping[str, Any]) -> str:
        return "PATCH_SHUFFLE" if settings["PATCH_SHUFFLE"] > 0 else ""

    def add_parts(self) -> None:
        self.add_visual_prompts()
        self.loss_weights.update(divergence=self.config.divergence, patch_shuffle=self.config.patch_shuffle)

    def class_term(self, step: Step) -> Tensor:
        images, scale = [step.sketch, step.positive], inverse_temperature(self.config, self.clip)
        return 2 * class_loss(images, [step.texts] * 2, [step.batch["label"]] * 2, scale)  # a sum, not a mean

    def more_features(self, batch: Dict[str, Tensor]) -> Dict[str, Tensor]:
        if self.config.patch_shuffle == 0:
            return {}
        sketch, photo, other = shuffled_pairs(batch["sketch"], batch["positive"])
        photos = self.features(torch.cat([photo, other]), "photo").chunk(2)
        return dict(zip(("sketch", "photo", "other"), (self.features(sketch, "sketch"), *photos)))

    def more_terms(self, step: Step) -> Dict[str, Tensor]:
        config, label = self.config, step.batch["label"]
        terms: Dict[str, Tensor] = {}
        if config.divergence > 0:
            delta = distance(step.sketch, step.positive) - distance(step.sketch, step.negative)
            whole = distributed.join(delta), distributed.join(label)
            terms["divergence"] = relative_divergence(*whole, config.divergence_triplets)
        if config.patch_shuffle > 0:
            margin = torch.full(label.shape, config.patch_margin, device=label.device)
            sketch, photo, other = step.more.values()
            terms["patch_shuffle"] = triplet_loss(sketch, photo, other, margin)
        return terms


@TRAINER_REGISTRY.register()
class ClipAT(SBIRTrainer):
    """Settings under TRAINER.CLIPAT."""

    model_class = ClipATModel
