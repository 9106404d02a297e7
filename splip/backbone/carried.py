"""The text encoder with prompts whose outputs go on through later layers, as MaPLe and PromptSRC have them."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from splip.backbone.attention import attend, finish_block, queries_and_keys
from splip.backbone.texts import PackedTexts


def encode_carried(
    blocks: Any, layout: PackedTexts, embedded: Tensor, prompts: Sequence[Optional[Tensor]], sets: int, run: Any,
    all_states: bool,
) -> Tuple[Tensor, List[Tensor]]:  # fmt: skip
    """Runs every text whole, its prompts as tokens: a layer without prompts of its own takes the last layer's outputs.

    Args:
        prompts: an entry for each layer: (m, D), (B, m, D) or None. sets: B, or 1.
        embedded: (n, L, D).
        run: calls a function with its inputs (checkpointed or not).

    Returns:
        the end-of-text tokens after the last layer (B, n, D), and the texts' states after each layer.
    """
    x, n = embedded.repeat(sets, 1, 1), layout.n  # (B * n, L, D)
    ends, share = layout.eot.repeat(sets), layout.share.repeat(sets, 1, 1)
    rows, carried, states = torch.arange(len(x), device=x.device), x[:, :0], []

    def run_block(block: Any, tokens: Tensor, mask: Tensor) -> Tensor:
        query, keys = queries_and_keys(block.attn, block.ln_1(tokens))
        return finish_block(block, tokens, attend(block.attn, query, [keys], mask))

    for block, own in zip(blocks, prompts):
        if own is not None:
            every = own.to(x).expand(sets, -1, -1)  # (B, m, D)
            carried = every.repeat_interleave(n, dim=0)
        count = carried.shape[1]
        mask = torch.cat([layout.visible_to_prompts(count), layout.visible_rest(count)])
        carried, x = run(run_block, block, torch.cat([carried, x], dim=1), mask).split([count, x.shape[1]], dim=1)
        end = x[rows, ends]
        states.append(((x * share).sum(dim=1) if all_states else end).unflatten(0, (sets, n)))
    return end.unflatten(0, (sets, n)), states
