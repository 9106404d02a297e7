"""Search your own photos with drawings.

    splip search --run output/sketchmoji/SpLIP/seed1 --photos ~/Pictures drawing.png [another.png ...]

Prints the nearest photos of each drawing and draws them into a contact sheet. A drawing is dark lines on white,
as the model's training sketches are.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Iterator, Sequence, Tuple

import torch
from PIL import Image
from torch import Tensor

import splip.trainers  # noqa: F401  (registers them)
from splip.cli import add_run
from splip.data.transforms import to_tensor
from splip.images import describe_skipped, find_images, open_rgb
from splip.retrieval import contact_sheet, topk
from splip.training.evaluation import embed
from splip.training.runs import Run, load_run


def embed_files(run: Run, paths: Sequence[Path], modality: str, batch_size: int = 64) -> Tensor:
    """Embeddings of image files, (n, d) float32 on the CPU.

    Raises:
        ValueError: a file cannot be read; it is named.
    """
    return embed(run.model, _read(run, paths, batch_size), modality, run.model.device)


def _read(run: Run, paths: Sequence[Path], batch_size: int) -> Iterator[Tensor]:
    for start in range(0, len(paths), batch_size):
        pictures = [open_rgb(str(path)) for path in paths[start : start + batch_size]]
        pixels = torch.stack([to_tensor(run.preprocessing.pixels(picture)) for picture in pictures])
        yield run.preprocessing.normalize(pixels.to(run.model.device))


def search(run: Run, sketches: Sequence[Path], photos: Sequence[Path], top: int = 10) -> Tuple[Tensor, Tensor]:
    """Cosines and positions of the ``top`` nearest photos, best first: two (sketches, top)."""
    query, gallery = embed_files(run, sketches, "sketch"), embed_files(run, photos, "photo")
    return topk(query, gallery, min(top, len(photos)))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip search``."""
    parser.add_argument("sketches", type=Path, nargs="+", help="drawings, dark lines on white")
    parser.add_argument("--photos", type=Path, required=True, help="folder that is searched, with its sub-folders")
    add_run(parser)
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--sheet", type=Path, default=Path("search.png"), help="picture of the results")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


def run(args: argparse.Namespace) -> int:
    """Search, print and draw -> exit status 0; errors as `load_run`, `find_images` and :func:`embed_files`."""
    if args.top < 1:
        raise ValueError(f"--top must be at least 1, got {args.top}")
    photos, skipped = find_images(args.photos.expanduser())
    if skipped:
        print(f"{len(photos):,} images below {args.photos}; skipped: {describe_skipped(skipped)}")
    scores, found = search(load_run(args.run, args.device, args.backbone), args.sketches, photos, args.top)
    rows = []
    for sketch, cosines, positions in zip(args.sketches, scores.tolist(), found.tolist()):
        print(sketch)
        for cosine, position in zip(cosines, positions):
            print(f"  {cosine:.3f}  {photos[position]}")
        hits = [(_thumbnail(photos[i]), None, photos[i].name) for i in positions]
        rows.append((_thumbnail(sketch), hits, sketch.stem))
    print(contact_sheet(rows, args.sheet))
    return 0


def _thumbnail(path: Path, side: int = 224) -> Image.Image:
    image = open_rgb(str(path))
    image.thumbnail((side, side))
    return image
