"""What prompts must beat: CLIP whose LayerNorms alone are trained, with SpLIP's triplet and class losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from splip.config import SpLIPConfig
from splip.engine import TRAINER_REGISTRY
from splip.trainers.splip import SpLIP


@TRAINER_REGISTRY.register()
class LayerNormCLIP(SpLIP):
    """The settings of TRAINER.SPLIP without prompts, projection and jigsaw."""

    @classmethod
    def method_config(cls, cfg: Any) -> SpLIPConfig:
        off = {"use_bt": False, "use_bv": False, "use_bvt": False, "free_prompts": 0, "train_proj": False, "beta": 0.0}
        return replace(super().method_config(cfg), **off)  # type: ignore[arg-type]  # of fields of several types
