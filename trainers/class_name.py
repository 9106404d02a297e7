"""ClassNameCLIP: the oracle row. Each query is the text "a photo of a [class of the sketch]", not the sketch.

No method may use the name of a test class; this one shows what the frozen CLIP would find if a drawing were recognised
perfectly. Photos are embedded by CLIP as it is.
"""

from __future__ import annotations

from typing import Any, Optional, Sequence

from torch import Tensor

from splip.common.modalities import SKETCH, check_modality
from splip.engine import TRAINER_REGISTRY
from splip.models.base import RetrievalModel
from splip.training.evaluator import Evaluator
from splip.training.trainer import SBIRTrainer


class ClassNameModel(RetrievalModel):
    """CLIP's photos; a sketch has no embedding here."""

    def encode(self, images: Tensor, modality: str) -> Tensor:
        check_modality(modality)
        if modality == "sketch":
            raise ValueError("ClassNameCLIP's queries are class names, not sketches: only its own run tests it")
        return super().encode(images, modality)


class NamedQueries(Evaluator):
    """Tests with the names of the sketches' classes."""

    def encode(self, items: Sequence[Any], images: Optional[Any] = None, modality: Optional[str] = None) -> Tensor:
        if items[0].domain != SKETCH:
            return super().encode(items, images, modality)
        names = sorted({item.classname for item in items})
        texts = self.model.encode_text([f"a photo of a {name.replace('_', ' ')}" for name in names]).float().cpu()
        return texts[[names.index(item.classname) for item in items]]


@TRAINER_REGISTRY.register()
class ClassNameCLIP(SBIRTrainer):
    """`train()` only tests, and there is no checkpoint to load."""

    model_class, tester_class = ClassNameModel, NamedQueries
