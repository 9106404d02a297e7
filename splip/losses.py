"""SpLIP's losses as functions of features (PAPER: "The losses"). All of them compute in float32."""

from __future__ import annotations

from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - cosine between matching rows: (B, d), (B, d) -> (B,) in [0, 2]."""
    return 1.0 - F.cosine_similarity(a.float(), b.float(), dim=-1)


def class_similarity(text_features: Tensor) -> Tensor:
    """Cosines between class names, (C, d) -> (C, C): the adaptive margin mu(c+, c-) before its affine map."""
    text_features = F.normalize(text_features.float(), dim=-1)
    return text_features @ text_features.t()


def triplet_loss(sketch: Tensor, positive: Tensor, negative: Tensor, margin: Tensor) -> Tensor:
    """Cross-modal triplet loss with a margin for each triplet.

        L_triplet = mean_i [ mu_i + d(s_i, p+_i) - d(s_i, p-_i) ]_+ ,  d = 1 - cosine

    Args:
        sketch, positive, negative: features (B, d); their lengths do not matter.
        margin: (B,), ``mu(c+, c-)`` of each triplet.
    """
    violation = margin.float() + cosine_distance(sketch, positive) - cosine_distance(sketch, negative)
    return F.relu(violation).mean()


def class_loss(
    image_features: Sequence[Tensor], text_features: Sequence[Tensor], labels: Sequence[Tensor], logit_scale: Tensor
) -> Tensor:
    """Cross-entropy of scaled cosines, averaged over all images of all groups.

    Args:
        image_features: groups of (B_i, d).
        text_features: for each group its class embeddings, (C, d), or (B_i, C, d) where each image has its own.
        labels: for each group (B_i,) long in [0, C).
        logit_scale: scalar, CLIP's inverse temperature.
    """
    losses = []
    for images, texts, target in zip(image_features, text_features, labels):
        images = F.normalize(images.float(), dim=-1)
        texts = F.normalize(texts.float(), dim=-1)
        logits = torch.einsum("bd,cd->bc" if texts.dim() == 2 else "bd,bcd->bc", images, texts)
        losses.append(F.cross_entropy(logit_scale.float() * logits, target, reduction="none"))
    return torch.cat(losses).mean()
