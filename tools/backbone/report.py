"""What a frozen backbone knows of Sketchmoji: retrieval as it is, centred, and by the best linear map; naming. Trains
no backbone.

    python tools/backbone/report.py --backbone FILE                 # pseudo-unseen classes: all to look at while
    choosing python tools/backbone/report.py --backbone FILE --part unseen   # for the model card, once

The linear map is learned on the seen classes that take no part in the test, from frozen embeddings: how much there is
in them that training could bring out.
"""

from __future__ import annotations

import argparse
from typing import Dict, List, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import splip
import splip.datasets  # registers Sketchmoji
from splip.backbone import load_clip, tokenize
from splip.common.modalities import PHOTO, SKETCH
from splip.data.base import SBIRDataset, SBIRDatum
from splip.data.transforms import Preprocessing
from splip.data.triplets import ImageDataset, loader
from splip.engine import build_dataset, get_cfg_default
from splip.losses import contrastive_loss
from splip.models.base import RetrievalModel
from splip.retrieval import retrieval_metrics
from splip.training.precision import autocast, has_bf16_units


def read_dataset(hold_out: bool) -> SBIRDataset:
    """Sketchmoji `zs`, with its pseudo-unseen classes held out or not."""
    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    cfg.DATASET.NAME = "Sketchmoji"
    cfg.TEST.FINAL_MODEL = "best_val" if hold_out else "last_step"
    return build_dataset(cfg)


@torch.no_grad()
def embed(model: RetrievalModel, dataset: SBIRDataset, items: Sequence[SBIRDatum]) -> Tuple[Tensor, Tensor]:
    """Unit embeddings (n, d) and labels (n,) of items of one modality."""
    how = Preprocessing(model.clip.visual.input_resolution)
    images, precision = ImageDataset(dataset, items, how), "bf16" if has_bf16_units() else "fp32"
    with autocast(torch.device("cpu"), precision):
        parts = [model.encode(how.normalize(batch), "photo").float() for batch in loader(images, 128, 1)]
    return torch.cat(parts), torch.tensor([item.label for item in items])


def retrieval(query: Tensor, gallery: Tensor, query_labels: Tensor, gallery_labels: Tensor) -> float:
    """mAP@all in percent."""
    found = retrieval_metrics(query, gallery, query_labels, gallery_labels, conventions=("min_r_k",))
    return 100 * found["min_r_k"]["mAP@all"]


def linear_map(
    sketches: Tuple[Tensor, Tensor], photos: Tuple[Tensor, Tensor], steps: int = 400, seed: int = 0
) -> nn.Linear:
    """A map (d -> d), from the identity, that brings sketches to photos of their class by the contrastive loss."""
    g = torch.Generator().manual_seed(seed)
    width = sketches[0].shape[1]
    layer = nn.Linear(width, width)
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimiser = torch.optim.AdamW(layer.parameters(), 1e-3, weight_decay=0.01)
    by_class: Dict[int, Tensor] = {int(c): (photos[1] == c).nonzero().flatten() for c in photos[1].unique()}
    for _ in range(steps):
        rows = torch.randint(len(sketches[0]), (256,), generator=g)
        labels = sketches[1][rows]
        own = [by_class[int(c)] for c in labels]
        partner = torch.stack([p[int(torch.randint(len(p), (1,), generator=g))] for p in own])
        loss = contrastive_loss(layer(sketches[0][rows]), layer(photos[0][partner]), labels, labels, 0.1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return layer


@torch.no_grad()
def naming(model: RetrievalModel, names: List[str], images: Tensor, labels: Tensor) -> str:
    """Top-1 and top-5 in percent of images named among ``names``."""
    from splip.backbone.encoders import encode_text

    text, _ = encode_text(model.clip, tokenize([f"a photo of a {name.replace('_', ' ')}" for name in names]))
    right = (images @ F.normalize(text, dim=1).T).argsort(1, descending=True) == labels[:, None]
    return f"{100 * right[:, :1].any(1).float().mean():.1f} / {100 * right[:, :5].any(1).float().mean():.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("pseudo_unseen", "unseen"), default="pseudo_unseen")
    parser.add_argument("--backbone", default="splip-hybrid", help="a name or file that splip.load_clip takes")
    args = parser.parse_args()
    held = args.part == "pseudo_unseen"
    dataset, model = read_dataset(held), RetrievalModel(load_clip(args.backbone))
    queries, gallery, names = (
        (dataset.val_queries, dataset.val_gallery, dataset.val_classnames)
        if held
        else (dataset.test_queries, dataset.test_gallery, dataset.test_classnames)
    )
    seen = [[item for item in dataset.train_x if item.domain == domain] for domain in (SKETCH, PHOTO)]
    asked, answers, sketches, photos = (embed(model, dataset, items) for items in (queries, gallery, *seen))
    labels = asked[1], answers[1]
    print(f"{args.part}: {len(names)} classes, {len(queries)} sketches, {len(gallery)} photos")
    plain = retrieval(asked[0], answers[0], *labels)
    centred = retrieval(asked[0] - asked[0].mean(0), answers[0] - answers[0].mean(0), *labels)
    with torch.enable_grad():
        layer = linear_map(sketches, photos)
    with torch.no_grad():
        mapped = retrieval(layer(asked[0]), layer(answers[0]), *labels)
    print(f"mAP@all: frozen {plain:.2f}, centred by modality {centred:.2f}, best linear map {mapped:.2f}")
    chance = f"{100 / len(names):.1f} / {500 / len(names):.1f}"
    for kind, (images, own) in (("photos", answers), ("sketches", asked)):
        print(f"{kind} named, top-1 / top-5: {naming(model, list(names), images, own)} (chance {chance})")


if __name__ == "__main__":
    main()
