"""The parts of a residual attention block of CLIP, for encoders that compute keys and queries themselves."""

from __future__ import annotations

from typing import Any, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor


def keys_of(attn: Any, h: Tensor) -> Tuple[Tensor, Tensor]:
    """Keys and values of normalised tokens: (..., K, D) -> two of the same shape."""
    width = h.shape[-1]
    both = F.linear(h, attn.in_proj_weight[width:], attn.in_proj_bias[width:])
    return both[..., :width], both[..., width:]


def queries_of(attn: Any, h: Tensor) -> Tensor:
    """Queries of normalised tokens: (..., Q, D) -> the same shape."""
    width = h.shape[-1]
    return F.linear(h, attn.in_proj_weight[:width], attn.in_proj_bias[:width])


def queries_and_keys(attn: Any, h: Tensor) -> Tuple[Tensor, Tuple[Tensor, Tensor]]:
    """Queries, and (keys, values), of the same normalised tokens, from one matrix product."""
    query, key, value = F.linear(h, attn.in_proj_weight, attn.in_proj_bias).chunk(3, dim=-1)
    return query, (key, value)


def attend(attn: Any, query: Tensor, keys: Sequence[Tuple[Tensor, Tensor]], mask: Optional[Tensor] = None) -> Tensor:
    """Multi-head attention of queries (..., Q, D) over all keys and values (..., K, D), before ``out_proj``.

    Args:
        mask: boolean, True where a query may see a key; broadcast over heads.
    """
    key, value = (torch.cat(parts, dim=-2) for parts in zip(*keys))
    query, key, value = (t.unflatten(-1, (attn.num_heads, -1)).transpose(-2, -3) for t in (query, key, value))
    leading = query.shape[:-3]
    # torch's fused kernels take four dimensions, and CUDA's grid limits the first
    if len(leading) > 1 and leading.numel() < 2**16:
        query, key, value = (t.flatten(0, -4) for t in (query, key, value))
        if mask is not None and mask.dim() > 2:
            mask = mask.expand(*leading, *mask.shape[-3:]).flatten(0, -4)
    if query.dtype == torch.bfloat16 and query.device.type == "cpu":
        # torch's fused CPU kernel is made for fp32: in bf16 its backward pass takes 2 to 5 times as long as this
        scores = query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        mixed = scores.softmax(dim=-1) @ value
    else:
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    mixed = mixed.transpose(-2, -3).flatten(-2)
    return mixed.unflatten(0, leading) if mixed.dim() == 3 else mixed  # (..., heads, Q, D / heads) -> (..., Q, D)


def finish_block(block: Any, x: Tensor, mixed: Tensor) -> Tensor:
    """The rest of a residual block of CLIP, after its attention has mixed the values."""
    x = x + block.attn.out_proj(mixed)
    return x + _mlp(block.mlp, block.ln_2(x))


def _mlp(mlp: Any, x: Tensor) -> Tensor:
    """``mlp(x)``, with its activation x * sigmoid(1.702 x) in a form that keeps one tensor for backward, not two."""
    if type(mlp.gelu).__name__ != "QuickGELU":  # each host's copy of `clip` has its own class of that name
        return mlp(x)
    return mlp.c_proj(F.silu(1.702 * mlp.c_fc(x)) / 1.702)
