"""SpLIP: multimodal prompts between the towers of a frozen CLIP (Singha et al., ECCV 2024), and its losses."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any, Dict, Mapping, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from splip.backbone.encoders import encode_text
from splip.backbone.texts import PackedTexts
from splip.common import distributed
from splip.config import SpLIPConfig
from splip.jigsaw import JigsawSolver, conditional_jigsaw_loss, shuffled_pairs
from splip.losses import (
    batch_triplet_loss,
    capacity_loss,
    class_loss,
    class_similarity,
    contrastive_loss,
    distance,
    inverse_temperature,
    margin_of,
    triplet_loss,
)
from splip.models import pretrained
from splip.models.base import Recipe, class_tokens
from splip.models.registry import register_model
from splip.prompted import PromptedCLIP

MOST_INSTANCES = 2**20  # of one class; more than any data set has

RATE_OF = {  # part of `SpLIP.trainable` -> the setting that scales its rate
    "layernorms": "lr_layernorm",
    "layernorms_photo": "lr_layernorm",
    "leaked": "lr_layernorm",
    "proj": "lr_proj",
    "jigsaw": "lr_solver",
    **dict.fromkeys(("b_t", "b_v", "b_vt", "free"), "lr_mappers"),
}


@register_model
class SpLIP(PromptedCLIP):
    """The method on one CLIP, for one list of seen classes. :class:`PromptedCLIP` computes its embeddings, this class
    its loss.

    Arguments, attributes and errors are those of :class:`PromptedCLIP`.
    """

    config_class = SpLIPConfig
    parts = tuple(RATE_OF)
    training_only = ("jigsaw", "steps")
    memory_keys = ("GRAD_CHECKPOINTING", "MICRO_BATCH")
    class_similarity: Tensor

    def __init__(
        self, clip: Any, classnames: Sequence[str], config: SpLIPConfig = SpLIPConfig(), *,
        grad_checkpointing: bool = False, micro_batch: int = 0,
    ) -> None:  # fmt: skip
        names = class_tokens(config.margin_template, classnames)
        super().__init__(clip, classnames, config, grad_checkpointing=grad_checkpointing, micro_batch=micro_batch)
        self.loss_weights = {"class": config.alpha, "jigsaw": config.beta, "contrastive": config.contrastive}
        self.loss_weights.update(anchor=config.anchor, patch_shuffle=config.patch_shuffle)
        settings = {name.upper(): value for name, value in asdict(config).items()}
        self.recipe = Recipe("SpLIP", settings, list(classnames), {})
        self.rates = {part: getattr(config, rate) for part, rate in RATE_OF.items()}
        with torch.no_grad():  # mu comes from the text encoder before training: no LayerNorm has changed yet
            features, _ = encode_text(clip, PackedTexts(names.to(self.device)))
        self.register_buffer("class_similarity", class_similarity(features), persistent=False)

        if config.beta > 0:
            solver = JigsawSolver(self.dims.embed_dim, config.permutations, config.jigsaw_layers)
            self.trainable["jigsaw"] = solver.to(self.device)
        if config.anchor > 0:
            self.keep_frozen_tower()
        if config.prompts_after > 0:
            self.trainable["steps"] = nn.Module()
            self.trainable["steps"].register_buffer("done", torch.zeros((), dtype=torch.long, device=self.device))

    @classmethod
    def reads_images(cls, settings: Mapping[str, Any]) -> str:
        return "PATCH_SHUFFLE" if settings["PATCH_SHUFFLE"] > 0 else ""

    @classmethod
    def from_pretrained(
        cls, where: Union[str, os.PathLike], *, backbone: str = "", device: Union[str, torch.device] = "cpu"
    ) -> SpLIP:
        """A model saved by ``save_pretrained``, ``push_to_hub`` or a run, in ``eval()``.

        Args:
            where: its folder, or ``owner/name`` on the Hugging Face hub.
            backbone: name or path of its backbone on this machine; default the name that it was trained with.

        Raises:
            ValueError: it does not exist, is of another version or method, or the backbone is a different one.
        """
        saved = pretrained.read(where)
        if saved.recipe.method != cls.__name__:
            raise ValueError(f"{where} holds a {saved.recipe.method}, not a {cls.__name__}: use splip.load_model")
        model = pretrained.load(saved, backbone, device)
        assert isinstance(model, cls)  # the registry has it by this name
        return model

    def forward(self, batch: Dict[str, Tensor]) -> Tuple[Tensor, Dict[str, Tensor]]:
        """L = L_triplet + alpha * L_class + beta * L_cjs (+ contrastive * L_con + ...) for a batch.

        Args:
            batch: ``sketch``, ``shuffled``, ``positive``, ``negative`` (B, 3, H, W), or (without PATCH_SHUFFLE) their
                E_0 (B, N, D);
                ``permutation``, ``label``, ``negative_label`` (B,) long. ``shuffled`` and ``permutation`` are read
                only if beta > 0; ``instance`` and ``negative_instance`` (B,) long only with negatives from the
                batch or the contrastive loss. They number the object that an image shows within its class; below 0
                only classes count.

        Returns:
            The loss, and its unweighted terms, detached.
        """
        config, label, negative_label = self.config, batch["label"], batch["negative_label"]
        if config.prompts_after > 0 and self.training:
            self._count_step()
        size = len(label)
        sketches = [batch["sketch"], batch["shuffled"]] if config.beta > 0 else [batch["sketch"]]
        anchors = len(sketches) * size if config.bt_shuffled else size
        photos = [batch["positive"], batch["negative"]]
        frozen = self.frozen_features(batch["sketch"], *photos) if config.anchor > 0 else None
        if config.patch_shuffle > 0:
            mixed, *others = shuffled_pairs(batch["sketch"], batch["positive"])
            sketches, photos = [*sketches, mixed], [*photos, *others]
        sketch_features, sketch_texts = self._encode("sketch", torch.cat(sketches), anchors, labelled=size)
        photo_features, photo_texts = self._encode("photo", torch.cat(photos), 2 * size, labelled=2 * size)

        with torch.autocast(label.device.type, enabled=False):
            sketch, *more_sketches = sketch_features.split(size)
            positive, negative, *more_photos = photo_features.split(size)
            terms: Dict[str, Tensor] = {}
            if config.triplet:
                terms["triplet"] = self._triplet_loss(sketch, positive, negative, batch)
            if config.alpha > 0:
                if sketch_texts.dim() == 3:  # one set of class embeddings for each image
                    sketch_texts, photo_texts = sketch_texts[:size], photo_texts[: 2 * size]
                labels = [label, torch.cat([label, negative_label])]
                groups = [sketch, photo_features[: 2 * size]], [sketch_texts, photo_texts]
                terms["class"] = class_loss(*groups, labels, inverse_temperature(config, self.clip))
            if config.beta > 0:
                terms["jigsaw"] = conditional_jigsaw_loss(
                    self.trainable["jigsaw"], sketch, more_sketches[0], positive, negative, batch["permutation"]
                )
            if config.patch_shuffle > 0:
                margin = torch.full(label.shape, config.patch_margin, device=label.device)
                terms["patch_shuffle"] = triplet_loss(more_sketches[-1], more_photos[0], more_photos[1], margin)
            if config.contrastive > 0:  # over the whole batch, also if processes share it
                # fine-grained: other objects of the same class are negatives, too
                ids = torch.where(batch["instance"] < 0, label, label * MOST_INSTANCES + batch["instance"])
                rows, columns, own = (distributed.join(x) for x in (sketch, positive, ids))
                terms["contrastive"] = contrastive_loss(rows, columns, own, own, config.contrastive_temperature)
            if config.has_mcc:
                terms["mcc"] = capacity_loss(config, sketch, positive)
            if frozen is not None:
                terms["anchor"] = distance(torch.cat([sketch, positive, negative]), frozen).mean()
            return self.weighted(terms)

    def _count_step(self) -> None:
        """Prompts learn from step PROMPTS_AFTER on; before it they take no gradient, so the optimiser skips them."""
        done: Any = self.trainable["steps"].done
        for name in ("b_t", "b_v", "b_vt", "free"):
            if name in self.trainable:
                self.trainable[name].requires_grad_(int(done) >= self.config.prompts_after)
        done += 1

    def _triplet_loss(self, sketch: Tensor, positive: Tensor, negative: Tensor, batch: Dict[str, Tensor]) -> Tensor:
        config, label = self.config, batch["label"]
        if config.negatives == "random":
            mu = self.margin(label, batch["negative_label"])
            return triplet_loss(sketch, positive, negative, mu, config.distance)
        # over the whole batch, also if processes share it
        sketch, positive, negative, label, instance, *others = (
            distributed.join(x)
            for x in (
                sketch,
                positive,
                negative,
                label,
                batch["instance"],
                batch["negative_label"],
                batch["negative_instance"],
            )
        )
        photos, labels, instances = (torch.cat(pair) for pair in zip((positive, label, instance), (negative, *others)))
        same_class = label[:, None] == labels  # (B, 2B)
        allowed = torch.where(instance[:, None] < 0, ~same_class, same_class & (instance[:, None] != instances))
        mu = self.margin(label[:, None], labels)
        return batch_triplet_loss(sketch, positive, photos, mu, allowed, config.distance, config.negatives)

    def margin(self, label: Tensor, negative_label: Tensor) -> Tensor:
        """mu(c+, c-) of each pair of labels (:func:`splip.losses.margin_of`)."""
        return margin_of(self.config, self.class_similarity, label, negative_label)

    def margin_summary(self) -> Dict[str, float]:
        """Distribution of mu over pairs of different seen classes: mean, std, min, max.

        Check it for each backbone: OpenAI's CLIPs give 0.6 to 0.9 for most pairs, others differ.
        """
        labels = torch.arange(len(self.classnames), device=self.class_similarity.device)
        first, second = torch.meshgrid(labels, labels, indexing="ij")
        mu = self.margin(first[first != second], second[first != second])
        return {"mean": mu.mean().item(), "std": mu.std().item(), "min": mu.min().item(), "max": mu.max().item()}
