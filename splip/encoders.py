"""Deep-prompted vision and text encoders over a plain CLIP (PAPER: visual input of layer l; T in every text layer).

Prompts enter a layer, are attended to, and their outputs are dropped before the next layer takes its own.
A token whose output is dropped needs no query and no MLP: prompts are keys and values only, which gives
the same numbers as carrying them through the block (tests/test_encoders.py) for less work.
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn


def patch_embeddings(visual: nn.Module, images: Tensor) -> Tensor:
    """E_0, the patch convolution's output: images (B, 3, H, W) -> (B, N, D).

    Raises:
        ValueError: the images do not have the backbone's resolution.
    """
    side = visual.input_resolution
    if images.shape[-2:] != (side, side):
        raise ValueError(f"this backbone takes {side}x{side} images, got {tuple(images.shape[-2:])}")
    return visual.conv1(images.to(visual.conv1.weight.dtype)).flatten(2).transpose(1, 2)


def encode_patches(visual: nn.Module, patches: Tensor, prompts: Sequence[Optional[Tensor]] = ()) -> Tensor:
    """Image features in CLIP's joint space, not normalised.

    Args:
        patches: (B, N, D) of :func:`patch_embeddings`.
        prompts: entry l goes into layer l: (P, D) shared by the batch, (B, P, D) for each image, or None.
            Layers past the end get none. Prompts carry no position embedding and pass no ``ln_pre``.

    Returns:
        (B, embed_dim); with no prompts exactly ``visual(images)``.
    """
    class_token = visual.class_embedding.to(patches).expand(len(patches), 1, -1)
    x = torch.cat([class_token, patches], dim=1)  # (B, 1 + N, D)
    x = visual.ln_pre(x + visual.positional_embedding.to(x))
    x = x.transpose(0, 1)  # (L, B, D), the order of CLIP's attention
    for layer, block in enumerate(visual.transformer.resblocks):
        x = _prompted_block(block, x, _entry(prompts, layer))
    return visual.ln_post(x[0]) @ visual.proj


def encode_text(
    clip: nn.Module, tokens: Tensor, prompts: Optional[Tensor] = None, depth: Optional[int] = None
) -> Tuple[Tensor, List[Tensor]]:
    """Text features, and the state of the end-of-text token after each layer (W_l of the paper).

    Args:
        tokens: (n, L) long; L may be shorter than CLIP's 77 (``splip.backbone.tokenize``).
        prompts: T, (m, D) shared by all texts or (n, m, D). It stands between the start token and the
            first word, so under the causal mask every word sees it, and words keep CLIP's own positions.
        depth: number of layers, from the first, that get ``prompts`` (default: all).

    Returns:
        features (n, embed_dim), not normalised, and a list of (n, D), one for each layer. With no prompts
        the features are exactly ``clip.encode_text``'s.
    """
    length = tokens.shape[1]
    eot = tokens.argmax(dim=-1)  # the end-of-text token has the highest id
    rows = torch.arange(len(tokens), device=tokens.device)
    x = clip.token_embedding(tokens) + clip.positional_embedding[:length]
    x = x.transpose(0, 1)  # (L, n, D)
    plain_mask = _causal_mask(length, 0, x)
    prompted_mask = None if prompts is None else _causal_mask(length, prompts.shape[-2], x)
    states = []
    for layer, block in enumerate(clip.transformer.resblocks):
        here = prompts if depth is None or layer < depth else None
        x = _prompted_block(block, x, here, plain_mask if here is None else prompted_mask)
        states.append(x[eot, rows])  # (n, D)
    return clip.ln_final(states[-1]) @ clip.text_projection, states


def _entry(prompts: Sequence[Optional[Tensor]], layer: int) -> Optional[Tensor]:
    return prompts[layer] if layer < len(prompts) else None


def _causal_mask(length: int, num_prompts: int, like: Tensor) -> Tensor:
    """Additive mask (length, length + num_prompts): words as in CLIP, prompts seen by all but the start token."""
    mask = torch.full((length, length), float("-inf"), device=like.device, dtype=like.dtype).triu_(1)
    seen = torch.zeros(length, num_prompts, device=like.device, dtype=like.dtype)
    seen[0] = float("-inf")
    return torch.cat([mask, seen], dim=1)


def _prompted_block(block: nn.Module, x: Tensor, prompts: Optional[Tensor], mask: Optional[Tensor] = None) -> Tensor:
    """One residual attention block of CLIP; x: (L, B, D), prompts: (P, D) or (B, P, D) or None -> (L, B, D)."""
    query = block.ln_1(x)
    keys = query
    if prompts is not None:
        prompts = block.ln_1(prompts.to(x.dtype))
        if prompts.dim() == 2:
            prompts = prompts.expand(x.shape[1], -1, -1)
        keys = torch.cat([query, prompts.transpose(0, 1)], dim=0)  # (L + P, B, D)
    if mask is not None:
        mask = mask.to(query.dtype)
    x = x + block.attn(query, keys, keys, need_weights=False, attn_mask=mask)[0]
    return x + block.mlp(block.ln_2(x))
