"""SpLIP as a Dassl trainer: reads the config, makes the model, shuffles the sketches of a batch."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import Any, Dict, List, Optional

from torch import Tensor, nn

from splip import distributed
from splip.config import SpLIPConfig, config_from_cfg
from splip.engine import TRAINER_REGISTRY
from splip.jigsaw import permutation_bank, shuffle
from splip.model import SpLIP as SpLIPModel
from splip.model import param_groups
from splip.training import results
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
                "(TRIPLET, ALPHA, BETA or CONTRASTIVE); TRAINER.NAME FrozenCLIP tests the backbone as it is"
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
            half = ", of which half counts in units of 1 - cos" if method.distance == "sq_l2" else ""
            print(f"margin mu over pairs of seen classes ({method.distance}{half}): {mu}")
        print_cosines("at the start", model)
        return model

    def param_groups(self, model: nn.Module) -> List[Dict[str, Any]]:
        return param_groups(model, self.cfg)

    def test(self, split: Optional[str] = None) -> float:
        """As every trainer; on the test split also with the modality swapped, where the method knows it.

        Sketches embedded as photos and photos as sketches: the less that costs, the less the prompts know.
        """
        value = super().test(split)
        if split in (None, "test") and self.method.knows_modality:
            query_items, gallery_items = self._evaluation_sets("test")[0]
            query, gallery = self.encode(query_items, None, "photo"), self.encode(gallery_items, None, "sketch")
            fine_grained = self.dataset.setting == "fg"
            swapped, _ = results.score(query, gallery, query_items, gallery_items, fine_grained)
            if distributed.is_main():
                path = os.path.join(self.output_dir, "results.json")
                with open(path, encoding="utf-8") as file:
                    content = json.load(file)
                content.update(swapped=swapped, prompt_cosines=self.model.prompt_cosines())
                results.write_json(path, content)
            print(f"modality swapped, percent:\n{results.table(swapped)}")
            print_cosines(f"after {self.tested_epoch} epochs", self.model)
        return value

    def parse_batch_train(self, batch: Dict[str, Tensor]) -> Dict[str, Tensor]:
        batch = super().parse_batch_train(batch)
        if self.method.beta > 0:
            tiles = self.bank[batch["permutation"]]
            batch["shuffled"] = shuffle(batch["sketch"], tiles, self.method.grid, self.method.tiles)
        return batch


def print_cosines(when: str, model: SpLIPModel) -> None:
    cosines = model.prompt_cosines()
    if cosines:
        shown = " ".join(f"{name} {value:.5f}" for name, value in cosines.items())
        print(f"cosine between the prompts of sketches and photos {when}: {shown}")
