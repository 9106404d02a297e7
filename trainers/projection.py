"""ProjectionCLIP: CLIP's visual projection alone is trained, and pulled to its start: ProLIP (Fahes et al., "CLIP's
Visual Embedding Projector is a Few-shot Cornucopia", 2024).

From the method (github.com/astra-vision/ProLIP at b43e795): + 1 / shots * sum (W - W_0)^2, with which rates of 1e-5 to
1e-2 were equally good; texts "a photo of a". SHOTS is the number of training sketches of a class. From the frame here:
the triplet loss beside the class loss, and optimiser, rates and epochs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict

from torch import Tensor, nn

from splip.baselines import BaselineSettings
from splip.engine import TRAINER_REGISTRY
from splip.models.framed import FramedModel, Step
from splip.training.trainer import SBIRTrainer


@dataclass(frozen=True)
class ProjectionSettings(BaselineSettings):
    """Settings under TRAINER.PROJECTIONCLIP."""

    node = "PROJECTIONCLIP"
    shots: int = 16  # training sketches of a class; the pull has the weight 1 / shots

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layernorm == "leaky":
            raise ValueError(f"{self.key('layernorm')} leaky trains the projection, too, and nothing pulls it then")


class ProjectionModel(FramedModel):
    """CLIP with its visual projection trained."""

    config_class = ProjectionSettings
    start: Tensor

    def add_parts(self) -> None:
        proj = self.clip.visual.proj
        self.register_buffer("start", proj.detach().clone(), persistent=False)
        self.trainable["proj"] = nn.ParameterDict({"visual": proj.requires_grad_(True)})
        self.loss_weights["pull"] = 1 / self.config.shots

    def more_terms(self, step: Step) -> Dict[str, Tensor]:
        return {"pull": (self.clip.visual.proj - self.start).square().sum()}


@TRAINER_REGISTRY.register()
class ProjectionCLIP(SBIRTrainer):
    """Settings under TRAINER.PROJECTIONCLIP; LR_PROMPTS is the projection's rate."""

    model_class = ProjectionModel
