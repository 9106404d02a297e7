"""What frozen TinyCLIP does on Sketchmoji, beside its ImageNet teacher: retrieval, naming of photos. Trains nothing.

    python tools/backbone/report.py                  # the unseen classes, for the model card
    python tools/backbone/report.py --part seen      # as many seen classes: the only part to look at while tuning
"""

from __future__ import annotations

import argparse
import random
from types import SimpleNamespace

import clip
import torch
import torch.nn.functional as F
from sketchmoji_reference import extract, imagenet_network
from torchvision.transforms.functional import pil_to_tensor, resize

import splip
import splip.datasets  # registers Sketchmoji
from splip.backbone import CLIP_MEAN, CLIP_STD, clip_dims, load_clip
from splip.data.base import SKETCH
from splip.engine import build_dataset, get_cfg_default
from splip.retrieval import retrieval_metrics

CLASSES = 142  # of the seen ones, as many as there are unseen ones


def choose(dataset, part: str) -> SimpleNamespace:
    """Sketches, photos and class names of the part."""
    if part == "unseen":
        items, names = [*dataset.test_queries, *dataset.test_gallery], dataset.test_classnames
    else:
        names = sorted(random.Random(0).sample(sorted({item.classname for item in dataset.train_x}), CLASSES))
        items = [item for item in dataset.train_x if item.classname in set(names)]
    return SimpleNamespace(
        names=list(names),
        sketches=[item for item in items if item.domain == SKETCH],
        photos=[item for item in items if item.domain != SKETCH],
    )


def clip_features(model):
    """A function: images -> embeddings (n, E), antialiased to the model's resolution."""
    side = clip_dims(model).resolution
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))

    @torch.no_grad()
    def features(images):
        batch = [resize(pil_to_tensor(image).float() / 255, [side, side], antialias=True) for image in images]
        return model.encode_image((torch.stack(batch) - mean) / std)

    return features


def retrieval(part: SimpleNamespace, sketches: torch.Tensor, photos: torch.Tensor):
    """mAP@all in percent (prefix): of the features as they are, and with each modality's mean taken off."""
    labels = [
        torch.tensor([part.names.index(item.classname) for item in items]) for items in (part.sketches, part.photos)
    ]
    pairs = [(sketches, photos), (sketches - sketches.mean(0), photos - photos.mean(0))]
    return [100 * retrieval_metrics(*pair, *labels, conventions=("prefix",))["prefix"]["mAP@all"] for pair in pairs]


@torch.no_grad()
def naming(model, part: SimpleNamespace, images: torch.Tensor, items) -> str:
    """Top-1 and top-5 in percent of images named among the part's classes."""
    text = model.encode_text(clip.tokenize([f"a photo of a {name.replace('_', ' ')}" for name in part.names]))
    order = (F.normalize(images, dim=1) @ F.normalize(text, dim=1).T).argsort(1, descending=True)
    right = order == torch.tensor([part.names.index(item.classname) for item in items])[:, None]
    return f"{100 * right[:, :1].any(1).float().mean():.1f} / {100 * right[:, :5].any(1).float().mean():.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("unseen", "seen"), default="unseen")
    parser.add_argument("--backbone", default="TinyCLIP", help="a name or file that splip.load_clip takes")
    parser.add_argument("--no-teacher", action="store_true")
    args = parser.parse_args()
    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    cfg.DATASET.NAME = "Sketchmoji"
    dataset = build_dataset(cfg)
    part, model = choose(dataset, args.part), load_clip(args.backbone)
    print(f"{args.part}: {len(part.names)} classes, {len(part.sketches)} sketches, {len(part.photos)} photos")
    extractors = {args.backbone: clip_features(model)}
    if not args.no_teacher:
        extractors["ImageNet EfficientNet-Lite0"] = imagenet_network()
    for name, extractor in extractors.items():
        sketches, photos = (extract(dataset, items, extractor) for items in (part.sketches, part.photos))
        plain, centred = retrieval(part, sketches, photos)
        print(f"{name}: sketch to photo mAP@all {plain:.2f}, centred by modality {centred:.2f}")
        if name == args.backbone:
            chance = f"{100 / len(part.names):.1f} / {500 / len(part.names):.1f}"
            print(f"photos named, top-1 / top-5: {naming(model, part, photos, part.photos)} (chance {chance})")
            print(f"sketches named, top-1 / top-5: {naming(model, part, sketches, part.sketches)}")


if __name__ == "__main__":
    main()
