"""Search your own photos with drawings.

    splip search --run output/sketchmoji/SpLIP/seed1 --photos ~/Pictures drawing.png [another.png ...]

Prints the nearest photos of each drawing and draws them into a contact sheet. A drawing is dark lines on white,
as the model's training sketches are.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Sequence, Tuple

import torch
from PIL import Image
from torch import Tensor

from splip.backbone import backbone_fingerprint, clip_dims, load_clip
from splip.config import SpLIPConfig
from splip.images import describe_skipped, find_images, open_rgb
from splip.model import SpLIP
from splip.retrieval import contact_sheet, topk


def load_run(folder: str, device: str = "cpu") -> SpLIP:
    """The model that ``train.py`` left in ``folder``, in ``eval()`` mode; the data set is not needed.

    Raises:
        FileNotFoundError: there is no checkpoint, or no ``config.yaml``. ValueError: the checkpoint is damaged, or
            of another backbone than the one that its config names.
    """
    from yacs.config import CfgNode

    from splip.training import checkpoints

    directory = os.path.join(folder, "splip")
    best = os.path.join(directory, checkpoints.BEST)
    path = best if os.path.isfile(best) else checkpoints.newest(directory)
    if path is None:
        wanted = os.path.join(directory, checkpoints.POINTER)
        raise FileNotFoundError(f"no checkpoint in {folder!r}: looked for {wanted}")
    state = checkpoints.read(path, torch.device(device))
    with open(os.path.join(folder, "config.yaml"), encoding="utf-8") as file:
        backbone = CfgNode.load_cfg(file).MODEL.BACKBONE.NAME
    clip, saved = load_clip(backbone, device), state["fingerprint"]
    checkpoints.require_equal(saved["backbone"], checkpoints.plain(backbone_fingerprint(clip)), path)
    settings = {name.lower(): value for name, value in saved["TRAINER.SPLIP"].items()}
    model = SpLIP(clip, saved["classes"], SpLIPConfig(**settings)).to(device)
    model.trainable.load_state_dict(state["state_dict"])
    return model.eval()


@torch.no_grad()
def embed(model: SpLIP, paths: Sequence[Path], modality: str, batch_size: int = 64) -> Tensor:
    """Embeddings of image files, (n, d) float32 on the CPU.

    Raises:
        ValueError: a file cannot be read; it is named.
    """
    from splip.data.transforms import normalize, to_pixels, to_tensor

    size, device = clip_dims(model.clip).resolution, model.class_similarity.device
    parts = []
    for start in range(0, len(paths), batch_size):
        pixels = [to_tensor(to_pixels(open_rgb(str(path)), size)) for path in paths[start : start + batch_size]]
        parts.append(model.encode(normalize(torch.stack(pixels).to(device)), modality).cpu())
    return torch.cat(parts)


def search(model: SpLIP, sketches: Sequence[Path], photos: Sequence[Path], top: int = 10) -> Tuple[Tensor, Tensor]:
    """Cosines and positions of the ``top`` nearest photos, best first: two (sketches, top)."""
    query, gallery = embed(model, sketches, "sketch"), embed(model, photos, "photo")
    return topk(query, gallery, min(top, len(photos)))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip search``."""
    parser.add_argument("sketches", type=Path, nargs="+", help="drawings, dark lines on white")
    parser.add_argument("--photos", type=Path, required=True, help="folder that is searched, with its sub-folders")
    parser.add_argument("--run", required=True, help="output folder of a training run")
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--sheet", type=Path, default=Path("search.png"), help="picture of the results")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")


def run(args: argparse.Namespace) -> int:
    """Search, print and draw -> exit status 0; errors as :func:`load_run`, `find_images` and :func:`embed`."""
    photos, skipped = find_images(args.photos.expanduser())
    if skipped:
        print(f"{len(photos):,} images below {args.photos}; skipped: {describe_skipped(skipped)}")
    scores, found = search(load_run(args.run, args.device), args.sketches, photos, args.top)
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

