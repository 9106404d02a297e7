"""SeCo-like: coupled prompts, LayerNorms, and consistency with the frozen CLIP, after SeCo-SBIR (arXiv 2608.03120).
Its code was not public when this was written: it is called "like" for all that is guessed.

From the text, as others report it: prompts of the text encoder enter the image encoder layer by layer; these, their
coupling and LayerNorms are trained; CE of sketches and photos; InfoNCE from each trained embedding of an image to the
frozen CLIP's embedding of the image augmented; no triplets; SGD, batch 32, 10 epochs. Guessed, from public code of its
authors (HieuNM1804/KD-SBIR at f00af75, huutuan1705/HiCroPL_SBIR at 172bede): 4 words, temperature .07, flips and crops
of .85 to 1, weight 1, two image towers. Guessed here: MaPLe's coupling, one set of maps for each modality.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Dict, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from splip.common import distributed
from splip.engine import TRAINER_REGISTRY
from splip.losses import info_nce
from splip.models.framed import Step
from splip.training.trainer import SBIRTrainer

from .maple import MaPLeModel, MaPLeSettings


@dataclass(frozen=True)
class SeCoLikeSettings(MaPLeSettings):
    """Settings under TRAINER.SECOLIKE."""

    node = "SECOLIKE"
    triplet: bool = False
    text_prompts: int = 4
    layernorm: str = "vision"
    layernorm_shared: bool = False
    consistency: float = 1.0  # weight of the consistency with the frozen CLIP
    temperature: float = 0.07  # of that loss


class SeCoLikeModel(MaPLeModel):
    """MaPLe with maps of each modality, LayerNorms, and a frozen tower to agree with."""

    config_class, anchored = SeCoLikeSettings, True

    @classmethod
    def reads_images(cls, settings: Mapping[str, Any]) -> str:
        return "CONSISTENCY" if settings["CONSISTENCY"] > 0 else ""

    def add_parts(self) -> None:
        super().add_parts()
        self.trainable["maps_sketch"] = copy.deepcopy(self.trainable["maps"])
        self.loss_weights["consistency"] = self.config.consistency

    def maps_of(self, modality: str) -> Any:
        return self.trainable["maps_sketch" if modality == "sketch" else "maps"]

    def more_features(self, batch: Dict[str, Tensor]) -> Dict[str, Tensor]:
        if self.config.consistency == 0:
            return {}
        return {name: self.frozen_features(augmented(batch[name])) for name in ("sketch", "positive")}

    def more_terms(self, step: Step) -> Dict[str, Tensor]:
        pairs = [(getattr(step, name), reference) for name, reference in step.more.items()]
        terms = [info_nce(*pair, self.config.temperature) for pair in pairs]
        return {"consistency": terms[0] + terms[1]} if terms else {}


def augmented(images: Tensor) -> Tensor:
    """Images (B, 3, H, W), each cropped to 85 to 100 % of its area and back to size, every other one mirrored."""
    if images.dim() != 4:
        raise ValueError(f"crops are cut from images, not from their E_0 of shape {tuple(images.shape)}")
    draws = torch.rand(len(images) * distributed.world(), 4)  # for the whole batch, if processes share it
    size, left, top, turn = distributed.shard(draws).unbind(dim=1)
    side, mirror, zero = (0.85 + 0.15 * size).sqrt(), torch.where(turn < 0.5, 1.0, -1.0), torch.zeros_like(size)
    left, top = ((2 * place - 1) * (1 - side) for place in (left, top))
    rows = torch.stack([side * mirror, zero, left, zero, side, top], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(rows.to(images), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


@TRAINER_REGISTRY.register()
class SeCoLike(SBIRTrainer):
    """Settings under TRAINER.SECOLIKE."""

    model_class = SeCoLikeModel
