"""The text tower: fitted to sentence embeddings of names and common words, the same in every template."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Dict, List, Sequence, Set, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from targets import fit_projection, sentence_embeddings
from torch import Tensor, nn
from towers import SIZES, encode_text

TEXT_DIMS = SIZES["transformer_width"]  # of the joint space: a tower of that width spans no more
TEMPLATES = (
    "{}",
    "a {}",
    "a photo of a {}.",
    "a photo of a {}",
    "a photo of the {}.",
    "a sketch of a {}.",
    "a sketch of a {}",
    "a drawing of a {}.",
    "a picture of a {}.",
    "an image of a {}",
    "an icon of a {}.",
    "a {} on a plain background",
    "clip art of a {}",
    "this is a {}.",
    "photo of {}",
    "sketch of {}",
    "many {}",
    "the {}",
)


class Tokens:
    """Token ids of texts in templates, put together from the ids of the parts.

    Attributes:
        used: the tokens that occur in any of them.
    """

    def __init__(self, texts: Sequence[str]):
        from splip.backbone.layout import clip_package

        clip_package()  # which needs no old setuptools
        from clip.simple_tokenizer import SimpleTokenizer

        bpe = SimpleTokenizer()
        self.ids = [bpe.encode(text)[:16] for text in texts]
        self.parts = [tuple(bpe.encode(part) for part in template.split("{}")) for template in TEMPLATES]
        self.start, self.end = bpe.encoder["<|startoftext|>"], bpe.encoder["<|endoftext|>"]
        self.used = {0, self.start, self.end}.union(*self.ids, *(ids for parts in self.parts for ids in parts))

    def batch(self, which: Sequence[int], templates: Sequence[int]) -> Tensor:
        """(n, longest) long, padded with 0 as OpenAI's `tokenize` does."""
        rows = [
            [self.start, *self.parts[t][0], *self.ids[i], *self.parts[t][1], self.end]
            for i, t in zip(which, templates)
        ]
        out = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for row, ids in zip(out, rows):
            row[: len(ids)] = torch.tensor(ids)
        return out


def whole_words() -> Dict[str, int]:
    """Words of three letters and more that are one token of CLIP's vocabulary, and that token; most frequent first."""
    from splip.backbone.layout import clip_package

    clip_package()
    from clip.simple_tokenizer import SimpleTokenizer

    words = {piece[:-4]: token for piece, token in SimpleTokenizer().encoder.items() if piece.endswith("</w>")}
    return {word: token for word, token in words.items() if word.isalpha() and word.isascii() and len(word) > 2}


def text_targets(names: Sequence[str], work: Path) -> Tuple[List[str], Tensor]:
    """Texts (the names first, then `whole_words`) and their unit targets in the joint space, (n, E) float32.

    A target is the first `TEXT_DIMS` principal components of the sentence embedding, centred on the names; the other
    dimensions are zero and left to the images.
    """
    path = work / "sentences.pt"
    if not path.exists():
        known = set(names)
        texts = list(names) + [word for word in whole_words() if word not in known]
        torch.save({"texts": texts, "features": sentence_embeddings(texts)}, path)
    saved = torch.load(path, weights_only=True)
    texts, features = saved["texts"], saved["features"]
    if texts[: len(names)] != list(names):
        raise ValueError(f"{path} was made for {len(texts)} other texts than these {len(names)} names: delete it")
    centre = features[: len(names)].mean(0)
    basis = fit_projection(features[: len(names)] - centre, TEXT_DIMS, power=0.1)
    joint = F.normalize((features - centre) @ basis, dim=1)
    return texts, F.pad(joint, (0, SIZES["embed_dim"] - TEXT_DIMS))


@torch.no_grad()
def start_from_words(model: nn.Module, texts: Sequence[str], goal: Tensor) -> None:
    """Give each token that is a whole word half of that word's target (texts', (n, E)) as its embedding."""
    index = {text: i for i, text in enumerate(texts)}
    known = {token: index[word] for word, token in whole_words().items() if word in index}
    model.token_embedding.weight[list(known)] = 0.5 * goal[list(known.values()), :TEXT_DIMS]


def train_text(
    model: nn.Module,
    names: Sequence[str],
    work: Path,
    minutes: float,
    batch: int = 256,
    lr: float = 2e-3,
    seed: int = 0,
    fresh: bool = True,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Fit the text tower to the targets for some minutes: cosine, and each text told from the others of its batch.

    fresh: start from the words' own targets; dtype: of the blocks' products.
    """
    texts, goal = text_targets(names, work)
    if fresh:
        start_from_words(model, texts, goal)
    tokens, rng = Tokens(texts), np.random.default_rng(seed)
    tower = [p for n, p in model.named_parameters() if not n.startswith("visual") and n != "logit_scale"]
    for parameter in tower:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(tower, lr=lr, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
    began, step, longest = time.time(), 0, 0
    while (progress := (time.time() - began) / (60 * minutes)) < 1:
        optimiser.param_groups[0]["lr"] = lr * min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * progress))
        low, high = (len(names), len(texts)) if rng.random() < 0.35 else (0, len(names))
        which = rng.integers(low, high, batch)
        ids = tokens.batch(which, rng.integers(len(TEMPLATES), size=batch))
        longest = max(longest, ids.shape[1])
        out, want = F.normalize(encode_text(model, ids, dtype), dim=1), goal[which]
        cosine = (out * want).sum(1).mean()
        twins = (want @ want.T > 0.98) & ~torch.eye(batch, dtype=torch.bool)  # the same text drawn twice is no negative
        logits = (20 * out @ want.T).masked_fill(twins, -1e4)
        loss = 4 * (1 - cosine) + F.cross_entropy(logits, torch.arange(batch))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(tower, 1.0)
        optimiser.step()
        step += 1
        if step % 50 == 0:
            kind = "words" if low else "names"
            print(f"step {step} {progress:.0%} loss {loss.item():.3f} cosine {cosine.item():.3f} {kind}", flush=True)
    extend_positions(model, longest)
    clear_unused(model, tokens.used)


def extend_positions(model: nn.Module, longest: int) -> None:
    """Positions that no training text reached continue as the last trained ones, rather than stay random."""
    with torch.no_grad():
        model.positional_embedding[longest - 2 :] = model.positional_embedding[longest - 6 : longest - 2].mean(0)


def clear_unused(model: nn.Module, used: Set[int]) -> None:
    """Embeddings that no training text reached become zero rather than stay random: they say nothing, and compress."""
    with torch.no_grad():
        unused = torch.ones(len(model.token_embedding.weight), dtype=torch.bool)
        unused[list(used)] = False
        model.token_embedding.weight[unused] = 0


@torch.no_grad()
def name_features(model: nn.Module, names: Sequence[str], templates: Sequence[int] = (2,), batch: int = 1024) -> Tensor:
    """Unit text features of names, mean over templates, (n, E)."""
    tokens, out = Tokens(names), []
    for start in range(0, len(names), batch):
        which = range(start, min(start + batch, len(names)))
        batches = [tokens.batch(which, [template] * len(which)) for template in templates]
        out.append(sum(F.normalize(encode_text(model, ids), dim=1) for ids in batches))
    return F.normalize(torch.cat(out), dim=1)
