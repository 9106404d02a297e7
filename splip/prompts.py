"""The three mappers between CLIP's towers (PAPER: B_t, B_v, B_vt).

All start small (weights of std 0.02, zero biases), so that training starts near CLIP.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def _init_small(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)


class VisionToText(nn.Module):
    """B_t: patch embeddings of images -> m textual prompt tokens T, through three linear layers.

    The mean over patches is taken behind the first non-linearity: taken before it, the mapper would see
    nothing but the average patch (docs/FIDELITY.md#b_t).
    """

    def __init__(self, vision_width: int, text_width: int, num_tokens: int) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.patch = nn.Linear(vision_width, text_width)
        self.hidden = nn.Linear(text_width, text_width)
        self.out = nn.Linear(text_width, num_tokens * text_width)
        _init_small(self)

    def pool(self, patches: Tensor) -> Tensor:
        """(B, N, vision_width) -> (B, text_width), one pooled state for each image."""
        return F.gelu(self.patch(patches)).mean(dim=1)

    def forward(self, pooled: Tensor) -> Tensor:
        """Pooled states (..., text_width) -> T (..., m, text_width)."""
        tokens = self.out(F.gelu(self.hidden(pooled)))
        return tokens.unflatten(-1, (self.num_tokens, -1))


class TextToVision(nn.Module):
    """B_v: token embeddings of "a sketch of a" / "a photo of a" -> V^tg, the same in every visual layer."""

    def __init__(self, text_width: int, vision_width: int) -> None:
        super().__init__()
        self.map = nn.Sequential(
            nn.Linear(text_width, vision_width), nn.GELU(), nn.Linear(vision_width, vision_width)
        )
        _init_small(self)

    def forward(self, template: Tensor) -> Tensor:
        """(tokens, text_width) -> (tokens, vision_width)."""
        return self.map(template)


class StatesToVision(nn.Module):
    """B_vt: a text layer's end-of-text states of all seen classes -> n visual tokens V^ms_l.

    The mean over classes makes the tokens class-agnostic; one MLP serves all layers. States are brought to
    zero mean and unit variance first, since their scale grows with depth (docs/FIDELITY.md#b_vt).
    """

    def __init__(self, text_width: int, vision_width: int, num_tokens: int) -> None:
        super().__init__()
        self.num_tokens = num_tokens
        self.map = nn.Sequential(
            nn.Linear(text_width, vision_width), nn.GELU(), nn.Linear(vision_width, num_tokens * vision_width)
        )
        _init_small(self)

    def forward(self, states: Tensor) -> Tensor:
        """(..., classes, text_width) -> (..., n, vision_width)."""
        mean = states.float().mean(dim=-2)
        tokens = self.map(F.layer_norm(mean, mean.shape[-1:]))
        return tokens.unflatten(-1, (self.num_tokens, -1))
