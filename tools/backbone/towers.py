"""TinyCLIP's sizes, and fast forward passes over OpenAI's modules: batch first, fused QuickGELU, tokens left out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Iterable, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLIP_MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
CLIP_STD = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
# Half of the parameters are the word pieces' embeddings, so the text tower is narrow: 12.2 M parameters, 24.3 MB in
# half precision. Heads are width // 64, as build_model infers them.
SIZES = {
    "embed_dim": 256,
    "image_resolution": 96,  # 6 x 6 patches: 2 x 2 for each tile of a 3 x 3 jigsaw
    "vision_layers": 6,
    "vision_width": 256,
    "vision_patch_size": 16,
    "context_length": 77,
    "vocab_size": 49408,
    "transformer_width": 128,
    "transformer_heads": 2,
    "transformer_layers": 4,
}
RESOLUTION = SIZES["image_resolution"]
GRID = RESOLUTION // SIZES["vision_patch_size"]
PATCHES = GRID * GRID


def build_clip() -> nn.Module:
    """OpenAI's CLIP at TinyCLIP's sizes, with fresh weights."""
    from clip.model import CLIP

    model = CLIP(**SIZES)
    with torch.no_grad():
        model.visual.positional_embedding[1:] = 0.5 * sinusoid_2d(GRID, SIZES["vision_width"])
    return model


def sinusoid_2d(grid: int, width: int) -> Tensor:
    """Sine and cosine position codes of a grid x grid map, (grid * grid, width): a start that knows neighbours."""
    y, x = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    frequency = torch.exp(-math.log(100.0) * torch.arange(width // 4) / (width // 4))
    return torch.cat([fn(p.reshape(-1, 1) * frequency) for p in (x, y) for fn in (torch.sin, torch.cos)], 1)


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


def encode_image(
    visual: nn.Module, images: Tensor, keep: Optional[Tensor] = None, dtype: torch.dtype = torch.float32
) -> Tuple[Tensor, Tensor]:
    """Embeddings (B, E) and the patches' last states (B, n, D) of images (B, 3, H, W) in [0, 1].

    keep: (B, n) long, the patches to use; None = all. Leaving half of them out nearly halves the cost of a step.
    dtype: of the blocks' products.
    """
    x = visual.conv1((images - CLIP_MEAN) / CLIP_STD).flatten(2).transpose(1, 2)
    x = x + visual.positional_embedding[1:]
    if keep is not None:
        x = torch.gather(x, 1, keep[:, :, None].expand(-1, -1, x.shape[2]))
    first = (visual.class_embedding + visual.positional_embedding[0]).expand(len(x), 1, -1)
    x = run_blocks(visual.transformer.resblocks, visual.ln_pre(torch.cat([first, x], 1)), dtype=dtype)
    x = visual.ln_post(x)
    return x[:, 0] @ visual.proj, x[:, 1:]


def encode_text(model: nn.Module, tokens: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Embeddings (B, E) of tokens (B, L), L <= 77. A cut is exact: the mask is causal and the end token is pooled."""
    x = model.token_embedding(tokens) + model.positional_embedding[: tokens.shape[1]]
    x = model.ln_final(run_blocks(model.transformer.resblocks, x, causal=True, dtype=dtype))
    return x[torch.arange(len(x)), tokens.argmax(1)] @ model.text_projection


class _Holder(nn.Module):
    """Parameters and nothing else."""


def export(model: nn.Module, path: Path) -> None:
    """Write the weights in OpenAI's layout, half precision, as a TorchScript archive: what `clip.load` reads of a file.

    (Of a plain state dict it does not: it has read the file to its end when it turns from TorchScript to a state dict.)
    """
    root = _Holder()
    for name, value in model.state_dict().items():
        *parents, leaf = name.split(".")
        holder = root
        for parent in parents:
            if not hasattr(holder, parent):
                holder.add_module(parent, _Holder())
            holder = getattr(holder, parent)
        half = value.detach().to(torch.float16).contiguous().clone()
        holder.register_parameter(leaf, nn.Parameter(half, requires_grad=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.script(root).save(str(path))
