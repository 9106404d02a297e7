"""The baseline without prompts: CLIP with only its LayerNorms trained, by SpLIP's triplet and class losses."""

from splip.engine import TRAINER_REGISTRY

from .splip import SpLIP


@TRAINER_REGISTRY.register()
class LayerNormCLIP(SpLIP):
    """The settings of TRAINER.SPLIP without prompts, projection and jigsaw."""

    node = "SPLIP"
    fixed = {
        "USE_BT": False, "USE_BV": False, "USE_BVT": False, "FREE_PROMPTS": 0, "TRAIN_PROJ": False, "BETA": 0.0,
    }  # fmt: skip
