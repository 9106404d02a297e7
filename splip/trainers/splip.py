"""SpLIP as a Dassl trainer: reads the config, makes the model, shuffles the sketches of a batch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Dict

from torch import Tensor, nn

from splip.config import SpLIPConfig, config_from_cfg
from splip.engine import TRAINER_REGISTRY
from splip.jigsaw import permutation_bank, shuffle
from splip.model import SpLIP as SpLIPModel
from splip.training.trainer import SBIRTrainer


@TRAINER_REGISTRY.register()
class SpLIP(SBIRTrainer):
    """Singha et al., ECCV 2024; settings under TRAINER.SPLIP (`splip.config`)."""

    def method_config(self, cfg) -> SpLIPConfig:
        """The settings of the method; the baselines fix some of them."""
        return config_from_cfg(cfg)

    def check_cfg(self, cfg) -> None:
        self.method = self.method_config(cfg)
        super().check_cfg(cfg)
        if not self.method.learns:
            raise ValueError(
                "TRAINER.SPLIP leaves nothing to train: switch on a prompt mapper or LAYERNORM, and a loss "
                "(TRIPLET, ALPHA or BETA); TRAINER.NAME FrozenCLIP tests the backbone as it is"
            )
        self.num_permutations = self.method.permutations

    def method_settings(self) -> Dict[str, Any]:
        return {name.upper(): value for name, value in asdict(self.method).items()}

    def make_model(self) -> nn.Module:
        method = self.method
        self.bank = permutation_bank(method.grid, method.permutations, method.jigsaw_seed).to(self.device)
        grad_checkpointing = self.cfg.TRAINER.SPLIP.RECOMPUTE
        model = SpLIPModel(self.clip, self.dataset.classnames, method, grad_checkpointing).to(self.device)
        if method.triplet and self.num_classes > 1:
            mu = " ".join(f"{name} {value:.3f}" for name, value in model.margin_summary().items())
            print(f"margin mu over pairs of seen classes: {mu}")
        return model

    def parse_batch_train(self, batch: Dict[str, Tensor]) -> Dict[str, Tensor]:
        batch = super().parse_batch_train(batch)
        if self.method.beta > 0:
            tiles = self.bank[batch["permutation"]]
            batch["shuffled"] = shuffle(batch["sketch"], tiles, self.method.grid)
        return batch
