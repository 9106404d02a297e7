"""A frozen CLIP with SpLIP's prompts in both towers: how it embeds images and class names."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splip.backbone import clip_dims
from splip.backbone.encoders import encode_patches, encode_text, first_tokens, patch_embeddings
from splip.backbone.texts import PackedTexts
from splip.common import distributed
from splip.common.modalities import MODALITIES, check_modality
from splip.config import SpLIPConfig
from splip.models.base import RetrievalModel, class_tokens, tokens_of
from splip.prompts import Prototypes, StatesToVision, TextToVision, VisionToText, start_at_tokens
from splip.tuning import train_layernorms, weights_key


class PromptedCLIP(RetrievalModel):
    """CLIP with T in its text tower, V^tg and V^ms in its vision tower, for one list of seen classes; no loss.

    The CLIP given to it belongs to this model alone (:func:`splip.models.base.take_over`). Its parameters are frozen,
    except the LayerNorms that ``config.layernorm`` names: those are trained in place.

    Args:
        clip: float32, OpenAI layout (``splip.load_clip``).
        classnames: the seen classes, in label order. Retrieval needs no other class name.
        config: see :class:`splip.SpLIPConfig`.
        grad_checkpointing: run the blocks of both towers again in the backward pass instead of keeping their
            activations. The numbers are the same, with much less memory and one more forward pass.
        micro_batch: number of images that go through the vision tower at a time in training, 0 = all. Each part runs
            again in the backward pass, so only its activations are in memory. The gradient is exactly that of the
            whole batch, also for what couples its images (T, the contrastive loss).

    Attributes:
        trainable: holds exactly what is trained, and the prototypes; its ``state_dict`` is the checkpoint.

    Raises:
        ValueError: as :func:`splip.models.base.class_tokens`; B_v's template has no words; another model has the CLIP.
    """

    def __init__(
        self, clip: Any, classnames: Sequence[str], config: SpLIPConfig = SpLIPConfig(), *,
        grad_checkpointing: bool = False, micro_batch: int = 0,
    ) -> None:  # fmt: skip
        tokens, dims = _template_tokens(config, classnames), clip_dims(clip)
        super().__init__(clip)  # takes the CLIP, so all checks that can fail come before
        self.dims, self.config, self.classnames = dims, config, list(classnames)
        self.knows_modality = config.knows_modality
        self.grad_checkpointing, self.micro_batch = grad_checkpointing, micro_batch
        for name, value in tokens.items():
            self.register_buffer(name, value.to(self.device), persistent=False)
        # nn.Module does not register what a dict holds
        own = config.layernorm, config.layernorm_shared, config.train_proj
        self._visual = train_layernorms(self.trainable, clip, *own)
        vision, text = dims.vision_width, dims.text_width
        if config.free_prompts > 0:
            shape = config.free_prompts, vision
            self.trainable["free"] = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(shape)) for m in MODALITIES})
        if config.use_bt:
            self.trainable["b_t"] = VisionToText(vision, text, config.text_prompts, config.bt_pool)
            if config.text_conditioning == "batch":
                self.trainable["prototypes"] = Prototypes(text, config.prototype_momentum)
        if config.use_bv:
            self.trainable["b_v"] = TextToVision(text, vision, config.bv_layers, config.bv_normalize)
        if config.use_bvt:
            shape = config.visual_prompts, config.bvt_width or vision
            self.trainable["b_vt"] = StatesToVision(text, vision, *shape, config.bvt_activation)
        self.trainable.to(self.device)
        if config.prompt_start != "small":  # as the tokens of an image of CLIP's mean colour
            blank = torch.zeros(1, 3, dims.resolution, dims.resolution, device=self.device)
            with torch.no_grad():
                read = first_tokens(clip.visual, patch_embeddings(clip.visual, blank))[0, 1:]
            start_at_tokens(self.trainable, read, config.prompt_start)
        self._cache: Dict[str, Tuple[tuple, List[Optional[Tensor]]]] = {}
        # with one set of prompts for each image, arithmetic takes most of the time, also on a GPU
        self._share_prefix = True if self._per_image else None
        self._layouts = {m: PackedTexts(getattr(self, f"{m}_class_tokens"), self._share_prefix) for m in MODALITIES}

    @torch.no_grad()
    def encode(self, images: Tensor, modality: str) -> Tensor:
        """Embeddings to rank by cosine: images (B, 3, H, W), CLIP-normalised -> (B, d) float32, unit length.

        An embedding depends on its image and its modality only, never on the rest of the batch. With batch
        conditioning the text side runs once and is cached until a weight changes.

        Raises:
            ValueError: ``modality`` is neither ``"sketch"`` nor ``"photo"``.
        """
        visual = self.visual(modality)
        patches = patch_embeddings(visual, images)
        if self._prompts_per_image:
            prompts, _ = self._prompts(modality, self.trainable["b_t"](self._pool(patches)))
        else:
            prompts = self.prepare_inference(modality)
        return F.normalize(encode_patches(visual, patches, prompts).float(), dim=-1)

    def _text_features(self, tokens: Tensor) -> Tensor:
        """Uses the same T as the class names of photos."""
        return encode_text(self.clip, tokens, self._by_text_layer(self._prototype_prompts("photo")))[0]

    def _by_text_layer(self, text_prompts: Optional[Tensor]) -> List[Optional[Tensor]]:
        """T for each text layer that takes it."""
        return [text_prompts] * min(self.config.text_depth, self.dims.text_layers)

    def visual(self, modality: str) -> nn.Module:
        """CLIP's visual tower for ``modality``: one for both, or with LAYERNORM_SHARED False two with shared weights.

        Raises:
            ValueError: ``modality`` is neither ``"sketch"`` nor ``"photo"``.
        """
        check_modality(modality)
        return self._visual[modality]

    @torch.no_grad()
    def prepare_inference(self, modality: str) -> List[Optional[Tensor]]:
        """Visual prompts of every layer for ``modality`` from the prototype, computed once and cached."""
        check_modality(modality)
        held = weights_key(self.trainable, self.training_only)
        if modality not in self._cache or self._cache[modality][0] != held:
            # tensors of inference mode could not be used outside of it
            with torch.inference_mode(False), torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                self._cache[modality] = held, self._prompts(modality, self._prototype_prompts(modality))[0]
        return self._cache[modality][1]

    def image_encoder(self, modality: str) -> nn.Module:
        """The encoder of one modality with its prompts as constants: ``encode`` as a function of images alone.

        Raises:
            ValueError: the prompts depend on the image (TEXT_CONDITIONING instance), or the modality is unknown.
        """
        if self._prompts_per_image:
            raise ValueError(
                "TRAINER.SPLIP.TEXT_CONDITIONING instance runs the text encoder for every image: "
                "there is no image encoder to export"
            )
        return _ImageEncoder(self.visual(modality), self.prepare_inference(modality))

    def describe(self) -> Dict[str, Any]:
        """The cosines between the prompts of both modalities, if there are any."""
        cosines = self.prompt_cosines()
        return {"prompt_cosines": cosines} if cosines else {}

    @torch.no_grad()
    def prompt_cosines(self) -> Dict[str, float]:
        """Cosine similarity between the visual prompts of sketches and of photos, token by token.

        ``V^tg``: mean over its tokens (as many as the shorter template has). ``V^ms``: mean over tokens and layers.
        A part that is off is left out. With instance conditioning T is made from a zero state, which is also what an
        untrained prototype holds.
        """
        per_layer = [self._prompt_parts(modality, self._prototype_prompts(modality))[0] for modality in MODALITIES]
        found: Dict[str, List[Tensor]] = {}
        for sketch, photo in zip(*per_layer):
            for name, tokens in sketch.items():
                count = min(len(tokens), len(photo[name]))
                cosines = F.cosine_similarity(tokens[:count].float(), photo[name][:count].float(), dim=-1)
                found.setdefault(name, []).append(cosines.mean())
        return {name: torch.stack(values).mean().item() for name, values in found.items() if name != "free"}

    # ----------------------------------------------------------------- internals

    @property
    def _per_image(self) -> bool:
        """Whether each image has its own T."""
        return self.config.use_bt and self.config.text_conditioning == "instance"

    @property
    def _prompts_per_image(self) -> bool:
        """Whether each image has its own visual prompts: its T reaches them through the text encoder."""
        return self._per_image and self.config.texts_reach_images and self.config.text_depth > 0

    def _encode(
        self, modality: str, images: Tensor, anchors: int, labelled: Optional[int] = None
    ) -> Tuple[Tensor, Any]:
        """Image features (B, d), and class embeddings (C, d), or (B, C, d) for each image, or None without L_class.

        Args:
            anchors: number of images, from the first, from which the batch's T is made.
            labelled: number of images, from the first, that need class embeddings (default: all).
        """
        patches = patch_embeddings(self.visual(modality), images)
        text_prompts = None
        if self.config.use_bt:
            b_t: Any = self.trainable["b_t"]
            if self._per_image:
                own = patches if self.config.texts_reach_images else patches[:labelled]
                text_prompts = b_t(self._pool(own))  # (B, m, Dt)
            else:
                pooled = distributed.mean(self._pool(patches[:anchors]).mean(dim=0))
                if self.training:
                    prototypes: Any = self.trainable["prototypes"]
                    prototypes.update(modality, pooled)
                text_prompts = b_t(pooled)  # (m, Dt)
        prompts, texts = self._prompts(modality, text_prompts, for_loss=self.config.alpha > 0)
        visual, memory = self.visual(modality), (self.grad_checkpointing, self.micro_batch)
        return encode_patches(visual, patches, prompts, *memory), texts

    def _pool(self, patches: Tensor) -> Tensor:
        """B_t's pooled state of each image: E_0 (B, N, Dv) -> (B, Dt)."""
        if self.config.bt_positions:
            patches = patches + self.clip.visual.positional_embedding[1:].to(patches)
        b_t: Any = self.trainable["b_t"]
        return b_t.pool(patches)

    def _prototype_prompts(self, modality: str) -> Optional[Tensor]:
        """T of the prototype (m, Dt), or of a zero state with instance conditioning; None without B_t."""
        if not self.config.use_bt:
            return None
        b_t: Any = self.trainable["b_t"]
        if self._per_image:
            return b_t(b_t.hidden.weight.new_zeros(b_t.hidden.in_features))
        return b_t(getattr(self.trainable["prototypes"], modality))

    def _prompts(
        self, modality: str, text_prompts: Optional[Tensor], for_loss: bool = False
    ) -> Tuple[List[Optional[Tensor]], Optional[Tensor]]:
        """Visual prompts [V^tg, V^ms_l] of each layer, and the prompted class embeddings.

        Args:
            text_prompts: T, (m, Dt), or (B, m, Dt) with one for each image, or None.
            for_loss: return class embeddings; else the text encoder runs only if prompts are made from its states.

        Returns:
            a list of (P, Dv) or (B, P, Dv) or None, and (C, d) or (B, C, d), or None if the text encoder did not run.
        """
        layers, texts = self._prompt_parts(modality, text_prompts, for_loss)
        return [torch.cat(list(parts.values()), dim=-2) if parts else None for parts in layers], texts

    def _prompt_parts(
        self, modality: str, text_prompts: Optional[Tensor], for_loss: bool = False
    ) -> Tuple[List[Dict[str, Tensor]], Optional[Tensor]]:
        """As :meth:`_prompts`, but a layer's prompts are not joined: by name ``V^tg``, ``free``, ``V^ms``."""
        config = self.config
        if config.text_depth == 0:  # no text layer takes T: one set of class texts is enough for all images
            text_prompts = None
        texts: Optional[Tensor] = None
        states: List[Tensor] = []
        fixed: Dict[str, Tensor] = {}
        if config.texts_reach_images or for_loss:  # nothing else reads them
            texts, states = encode_text(
                *(self.clip, self._layout(modality), self._by_text_layer(text_prompts)),
                grad_checkpointing=self.grad_checkpointing,
                all_states=config.use_bvt and config.bvt_states == "all",
            )
        if config.use_bv:
            fixed["V^tg"] = self.trainable["b_v"](self._template(modality))  # (words, Dv)
        if config.free_prompts > 0:
            free: Any = self.trainable["free"]
            fixed["free"] = free[modality]
        if config.texts_reach_images and states[0].dim() == 3:  # each image has its own V^ms
            fixed = {name: prompts.expand(len(states[0]), -1, -1) for name, prompts in fixed.items()}
        vision_layers, layers = len(self.clip.visual.transformer.resblocks), []
        for layer in range(min(config.vision_depth, vision_layers)):
            parts = dict(fixed)
            if config.use_bvt:
                # towers of different depth: visual layer l reads the text layer at the same relative depth
                parts["V^ms"] = self.trainable["b_vt"](states[layer * len(states) // vision_layers])
            layers.append(parts)
        return layers, texts

    def _layout(self, modality: str) -> PackedTexts:
        """The packed class texts; packed again if their tokens have moved to another device."""
        tokens = getattr(self, f"{modality}_class_tokens")
        if self._layouts[modality].tokens is not tokens:
            self._layouts[modality] = PackedTexts(tokens, self._share_prefix)
        return self._layouts[modality]

    def _template(self, modality: str) -> Tensor:
        """The text encoder's input at the words of the modality's template, (words, Dt)."""
        words = getattr(self, f"{modality}_words")
        embedded = self.clip.token_embedding(words)
        if self.config.bv_positions:  # the start token has position 0
            embedded = embedded + self.clip.positional_embedding[1 : 1 + len(words)]
        return embedded


def _template_tokens(config: SpLIPConfig, classnames: Sequence[str]) -> Dict[str, Tensor]:
    """Tokens of each modality's template: ``<modality>_class_tokens`` (C, L) and ``<modality>_words`` (words,)."""
    found: Dict[str, Tensor] = {}
    for modality in MODALITIES:
        template = getattr(config, f"{modality}_template")
        found[f"{modality}_class_tokens"] = class_tokens(template, classnames)
        words = found[f"{modality}_words"] = tokens_of([template])[0, 1:-1]  # without start and end of text
        if config.use_bv and not len(words):
            raise ValueError(f"TRAINER.SPLIP.{modality.upper()}_TEMPLATE has no words for B_v (USE_BV) to read")
    return found


class _ImageEncoder(nn.Module):
    def __init__(self, visual: Any, prompts: List[Optional[Tensor]]) -> None:
        super().__init__()
        self.visual, self.prompts = visual, prompts

    def forward(self, images: Tensor) -> Tensor:
        features = encode_patches(self.visual, patch_embeddings(self.visual, images), self.prompts)
        return F.normalize(features, dim=-1)
