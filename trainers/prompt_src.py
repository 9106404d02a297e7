"""PromptSRC: IVLP held close to the frozen CLIP (Khattak et al., "Self-regulating Prompts", ICCV 2023).

From the method (github.com/muzairkhattak/PromptSRC at bb95c77, `trainers/promptsrc.py`): 4 + 4 tokens, depth 9 of 12,
outputs of the last prompts go on; and three anchors on unit features, over images and their C classes:

    10 * mean |z - z_frozen| + 25 * mean |t - t_frozen| + KL(softmax(scale z_frozen t_frozen) || softmax(scale z t)) / C

The tested weights are a mean over epochs, weighed as N(15, 1) of 20 (OPTIM.AVERAGE_EPOCHS, AVERAGE_MEAN, AVERAGE_STD).
Its t_frozen is the mean over sixty texts of ImageNet's; here it is that over ANCHOR_TEMPLATES. From this repository's
frame: the triplet loss beside the class loss, sketches and both photos anchored, and optimiser, rates and epochs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from splip.backbone.encoders import encode_text
from splip.baselines import TextPromptSettings, VisualPromptSettings
from splip.engine import TRAINER_REGISTRY
from splip.losses import divergence, inverse_temperature
from splip.models.base import class_tokens
from splip.models.framed import FramedModel, Step
from splip.training.trainer import SBIRTrainer

ANCHORS = ("anchor_image", "anchor_text", "anchor_logits")


@dataclass(frozen=True)
class PromptSRCSettings(VisualPromptSettings, TextPromptSettings):
    """Settings under TRAINER.PROMPTSRCSBIR."""

    node = "PROMPTSRCSBIR"
    text_prompts: int = 4
    text_depth: int = 9
    visual_prompts: int = 4
    vision_depth: int = 9
    anchor_image: float = 10.0  # weights of the pulls to the frozen image features,
    anchor_text: float = 25.0  # ... text features
    anchor_logits: float = 1.0  # ... and logits
    anchor_templates: str = "a photo of a, a sketch of a"  # commas between them


class PromptSRCModel(FramedModel):
    """Prompts in both towers, anchored to the frozen ones."""

    config_class, anchored = PromptSRCSettings, True
    frozen_texts: Tensor

    def __init__(self, clip: Any, classnames: Sequence[str], config: PromptSRCSettings) -> None:
        held = [class_tokens(template.strip(), classnames) for template in config.anchor_templates.split(",")]
        super().__init__(clip, classnames, config)
        with torch.no_grad():
            texts = torch.stack([encode_text(clip, tokens.to(self.device))[0] for tokens in held]).mean(dim=0)
        self.register_buffer("frozen_texts", F.normalize(texts, dim=-1), persistent=False)
        self.loss_weights.update({name: getattr(config, name) for name in ANCHORS})

    def add_parts(self) -> None:
        self.add_visual_prompts()
        self.add_text_prompts()

    def more_terms(self, step: Step) -> Dict[str, Tensor]:
        frozen, images, texts = (F.normalize(x.float(), dim=-1) for x in (step.more["frozen"], step.images, step.texts))
        scale = inverse_temperature(self.config, self.clip)
        logits, wanted = scale * images @ texts.t(), scale * frozen @ self.frozen_texts.t()
        return {
            "anchor_image": F.l1_loss(images, frozen),
            "anchor_text": F.l1_loss(texts, self.frozen_texts),
            "anchor_logits": divergence(wanted, logits) / logits.shape[1],
        }


@TRAINER_REGISTRY.register()
class PromptSRCSBIR(SBIRTrainer):
    """Settings under TRAINER.PROMPTSRCSBIR."""

    model_class = PromptSRCModel
