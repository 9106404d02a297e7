"""Pretrains TinyCLIP, a small CLIP in OpenAI's layout, by distillation on open drawings and their names. CPU only.

    pip install -e . -r tools/backbone/requirements.txt
    npm install --prefix build/tinyclip $(cat tools/backbone/packages.txt)
    apt-get download openclipart-png && dpkg-deb -x openclipart-png_*.deb build/tinyclip/clipart
    python tools/backbone/pretrain.py --work build/tinyclip

Each stage leaves its result in the work folder and is not done again: drawings, the teacher's features, sentence
embeddings, text tower, vision tower (saved every few minutes; started again, the tool goes on from there).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from functools import partial
from pathlib import Path
from typing import Callable, Dict, Optional, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from augment import photo_view, warp
from data import TEACHER_DIMS, Corpus
from render import prepare_corpus
from targets import PATCH_DIMS, precompute_teacher
from text import TEXT_DIMS, name_features, text_targets, train_text
from torch import Tensor, nn
from towers import GRID, PATCHES, RESOLUTION, SIZES, build_clip, encode_image, export

ROOT = Path(__file__).resolve().parents[2]
ASSET = ROOT / "splip" / "assets" / "tinyclip"
WEIGHTS = {"pooled": 5.0, "dense": 2.0, "name": 3.0, "text": 2.0, "cross": 1.0}  # of the loss terms
TEXT_NEGATIVES = 4096  # names beside the batch's own in the text term
NAME_SHARPNESS = 12.0  # target of a contrastive term: softmax of this times the cosine of two names
TEACHER_SHARPNESS = 4.0  # and, across styles, of this times the cosine of two drawings to the teacher
# Fractions of the run. Views start easy: with full poses and backgrounds from the first step it hardly left chance.
HARDEST_FROM = 0.3
DOUBLE_BATCH_FROM = 0.4
ALL_PATCHES_FROM = 0.85
KEPT_PATCHES = PATCHES // 2  # until then: half the tokens, nearly twice the images
WARMUP_STEPS = 200
MAX_EMA_DECAY = 0.998


class Heads(nn.Module):
    """What only training uses: linear maps to the teacher's features, and the temperature of the cross-style term."""

    def __init__(self):
        super().__init__()
        self.pooled = nn.Linear(SIZES["embed_dim"], TEACHER_DIMS)
        self.patch = nn.Linear(SIZES["vision_width"], PATCH_DIMS)
        self.cross_scale = nn.Parameter(torch.tensor(math.log(12.0)))


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross entropy of rows of logits (n, m) against rows of probabilities (n, m)."""
    return -(target * F.log_softmax(logits, 1)).sum(1).mean()


def losses(
    model: nn.Module,
    heads: Heads,
    corpus: Corpus,
    text: Tensor,
    batch: Sequence[Tensor],
    keep: Optional[Tensor],
    encode: Callable = encode_image,
) -> Dict[str, Tensor]:
    """The unweighted terms of one step.

    pooled: the image embedding tells the teacher's features of the clean drawing, whatever its pose and background;
    dense:  each patch tells the teacher's map at its place;
    name:   the embedding's text dimensions point to its name's target;
    text:   the embedding finds its name's target among other names, alike names counting in part;
    cross:  a sketch finds the photo of its name among the batch's and back, alike drawings and names counting in part.

    Args:
        text: unit targets of all names, (names, E).
        batch: what `Corpus.batch` gives for n names.
        keep: patches to use, (2 n, kept) long, or None for all.
        encode: `encode_image`, or the same thing made faster.
    """
    images, theta, drawings, names = batch
    embedding, patches = encode(model.visual, images, keep)
    embedding, n = F.normalize(embedding, dim=1), len(names)
    teacher = corpus.teacher[drawings]
    pooled = 1 - F.cosine_similarity(heads.pooled(embedding), teacher).mean()

    goal = warp(corpus.dense[drawings].float(), theta, GRID).flatten(2).transpose(1, 2)  # (2 n, patches, PATCH_DIMS)
    if keep is not None:
        goal = torch.gather(goal, 1, keep[:, :, None].expand(-1, -1, PATCH_DIMS))
    inside = (goal.abs().sum(2) > 0).float()  # the map covers the drawing's own frame only
    dense = ((1 - F.cosine_similarity(heads.patch(patches), goal, dim=2)) * inside).sum() / inside.sum()

    own = text[names]
    name = 1 - F.cosine_similarity(embedding[:, :TEXT_DIMS], own[:, :TEXT_DIMS].repeat(2, 1)).mean()
    others = torch.cat([own, text[torch.randint(len(text), (TEXT_NEGATIVES,))]])
    target = (NAME_SHARPNESS * own @ others.T).softmax(1).repeat(2, 1)
    to_text = soft_cross_entropy(model.logit_scale.exp().clamp(max=100) * embedding @ others.T, target)

    near = NAME_SHARPNESS * own @ own.T + TEACHER_SHARPNESS * teacher[:n] @ teacher[n:].T
    logits = heads.cross_scale.exp().clamp(max=60) * embedding[:n] @ embedding[n:].T
    cross = (soft_cross_entropy(logits, near.softmax(1)) + soft_cross_entropy(logits.T, near.T.softmax(1))) / 2
    return {"pooled": pooled, "dense": dense, "name": name, "text": to_text, "cross": cross}


def mean_average_precision(query: Tensor, gallery: Tensor, query_labels: Tensor, gallery_labels: Tensor) -> float:
    """mAP@all in percent of unit features, each query's precision averaged over its relevant items."""
    order = (query @ gallery.T).argsort(1, descending=True)
    hit = (gallery_labels[order] == query_labels[:, None]).float()
    precision = hit.cumsum(1) / torch.arange(1, hit.shape[1] + 1)
    return 100 * ((precision * hit).sum(1) / hit.sum(1).clamp_min(1)).mean().item()


class Monitor:
    """On held-out names: line drawings retrieve posed colour drawings, and those are named. No Sketchmoji drawing."""

    def __init__(self, corpus: Corpus):
        g = torch.Generator().manual_seed(7)
        lines = [(drawing, n) for n, name in enumerate(corpus.held) for drawing in corpus.sketches[name][:3]]
        colours = [(drawing, n) for n, name in enumerate(corpus.held) for drawing in corpus.photos[name][:4]]
        lines, self.line_labels = torch.tensor(lines).T
        colours, self.colour_labels = torch.tensor(colours).T
        ink = corpus.mono[lines][:, :1].float() / 255
        smaller = torch.eye(2, 3).expand(len(lines), 2, 3) * 1.1
        self.sketches = 1 - warp(ink, smaller, RESOLUTION).expand(-1, 3, -1, -1)
        self.photos, _ = photo_view(corpus.premultiplied(colours), RESOLUTION, g)
        self.names = [corpus.names[i] for i in corpus.held]
        # the teacher itself, on drawings neither posed nor composed
        self.teacher = mean_average_precision(
            corpus.raw[lines], corpus.raw[colours], self.line_labels, self.colour_labels
        )

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> Dict[str, float]:
        """{"mAP", "top1", "top5"} in percent."""
        sketches, photos = (
            F.normalize(torch.cat([encode_image(model.visual, part)[0] for part in images.split(256)]), dim=1)
            for images in (self.sketches, self.photos)
        )
        order = (photos @ name_features(model, self.names).T).argsort(1, descending=True)
        right = (order == self.colour_labels[:, None]).float()
        return {
            "mAP": mean_average_precision(sketches, photos, self.line_labels, self.colour_labels),
            "top1": 100 * right[:, 0].mean().item(),
            "top5": 100 * right[:, :5].sum(1).mean().item(),
        }


class VisionTraining:
    """The vision tower's run: its state, one step, its checkpoint. The schedule follows the clock."""

    def __init__(self, model: nn.Module, corpus: Corpus, args: argparse.Namespace):
        self.model, self.corpus, self.args, self.heads = model, corpus, args, Heads()
        self.encode = partial(encode_image, dtype=args.dtype)
        if args.compile:
            self.encode = torch.compile(self.encode, dynamic=False)
        self.text = text_targets(corpus.names, args.work)[1][: len(corpus.names)]
        named = {**dict(model.named_parameters()), **dict(self.heads.named_parameters(prefix="heads"))}
        for name, parameter in named.items():
            parameter.requires_grad_(name.startswith(("visual", "heads")) or name == "logit_scale")
        plain = {n for n, p in named.items() if p.dim() < 2 or "embedding" in n}
        self.trained = [p for p in named.values() if p.requires_grad]
        groups = [
            {"params": [p for n, p in named.items() if p.requires_grad and n not in plain], "weight_decay": 0.05},
            {"params": [p for n, p in named.items() if p.requires_grad and n in plain], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98), fused=True)
        self.average = {name: value.clone() for name, value in model.visual.state_dict().items()}
        self.step_count, self.spent = 0, 0.0
        self.file = args.work / "vision.ckpt"
        if self.file.exists():
            self._load()
        self.rng = np.random.default_rng(args.seed + self.step_count)
        self.g = torch.Generator().manual_seed(args.seed + self.step_count)

    def _load(self) -> None:
        saved = torch.load(self.file, weights_only=True)
        self.model.visual.load_state_dict(saved["visual"])
        self.model.logit_scale.data.copy_(saved["logit_scale"])
        self.heads.load_state_dict(saved["heads"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.average, self.step_count, self.spent = saved["average"], saved["step"], saved["spent"]

    def save(self, spent: float) -> None:
        state = {
            "visual": self.model.visual.state_dict(),
            "logit_scale": self.model.logit_scale.detach(),
            "heads": self.heads.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average,
            "step": self.step_count,
            "spent": spent,
        }
        torch.save(state, self.file.with_suffix(".tmp"))
        self.file.with_suffix(".tmp").replace(self.file)  # a kill while writing leaves the older one

    def step(self, progress: float) -> Dict[str, float]:
        """One step at `progress` in [0, 1) of the run; returns the unweighted terms."""
        rate = self.args.lr * min(1, (self.step_count + 1) / WARMUP_STEPS) * (1 + math.cos(math.pi * progress)) / 2
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        fresh = self.args.start is None
        names = self.args.names * (1 if fresh and progress < DOUBLE_BATCH_FROM else 2)
        keep = None
        if progress < ALL_PATCHES_FROM:
            keep = torch.rand(2 * names, PATCHES, generator=self.g).topk(KEPT_PATCHES, 1).indices
        hardness = min(1.0, progress / HARDEST_FROM) if fresh else 1.0
        batch = self.corpus.batch(names, self.rng, self.g, hardness)
        terms = losses(self.model, self.heads, self.corpus, self.text, batch, keep, self.encode)
        self.optimiser.zero_grad(set_to_none=True)
        sum(WEIGHTS[name] * value for name, value in terms.items()).backward()
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimiser.step()
        self.step_count += 1
        decay = min(MAX_EMA_DECAY, (1 + self.step_count) / (10 + self.step_count))
        with torch.no_grad():
            for name, value in self.model.visual.state_dict().items():
                self.average[name].lerp_(value, 1 - decay)
        return {name: value.item() for name, value in terms.items()}

    def averaged(self) -> nn.Module:
        """The model with the running mean of the vision weights, as a separate copy."""
        model = build_clip()
        state = {**self.model.state_dict(), **{f"visual.{name}": value for name, value in self.average.items()}}
        model.load_state_dict(state)
        return model

    def run(self) -> nn.Module:
        """Train until the minutes are spent, with a report, a checkpoint and an export every few minutes.

        Returns the model with the last weights or their running mean, whichever does better on the held-out names.
        """
        monitor = Monitor(self.corpus)
        print(f"{len(monitor.names)} names held out; teacher's mAP, clean drawings: {monitor.teacher:.2f}", flush=True)
        began, shown, budget = time.time() - self.spent, {}, 60 * self.args.minutes
        reported = time.time()
        while (progress := (time.time() - began) / budget) < 1:
            for name, value in self.step(progress).items():
                shown[name] = 0.95 * shown.get(name, value) + 0.05 * value
            if self.step_count % 50 == 0:
                terms = " ".join(f"{name} {value:.3f}" for name, value in shown.items())
                print(f"step {self.step_count} {progress:.1%} {terms}", flush=True)
            if time.time() - reported > 60 * self.args.report_minutes:
                reported, model = time.time(), self.averaged()
                print("monitor", self.step_count, json.dumps(monitor(model)), flush=True)
                export(model, self.args.work / "latest.pt")
                self.save(time.time() - began)
        self.save(time.time() - began)
        ends = {"last": self.model, "average": self.averaged()}
        scores = {name: monitor(model) for name, model in ends.items()}
        print("final", self.step_count, json.dumps(scores), flush=True)
        return ends[max(ends, key=lambda name: scores[name]["mAP"])]


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "tinyclip", help="stages and checkpoints go here")
    parser.add_argument("--packages", type=Path, help="node_modules with the icon sets (default: that of --work)")
    parser.add_argument("--clipart", type=Path, help="unpacked openclipart-png (default: clipart in --work)")
    parser.add_argument("--output", type=Path, default=ASSET, help="folder for tinyclip.pt and corpus_hashes.npz")
    parser.add_argument("--text-minutes", type=float, default=10)
    parser.add_argument("--more-text", action="store_true", help="go on with the text tower, for --text-minutes more")
    parser.add_argument("--minutes", type=float, default=55, help="of the vision tower")
    parser.add_argument("--report-minutes", type=float, default=4)
    parser.add_argument("--names", type=int, default=32, help="names in a batch, two drawings each; doubled on the way")
    parser.add_argument("--lr", type=float, default=6e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--start", type=Path, help="tinyclip.pt whose towers to go on from")
    parser.add_argument("--bf16", action="store_true", help="products in bfloat16: faster with AVX512_BF16 or AMX")
    parser.add_argument("--compile", action="store_true", help="torch.compile the vision tower (needs a C++ compiler)")
    args = parser.parse_args(argv)
    args.dtype = torch.bfloat16 if args.bf16 else torch.float32
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    if not (args.work / "rows.json").exists():
        packages = args.packages or args.work / "node_modules"
        clipart = args.clipart or args.work / "clipart"
        prepare_corpus(packages, clipart / "usr" / "share" / "openclipart" / "png", args.work, args.threads)
    if not (args.work / "dense.npy").exists():
        precompute_teacher(args.work)
    corpus, model, text = Corpus(args.work), build_clip(), args.work / "text.pt"
    if args.start:
        model.load_state_dict(torch.jit.load(str(args.start)).float().state_dict())
    trained = text.exists() or args.start is not None
    if text.exists():
        model.load_state_dict({**model.state_dict(), **torch.load(text, weights_only=True)})
    if args.more_text or not trained:
        train_text(
            model,
            corpus.names,
            args.work,
            args.text_minutes,
            seed=args.seed + trained,
            fresh=not trained,
            dtype=args.dtype,
        )
        torch.save({name: v for name, v in model.state_dict().items() if not name.startswith("visual")}, text)
    export(VisionTraining(model, corpus, args).run(), args.output / "tinyclip.pt")
    np.savez_compressed(args.output / "corpus_hashes.npz", hashes=np.load(args.work / "hashes.npy"))


if __name__ == "__main__":
    main()
