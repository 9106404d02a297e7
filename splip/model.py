"""SpLIP: multimodal prompts between the towers of a frozen CLIP (Singha et al., ECCV 2024)."""

from __future__ import annotations

import copy
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splip import distributed
from splip.backbone import clip_dims, tokenize
from splip.config import SpLIPConfig
from splip.encoders import encode_patches, encode_text, patch_embeddings
from splip.jigsaw import JigsawSolver, conditional_jigsaw_loss
from splip.losses import class_loss, class_similarity, contrastive_loss, triplet_loss
from splip.prompts import StatesToVision, TextToVision, VisionToText

MODALITIES = ("sketch", "photo")


class Prototypes(nn.Module):
    """Running mean of B_t's pooled state for each modality; stands for "the batch" at inference."""

    def __init__(self, width: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        for modality in MODALITIES:
            self.register_buffer(modality, torch.zeros(width))
        self.register_buffer("updates", torch.zeros(len(MODALITIES), dtype=torch.long))

    @torch.no_grad()
    def update(self, modality: str, pooled: Tensor) -> None:
        """Move the mean of ``modality`` towards ``pooled`` (width,): a plain mean at first, then with the momentum."""
        count = self.updates[MODALITIES.index(modality)]
        count += 1
        weight = count.float().reciprocal().clamp(min=1.0 - self.momentum)  # stays on the device
        getattr(self, modality).lerp_(pooled.detach().float(), weight)


class SpLIP(nn.Module):
    """The method around one CLIP, for one list of seen classes.

    The CLIP is taken over: its parameters are frozen except the LayerNorms that ``config.layernorm``
    names, and those are trained in place.

    Args:
        clip: float32, OpenAI layout (``splip.load_clip``).
        classnames: the seen classes, in label order. Retrieval needs no other class name.
        config: see :class:`splip.SpLIPConfig`.
        grad_checkpointing: run the blocks of both towers again in the backward pass rather than keep what they
            computed: the same numbers for a fraction of the memory and one more forward pass.

    Attributes:
        trainable: holds exactly what is trained, and the prototypes; its ``state_dict`` is the checkpoint.
    """

    def __init__(
        self,
        clip: nn.Module,
        classnames: Sequence[str],
        config: SpLIPConfig = SpLIPConfig(),
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        dims = clip_dims(clip)
        self.clip = clip.eval()
        self.config = config
        self.grad_checkpointing = grad_checkpointing
        self.classnames = list(classnames)
        names = [name.replace("_", " ") for name in classnames]
        templates = {"sketch": config.sketch_template, "photo": config.photo_template}
        device = clip.visual.conv1.weight.device
        for modality, template in templates.items():
            class_tokens = tokenize([f"{template} {name}" for name in names]).to(device)
            words = tokenize([template])[0, 1:-1].to(device)  # without start and end of text
            self.register_buffer(f"{modality}_class_tokens", class_tokens, persistent=False)
            self.register_buffer(f"{modality}_words", words, persistent=False)
        with torch.no_grad():  # before any LayerNorm moves: mu comes from the untouched text encoder
            features, _ = encode_text(clip, self.photo_class_tokens)
        self.register_buffer("class_similarity", class_similarity(features), persistent=False)

        self.trainable = nn.ModuleDict()
        clip.requires_grad_(False)
        layernorms = trained_layernorms(clip, config.layernorm)
        if layernorms:
            self.trainable["layernorms"] = nn.ModuleDict(layernorms).requires_grad_(True)
        if config.train_proj:
            self.trainable["proj"] = nn.ParameterDict({"visual": clip.visual.proj.requires_grad_(True)})
        self._visual = dict.fromkeys(MODALITIES, clip.visual)  # a dict: registers nothing
        if not config.layernorm_shared:
            self._visual["photo"] = with_own_layernorms(clip.visual)
            self.trainable["layernorms_photo"] = nn.ModuleDict(trained_layernorms(self._visual["photo"], "both"))
        if config.free_prompts > 0:
            shape = config.free_prompts, dims.vision_width
            self.trainable["free"] = nn.ParameterDict({m: nn.Parameter(0.02 * torch.randn(shape)) for m in MODALITIES})
        if config.use_bt:
            self.trainable["b_t"] = VisionToText(
                dims.vision_width, dims.text_width, config.text_prompts, config.bt_pool
            )
            if config.text_conditioning == "batch":
                self.trainable["prototypes"] = Prototypes(dims.text_width, config.prototype_momentum)
        if config.use_bv:
            self.trainable["b_v"] = TextToVision(
                dims.text_width, dims.vision_width, config.bv_layers, config.bv_normalize
            )
        if config.use_bvt:
            self.trainable["b_vt"] = StatesToVision(
                dims.text_width, dims.vision_width, config.visual_prompts,
                config.bvt_width or dims.vision_width, config.bvt_activation,
            )
        if config.beta > 0:
            self.trainable["jigsaw"] = JigsawSolver(dims.embed_dim, config.permutations, config.jigsaw_layers)
        self.trainable.to(device)
        self._cache: Dict[str, Tuple[tuple, List[Optional[Tensor]]]] = {}

    def train(self, mode: bool = True) -> SpLIP:
        super().train(mode)
        self.clip.eval()  # the backbone is frozen in every sense
        return self

    # ------------------------------------------------------------------ training

    def forward(self, batch: Dict[str, Tensor]) -> Tuple[Tensor, Dict[str, Tensor]]:
        """L = L_triplet + alpha * L_class + beta * L_cjs (+ contrastive * L_con) for a batch.

        Args:
            batch: ``sketch``, ``shuffled``, ``positive``, ``negative`` (B, 3, H, W); ``permutation``,
                ``label``, ``negative_label`` (B,) long. ``shuffled`` and ``permutation`` are read only
                where beta > 0.

        Returns:
            The loss, and its unweighted terms, detached.
        """
        config, label, negative_label = self.config, batch["label"], batch["negative_label"]
        size = len(label)
        sketches = [batch["sketch"], batch["shuffled"]] if config.beta > 0 else [batch["sketch"]]
        anchors = len(sketches) * size if config.bt_shuffled else size
        sketch_features, sketch_texts = self._encode("sketch", torch.cat(sketches), anchors)
        photos = torch.cat([batch["positive"], batch["negative"]])
        photo_features, photo_texts = self._encode("photo", photos, 2 * size)

        with torch.autocast(label.device.type, enabled=False):
            sketch, (positive, negative) = sketch_features[:size], photo_features.split(size)
            weights = {"triplet": 1.0, "class": config.alpha, "jigsaw": config.beta, "contrastive": config.contrastive}
            terms = {}
            if config.triplet:
                mu = self.margin(label, negative_label)
                terms["triplet"] = triplet_loss(sketch, positive, negative, mu, config.distance)
            if config.alpha > 0:
                if sketch_texts.dim() == 3:  # one set of class embeddings for each image
                    sketch_texts = sketch_texts[:size]
                labels = [label, torch.cat([label, negative_label])]
                groups = [sketch, photo_features], [sketch_texts, photo_texts]
                scale = self.clip.logit_scale.exp()
                if config.logit_scale > 0:
                    scale = torch.full_like(scale, config.logit_scale)
                terms["class"] = class_loss(*groups, labels, scale)
            if config.beta > 0:
                terms["jigsaw"] = conditional_jigsaw_loss(
                    self.trainable["jigsaw"], sketch, sketch_features[size:], positive, negative, batch["permutation"]
                )
            if config.contrastive > 0:  # of the whole batch, also where processes share it
                rows, columns, labels = (distributed.join(x) for x in (sketch, positive, label))
                terms["contrastive"] = contrastive_loss(rows, columns, labels, labels, config.contrastive_temperature)
            loss = sum(weights[name] * value for name, value in terms.items())
        return loss, {name: value.detach() for name, value in terms.items()}

    def margin(self, label: Tensor, negative_label: Tensor) -> Tensor:
        """mu(c+, c-) of each triplet, (B,): adaptive or fixed, ``same_class_margin`` where c+ = c-."""
        config = self.config
        if config.margin == "fixed":
            return torch.full(label.shape, config.fixed_margin, device=label.device)
        mu = config.margin_scale * self.class_similarity[label, negative_label] + config.margin_shift
        return torch.where(label == negative_label, torch.full_like(mu, config.same_class_margin), mu)

    def margin_summary(self) -> Dict[str, float]:
        """Distribution of mu over pairs of different seen classes: mean, std, min, max.

        Worth a look for each backbone: OpenAI's CLIPs give 0.6 to 0.9 for most pairs, others differ.
        """
        labels = torch.arange(len(self.classnames), device=self.class_similarity.device)
        first, second = torch.meshgrid(labels, labels, indexing="ij")
        mu = self.margin(first[first != second], second[first != second])
        return {"mean": mu.mean().item(), "std": mu.std().item(), "min": mu.min().item(), "max": mu.max().item()}

    @torch.no_grad()
    def prompt_cosines(self) -> Dict[str, float]:
        """How alike the two modalities' visual prompts are: cosines, each token of a sketch beside that of a photo.

        ``V^tg``: mean over its tokens (as many as the shorter template has). ``V^ms``: mean over tokens and layers.
        A part that is off is left out. With instance conditioning T is that of a zero state, as an untrained
        prototype gives it.
        """
        per_layer = [self._prompt_parts(modality, self._prototype_prompts(modality))[0] for modality in MODALITIES]
        found: Dict[str, List[Tensor]] = {}
        for sketch, photo in zip(*per_layer):
            for name, tokens in sketch.items():
                count = min(len(tokens), len(photo[name]))
                cosines = F.cosine_similarity(tokens[:count].float(), photo[name][:count].float(), dim=-1)
                found.setdefault(name, []).append(cosines.mean())
        return {name: torch.stack(values).mean().item() for name, values in found.items() if name != "free"}

    # ----------------------------------------------------------------- inference

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
        if self._per_image:
            prompts, _ = self._prompts(modality, self.trainable["b_t"](self._pool(patches)))
        else:
            prompts = self.prepare_inference(modality)
        return F.normalize(encode_patches(visual, patches, prompts).float(), dim=-1)

    def visual(self, modality: str) -> nn.Module:
        """CLIP's visual tower for ``modality``: one for both, or with LAYERNORM_SHARED False two that share weights.

        Raises:
            ValueError: ``modality`` is neither ``"sketch"`` nor ``"photo"``.
        """
        if modality not in MODALITIES:
            raise ValueError(f"modality must be one of {MODALITIES}, got {modality!r}")
        return self._visual[modality]

    @torch.no_grad()
    def prepare_inference(self, modality: str) -> List[Optional[Tensor]]:
        """Visual prompts of every layer for ``modality`` from the prototype, computed once and cached."""
        if modality not in MODALITIES:
            raise ValueError(f"modality must be one of {MODALITIES}, got {modality!r}")
        # an optimiser step or load_state_dict raises a tensor's version counter
        version = tuple(t._version for t in self.trainable.state_dict(keep_vars=True).values())
        if modality not in self._cache or self._cache[modality][0] != version:
            with torch.autocast(self.class_similarity.device.type, enabled=False):
                self._cache[modality] = version, self._prompts(modality, self._prototype_prompts(modality))[0]
        return self._cache[modality][1]

    # ----------------------------------------------------------------- internals

    @property
    def _per_image(self) -> bool:
        return self.config.use_bt and self.config.text_conditioning == "instance"

    def _encode(self, modality: str, images: Tensor, anchors: int) -> Tuple[Tensor, Tensor]:
        """Image features (B, d) and class embeddings (C, d), or (B, C, d) with instance conditioning.

        Only the first ``anchors`` images speak for the batch.
        """
        patches = patch_embeddings(self.visual(modality), images)
        text_prompts = None
        if self.config.use_bt:
            b_t = self.trainable["b_t"]
            if self._per_image:
                text_prompts = b_t(self._pool(patches))  # (B, m, Dt)
            else:
                pooled = distributed.mean(self._pool(patches[:anchors]).mean(dim=0))
                if self.training:
                    self.trainable["prototypes"].update(modality, pooled)
                text_prompts = b_t(pooled)  # (m, Dt)
        prompts, texts = self._prompts(modality, text_prompts)
        return encode_patches(self.visual(modality), patches, prompts, self.grad_checkpointing), texts

    def _pool(self, patches: Tensor) -> Tensor:
        """B_t's pooled state of each image: E_0 (B, N, Dv) -> (B, Dt)."""
        if self.config.bt_positions:
            patches = patches + self.clip.visual.positional_embedding[1:].to(patches)
        return self.trainable["b_t"].pool(patches)

    def _prototype_prompts(self, modality: str) -> Optional[Tensor]:
        """T of the prototype (m, Dt), or of a zero state with instance conditioning; None without B_t."""
        if not self.config.use_bt:
            return None
        b_t = self.trainable["b_t"]
        if self._per_image:
            return b_t(b_t.hidden.weight.new_zeros(b_t.hidden.in_features))
        return b_t(getattr(self.trainable["prototypes"], modality))

    def _prompts(self, modality: str, text_prompts: Optional[Tensor]) -> Tuple[List[Optional[Tensor]], Tensor]:
        """Visual prompts [V^tg, V^ms_l] of each layer and the prompted class embeddings.

        Args:
            text_prompts: T, (m, Dt), or (B, m, Dt) with one for each image, or None.

        Returns:
            a list of (P, Dv) or (B, P, Dv) or None, and (C, d) or (B, C, d).
        """
        layers, texts = self._prompt_parts(modality, text_prompts)
        return [torch.cat(list(parts.values()), dim=-2) if parts else None for parts in layers], texts

    def _prompt_parts(
        self, modality: str, text_prompts: Optional[Tensor]
    ) -> Tuple[List[Dict[str, Tensor]], Tensor]:
        """:meth:`_prompts` before the prompts of a layer are joined: by name ``V^tg``, ``free``, ``V^ms``."""
        config, tokens = self.config, getattr(self, f"{modality}_class_tokens")
        texts, states = encode_text(
            self.clip, tokens, text_prompts, config.text_depth, grad_checkpointing=self.grad_checkpointing,
            all_states=config.use_bvt and config.bvt_states == "all",
        )
        fixed = {}
        if config.use_bv:
            fixed["V^tg"] = self.trainable["b_v"](self._template(modality))  # (words, Dv)
        if config.free_prompts > 0:
            fixed["free"] = self.trainable["free"][modality]
        if texts.dim() == 3:
            fixed = {name: prompts.expand(len(texts), -1, -1) for name, prompts in fixed.items()}
        vision_layers, layers = len(self.clip.visual.transformer.resblocks), []
        for layer in range(min(config.vision_depth, vision_layers)):
            parts = dict(fixed)
            if config.use_bvt:
                # towers of different depth: visual layer l reads the text layer at the same relative depth
                parts["V^ms"] = self.trainable["b_vt"](states[layer * len(states) // vision_layers])
            layers.append(parts)
        return layers, texts

    def _template(self, modality: str) -> Tensor:
        """The text encoder's input at the words of the modality's template, (words, Dt)."""
        words = getattr(self, f"{modality}_words")
        embedded = self.clip.token_embedding(words)
        if self.config.bv_positions:  # the start token has position 0
            embedded = embedded + self.clip.positional_embedding[1 : 1 + len(words)]
        return embedded


def with_own_layernorms(visual: nn.Module) -> nn.Module:
    """A visual tower that shares all weights with ``visual`` except its LayerNorms, which are trained copies."""
    own = {id(p) for module in visual.modules() if isinstance(module, nn.LayerNorm) for p in module.parameters()}
    shared = {id(tensor): tensor for tensor in visual.parameters() if id(tensor) not in own}  # not to be copied
    return copy.deepcopy(visual, shared)


MAPPERS = ("b_t", "b_v", "b_vt", "free")
RATE_OF = {  # part of `SpLIP.trainable` -> the setting that scales its rate
    "layernorms": "lr_layernorm", "layernorms_photo": "lr_layernorm", "proj": "lr_proj", "jigsaw": "lr_solver",
    **dict.fromkeys(MAPPERS, "lr_mappers"),
}


def param_groups(model: SpLIP, cfg: Any) -> List[Dict[str, Any]]:
    """What the optimiser gets: parameters with their rates, one group for each rate, the highest first.

    A part's rate is OPTIM.LR times its TRAINER.SPLIP.LR_* factor. With OPTIM.STAGED_LR parts that OPTIM.NEW_LAYERS does
    not name have it times OPTIM.BASE_LR_MULT as well, as in Dassl.

    Raises:
        ValueError: STAGED_LR without NEW_LAYERS, or NEW_LAYERS names no part that there can be.
    """
    optim, new = cfg.OPTIM, list(cfg.OPTIM.NEW_LAYERS)
    if optim.STAGED_LR and (not new or set(new) - set(RATE_OF)):
        raise ValueError(f"OPTIM.NEW_LAYERS must name some of {tuple(RATE_OF)} with STAGED_LR, got {new}")
    groups: Dict[float, List[nn.Parameter]] = {}
    for name, part in model.trainable.items():
        parameters = list(part.parameters())
        if parameters:
            factor = getattr(model.config, RATE_OF[name])
            factor *= optim.BASE_LR_MULT if optim.STAGED_LR and name not in new else 1.0
            groups.setdefault(optim.LR * factor, []).extend(parameters)
    return [{"params": groups[rate], "lr": rate} for rate in sorted(groups, reverse=True)]


def trained_layernorms(clip: nn.Module, towers: str) -> Dict[str, nn.Module]:
    """LayerNorms of the named towers (``both | vision | text | none``), by a name without dots."""
    wanted = {"both": ("vision", "text"), "none": ()}.get(towers, (towers,))
    return {
        name.replace(".", "_"): module
        for name, module in clip.named_modules()
        if isinstance(module, nn.LayerNorm) and ("vision" if name.startswith("visual.") else "text") in wanted
    }
