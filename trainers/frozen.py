"""What training must beat: CLIP as it is."""

from __future__ import annotations

from typing import Any, Sequence

from splip.engine import TRAINER_REGISTRY
from splip.models.base import RetrievalModel
from splip.training.trainer import SBIRTrainer


@TRAINER_REGISTRY.register()
class FrozenCLIP(SBIRTrainer):
    """`train()` only tests, and there is no checkpoint to load."""

    trains = False

    @classmethod
    def make_model(cls, cfg: Any, clip: Any, classnames: Sequence[str]) -> RetrievalModel:
        return RetrievalModel(clip)
