"""CenteredCLIP: CLIP's embeddings with the mean of their modality taken off, so that sketches and photos lie around one
point.

Not of one paper: the gap between modalities is known of CLIP's images and texts (Liang et al., "Mind the Gap", NeurIPS
2022), and taking means off is its plainest remedy. The means are of unit embeddings of the seen classes, over what an
epoch draws: each sketch, and two photos for each. No gradient is taken; a run is one epoch of looking.
"""

from __future__ import annotations

from typing import Any, Dict, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splip.backbone import clip_dims
from splip.common import distributed
from splip.common.modalities import MODALITIES
from splip.engine import TRAINER_REGISTRY
from splip.models.base import RetrievalModel
from splip.training.trainer import SBIRTrainer


class CenteredModel(RetrievalModel):
    """``trainable`` holds the means, and how many images each is of."""

    knows_modality = True
    training_only = ("counts",)

    def __init__(self, clip: Any) -> None:
        super().__init__(clip)
        width = clip_dims(clip).embed_dim
        self.trainable["means"] = nn.ParameterDict({m: nn.Parameter(torch.zeros(width)) for m in MODALITIES})
        self.trainable["counts"] = nn.Module()
        for modality in MODALITIES:
            self.trainable["counts"].register_buffer(modality, torch.zeros((), dtype=torch.long))
        self.trainable.to(self.device)

    def forward(self, batch: Dict[str, Tensor]) -> Tuple[Tensor, Dict[str, Tensor]]:
        """Move the means; the loss is 0, and so are its gradients."""
        means: Any = self.trainable["means"]
        photos = torch.cat([batch["positive"], batch["negative"]])
        with torch.no_grad():
            for modality, images in (("sketch", batch["sketch"]), ("photo", photos)):
                count, seen = getattr(self.trainable["counts"], modality), len(images) * distributed.world()
                count += seen
                found = distributed.mean(super().encode(images, modality).mean(dim=0))
                means[modality].lerp_(found, seen / count)
            between = (means["sketch"] - means["photo"]).norm()
        return sum(mean.sum() * 0 for mean in means.values()), {"between_means": between}

    @torch.no_grad()
    def encode(self, images: Tensor, modality: str) -> Tensor:
        means: Any = self.trainable["means"]
        return F.normalize(super().encode(images, modality) - means[modality], dim=-1)


@TRAINER_REGISTRY.register()
class CenteredCLIP(SBIRTrainer):
    """It has no settings; an optimiser without weight decay leaves the means alone."""

    model_class = CenteredModel

    def check_cfg(self, cfg: Any) -> None:
        super().check_cfg(cfg)
        if cfg.OPTIM.WEIGHT_DECAY:
            raise ValueError(f"OPTIM.WEIGHT_DECAY {cfg.OPTIM.WEIGHT_DECAY} would change CenteredCLIP's means: set it 0")
