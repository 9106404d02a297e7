"""What the baselines in `trainers/` share: a frozen CLIP with learned prompts, and the triplet and class losses."""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splip.backbone import clip_dims
from splip.backbone.encoders import encode_patches, encode_text, patch_embeddings
from splip.backbone.texts import PackedTexts
from splip.baselines import BaselineSettings
from splip.common.modalities import MODALITIES, check_modality
from splip.losses import capacity_loss, class_loss, class_similarity, inverse_temperature, margin_of, triplet_loss
from splip.models.base import RetrievalModel, class_tokens, tokens_of
from splip.prompts import LayeredPrompts
from splip.tuning import LAYERNORM_PARTS, train_layernorms


class Step(NamedTuple):
    """A training batch and its features, for the terms of a loss."""

    batch: Dict[str, Tensor]
    sketch: Tensor  # features (B, d)
    positive: Tensor
    negative: Tensor
    texts: Tensor  # of the seen classes (C, d)
    more: Dict[str, Tensor]  # of `FramedModel.more_features`

    @property
    def images(self) -> Tensor:
        """Features of sketches, positives and negatives, (3B, d)."""
        return torch.cat([self.sketch, self.positive, self.negative])


class FramedModel(RetrievalModel):
    """A CLIP that a baseline changes, trained by the losses that all methods here have in common:

        L = L_triplet(s, p+, p-) + alpha * L_class(s, p+, p-) + what the method adds

    A baseline is a subclass: it puts what it trains into ``trainable`` in :meth:`add_parts`, and overrides what it does
    otherwise. Prompts enter as in CoOp's descendants (VPT, IVLP, MaPLe, PromptSRC): visual ones stand behind the
    patches, the first layer's pass ``ln_pre``; textual ones stand in place of the template's first words and have these
    words' positions. In layers past the last prompts their outputs go on.

    Args:
        clip: as in :class:`RetrievalModel`.
        classnames: the seen classes, in label order.

    Attributes:
        towers: the visual tower of each modality.
        anchored: of the class: whether a loss reads the untrained tower (:meth:`frozen_features`).

    Raises:
        ValueError: as :func:`splip.models.base.class_tokens`; the template has too few words.
    """

    config_class: Any = BaselineSettings
    memory_keys = ("GRAD_CHECKPOINTING", "MICRO_BATCH")
    grad_checkpointing, micro_batch = False, 0
    anchored = False
    config: Any  # of the `config_class`
    loss_weights: Dict[str, float]
    class_similarity: Tensor

    def __init__(self, clip: Any, classnames: Sequence[str], config: BaselineSettings) -> None:
        similar = class_tokens(config.margin_template, classnames)
        tokens = _class_texts(config, classnames)
        super().__init__(clip)  # takes the CLIP, so all checks that can fail come before
        self.config, self.classnames, self.dims = config, list(classnames), clip_dims(clip)
        self.knows_modality = config.knows_modality
        self.loss_weights = {"class": config.alpha}
        with torch.no_grad():  # before any LayerNorm has changed
            texts, _ = encode_text(clip, PackedTexts(similar.to(self.device)))
        self.register_buffer("class_similarity", class_similarity(texts), persistent=False)
        self.towers = train_layernorms(self.trainable, clip, config.layernorm, config.layernorm_shared)
        self.add_parts()
        self.trainable.to(self.device)
        norms = config.lr_layernorm
        self.rates = {part: norms if part in LAYERNORM_PARTS else config.lr_prompts for part in self.trainable}
        if self.anchored:
            self.keep_frozen_tower()
        carried = 0 < len(self.text_prompts()) < self.dims.text_layers  # which takes whole texts
        self.layout = PackedTexts(tokens.to(self.device), False if carried else None)
        self._fixed_texts: Optional[Tensor] = None
        trained = [name for name, p in clip.named_parameters() if p.requires_grad and not name.startswith("visual.")]
        if not trained and not config.learned_words:
            with torch.no_grad():
                self._fixed_texts = self.class_features()

    # ------------------------------------------------------- what a method overrides

    def add_parts(self) -> None:
        """Put what is trained into ``trainable``, besides LayerNorms."""

    def visual_prompts(self, modality: str) -> List[Tensor]:
        """Prompts of the first visual layers, (n, Dv) each."""
        if "visual_prompts" not in self.trainable:
            return []
        held: Any = self.trainable["visual_prompts"]
        return self.before_blocks(modality, held[modality if modality in held else "both"]())

    def text_prompts(self) -> List[Tensor]:
        """Prompts of the first text layers, (m, Dt) each, without positions."""
        held: Any = self.trainable["text_prompts"] if "text_prompts" in self.trainable else list
        return held()

    def class_term(self, step: Step) -> Tensor:
        """L_class, before its weight."""
        photo, label = torch.cat([step.positive, step.negative]), step.batch["label"]
        labels = [label, torch.cat([label, step.batch["negative_label"]])]
        scale = inverse_temperature(self.config, self.clip)
        return class_loss([step.sketch, photo], [step.texts] * 2, labels, scale)

    def more_features(self, batch: Dict[str, Tensor]) -> Dict[str, Tensor]:
        """Further features that :meth:`more_terms` reads: ``frozen``, as ``Step.images``, if the method is anchored."""
        images = (batch[name] for name in ("sketch", "positive", "negative"))
        return {"frozen": self.frozen_features(*images)} if self.anchored else {}

    def more_terms(self, step: Step) -> Dict[str, Tensor]:
        """Further terms of the loss, by name; ``loss_weights`` has their weights."""
        return {}

    # --------------------------------------------------------------- parts for them

    def add_visual_prompts(self) -> None:
        """Learned tokens in the first ``vision_depth`` layers, for both modalities or for each."""
        config, sets = self.config, ("both",) if self.config.prompts_shared else MODALITIES
        shape = self.dims.vision_width, config.visual_prompts, min(config.vision_depth, self.dims.vision_layers)
        held = {name: LayeredPrompts(*shape, config.prompt_std) for name in sets}
        self.trainable["visual_prompts"] = nn.ModuleDict(held)

    def add_text_prompts(self) -> None:
        """Learned tokens in the first ``text_depth`` layers; the first layer's start as the template's first words."""
        config, words = self.config, tokens_of([self.config.photo_template])[0, 1:].to(self.device)
        first = self.clip.token_embedding(words[: config.text_prompts]).detach()
        depth = min(config.text_depth, self.dims.text_layers)
        self.trainable["text_prompts"] = LayeredPrompts(self.dims.text_width, len(first), depth, first=first)

    def before_blocks(self, modality: str, prompts: Sequence[Tensor]) -> List[Tensor]:
        """The prompts as the blocks read them: the first layer's have passed ``ln_pre``."""
        return [self.towers[modality].ln_pre(prompts[0]), *prompts[1:]]

    # ------------------------------------------------------------------- embeddings

    def features(self, images: Tensor, modality: str) -> Tensor:
        """Images (B, 3, H, W), or their E_0 -> (B, d), not normalised."""
        visual, memory = self.towers[modality], (self.grad_checkpointing, self.micro_batch)
        return encode_patches(visual, patch_embeddings(visual, images), self.visual_prompts(modality), *memory, True)

    def class_features(self) -> Tensor:
        """The seen classes' embeddings (C, d), not normalised."""
        return self._text_features(self.layout) if self._fixed_texts is None else self._fixed_texts

    def _text_features(self, tokens: Any) -> Tensor:
        prompts, count = self.text_prompts(), self.config.learned_words
        if prompts:
            prompts = [prompts[0] + self.clip.positional_embedding[1 : 1 + count], *prompts[1:]]
        memory = self.grad_checkpointing
        return encode_text(self.clip, tokens, prompts, grad_checkpointing=memory, shift=count, carry=True)[0]

    def forward(self, batch: Dict[str, Tensor]) -> Tuple[Tensor, Dict[str, Tensor]]:
        config, label = self.config, batch["label"]
        photos = torch.cat([batch["positive"], batch["negative"]])
        sketch, (positive, negative) = self.features(batch["sketch"], "sketch"), self.features(photos, "photo").chunk(2)
        step = Step(batch, sketch, positive, negative, self.class_features(), self.more_features(batch))
        terms: Dict[str, Tensor] = {}
        with torch.autocast(label.device.type, enabled=False):
            if config.triplet:
                mu = margin_of(config, self.class_similarity, label, batch["negative_label"])
                terms["triplet"] = triplet_loss(step.sketch, step.positive, step.negative, mu, config.distance)
            if config.alpha > 0:
                terms["class"] = self.class_term(step)
            if config.has_mcc:
                terms["mcc"] = capacity_loss(config, step.sketch, step.positive)
            terms.update(self.more_terms(step))
            return self.weighted(terms)

    @torch.no_grad()
    def encode(self, images: Tensor, modality: str) -> Tensor:
        check_modality(modality)
        return F.normalize(self.features(images, modality).float(), dim=-1)


def _class_texts(config: BaselineSettings, classnames: Sequence[str]) -> Tensor:
    """Tokens of the class texts, without the words that learned prompts stand for; then with a full stop, as CoOp."""
    words, learned = config.photo_template.split(), config.learned_words
    if learned > len(words):
        raise ValueError(
            f"{config.key('text_prompts')} {learned}: PHOTO_TEMPLATE {config.photo_template!r} has {len(words)} words"
        )
    return class_tokens(" ".join(words[learned:]), [f"{name}." for name in classnames] if learned else classnames)
