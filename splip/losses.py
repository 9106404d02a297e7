"""SpLIP's losses as functions of features (PAPER: "The losses"). All of them compute in float32."""

from __future__ import annotations

from typing import Any, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from splip.common import distributed
from splip.config import CapacitySettings, LossSettings

DISTANCE_SCALE = {"cosine": 1.0, "sq_l2": 2.0}  # of a distance in units of 1 - cos


def distance(a: Tensor, b: Tensor, kind: str = "cosine") -> Tensor:
    """Distance between matching rows, which are normalised first: (B, d), (B, d) -> (B,).

    Args:
        kind: ``cosine``, 1 - cos, in [0, 2]; ``sq_l2``, |a/|a| - b/|b||^2 = 2 (1 - cos), in [0, 4].
    """
    return DISTANCE_SCALE[kind] * (1.0 - F.cosine_similarity(a.float(), b.float(), dim=-1))


def class_similarity(text_features: Tensor) -> Tensor:
    """Cosines between class names, (C, d) -> (C, C): the adaptive margin mu(c+, c-) before its affine map."""
    text_features = F.normalize(text_features.float(), dim=-1)
    return text_features @ text_features.t()


def margin_of(config: LossSettings, similarity: Tensor, label: Tensor, negative_label: Tensor) -> Tensor:
    """mu(c+, c-) of each pair of labels: adaptive or fixed, ``same_class_margin`` where c+ = c- (unless fixed).

    Args:
        similarity: of all classes (C, C), :func:`class_similarity`.
        label, negative_label: long, of shapes that broadcast; so does the result.
    """
    if config.margin == "fixed":
        return torch.full((label - negative_label).shape, config.fixed_margin, device=label.device)
    mu = config.margin_scale * similarity[label, negative_label] + config.margin_shift
    return torch.where(label == negative_label, torch.full_like(mu, config.same_class_margin), mu)


def inverse_temperature(config: LossSettings, clip: Any) -> Tensor:
    """Of the class loss: ``logit_scale``, or if that is 0 the backbone's own; a scalar."""
    scale = clip.logit_scale.exp()
    return torch.full_like(scale, config.logit_scale) if config.logit_scale > 0 else scale


def divergence(wanted: Tensor, found: Tensor) -> Tensor:
    """Kullback-Leibler divergence KL(softmax(wanted) || softmax(found)), mean over rows: (R, n), (R, n) -> scalar."""
    wanted, found = (F.log_softmax(logits.float(), dim=-1) for logits in (wanted, found))
    return F.kl_div(found, wanted, reduction="batchmean", log_target=True)


def relative_divergence(delta: Tensor, label: Tensor, triplets: int) -> Tensor:
    """CLIP-AT's L_delta: relative distances should be distributed alike in all categories.

        L_delta = 1 / (N (N - 1)) sum_{c, c'} KL(D_c || D_c'),  D_c = softmax over the triplets i of c of delta_i

    Args:
        delta: d(s_i, p+_i) - d(s_i, p-_i), (B,). label: (B,).
        triplets: of a category, its first ones in the batch; categories with fewer are left out. If under two
            categories are left, the loss is 0.
    """
    same = label[:, None] == label
    chosen = (same.sum(dim=1) >= triplets) & (same.tril(-1).sum(dim=1) < triplets)
    rows = delta[chosen][label[chosen].argsort(stable=True)].unflatten(0, (-1, triplets)) if chosen.any() else delta[:0]
    if len(rows) < 2:
        return (delta * 0).sum()
    logs = F.log_softmax(rows.float(), dim=1)
    each = (logs.exp() * logs).sum(dim=1, keepdim=True) - logs.exp() @ logs.t()  # KL(D_c || D_c'), 0 on the diagonal
    return each.sum() / (len(rows) * (len(rows) - 1))


def capacity_loss(config: CapacitySettings, sketch: Tensor, photo: Tensor) -> Tensor:
    """MCC's term: how widely each modality is spread, as the mean cosine of its images in the batch ("Modality Capacity
    Guidance", IJCAI 2024; github.com/YHdian0716/ZS-SBIR-MCC at c0b0575, `core.py`).

        L_mcc = w_s |S - c_s| + w_p |P - c_p|,  S = mean_{i, j} cos(s_i, s_j) with i = j, P of positives

    That code multiplies by its weights twice; here w is what the term is worth. Batches should hold many classes.

    Args:
        sketch, photo: features (B, d). config: w is ``mcc_sketch`` and ``mcc_photo``, c those ending in ``_at``.
    """
    terms = []
    for features, weight, at in (
        (sketch, config.mcc_sketch, config.mcc_sketch_at), (photo, config.mcc_photo, config.mcc_photo_at)
    ):  # fmt: skip
        center = distributed.mean(F.normalize(features.float(), dim=-1).mean(dim=0))  # |center|^2 = mean of all cosines
        terms.append(weight * (center.square().sum() - at).abs())
    return terms[0] + terms[1]


def triplet_loss(sketch: Tensor, positive: Tensor, negative: Tensor, margin: Tensor, kind: str = "cosine") -> Tensor:
    """Cross-modal triplet loss with a margin for each triplet.

        L_triplet = mean_i [ mu_i + d(s_i, p+_i) - d(s_i, p-_i) ]_+

    Args:
        sketch, positive, negative: features (B, d); their norms do not matter.
        margin: (B,), ``mu(c+, c-)`` of each triplet.
        kind: of the :func:`distance` d. With ``sq_l2`` a margin is worth half as much in units of 1 - cos.
    """
    violation = margin.float() + distance(sketch, positive, kind) - distance(sketch, negative, kind)
    return F.relu(violation).mean()


def batch_triplet_loss(
    sketch: Tensor, positive: Tensor, photos: Tensor, margin: Tensor, allowed: Tensor, kind: str, negatives: str
) -> Tensor:
    """Triplet loss with negatives from the batch's photos; a sketch without any is left out of the mean.

        violation_ij = [ mu_ij + d(s_i, p+_i) - d(s_i, p_j) ]_+

    Args:
        sketch, positive: (B, d). photos: (P, d), the candidates for negatives.
        margin: mu, (B, P). allowed: (B, P) bool, which photos may be a sketch's negatives.
        kind: of :func:`distance`.
        negatives: ``batch_all``: the mean of violation_ij over all allowed pairs. ``batch_hard`` (Hermans et al.,
            2017): for each sketch the nearest allowed photo. ``semi_hard`` (Schroff et al., CVPR 2015): the nearest
            allowed photo that is farther than the positive; if there is none, the farthest.
    """
    rows = F.normalize(sketch.float(), dim=-1)
    d = DISTANCE_SCALE[kind] * (1.0 - rows @ F.normalize(photos.float(), dim=-1).t())  # (B, P)
    d_positive = distance(sketch, positive, kind)[:, None]  # (B, 1)
    violation = F.relu(margin.float() + d_positive - d)
    if negatives == "batch_all":
        return (violation * allowed).sum() / allowed.sum().clamp(min=1)
    score = d.detach().masked_fill(~allowed, float("inf"))
    if negatives == "semi_hard":
        farther = score.masked_fill(d.detach() <= d_positive.detach(), float("inf"))
        farthest = d.detach().masked_fill(~allowed, float("-inf"))
        score = torch.where(farther.isfinite().any(dim=1, keepdim=True), farther, -farthest)
    chosen = violation.gather(1, score.argmin(dim=1, keepdim=True)).squeeze(1)
    some = allowed.any(dim=1)
    return (chosen * some).sum() / some.sum().clamp(min=1)


def class_loss(
    image_features: Sequence[Tensor], text_features: Sequence[Tensor], labels: Sequence[Tensor], logit_scale: Tensor
) -> Tensor:
    """Cross-entropy of scaled cosines, averaged over all images of all groups.

    Args:
        image_features: groups of (B_i, d).
        text_features: class embeddings of each group, (C, d), or (B_i, C, d) if each image has its own.
        labels: of each group, (B_i,) long in [0, C).
        logit_scale: scalar, CLIP's inverse temperature.
    """
    losses = []
    for images, texts, target in zip(image_features, text_features, labels):
        images = F.normalize(images.float(), dim=-1)
        texts = F.normalize(texts.float(), dim=-1)
        logits = torch.einsum("bd,cd->bc" if texts.dim() == 2 else "bd,bcd->bc", images, texts)
        losses.append(F.cross_entropy(logit_scale.float() * logits, target, reduction="none"))
    return torch.cat(losses).mean()


def info_nce(features: Tensor, reference: Tensor, temperature: float) -> Tensor:
    """Each image must be nearest to its own reference of all in the batch (van den Oord et al., 2018), one-sided.

        L = mean_i H(i, softmax_j(cos(z_i, r_j) / t))

    Args:
        features, reference: (B, d); their norms do not matter. temperature: t, above 0.
    """
    features, reference = (distributed.join(F.normalize(x.float(), dim=-1)) for x in (features, reference))
    logits = features @ reference.t() / temperature
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def contrastive_loss(
    sketch: Tensor, photo: Tensor, sketch_labels: Tensor, photo_labels: Tensor, temperature: float
) -> Tensor:
    """In-batch contrastive loss between sketches and photos, with every photo of the class as a target.

        L_con = 1/2 [ mean_i H(q_i, softmax_j(cos(s_i, p_j) / t)) + mean_j H(q_j, softmax_i(cos(s_i, p_j) / t)) ]

    H is the cross-entropy. q_i is uniform over the photos of sketch i's class, q_j over sketches of photo j's class.
    Not in the paper (supervised contrastive learning, Khosla et al., NeurIPS 2020, across modalities).

    Args:
        sketch, photo: features (B, d) and (P, d); their norms do not matter.
        sketch_labels, photo_labels: (B,) and (P,) long. Every label must occur in both. This holds if row i of
            ``photo`` is sketch i's positive.
        temperature: t, above 0.
    """
    logits = F.normalize(sketch.float(), dim=-1) @ F.normalize(photo.float(), dim=-1).t() / temperature  # (B, P)
    same = (sketch_labels[:, None] == photo_labels).float()
    sides = []
    for scores, target in ((logits, same), (logits.t(), same.t())):
        sides.append(F.cross_entropy(scores, target / target.sum(dim=1, keepdim=True)))
    return (sides[0] + sides[1]) / 2
