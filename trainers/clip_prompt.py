"""ClipPrompt's public recipe (github.com/leftthomas/ClipPrompt at e946e6d), an open version of CLIP-AT (Sain et al.,
CVPR 2023).

Its logs are the only open results of this kind on Sketchy-2 (one seed): 71.9 mAP@200 and 68.1 P@200 (`prefix`).
docs/FIDELITY.md#clipprompt lists each part of the recipe; `configs/trainers/ClipPrompt/vit_b32.yaml` has its rates and
preprocessing.
"""

from __future__ import annotations

from typing import Any, Dict, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splip.backbone import clip_dims
from splip.backbone.encoders import encode_text, patch_embeddings
from splip.backbone.texts import PackedTexts
from splip.common.modalities import MODALITIES, check_modality
from splip.engine import TRAINER_REGISTRY
from splip.losses import triplet_loss
from splip.models.base import RetrievalModel, class_tokens
from splip.training.trainer import SBIRTrainer
from splip.tuning import trained_layernorms, with_own_layernorms


class ClipPromptModel(RetrievalModel):
    """Each modality has three learned tokens before the class token, and its own vision LayerNorms and projection."""

    settings = {
        "PROMPTS": 3,  # tokens of each modality, in the first layer (C)
        "MARGIN": 0.3,  # of the triplet loss (C)
        "CLASS_WEIGHT": 0.5,  # of the class loss (C)
        "LOGIT_SCALE": 4.6052,  # inverse temperature of the class loss: without exp, as released (C)
        "LR_BACKBONE": 0.1,  # factor on OPTIM.LR of LayerNorms and projection (C)
    }
    knows_modality = True
    texts: Tensor

    def __init__(self, clip: Any, classnames: Sequence[str], settings: Any) -> None:
        tokens = class_tokens("a photo of a", classnames)
        super().__init__(clip)
        self.margin, self.weight, self.scale = settings.MARGIN, settings.CLASS_WEIGHT, settings.LOGIT_SCALE
        with torch.no_grad():
            texts, _ = encode_text(clip, PackedTexts(tokens.to(self.device)))
        self.register_buffer("texts", F.normalize(texts.float(), dim=-1), persistent=False)  # (C, d)
        self.towers = {"sketch": clip.visual, "photo": with_own_layernorms(clip.visual, proj=True)}  # registers nothing
        shape = settings.PROMPTS, clip_dims(clip).vision_width
        for modality, visual in self.towers.items():
            norms = nn.ModuleDict(trained_layernorms(visual, "both"))
            self.trainable[f"layernorms_{modality}"] = norms.requires_grad_(True)
            self.trainable[f"proj_{modality}"] = nn.ParameterDict({"proj": visual.proj.requires_grad_(True)})
            self.trainable[f"prompts_{modality}"] = nn.ParameterDict({"tokens": nn.Parameter(torch.randn(shape))})
        self.trainable.to(self.device)
        parts = [f"{part}_{modality}" for part in ("layernorms", "proj") for modality in MODALITIES]
        self.rates = dict.fromkeys(parts, settings.LR_BACKBONE)

    def features(self, images: Tensor, modality: str) -> Tensor:
        """(B, 3, H, W) -> (B, d): the image's state is that of the *first prompt* after the last block, as in
        that code.
        """
        visual, patches = self.towers[modality], patch_embeddings(self.towers[modality], images)
        class_token = visual.class_embedding.to(patches).expand(len(patches), 1, -1)
        x = torch.cat([class_token, patches], dim=1) + visual.positional_embedding.to(patches)  # (B, 1 + N, D)
        prompts: Any = self.trainable[f"prompts_{modality}"]
        prompts = prompts["tokens"].to(x).expand(len(x), -1, -1)
        x = visual.ln_pre(torch.cat([prompts, x], dim=1)).transpose(0, 1)
        return visual.ln_post(visual.transformer(x)[0]) @ visual.proj

    def forward(self, batch: Dict[str, Tensor]) -> Tuple[Tensor, Dict[str, Tensor]]:
        sketch, label = self.features(batch["sketch"], "sketch"), batch["label"]
        positive, negative = self.features(torch.cat([batch["positive"], batch["negative"]]), "photo").chunk(2)
        with torch.autocast(label.device.type, enabled=False):
            margin = torch.full(label.shape, self.margin, device=label.device)
            terms = {"triplet": triplet_loss(sketch, positive, negative, margin)}
            for name, images in (("class_sketch", sketch), ("class_photo", positive)):
                terms[name] = F.cross_entropy(self.scale * F.normalize(images.float(), dim=-1) @ self.texts.t(), label)
            loss = terms["triplet"] + self.weight * (terms["class_sketch"] + terms["class_photo"])
        return loss, {name: value.detach() for name, value in terms.items()}

    @torch.no_grad()
    def encode(self, images: Tensor, modality: str) -> Tensor:
        check_modality(modality)
        return F.normalize(self.features(images, modality).float(), dim=-1)


@TRAINER_REGISTRY.register()
class ClipPrompt(SBIRTrainer):
    """Settings under TRAINER.CLIPPROMPT; OPTIM.LR is the prompts' rate."""

    model_class = ClipPromptModel
