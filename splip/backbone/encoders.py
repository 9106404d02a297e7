"""Deep-prompted vision and text encoders over a plain CLIP (PAPER: visual input of layer l; T in every text layer).

Prompts enter a layer and are attended to. Their outputs are dropped, and the next layer gets its own prompts. (With
``carry`` a layer without prompts of its own takes the outputs of the layer before, as in MaPLe.) Three
things make that cheap and change no number (tests/method/test_encoders.py compares with a direct implementation):

- a token whose output is dropped needs no query and no MLP: prompts are keys and values only, and those that
  a batch shares are projected once;
- under the causal mask, the words that all class prompts begin with ("a sketch of a") have the same states in every
  prompt: they run once, and each class runs only its own tokens, without padding;
- only one output of the last layer is used (class token, end of text), so only that token has a query there.

Without prompts and without gradients, CLIP's own blocks run over all 77 positions of a text: the features are
bit-equal to CLIP's. If that is not needed, ``PackedTexts`` in place of tokens save most of the work.

To save memory, ``grad_checkpointing`` keeps only a block's input and runs the block again in the backward pass.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from splip.backbone.attention import attend, finish_block, keys_of, queries_and_keys, queries_of
from splip.backbone.carried import encode_carried
from splip.backbone.texts import PackedTexts, packed


def patch_embeddings(visual: Any, images: Tensor) -> Tensor:
    """E_0, the patch convolution's output: images (B, 3, H, W) -> (B, N, D). An input that is already E_0, (B, N, D),
    is returned unchanged.

    Raises:
        ValueError: the images do not have the backbone's resolution.
    """
    if images.dim() == 3:
        return images
    side = visual.input_resolution
    if images.shape[-2:] != (side, side):
        raise ValueError(f"this backbone takes {side}x{side} images, got {tuple(images.shape[-2:])}")
    return visual.conv1(images.to(visual.conv1.weight.dtype)).flatten(2).transpose(1, 2)


def first_tokens(visual: Any, patches: Tensor) -> Tensor:
    """What the first block reads: E_0 (B, N, D) -> (B, 1 + N, D), the class token first."""
    class_token = visual.class_embedding.to(patches).expand(patches.shape[0], 1, -1)
    x = torch.cat([class_token, patches], dim=1)
    return visual.ln_pre(x + visual.positional_embedding.to(x))


def encode_patches(
    visual: Any,
    patches: Tensor,
    prompts: Sequence[Optional[Tensor]] = (),
    grad_checkpointing: bool = False,
    micro_batch: int = 0,
    carry: bool = False,
) -> Tensor:
    """Image features in CLIP's joint space, not normalised.

    Args:
        patches: (B, N, D) of :func:`patch_embeddings`.
        prompts: entry l goes into layer l: (P, D) shared by the batch, (B, P, D) for each image, or None.
            Layers past the end get none. Prompts have no position embedding and skip ``ln_pre``.
        grad_checkpointing: see the top of this file; numbers and gradients stay the same.
        micro_batch: number of images at a time; each part runs again in the backward pass; 0 = all at once.
        carry: see the top of this file.

    Returns:
        (B, embed_dim); with no prompts ``visual(images)``.

    Raises:
        ValueError: ``prompts`` is one tensor, has more entries than there are layers, or its entries differ in B.
    """
    blocks = visual.transformer.resblocks
    prompts, _ = _by_layer(prompts, len(blocks))
    if torch.is_grad_enabled() and 0 < micro_batch < len(patches):
        parts = patches.split(micro_batch)
        shares = [None if p is None else p.split(micro_batch) if p.dim() == 3 else [p] * len(parts) for p in prompts]
        inner = partial(encode_patches, visual, grad_checkpointing=grad_checkpointing, carry=carry)
        return torch.cat(
            [_checkpoint(inner, part, [None if p is None else p[i] for p in shares]) for i, part in enumerate(parts)]
        )
    x = first_tokens(visual, patches)
    if not torch.is_grad_enabled() and all(own is None for own in prompts):
        x = visual.transformer(x.transpose(0, 1)).transpose(0, 1)
        return visual.ln_post(x[:, 0]) @ visual.proj
    for layer, (block, own) in enumerate(zip(blocks, prompts)):
        last = layer == len(blocks) - 1
        if carry and own is not None:
            x = x[:, : 1 + patches.shape[1]]  # without what was carried here
            if not last and prompts[layer + 1] is None:
                x, own = torch.cat([x, own.to(x).expand(len(x), -1, -1)], dim=1), None
        x = _run(grad_checkpointing, _image_block, block, x, own, last)
    return visual.ln_post(x[:, 0]) @ visual.proj


def _by_layer(prompts: Sequence[Optional[Tensor]], layers: int) -> Tuple[List[Optional[Tensor]], Optional[int]]:
    """The prompts of each layer of a tower, or None for a layer without; and B, if any layer has B sets of them."""
    if isinstance(prompts, Tensor):
        raise ValueError("prompts are a sequence, an entry for each layer: give [prompts] * layers for one tensor")
    if len(prompts) > layers:
        raise ValueError(f"this tower has {layers} layers, got prompts for {len(prompts)}")
    shapes = [tuple(own.shape) for own in prompts if own is not None]
    sets = {shape[0] for shape in shapes if len(shape) == 3}
    if len(sets) > 1 or any(len(shape) not in (2, 3) for shape in shapes):
        raise ValueError(f"prompts of a layer are (P, D), or (B, P, D) with one B for all layers, got {shapes}")
    return [*prompts, *[None] * (layers - len(prompts))], min(sets, default=None)


def _image_block(block: Any, x: Tensor, prompts: Optional[Tensor], last: bool) -> Tensor:
    """One layer: (B, 1 + N, D) -> the same, or (B, 1, D) if only the class token is needed (``last``)."""
    attn, h = block.attn, block.ln_1(x)
    if last:
        x, query, own = x[:, :1], queries_of(attn, h[:, :1]), keys_of(attn, h)
    else:
        query, own = queries_and_keys(attn, h)
    keys = [own]
    if prompts is not None:
        key, value = keys_of(attn, block.ln_1(prompts.to(x)))
        keys.append((key.expand(x.shape[0], -1, -1), value.expand(x.shape[0], -1, -1)))
    return finish_block(block, x, attend(attn, query, keys))


def encode_text(
    clip: Any,
    tokens: Union[Tensor, PackedTexts],
    prompts: Sequence[Optional[Tensor]] = (),
    share_prefix: Optional[bool] = None,
    grad_checkpointing: bool = False,
    all_states: bool = False,
    shift: int = 0,
    carry: bool = False,
) -> Tuple[Tensor, List[Tensor]]:
    """Text features, and the state of each text after each layer (W_l of the paper).

    Args:
        tokens: (n, L) long, L may be shorter than CLIP's 77 (``splip.backbone.tokenize``); or their
            :class:`splip.backbone.texts.PackedTexts`, which a caller can keep to encode them again.
        prompts: entry l goes into layer l: (m, D), (B, m, D), or None; m may differ from layer to layer. Layers past
            the end get none. With B sets every text is encoded with each of them. Prompts stand between the start
            token and the first word, so under the causal mask every word sees them; they have no position embedding.
        share_prefix: as in ``PackedTexts``; the results agree up to rounding.
        grad_checkpointing: see the top of this file; numbers and gradients stay the same.
        all_states: a text's state is the mean over its tokens, from start to end of text, instead of the end-of-text
            token's state.
        shift: the words' position embeddings start at 1 + ``shift`` instead of 1. In MaPLe it is m: the first layer's
            prompts have positions 1 to m there, and the caller adds these.
        carry: see the top of this file.

    Returns:
        features, not normalised, and a list of states, one for each layer: (n, embed_dim) and (n, D), or
        (B, n, embed_dim) and (B, n, D). With no prompts the features are ``clip.encode_text``'s.

    Raises:
        ValueError: ``prompts`` is one tensor, has more entries than there are layers, or its entries differ in B;
            shifted texts do not fit into CLIP's context.
    """
    blocks = clip.transformer.resblocks
    prompts, sets = _by_layer(prompts, len(blocks))
    carry = carry and any(own is not None and after is None for own, after in zip(prompts, prompts[1:]))
    layout = packed(tokens, False if carry else share_prefix)
    if carry and layout.start:
        raise ValueError("prompts that are carried on need whole texts: PackedTexts(tokens, share_prefix=False)")
    plain = shift == 0 and all(own is None for own in prompts) and not torch.is_grad_enabled()
    if plain and not isinstance(tokens, PackedTexts):
        return _encode_plain_text(clip, tokens, all_states)
    positions, length = clip.positional_embedding, layout.tokens.shape[1]
    if not 0 <= shift <= len(positions) - length:
        raise ValueError(f"{length} tokens and a shift of {shift} do not fit into CLIP's {len(positions)} positions")
    places = positions[:length] if shift == 0 else torch.cat([positions[:1], positions[1 + shift : length + shift]])
    embedded = clip.token_embedding(layout.tokens) + places  # (n, L, D)
    encode: Any = encode_carried if carry else _encode_packed if layout.start else _encode_padded
    x, states = encode(blocks, layout, embedded, prompts, sets or 1, partial(_run, grad_checkpointing), all_states)
    if sets is None:
        x, states = x[0], [state[0] for state in states]
    return clip.ln_final(x) @ clip.text_projection, states


# What the next two return: the end-of-text tokens after the last layer (B, n, D), and the states after each layer.
Encoded = Tuple[Tensor, List[Tensor]]


def _encode_padded(
    blocks: Any, layout: PackedTexts, embedded: Tensor, prompts: Sequence[Optional[Tensor]], sets: int, run: Any,
    all_states: bool,
) -> Encoded:  # fmt: skip
    """Runs every text whole, with its padding: fewest operations, each of which costs a launch on a GPU."""
    n = layout.n
    x, ends, share = embedded.repeat(sets, 1, 1), layout.eot.repeat(sets), layout.share.repeat(sets, 1, 1)
    rows = torch.arange(len(x), device=x.device)  # of x, (B * n, L, D)
    masks = {count: layout.visible_rest(count) for count in {0 if own is None else own.shape[-2] for own in prompts}}

    def run_block(block: Any, x: Tensor, prompts: Optional[Tensor], last: bool) -> Tensor:
        attn, h, count = block.attn, block.ln_1(x), 0
        keys: List[Tuple[Tensor, Tensor]] = []
        if prompts is not None:
            count = prompts.shape[-2]
            shared = keys_of(attn, block.ln_1(prompts.to(x)))
            key, value = (t.expand(sets, -1, -1).unsqueeze(1).expand(-1, n, -1, -1).flatten(0, 1) for t in shared)
            keys.append((key, value))
        mask = masks[count]  # (L, count + L)
        if last:
            query, own, x = queries_of(attn, h[rows, ends].unsqueeze(1)), keys_of(attn, h), x[rows, ends].unsqueeze(1)
            mask = mask[ends][:, None, None]  # (B * n, 1, 1, keys)
        else:
            query, own = queries_and_keys(attn, h)
        return finish_block(block, x, attend(attn, query, [*keys, own], mask))

    states = []
    for layer, (block, own) in enumerate(zip(blocks, prompts)):
        last = layer == len(blocks) - 1 and not all_states
        x = run(run_block, block, x, own, last)
        end = x[:, 0] if last else x[rows, ends]
        states.append((x * share).sum(dim=1) if all_states else end)
    return end.unflatten(0, (sets, n)), [state.unflatten(0, (sets, n)) for state in states]


def _encode_packed(
    blocks: Any, layout: PackedTexts, embedded: Tensor, prompts: Sequence[Optional[Tensor]], sets: int, run: Any,
    all_states: bool,
) -> Encoded:  # fmt: skip
    """Runs the shared first tokens once, and only the own tokens of each text: least arithmetic."""
    n, start, length, real = layout.n, layout.start, layout.length, layout.real
    prefix = embedded[:1, :start].expand(sets, -1, -1)  # (B, start, D)
    # After its end-of-text token a text is padding. So the rest of all texts runs as one line of R real tokens,
    # and is padded to (n, length) only inside the attention.
    rest = embedded[:, start:].flatten(0, 1)[real].expand(sets, -1, -1)  # (B, R, D)

    def pad(line: Tensor) -> Tensor:
        padded = line.new_zeros(sets, n * length, line.shape[-1]).index_copy(1, real, line)
        return padded.unflatten(1, (n, length))  # (B, n, length, D)

    def mean_state(prefix: Tensor, rest: Tensor) -> Tensor:
        own = rest.new_zeros(sets, n, rest.shape[-1]).index_add(1, layout.owner, rest)
        return (own + prefix.sum(dim=1, keepdim=True)) / (layout.eot + 1).unsqueeze(1)  # (B, n, D)

    def run_block(block: Any, prefix: Tensor, rest: Tensor, prompts: Optional[Tensor], last: bool):
        """One layer -> (prefix, rest); the last layer's ``rest`` is only the end-of-text tokens (B, n, D)."""
        attn, count = block.attn, 0
        shared: List[Tuple[Tensor, Tensor]] = []
        if prompts is not None:
            count = prompts.shape[-2]
            key, value = keys_of(attn, block.ln_1(prompts.to(embedded.dtype)))
            shared.append((key.expand(sets, -1, -1), value.expand(sets, -1, -1)))  # (B, m, D)
        query, own = queries_and_keys(attn, block.ln_1(prefix))
        mixed = attend(attn, query, [*shared, own], layout.visible_prefix(count))
        shared.append(own)
        prefix = finish_block(block, prefix, mixed)
        h = block.ln_1(rest)
        keys = [(k.unsqueeze(1).expand(-1, n, -1, -1), v.unsqueeze(1).expand(-1, n, -1, -1)) for k, v in shared]
        key, value = keys_of(attn, h)
        keys.append((pad(key), pad(value)))
        mask = layout.visible_rest(count)  # (length, keys)
        if last:
            rest, ends_mask = rest[:, layout.ends], mask[layout.eot - start][:, None, None]  # (n, 1, 1, keys)
            mixed = attend(attn, queries_of(attn, h[:, layout.ends]).unsqueeze(2), keys, ends_mask).squeeze(2)
        else:
            mixed = attend(attn, pad(queries_of(attn, h)), keys, mask).flatten(1, 2)[:, real]
        return prefix, finish_block(block, rest, mixed)

    states = []
    for layer, (block, own) in enumerate(zip(blocks, prompts)):
        last = layer == len(blocks) - 1 and not all_states
        prefix, rest = run(run_block, block, prefix, rest, own, last)
        x = rest if last else rest[:, layout.ends]  # (B, n, D)
        states.append(mean_state(prefix, rest) if all_states else x)
    return x, states


def _encode_plain_text(clip: Any, tokens: Tensor, all_states: bool) -> Tuple[Tensor, List[Tensor]]:
    """What :func:`encode_text` returns, computed by CLIP's own blocks over its whole context."""
    tokens = F.pad(tokens, (0, clip.positional_embedding.shape[0] - tokens.shape[1]))
    rows, eot = torch.arange(len(tokens), device=tokens.device), tokens.argmax(dim=-1)
    x, states = (clip.token_embedding(tokens) + clip.positional_embedding).transpose(0, 1), []
    for block in clip.transformer.resblocks:
        x = block(x)
        states.append(x[eot, rows])
        if all_states:
            real = (torch.arange(len(x), device=x.device)[:, None] <= eot).unsqueeze(-1)  # (L, n, 1)
            states[-1] = (x * real).sum(dim=0) / real.sum(dim=0)
    return clip.ln_final(x[eot, rows]) @ clip.text_projection, states


def _run(grad_checkpointing: bool, block: Callable[..., Any], *inputs: Any) -> Any:
    """``block(*inputs)``; with ``grad_checkpointing`` nothing but the inputs is kept for the backward pass."""
    if grad_checkpointing and torch.is_grad_enabled():
        return _checkpoint(block, *inputs)
    return block(*inputs)


def _checkpoint(block: Callable[..., Any], *inputs: Any) -> Any:
    return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)  # nothing here is random
