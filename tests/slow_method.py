"""Slow readings of the method's parts: losses number by number, encoders with every token in CLIP's own blocks."""

from __future__ import annotations

import math

import torch


def cos(a, b):
    dot = sum(x * y for x, y in zip(a.tolist(), b.tolist()))
    return dot / math.sqrt(sum(x * x for x in a.tolist()) * sum(y * y for y in b.tolist()))


def cross_entropy(logits, target):
    logits = logits.tolist()
    top = max(logits)
    return top + math.log(sum(math.exp(x - top) for x in logits)) - logits[target]


def kl(wanted, found):
    p, q = ([math.exp(-cross_entropy(row, i)) for i in range(len(row))] for row in (wanted, found))
    return sum(a * (math.log(a) - math.log(b)) for a, b in zip(p, q))


def run_causal(block, x):
    clips, block.attn_mask = block.attn_mask, torch.full((x.shape[1],) * 2, float("-inf")).triu_(1)
    x = block(x.transpose(0, 1)).transpose(0, 1)
    block.attn_mask = clips
    return x


def replaced(x, count, own, place):
    """x with the ``count`` prompts at ``place`` replaced by ``own``, if there are any."""
    if own is None:
        return x, count
    own = own.expand(len(x), -1, -1)
    return torch.cat([x[:, :place], own, x[:, place + count :]], dim=1), own.shape[1]


def literal_image(visual, patches, prompts):
    x = torch.cat([visual.class_embedding.expand(len(patches), 1, -1), patches], dim=1)
    x, count, length = visual.ln_pre(x + visual.positional_embedding), 0, x.shape[1]
    for block, own in zip(visual.transformer.resblocks, [*prompts, *[None] * 4]):
        x, count = replaced(x, count, own, length)
        x = block(x.transpose(0, 1)).transpose(0, 1)
    return visual.ln_post(x[:, 0]) @ visual.proj


def literal_text(clip, tokens, prompts):
    x, count, states = clip.token_embedding(tokens) + clip.positional_embedding[: tokens.shape[1]], 0, []
    ends, rows = tokens.argmax(-1), torch.arange(len(tokens))
    for block, own in zip(clip.transformer.resblocks, [*prompts, *[None] * 4]):
        x, count = replaced(x, count, own, 1)
        x = run_causal(block, x)
        states.append(x[rows, ends + count])
    return clip.ln_final(states[-1]) @ clip.text_projection, states
