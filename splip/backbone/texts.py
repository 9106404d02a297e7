"""How a list of texts runs through the text encoder, computed once from its tokens.

Under the causal mask, the tokens that all texts begin with have the same states in every text, so they run once. After
its end-of-text token a text is padding. These positions are the same in every step. So they are computed once, on the
CPU, and kept on the device: no step waits for the device.
"""

from __future__ import annotations

from typing import Optional, Union

import torch
from torch import Tensor


class PackedTexts:
    """The layout of texts with tokens ``tokens`` (n, L) long, on their device.

    Args:
        share_prefix: run the tokens that all texts begin with once, and no padding; False: every text runs whole.
            None = True on a CPU, where arithmetic is slow; False on a GPU, where whole texts need fewer launches.

    Attributes:
        start: tokens in the shared prefix; n: texts; length: tokens of the longest text after the prefix.
        eot: (n,), position of each end-of-text token. real: (R,), positions of the real tokens among n * length.
            owner: (R,), the text of each. ends: (n,), the end-of-text tokens among the R.
        causal: (L, L) bool, which token may see which.
        share: (n, length, 1) float, each token's weight in the mean over its text's real tokens.
    """

    def __init__(self, tokens: Tensor, share_prefix: Optional[bool] = None) -> None:
        if share_prefix is None:
            share_prefix = tokens.device.type == "cpu"
        self.tokens, here = tokens, tokens.cpu()
        eot = here.argmax(dim=-1)  # the end-of-text token has the highest id
        self.n, whole = here.shape
        self.start = _shared_length(here) if share_prefix else 0
        self.length = whole - self.start
        is_real = torch.arange(self.start, whole) <= eot[:, None]
        real = is_real.flatten().nonzero().squeeze(1)
        causal = torch.ones(whole, whole, dtype=torch.bool).tril_()
        share = (is_real / is_real.sum(dim=1, keepdim=True)).unsqueeze(-1)
        self.eot, self.real, self.owner, self.ends, self.causal, self.share = (
            t.to(tokens.device)
            for t in (eot, real, real // self.length, is_real.sum(dim=1).cumsum(dim=0) - 1, causal, share)
        )

    def visible_prefix(self, prompts: int) -> Tensor:
        """Which keys [T, prefix] a token of the prefix sees, bool (start, prompts + start)."""
        return self._with_prompts(self.causal[: self.start, : self.start], 0, prompts)

    def visible_rest(self, prompts: int) -> Tensor:
        """Which keys [T, prefix, own tokens] a token after the prefix sees, bool (length, prompts + L)."""
        return self._with_prompts(self.causal[self.start :], self.start, prompts)

    def visible_to_prompts(self, prompts: int) -> Tensor:
        """Which keys [T, all tokens] a prompt sees, bool (prompts, prompts + L); the layout must have no prefix."""
        before = self.causal.new_ones(prompts, prompts).tril_()
        start = torch.arange(self.length, device=before.device) == 0  # the start token comes before T
        return torch.cat([before, start.expand(prompts, -1)], dim=1)

    def _with_prompts(self, mask: Tensor, first_row: int, prompts: int) -> Tensor:
        rows = torch.arange(first_row, first_row + len(mask), device=mask.device)
        sees_prompts = (rows > 0)[:, None].expand(-1, prompts)  # T comes after the start token
        return torch.cat([sees_prompts, mask], dim=1)


def packed(tokens: Union[Tensor, PackedTexts], share_prefix: Optional[bool] = None) -> PackedTexts:
    """A layout unchanged, or the layout of tokens."""
    return tokens if isinstance(tokens, PackedTexts) else PackedTexts(tokens, share_prefix)


def _shared_length(tokens: Tensor) -> int:
    """How many leading tokens all texts have in common, (n, L) -> at most L - 1."""
    same = (tokens == tokens[:1]).all(dim=0)[:-1]
    return int(same.long().cumprod(dim=0).sum())
