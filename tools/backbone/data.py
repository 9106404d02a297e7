"""The rendered corpus in memory: which drawings bear which name, batches of pairs, and the teacher's features."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Tuple

import numpy as np
import torch
import torch.nn.functional as F
from augment import colourise, mix_colours, outline, photo_view, sketch_view
from corpus import PALETTE_SETS
from targets import fit_projection
from torch import Tensor
from towers import RESOLUTION

TEACHER_DIMS = 256
HELD_OUT = 12  # one in so many of the names that have both line and colour drawings is never trained on


class Corpus:
    """Drawings are numbered through, one-colour ones first; names are numbered in alphabetical order.

    Attributes:
        sketches, photos: for each name, its one-colour and its colour drawings.
        held, train: names held out for monitoring, and all others.
        raw: unit pooled features of the teacher, each kind of drawing centred on its own, (n, 1280).
        teacher: `raw` in `TEACHER_DIMS` principal components, unit, (n, 256).
        dense: the teacher's centred map, (n, 64, 5, 5) float16.
    """

    def __init__(self, work: Path):
        self.mono = torch.from_numpy(np.load(work / "mono.npy"))  # (n, 2, H, W): coverage, regions
        self.colour = torch.from_numpy(np.load(work / "colour.npy"))  # (m, 4, H, W): RGBA
        rows = json.loads((work / "rows.json").read_text("utf-8"))
        self.palette = torch.tensor([row["set"] in PALETTE_SETS for row in rows])
        self.names = sorted({row["name"] for row in rows})
        index = {name: i for i, name in enumerate(self.names)}
        self.sketches, self.photos = [[] for _ in self.names], [[] for _ in self.names]
        for i, row in enumerate(rows):
            (self.photos if row["colour"] else self.sketches)[index[row["name"]]].append(i)
        both = [i for i in range(len(self.names)) if self.sketches[i] and self.photos[i]]
        self.held = [i for i in both if zlib.crc32(self.names[i].encode()) % HELD_OUT == 0]
        self.train = sorted(set(range(len(self.names))) - set(self.held))
        weight = np.array([self._sampling_weight(i) for i in self.train])
        self.weight = weight / weight.sum()
        self._load_teacher(work)

    def _sampling_weight(self, name: int) -> float:
        """Things drawn often are what the world is full of; names with both kinds teach across styles."""
        count = len(self.sketches[name]) + len(self.photos[name])
        return min(count, 24) * (2.0 if self.sketches[name] and self.photos[name] else 1.0)

    def _load_teacher(self, work: Path) -> None:
        pooled = torch.from_numpy(np.load(work / "pooled.npy")).float()
        for part in (pooled[: len(self.mono)], pooled[len(self.mono) :]):
            part -= part.mean(0)
        self.raw = F.normalize(pooled, dim=1)
        self.teacher = F.normalize(self.raw @ fit_projection(self.raw, TEACHER_DIMS, power=0.15), dim=1)
        self.dense = torch.from_numpy(np.load(work / "dense.npy"))
        self.dense -= self.dense.float().mean((0, 2, 3), keepdim=True).half()

    def rgba(self, index: Tensor, g: torch.Generator) -> Tensor:
        """Drawings as premultiplied RGBA in [0, 1], (n, 4, H, W): one-colour ones painted, palettes mixed."""
        out = torch.empty(len(index), 4, *self.mono.shape[2:])
        line = index < len(self.mono)
        if line.any():
            part = self.mono[index[line]]
            out[line] = colourise(part[:, 0].float() / 255, part[:, 1], g)
        if not line.all():
            part = self.colour[index[~line] - len(self.mono)].float() / 255
            amount = torch.rand(len(part), generator=g)
            # a palette says nothing of the object; other drawings keep their colours mostly
            amount = torch.where(self.palette[index[~line]], amount, (amount < 0.15).float() * amount * 4)
            rgb = mix_colours(part[:, :3], amount, g)
            out[~line] = torch.cat([rgb * part[:, 3:], part[:, 3:]], 1)
        return out

    def coverage(self, index: Tensor, g: torch.Generator) -> Tensor:
        """Drawings as ink coverage in [0, 1], (n, H, W): colour ones by their outlines."""
        out = torch.empty(len(index), *self.mono.shape[2:])
        line = index < len(self.mono)
        out[line] = self.mono[index[line]][:, 0].float() / 255
        if not line.all():
            out[~line] = outline(self.premultiplied(index[~line]), g)
        return out

    def premultiplied(self, index: Tensor) -> Tensor:
        """Colour drawings as they are, premultiplied RGBA in [0, 1], (n, 4, H, W)."""
        part = self.colour[index - len(self.mono)].float() / 255
        return torch.cat([part[:, :3] * part[:, 3:], part[:, 3:]], 1)

    def batch(
        self, count: int, rng: np.random.Generator, g: torch.Generator, hardness: float
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        """`count` names, two drawings of each where there are two: views (2 * count, 3, H, W), sketches then photos,
        their transforms (2 * count, 2, 3), the drawings (2 * count,) and the names (count,)."""
        names = rng.choice(self.train, count, replace=False, p=self.weight)
        sketch, photo = [], []
        for i in names:
            lines, colours = self.sketches[i], self.photos[i]
            sketch.append(rng.choice(lines if lines and (not colours or rng.random() < 0.85) else colours))
            photo.append(rng.choice(colours if colours and (not lines or rng.random() < 0.8) else lines))
        sketch, photo = torch.tensor(np.array(sketch)), torch.tensor(np.array(photo))
        a, theta_a = sketch_view(self.coverage(sketch, g), RESOLUTION, g)
        b, theta_b = photo_view(self.rgba(photo, g), RESOLUTION, g, hardness)
        return torch.cat([a, b]), torch.cat([theta_a, theta_b]), torch.cat([sketch, photo]), torch.from_numpy(names)
