"""SpLIP as a trainer: reads the config, makes the model, shuffles the sketches of a batch."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any, Dict, List, Mapping, Sequence

from torch import Tensor

from splip.config import BEFORE, TRAINING_ONLY, SpLIPConfig, config_from_cfg
from splip.data.views import Jigsaw
from splip.engine import TRAINER_REGISTRY
from splip.jigsaw import permutation_bank, shuffle
from splip.model import RATE_OF
from splip.model import SpLIP as SpLIPModel
from splip.models.base import RetrievalModel
from splip.training.config import grad_checkpointing
from splip.training.trainer import SBIRTrainer
from splip.tuning import param_groups


@TRAINER_REGISTRY.register()
class SpLIP(SBIRTrainer):
    """Singha et al., ECCV 2024; settings under TRAINER.SPLIP (`splip.config`)."""

    model: SpLIPModel
    bank: Tensor
    memory_keys = ("GRAD_CHECKPOINTING", "MICRO_BATCH")
    node = "SPLIP"  # `extend_cfg` of the package adds it: also for hosts that never import this file

    @classmethod
    def method_config(cls, cfg: Any) -> SpLIPConfig:
        """The settings of the method; what is built on it fixes some of them."""
        return config_from_cfg(cfg)

    @classmethod
    def make_model(cls, cfg: Any, clip: Any, classnames: Sequence[str]) -> SpLIPModel:
        memory = {"grad_checkpointing": grad_checkpointing(cfg), "micro_batch": cfg.TRAINER.MICRO_BATCH}
        return SpLIPModel(clip, classnames, cls.method_config(cfg), **memory)

    @classmethod
    def param_groups(cls, cfg: Any, model: RetrievalModel) -> List[Dict[str, Any]]:
        method = cls.method_config(cfg)
        factors = {part: getattr(method, rate) for part, rate in RATE_OF.items()}
        return param_groups(model.trainable, cfg.OPTIM, factors, RATE_OF)

    @classmethod
    def method_settings(cls, cfg: Any) -> Dict[str, Any]:
        return {name.upper(): value for name, value in asdict(cls.method_config(cfg)).items()}

    @classmethod
    def inference_settings(cls, settings: Mapping[str, Any]) -> Dict[str, Any]:
        return {key: value for key, value in settings.items() if key.lower() not in TRAINING_ONLY}

    @classmethod
    def complete_settings(cls, settings: Mapping[str, Any]) -> Dict[str, Any]:
        defaults = {field.name.upper(): field.default for field in fields(SpLIPConfig)}
        before = {name.upper(): value for name, value in BEFORE.items()}
        return {**defaults, **({} if "BV_POSITIONS" in settings else before), **settings}

    def check_cfg(self, cfg: Any) -> None:
        self.method = self.method_config(cfg)
        super().check_cfg(cfg)
        if not self.method.learns:
            raise ValueError(
                "TRAINER.SPLIP leaves nothing to train: switch on a prompt mapper (and its depth) or LAYERNORM; "
                "TRAINER.NAME FrozenCLIP tests the backbone as it is"
            )
        method = self.method
        self.num_permutations = method.permutations
        wanted = method.permutations if method.beta > 0 else 1
        self.jigsaw = Jigsaw(method.grid, wanted, method.tiles, method.jigsaw_seed)

    def build_model(self) -> None:
        super().build_model()
        method, model = self.method, self.model
        if method.beta > 0:
            self.bank = permutation_bank(method.grid, method.permutations, method.jigsaw_seed).to(self.device)
        if method.triplet and self.num_classes > 1:
            mu = " ".join(f"{name} {value:.3f}" for name, value in model.margin_summary().items())
            half = ", of which half counts in units of 1 - cos" if method.distance == "sq_l2" else ""
            print(f"margin mu over pairs of seen classes ({method.distance}{half}): {mu}")
        print_cosines("at the start", model)

    def parse_batch_train(self, batch: Dict[str, Tensor]) -> Dict[str, Tensor]:
        batch = super().parse_batch_train(batch)
        if self.method.beta > 0 and "shuffled" not in batch:
            tiles = self.bank[batch["permutation"]]
            batch["shuffled"] = shuffle(batch["sketch"], tiles, self.method.grid, self.method.tiles)
        return batch

    def test(self, split=None) -> float:
        value = super().test(split)
        if split in (None, "test"):
            print_cosines(f"after {self.tested_epoch} epochs", self.model)
        return value


def print_cosines(when: str, model: SpLIPModel) -> None:
    cosines = model.prompt_cosines()
    if cosines:
        shown = " ".join(f"{name} {value:.5f}" for name, value in cosines.items())
        print(f"cosine between the prompts of sketches and photos {when}: {shown}")
