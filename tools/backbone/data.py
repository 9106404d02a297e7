"""The corpus in memory, and the views of it: the trunk's maps of every drawing seen as a sketch and as a posed
scene.
"""

from __future__ import annotations

import json
import time
import zlib
from pathlib import Path
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from augment import colourise, mix_colours, outline, photo_view, sketch_view, uniform
from corpus import PALETTE_SETS
from PIL import Image
from torch import Tensor
from towers import GRID, RESOLUTION

HELD_OUT = 12  # one in so many of the names that have both line and colour drawings is never trained on
SKETCH, PHOTO, PHOTOGRAPH = 0, 1, 2  # kinds of view
# Views of each drawing. Fixed views are learned by heart when they are few: a colour drawing has more, as there are
# fewer of them.
VIEWS = {"mono": {SKETCH: 2, PHOTO: 2}, "colour": {SKETCH: 3, PHOTO: 5}}
CROPS = 60  # of each photograph
TRUNK_WIDTH = 320


class Corpus:
    """Drawings are numbered through, one-colour ones first; names are numbered in alphabetical order.

    Attributes:
        label: (n,) long, the name of each drawing.
        sketches, photos: for each name, its one-colour and its colour drawings.
        held: names held out for monitoring.
    """

    def __init__(self, work: Path):
        self.mono = torch.from_numpy(np.load(work / "mono.npy"))  # (n, 2, H, W): coverage, regions
        self.colour = torch.from_numpy(np.load(work / "colour.npy"))  # (m, 4, H, W): RGBA
        rows = json.loads((work / "rows.json").read_text("utf-8"))
        self.palette = torch.tensor([row["set"] in PALETTE_SETS for row in rows])
        self.names = sorted({row["name"] for row in rows})
        index = {name: i for i, name in enumerate(self.names)}
        self.label = torch.tensor([index[row["name"]] for row in rows])
        self.sketches: List[List[int]] = [[] for _ in self.names]
        self.photos: List[List[int]] = [[] for _ in self.names]
        for i, row in enumerate(rows):
            (self.photos if row["colour"] else self.sketches)[index[row["name"]]].append(i)
        both = [i for i in range(len(self.names)) if self.sketches[i] and self.photos[i]]
        self.held = [i for i in both if zlib.crc32(self.names[i].encode()) % HELD_OUT == 0]

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

    def view(self, kind: int, index: Tensor, g: torch.Generator) -> Tensor:
        """The drawings as sketches or as posed scenes, (n, 3, RESOLUTION, RESOLUTION) in [0, 1]."""
        if kind == SKETCH:
            return sketch_view(self.coverage(index, g), RESOLUTION, g)[0]
        return photo_view(self.rgba(index, g), RESOLUTION, g)[0]


def photograph_crops(path: Path, count: int, g: torch.Generator) -> Tensor:
    """Square crops of a photograph, flipped at random, (count, 3, RESOLUTION, RESOLUTION) in [0, 1]."""
    with Image.open(path) as image:
        image.draft("RGB", (1280, 1280))  # a JPEG is decoded at an eighth to a half of its size
        image = image.convert("RGB")
    image.thumbnail((1280, 1280), Image.BICUBIC)
    crops = []
    for share, across, down, flip in uniform(g, count, 4).tolist():
        side = int(min(image.size) * (0.3 + 0.7 * share))
        left, top = int((image.width - side) * across), int((image.height - side) * down)
        crop = image.resize((RESOLUTION, RESOLUTION), Image.BICUBIC, box=(left, top, left + side, top + side))
        crops.append(np.array(crop)[:, ::-1] if flip < 0.5 else np.array(crop))
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


def make_views(
    corpus: Corpus, photographs: Sequence[Path], trunk: Callable[[Tensor], Tensor], work: Path, batch: int = 64
) -> None:
    """Write maps.npy (views, 320, GRID, GRID) float16 and views.npz: the drawing (-1 of a photograph) and kind of
    each view.

    Held-out names have no view.
    """
    kept = ~torch.isin(corpus.label, torch.tensor(corpus.held))
    every = torch.arange(len(corpus.label))
    parts = {"mono": every[: len(corpus.mono)], "colour": every[len(corpus.mono) :]}
    plan = [
        (kind, rows)
        for part, kinds in VIEWS.items()
        for kind, times in kinds.items()
        for rows in [parts[part][kept[parts[part]]]] * times
    ]
    total = sum(len(rows) for _, rows in plan) + CROPS * len(photographs)
    shape = (total, TRUNK_WIDTH, GRID, GRID)
    maps = np.lib.format.open_memmap(work / "maps.part.npy", mode="w+", dtype=np.float16, shape=shape)
    drawing, kinds = np.full(total, -1), np.full(total, PHOTOGRAPH, np.uint8)
    done, began = 0, time.time()
    for kind, rows, images in _batches(corpus, plan, photographs, batch):
        stop = done + len(images)
        maps[done:stop] = trunk(images).numpy()
        drawing[done:stop], kinds[done:stop] = rows, kind
        done = stop
        if done // 20_000 != (done - len(images)) // 20_000:
            print(f"views {done:,} of {total:,}, {done / (time.time() - began):.0f} a second", flush=True)
    maps.flush()
    np.savez(work / "views.npz", drawing=drawing, kind=kinds)
    (work / "maps.part.npy").rename(work / "maps.npy")  # last: a kill before it leaves nothing that looks finished


def _batches(corpus: Corpus, plan, photographs: Sequence[Path], batch: int) -> Iterator[Tuple[int, object, Tensor]]:
    g = torch.Generator().manual_seed(3)
    for kind, rows in plan:
        for some in rows.split(batch):
            yield kind, some.numpy(), corpus.view(kind, some, g)
    for path in photographs:
        for some in photograph_crops(path, CROPS, g).split(batch):
            yield PHOTOGRAPH, -1, some


class Views:
    """The kept views, drawn in batches; rare names and photographs as often as their number's square root says.

    Attributes:
        name: (views,) long, the name of each view's drawing; -1 of a photograph.
    """

    def __init__(self, corpus: Corpus, work: Path, seed: int) -> None:
        self.maps = np.load(work / "maps.npy", mmap_mode="r")
        saved = np.load(work / "views.npz")
        drawing, self.kind = torch.from_numpy(saved["drawing"]), torch.from_numpy(saved["kind"])
        self.name = torch.where(drawing >= 0, corpus.label[drawing.clamp(min=0)], -1)
        groups = torch.where(self.name >= 0, self.name, len(corpus.names))
        count = torch.bincount(groups).float()
        weight = count[groups].rsqrt()
        weight[self.name < 0] = 1.0
        self.cumulative, self.g = weight.double().cumsum(0), torch.Generator().manual_seed(seed)

    def draw(self, count: int) -> Tuple[Tensor, Tensor, Tensor]:
        """Maps (count, 320, GRID, GRID) float32, names and kinds (count,)."""
        point = torch.rand(count, generator=self.g, dtype=torch.float64) * self.cumulative[-1]
        index = torch.searchsorted(self.cumulative, point).clamp(max=len(self.name) - 1)
        index = index.sort().values  # in order, as the file is read
        return torch.from_numpy(self.maps[index.numpy()]).float(), self.name[index], self.kind[index]


def held_out_views(corpus: Corpus, trunk: Callable[[Tensor], Tensor]) -> Dict[str, Tuple[Tensor, Tensor]]:
    """Of the held-out names: {"sketch", "photo"} -> maps and labels. Up to 3 line drawings and 4 colour drawings
    of each.
    """
    g, found = torch.Generator().manual_seed(7), {}
    for key, kind, drawings, most in (("sketch", SKETCH, corpus.sketches, 3), ("photo", PHOTO, corpus.photos, 4)):
        pairs = [(drawing, label) for label, name in enumerate(corpus.held) for drawing in drawings[name][:most]]
        index, labels = torch.tensor(pairs).T
        maps = [trunk(F.relu(corpus.view(kind, some, g))).float() for some in index.split(64)]
        found[key] = torch.cat(maps), labels
    return found
