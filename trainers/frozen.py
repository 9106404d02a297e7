"""The baseline without training: CLIP as it is."""

from splip.engine import TRAINER_REGISTRY
from splip.models import frozen
from splip.training.trainer import SBIRTrainer


@TRAINER_REGISTRY.register()
class FrozenCLIP(SBIRTrainer):
    """`train()` only tests, and there is no checkpoint to load."""

    model_class = frozen.FrozenCLIP
