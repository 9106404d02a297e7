"""The three mappers between CLIP's towers (PAPER: B_t, B_v, B_vt).

All start small (weights of std 0.02, zero biases), so that training starts near CLIP.
"""

from __future__ import annotations

from typing import Any, List, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splip.common.modalities import MODALITIES


def _init_small(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)


class VisionToText(nn.Module):
    """B_t: patch embeddings of images -> m textual prompt tokens T, through three linear layers.

    Args:
        pooling: over patches. ``inside``: mean after the first non-linearity; ``mean``: mean before it, so that the
            mapper sees only the average patch; ``attention``: as ``mean``, but weighted by a learned query
            (docs/FIDELITY.md#b_t).
    """

    def __init__(self, vision_width: int, text_width: int, num_tokens: int, pooling: str = "inside") -> None:
        super().__init__()
        self.num_tokens, self.pooling = num_tokens, pooling
        if pooling == "attention":
            self.query = nn.Parameter(0.02 * torch.randn(text_width))
        self.patch = nn.Linear(vision_width, text_width)
        self.hidden = nn.Linear(text_width, text_width)
        self.out = nn.Linear(text_width, num_tokens * text_width)
        _init_small(self)

    def pool(self, patches: Tensor) -> Tensor:
        """(B, N, vision_width) -> (B, text_width), one pooled state for each image."""
        if self.pooling == "mean":
            return F.gelu(self.patch(patches.mean(dim=1)))
        patches = self.patch(patches)  # (B, N, text_width)
        if self.pooling == "inside":
            return F.gelu(patches).mean(dim=1)
        scores = patches @ self.query * len(self.query) ** -0.5  # (B, N)
        return F.gelu(torch.einsum("bn,bnd->bd", scores.softmax(dim=1), patches))

    def forward(self, pooled: Tensor) -> Tensor:
        """Pooled states (..., text_width) -> T (..., m, text_width)."""
        tokens = self.out(F.gelu(self.hidden(pooled)))
        return tokens.unflatten(-1, (self.num_tokens, -1))


class TextToVision(nn.Module):
    """B_v: the text encoder's input for "a sketch of a" / "a photo of a" -> V^tg, the same in every visual layer.

    Args:
        layers: number of linear layers, with GELU between them.
        normalize: normalise each token to zero mean and unit variance first. CLIP's token embeddings are so small that
            after B_v the eps in a block's LayerNorm would otherwise dominate (docs/FIDELITY.md#b_v).
    """

    def __init__(self, text_width: int, vision_width: int, layers: int = 1, normalize: bool = True) -> None:
        super().__init__()
        self.normalize = normalize
        self.map = nn.Sequential(nn.Linear(text_width, vision_width))
        for _ in range(layers - 1):
            self.map.extend([nn.GELU(), nn.Linear(vision_width, vision_width)])
        _init_small(self)

    def forward(self, template: Tensor) -> Tensor:
        """(tokens, text_width) -> (tokens, vision_width)."""
        return self.map(F.layer_norm(template, template.shape[-1:]) if self.normalize else template)


class StatesToVision(nn.Module):
    """B_vt: a text layer's states of all seen classes, one for each class -> n visual tokens V^ms_l.

    The mean over classes makes the tokens class-agnostic. All layers use one MLP. States are normalised to
    zero mean and unit variance first, since their scale grows with depth (docs/FIDELITY.md#b_vt).

    Args:
        hidden: width between its two linear layers.
        activation: ``relu`` or ``gelu``, between the two.
    """

    def __init__(
        self, text_width: int, vision_width: int, num_tokens: int, hidden: int = 256, activation: str = "relu"
    ) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        between = {"relu": nn.ReLU, "gelu": nn.GELU}[activation]()
        self.map = nn.Sequential(nn.Linear(text_width, hidden), between, nn.Linear(hidden, num_tokens * vision_width))
        _init_small(self)

    def forward(self, states: Tensor) -> Tensor:
        """(..., classes, text_width) -> (..., n, vision_width)."""
        mean = states.float().mean(dim=-2)
        tokens = self.map(F.layer_norm(mean, mean.shape[-1:]))
        return tokens.unflatten(-1, (self.num_tokens, -1))


def start_at_tokens(trainable: nn.ModuleDict, tokens: Tensor, kind: str) -> None:
    """Let SpLIP's visual prompts start as tokens do, instead of near 0.

    A mapper's last bias is set; its weights, which stay small, add the differences.

    Args:
        trainable: may have ``b_v``, ``b_vt`` and ``free``.
        tokens: of an image, as the first block reads them, (N, Dv).
        kind: ``token_mean``: all start as the tokens' mean. ``token_norm``: in random directions, with their mean norm.
    """
    mappers: List[Any] = [trainable[name] for name in ("b_v", "b_vt") if name in trainable]
    starts = [mapper.map[-1].bias for mapper in mappers]
    starts += list(trainable["free"].parameters()) if "free" in trainable else []
    for start in starts:
        rows = start.data.view(-1, tokens.shape[1])
        if kind == "token_mean":
            rows.copy_(tokens.mean(dim=0).expand_as(rows))
        else:
            rows.copy_(F.normalize(torch.randn(rows.shape), dim=1) * tokens.norm(dim=1).mean().cpu())


class LayeredPrompts(nn.Module):
    """Learned prompts of a tower's first layers, each layer's own.

    Args:
        count: tokens in each layer. depth: number of layers.
        std: of their start values. first: start values of the first layer, (count, width).
    """

    def __init__(self, width: int, count: int, depth: int, std: float = 0.02, first: Optional[Tensor] = None) -> None:
        super().__init__()
        tokens = std * torch.randn(depth, count, width)
        if first is not None:
            tokens[0] = first
        self.tokens = nn.Parameter(tokens)

    def forward(self) -> List[Tensor]:
        """(count, width) for each layer."""
        return list(self.tokens)


class Prototypes(nn.Module):
    """Running mean of B_t's pooled state for each modality; it replaces the batch at inference."""

    updates: Tensor

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
