"""SpLIP as a trainer: reads the config, makes the model, shuffles the sketches of a batch."""

from __future__ import annotations

from typing import Any, Dict

from torch import Tensor

from splip.data.views import Jigsaw
from splip.engine import TRAINER_REGISTRY
from splip.jigsaw import permutation_bank, shuffle
from splip.model import SpLIP as SpLIPModel
from splip.training.trainer import SBIRTrainer


@TRAINER_REGISTRY.register()
class SpLIP(SBIRTrainer):
    """Singha et al., ECCV 2024; settings under TRAINER.SPLIP (`splip.config`)."""

    model_class = SpLIPModel
    model: SpLIPModel
    bank: Tensor

    def check_cfg(self, cfg: Any) -> None:
        self.method = SpLIPModel.config_of(self.method_settings(cfg))
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
        steps = len(self.train_loader_x) * self.cfg.OPTIM.MAX_EPOCH
        if method.prompts_after >= steps:
            raise ValueError(
                f"TRAINER.SPLIP.PROMPTS_AFTER must be less than the {steps:,} steps of the run (prompts would never "
                f"learn), got {method.prompts_after:,}"
            )
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
