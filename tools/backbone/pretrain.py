"""Pretrains the embedded backbone: a transformer behind a frozen ImageNet network, taught on open drawings and their
names. CPU only.

    pip install -e . -r tools/backbone/requirements.txt
    npm install --prefix build/backbone $(cat tools/backbone/packages.txt)
    apt-get download openclipart-png && dpkg-deb -x openclipart-png_*.deb build/backbone/clipart
    python tools/backbone/pretrain.py --work build/backbone

Each stage leaves its result in the work folder and is not done again: drawings, the trunk's maps of their views,
sentence embeddings, the text tower. The vision tower takes minutes and is made anew each time.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from data import PHOTOGRAPH, Corpus, Views, held_out_views, make_views
from render import prepare_corpus
from targets import Features, classifier, compiled_trunk, imagenet_names, imagenet_network, load_trunk
from text import TEXT_DIMS, name_features, text_targets, train_text
from torch import Tensor, nn
from towers import RESOLUTION, SIZES, build_clip, encode_tokens, export, head_tokens

ROOT = Path(__file__).resolve().parents[2]
ASSET = ROOT / "splip" / "assets" / "hybrid"
FEATURE_DIMS = 256
TEXT_NEGATIVES = 2048  # names beside the batch's own in the text term
NAME_SHARPNESS = 12.0  # target of the text term: softmax of this times the cosine of two names
WARMUP_STEPS = 100


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy of rows of logits (n, m) against rows of probabilities (n, m) -> (n,)."""
    return -(target * F.log_softmax(logits, 1)).sum(1)


class Teaching(nn.Module):
    """The loss of the vision tower, from the trunk's maps.

    features: the embedding tells, through a linear map, the trunk's pooled features of the *same* view;
    name: its text dimensions point to its name's target;
    text: they find that target among other names, alike names counting in part;
    imagenet: on photographs they find the names of the classes that the trunk itself sees, as probable as it finds
        them.
    """

    def __init__(self, model: nn.Module, network: nn.Module, features: Features, goal: Tensor, imagenet: Tensor):
        super().__init__()
        self.model, self.features, self.goal, self.imagenet = model, features, goal, imagenet
        self.weight, self.bias = classifier(network)
        self.to_features = nn.Linear(SIZES["embed_dim"], FEATURE_DIMS)

    def forward(self, maps: Tensor, names: Tensor, kinds: Tensor, dtype: torch.dtype) -> Dict[str, Tensor]:
        """Unweighted terms of views (B, 320, h, w) with names and kinds (B,)."""
        with torch.no_grad():
            tokens = head_tokens(self.model.visual.conv1, maps, dtype)
            pooled = tokens.mean(1)
        embedding = F.normalize(encode_tokens(self.model.visual, tokens, dtype), dim=1)
        told = F.cosine_similarity(self.to_features(embedding), self.features(pooled))
        terms = {"features": 1 - told.mean()}
        written, scale = embedding[:, :TEXT_DIMS], self.model.logit_scale.exp().clamp(max=100)
        named = names >= 0
        own = self.goal[names[named]]
        terms["name"] = 1 - F.cosine_similarity(written[named], own).mean()
        others = torch.cat([own, self.goal[torch.randint(len(self.goal), (TEXT_NEGATIVES,))]])
        target = (NAME_SHARPNESS * own @ others.T).softmax(1)
        terms["text"] = soft_cross_entropy(scale * written[named] @ others.T, target).mean()
        seen = kinds == PHOTOGRAPH
        if seen.any():
            classes = (pooled[seen] @ self.weight.T + self.bias).softmax(1)
            terms["imagenet"] = soft_cross_entropy(scale * written[seen] @ self.imagenet.T, classes).mean()
        return terms


def mean_average_precision(query: Tensor, gallery: Tensor, query_labels: Tensor, gallery_labels: Tensor) -> float:
    """mAP@all in percent of unit features, each query's precision averaged over its relevant items."""
    order = (query @ gallery.T).argsort(1, descending=True)
    hit = (gallery_labels[order] == query_labels[:, None]).float()
    precision = hit.cumsum(1) / torch.arange(1, hit.shape[1] + 1)
    return 100 * ((precision * hit).sum(1) / hit.sum(1).clamp_min(1)).mean().item()


class Monitor:
    """On held-out names: line drawings retrieve posed colour drawings, and those are named. No Sketchmoji drawing."""

    def __init__(self, corpus: Corpus, model: nn.Module, trunk):
        self.views = held_out_views(corpus, trunk)
        self.names = [corpus.names[i] for i in corpus.held]
        pooled = {key: head_tokens(model.visual.conv1, maps).mean(1) for key, (maps, _) in self.views.items()}
        self.trunk = self._retrieval(pooled)

    def _retrieval(self, features: Dict[str, Tensor]) -> float:
        """mAP@all of sketches to photos, each modality's mean taken off."""
        query, gallery = (F.normalize(features[key] - features[key].mean(0), dim=1) for key in ("sketch", "photo"))
        return mean_average_precision(query, gallery, self.views["sketch"][1], self.views["photo"][1])

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> Dict[str, float]:
        """{"mAP", "centred", "top1", "top5"} in percent."""
        found = {
            key: F.normalize(encode_tokens(model.visual, head_tokens(model.visual.conv1, maps)), dim=1)
            for key, (maps, _) in self.views.items()
        }
        labels = [self.views[key][1] for key in ("sketch", "photo")]
        right = (found["photo"] @ name_features(model, self.names).T).argsort(1, descending=True) == labels[1][:, None]
        return {
            "mAP": mean_average_precision(found["sketch"], found["photo"], *labels),
            "centred": self._retrieval(found),
            "top1": 100 * right[:, 0].float().mean().item(),
            "top5": 100 * right[:, :5].any(1).float().mean().item(),
        }


def train_vision(
    teaching: Teaching, views: Views, monitor: Monitor, args: argparse.Namespace
) -> List[Dict[str, float]]:
    """AdamW with warm-up and cosine; returns what the monitor said on the way."""
    model, weights = teaching.model, dict(args.weights)
    named = {
        name: parameter
        for name, parameter in teaching.named_parameters()
        if name.startswith(("model.visual", "to_features", "model.logit_scale"))
        and not any(part in name for part in ("conv1.stem", "conv1.blocks", "conv1.head"))
    }
    for name, parameter in teaching.named_parameters():
        parameter.requires_grad_(name in named)
    plain = {n for n, p in named.items() if p.dim() < 2 or "embedding" in n}
    groups = [
        {"params": [p for n, p in named.items() if n not in plain], "weight_decay": 0.05},
        {"params": [p for n, p in named.items() if n in plain], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98))
    began, shown, said = time.time(), {}, []
    for step in range(args.steps):
        rate = args.lr * min(1, (step + 1) / WARMUP_STEPS) * (1 + math.cos(math.pi * step / args.steps)) / 2
        for group in optimiser.param_groups:
            group["lr"] = rate
        terms = teaching(*views.draw(args.batch), args.dtype)
        optimiser.zero_grad(set_to_none=True)
        sum(weights[name] * value for name, value in terms.items()).backward()
        nn.utils.clip_grad_norm_(named.values(), 1.0)
        optimiser.step()
        for name, value in terms.items():
            shown[name] = 0.97 * shown.get(name, value.item()) + 0.03 * value.item()
        if (step + 1) % 100 == 0:
            text = " ".join(f"{name} {value:.3f}" for name, value in shown.items())
            print(f"step {step + 1} of {args.steps}, {time.time() - began:.0f} s: {text}", flush=True)
        if (step + 1) % args.report == 0 or step + 1 == args.steps:
            said.append({"step": step + 1, **monitor(model)})
            print("held-out names", json.dumps(said[-1]), flush=True)
    return said


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--work", type=Path, default=ROOT / "build" / "backbone", help="stages go here")
    add("--packages", type=Path, help="node_modules with the icon sets (default: that of --work)")
    add("--clipart", type=Path, help="unpacked openclipart-png (default: clipart in --work)")
    add("--photographs", type=Path, help="folder of photographs (default: photographs in --work, where it is)")
    add("--output", type=Path, default=ASSET, help="folder for splip-hybrid.pt and pretraining.json")
    add("--text-minutes", type=float, default=6)
    add("--steps", type=int, default=1500)
    add("--batch", type=int, default=256)
    add("--report", type=int, default=500, help="steps between two looks at the held-out names")
    add("--lr", type=float, default=1e-3)
    add("--seed", type=int, default=0)
    add("--weights", type=json.loads, default={"features": 5.0, "name": 1.0, "text": 0.5, "imagenet": 0.5})
    add("--bf16", action="store_true", help="products in bfloat16: faster with AVX512_BF16 or AMX")
    args = parser.parse_args(argv)
    args.dtype = torch.bfloat16 if args.bf16 else torch.float32
    torch.manual_seed(args.seed)
    if not (args.work / "rows.json").exists():
        packages = args.packages or args.work / "node_modules"
        clipart = args.clipart or args.work / "clipart"
        prepare_corpus(packages, clipart / "usr" / "share" / "openclipart" / "png", args.work)
    corpus, model, network = Corpus(args.work), build_clip(), imagenet_network()
    load_trunk(model.visual.conv1, network)
    trunk = compiled_trunk(model.visual.conv1, RESOLUTION)
    if not (args.work / "maps.npy").exists():
        folder = args.photographs or args.work / "photographs"
        make_views(corpus, sorted(p for p in folder.rglob("*") if p.is_file()), trunk, args.work)
    classes = [name for name in imagenet_names() if name not in set(corpus.names)]
    names, text = [*corpus.names, *dict.fromkeys(classes)], args.work / "text.pt"
    goal = text_targets(names, args.work)[1][: len(names), :TEXT_DIMS]
    if text.exists():
        model.load_state_dict({**model.state_dict(), **torch.load(text, weights_only=True)})
    else:
        train_text(model, names, args.work, args.text_minutes, seed=args.seed, dtype=args.dtype)
        kept = {name: v for name, v in model.state_dict().items() if not name.startswith("visual")}
        torch.save(kept, text)
    torch.manual_seed(args.seed)  # the same start, whether the text tower was made now or before
    model.visual.load_state_dict({**build_clip().visual.state_dict(), **_of_trunk(model)})
    views = Views(corpus, args.work, args.seed)
    sample = torch.cat([head_tokens(model.visual.conv1, views.draw(500)[0]).mean(1) for _ in range(40)]).detach()
    index = {name: i for i, name in enumerate(names)}
    imagenet = goal[[index[name] for name in imagenet_names()]]
    teaching = Teaching(model, network, Features(sample, FEATURE_DIMS), goal[: len(corpus.names)], imagenet)
    monitor = Monitor(corpus, model, trunk)
    print(f"{len(monitor.names)} names held out; the trunk's mAP, centred: {monitor.trunk:.2f}", flush=True)
    said = train_vision(teaching, views, monitor, args)
    export(model, args.output / "splip-hybrid.pt")
    report = {"trunk": monitor.trunk, "held_out": said}
    (args.output / "pretraining.json").write_text(json.dumps(report, indent=1) + "\n")
    np.savez_compressed(args.work / "corpus_hashes.npz", hashes=np.load(args.work / "hashes.npy"))


def _of_trunk(model: nn.Module) -> Dict[str, Tensor]:
    parts = ("conv1.stem", "conv1.blocks", "conv1.head", "conv1.scale", "conv1.shift")
    return {name: value for name, value in model.visual.state_dict().items() if name.startswith(parts)}


if __name__ == "__main__":
    main()
