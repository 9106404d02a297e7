"""ClipPrompt's public recipe (github.com/leftthomas/ClipPrompt at e946e6d), an open version of CLIP-AT.

Its logs are the only open results of this kind on Sketchy-2 (one seed): 71.9 mAP@200 and 68.1 P@200 (`prefix`).
docs/FIDELITY.md#clipprompt lists each part of the recipe; its rates: `configs/trainers/ClipPrompt/vit_b32.yaml`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splip.backbone import clip_dims
from splip.backbone.encoders import encode_text, first_tokens, patch_embeddings
from splip.backbone.texts import PackedTexts
from splip.common.modalities import check_modality
from splip.config import CapacitySettings
from splip.engine import TRAINER_REGISTRY
from splip.losses import capacity_loss, triplet_loss
from splip.models.base import RetrievalModel, class_tokens
from splip.training.trainer import SBIRTrainer
from splip.tuning import trained_layernorms, with_own_layernorms


@dataclass(frozen=True)
class ClipPromptSettings(CapacitySettings):
    """Defaults are its own; SG-SPL's notes have other ones (`*_sgspl.yaml`)."""

    node = "CLIPPROMPT"
    prompts: int = 3  # tokens of each modality, in the first layer (C)
    margin: float = 0.3  # of the triplet loss (C)
    triplet_weight: float = 1.0  # of the triplet loss (C)
    class_weight: float = 0.5  # of the class loss (C)
    logit_scale: float = 4.6052  # inverse temperature of the class loss: without exp, as released (C)
    lr_backbone: float = 0.1  # a factor on OPTIM.LR
    train_proj: bool = True


class ClipPromptModel(RetrievalModel):
    """Each modality has three learned tokens before the class token, and its own vision LayerNorms and projection."""

    config_class, knows_modality = ClipPromptSettings, True
    texts: Tensor

    def __init__(self, clip: Any, classnames: Sequence[str], config: ClipPromptSettings) -> None:
        tokens = class_tokens("a photo of a", classnames)
        super().__init__(clip)
        self.config, weight = config, config.class_weight
        self.loss_weights = {"triplet": config.triplet_weight, "class_sketch": weight, "class_photo": weight}
        with torch.no_grad():
            texts, _ = encode_text(clip, PackedTexts(tokens.to(self.device)))
        self.register_buffer("texts", F.normalize(texts.float(), dim=-1), persistent=False)  # (C, d)
        self.towers = {"sketch": clip.visual, "photo": with_own_layernorms(clip.visual, proj=True)}  # registers nothing
        shape = config.prompts, clip_dims(clip).vision_width
        for modality, visual in self.towers.items():
            self.trainable[f"layernorms_{modality}"] = nn.ModuleDict(trained_layernorms(visual, "both"))
            if config.train_proj:
                self.trainable[f"proj_{modality}"] = nn.ParameterDict({"proj": visual.proj})
            self.trainable[f"prompts_{modality}"] = nn.ParameterDict({"tokens": nn.Parameter(torch.randn(shape))})
        self.trainable.requires_grad_(True).to(self.device)
        self.rates = {part: config.lr_backbone for part in self.trainable if not part.startswith("prompts")}

    def features(self, images: Tensor, modality: str) -> Tensor:
        """(B, 3, H, W) -> (B, d), from the *first prompt's* state after the last block, as in that code."""
        visual = self.towers[modality]
        prompts: Any = self.trainable[f"prompts_{modality}"]
        x = first_tokens(visual, patch_embeddings(visual, images))  # (B, 1 + N, D)
        prompts = visual.ln_pre(prompts["tokens"].to(x)).expand(len(x), -1, -1)
        return visual.ln_post(visual.transformer(torch.cat([prompts, x], dim=1).transpose(0, 1))[0]) @ visual.proj

    def forward(self, batch: Dict[str, Tensor]) -> Tuple[Tensor, Dict[str, Tensor]]:
        sketch, label = self.features(batch["sketch"], "sketch"), batch["label"]
        photos = self.features(torch.cat([batch["positive"], batch["negative"]]), "photo").chunk(2)
        with torch.autocast(label.device.type, enabled=False):
            margin = self.texts.new_full(label.shape, self.config.margin)
            terms = {"triplet": triplet_loss(sketch, photos[0], photos[1], margin)}
            for name, images in (("class_sketch", sketch), ("class_photo", photos[0])):
                logits = self.config.logit_scale * F.normalize(images.float(), dim=-1) @ self.texts.t()
                terms[name] = F.cross_entropy(logits, label)
            if self.config.has_mcc:
                terms["mcc"] = capacity_loss(self.config, sketch, photos[0])
            return self.weighted(terms)

    @torch.no_grad()
    def encode(self, images: Tensor, modality: str) -> Tensor:
        check_modality(modality)
        return F.normalize(self.features(images, modality).float(), dim=-1)


@TRAINER_REGISTRY.register()
class ClipPrompt(SBIRTrainer):
    """Settings under TRAINER.CLIPPROMPT; OPTIM.LR is the prompts' rate."""

    model_class = ClipPromptModel
