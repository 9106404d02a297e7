"""What SpLIP must beat, on the same data, with the same loop and metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from torch import nn

from splip.config import SpLIPConfig
from splip.engine import TRAINER_REGISTRY
from splip.model import SpLIP as SpLIPModel
from splip.trainers.splip import SpLIP
from splip.training.trainer import SBIRTrainer

NO_PROMPTS = {
    "use_bt": False, "use_bv": False, "use_bvt": False, "free_prompts": 0, "train_proj": False, "beta": 0.0
}


@TRAINER_REGISTRY.register()
class LayerNormCLIP(SpLIP):
    """CLIP whose LayerNorms alone are trained, with the triplet and class losses of TRAINER.SPLIP."""

    def method_config(self, cfg) -> SpLIPConfig:
        return replace(super().method_config(cfg), **NO_PROMPTS)


@TRAINER_REGISTRY.register()
class FrozenCLIP(SpLIP):
    """CLIP as it is: `train()` only tests, and there is no checkpoint to load."""

    def method_config(self, cfg) -> SpLIPConfig:
        no_losses = {"triplet": False, "alpha": 0.0, "contrastive": 0.0}
        off = {**NO_PROMPTS, **no_losses, "layernorm": "none", "layernorm_shared": True}
        return replace(super().method_config(cfg), **off)

    def check_cfg(self, cfg) -> None:
        self.method = self.method_config(cfg)
        SBIRTrainer.check_cfg(self, cfg)

    def make_model(self) -> nn.Module:
        return SpLIPModel(self.clip, self.dataset.classnames, self.method).to(self.device)

    def build_model(self) -> None:
        self.model = self.make_model()
        self.history, self.tested_epoch = [], 0

    def train(self) -> None:
        self.test()

    def load_model(self, directory: str, epoch: Optional[int] = None) -> None:
        if directory:
            raise ValueError(f"FrozenCLIP trains nothing: there is no checkpoint to load from {directory!r}")
