"""The backbone's sizes, and fast forward passes over OpenAI's modules: batch first, fused QuickGELU, from the
trunk's maps.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splip.backbone.hybrid import STRIDE, HybridPatches

# Half of the parameters are the word pieces' embeddings, so the text tower is narrow. Heads are width // 64, as
# OpenAI's code infers them.
SIZES = {
    "embed_dim": 512,
    "image_resolution": 160,
    "vision_layers": 4,
    "vision_width": 256,
    "vision_patch_size": STRIDE,
    "context_length": 77,
    "vocab_size": 49408,
    "transformer_width": 128,
    "transformer_heads": 2,
    "transformer_layers": 4,
}
RESOLUTION = SIZES["image_resolution"]
GRID = RESOLUTION // STRIDE


def build_clip() -> nn.Module:
    """OpenAI's CLIP with a hybrid's patch embedding at these sizes, with fresh weights."""
    from splip.backbone.layout import clip_package

    clip_package()  # which needs no old setuptools
    from clip.model import CLIP

    model = CLIP(**SIZES)
    model.visual.conv1 = HybridPatches(SIZES["vision_width"])
    return model


def linear(x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> Tensor:
    """`F.linear` computed in `dtype`."""
    return F.linear(x.to(dtype), weight.to(dtype), bias.to(dtype))


def run_blocks(
    blocks: Iterable[nn.Module], x: Tensor, causal: bool = False, dtype: torch.dtype = torch.float32
) -> Tensor:
    """CLIP's residual blocks on (B, L, D): what the modules' own forward gives, to rounding.

    dtype: of the products. Sums and LayerNorms stay in float32.
    """
    for block in blocks:
        size, length, width = x.shape
        attention, heads = block.attn, block.attn.num_heads
        y = F.layer_norm(x, (width,), block.ln_1.weight, block.ln_1.bias)
        qkv = linear(y, attention.in_proj_weight, attention.in_proj_bias, dtype)
        q, k, v = qkv.view(size, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        if causal:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:  # for so few tokens plain products are faster than the fused kernel
            y = (q * (width // heads) ** -0.5 @ k.transpose(2, 3)).softmax(3) @ v
        y = y.transpose(1, 2).reshape(size, length, width)
        x = x + linear(y, attention.out_proj.weight, attention.out_proj.bias, dtype)
        fc, proj = block.mlp.c_fc, block.mlp.c_proj
        y = F.layer_norm(x, (width,), block.ln_2.weight, block.ln_2.bias)
        # QuickGELU is x * sigmoid(1.702 x) = silu(1.702 x) / 1.702; the factors go into the weights
        y = F.silu(linear(y, fc.weight * 1.702, fc.bias * 1.702, dtype))
        x = x + linear(y, proj.weight / 1.702, proj.bias, dtype)
    return x


def head_tokens(patches: HybridPatches, maps: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """The trunk's own head on its maps (B, 320, h, w) -> (B, h * w, 1280) float32; their mean is the pooled feature."""
    weight = patches.head.weight.flatten(1)
    return linear(maps.flatten(2).transpose(1, 2), weight, patches.head.bias, dtype).float().clamp(0, 6)


def encode_tokens(visual: nn.Module, tokens: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Embeddings (B, E) of :func:`head_tokens`. dtype: of the products."""
    x = linear(tokens, visual.conv1.proj.weight.flatten(1), visual.conv1.proj.bias, dtype).float()
    first = visual.class_embedding.expand(len(x), 1, -1)
    x = visual.ln_pre(torch.cat([first, x], 1) + visual.positional_embedding)
    x = run_blocks(visual.transformer.resblocks, x, dtype=dtype)
    return visual.ln_post(x[:, 0]) @ visual.proj


def encode_text(model: nn.Module, tokens: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Embeddings (B, E) of tokens (B, L), L <= 77. A cut is exact: the mask is causal and the end token is pooled."""
    x = model.token_embedding(tokens) + model.positional_embedding[: tokens.shape[1]]
    x = model.ln_final(run_blocks(model.transformer.resblocks, x, causal=True, dtype=dtype))
    return x[torch.arange(len(x)), tokens.argmax(1)] @ model.text_projection


def export(model: nn.Module, path: Path) -> None:
    """Write the weights as a state dict in half precision, which `splip.load_clip` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: value.detach().half().contiguous() for name, value in model.state_dict().items()}, path)
