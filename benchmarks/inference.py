"""Embedding images with SpLIP on ViT-B/32 (random weights, cached text side), compared with CLIP's ``encode_image``.

    python benchmarks/inference.py [--small] [--json FILE]

The exported encoders (`splip.models.exported`) are also measured; ONNX if its packages are installed.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import torch
import torch.nn.functional as F
from common import measure, parser, random_clip, report
from counts import count
from torch import Tensor

from splip import SpLIP
from splip.models.exported import FORMATS, export_encoder, read_encoder

BATCHES = {"cpu": (1, 32, 128), "cuda": (1, 32, 128, 1024)}
CLASSES = ["airplane", "alarm clock", "ant"]  # the text side is cached: their number does not matter
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


@torch.no_grad()
def embed(encode: Callable[[Tensor], Tensor], images: Tensor, dtype: Optional[torch.dtype]) -> Tensor:
    with torch.autocast(images.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        return encode(images)


def encoders(small: bool, folder: Path, device: str) -> Dict[str, Callable[[Tensor], Tensor]]:
    """Functions of images (B, 3, H, W), by name: "CLIP", "SpLIP", and on the CPU its exported forms."""
    clip, plain = random_clip(small, device), random_clip(small, device)
    model = SpLIP(clip, CLASSES).eval()
    found = {"CLIP": lambda images: F.normalize(plain.encode_image(images).float(), dim=-1)}
    found["SpLIP"] = partial(model.encode, modality="photo")
    for kind in FORMATS if device == "cpu" else ():
        path = folder / f"photo.{kind}"
        try:
            export_encoder(model, "photo", path)
        except ValueError as error:
            print(f"not measured: {error}", file=sys.stderr)
        else:
            found[f"exported, {kind}"] = read_encoder(path)[0]
    return found


def rows(small: bool, repeats: int, folder: Path, device: str) -> List[Dict[str, Any]]:
    """Images per second, and the ratio to CLIP's, for each precision, batch size and encoder."""
    found = encoders(small, folder, device)
    side = 48 if small else 224
    batches = {size: torch.randn(size, 3, side, side).to(device) for size in ((1, 4) if small else BATCHES[device])}
    seconds = measure(
        {
            (precision, size, name): partial(embed, encode, images, dtype)
            for precision, dtype in PRECISIONS.items()
            for size, images in batches.items()
            for name, encode in found.items()
            if dtype is None or not name.startswith("exported")  # exported ones always use fp32
        },
        repeats,
    )
    table = []
    for (precision, size, name), value in seconds.items():
        reference, actual = (embed(found[n], batches[size], PRECISIONS[precision]) for n in ("SpLIP", name))
        table.append({
            "precision": precision, "batch": size, "encoder": name, "images / s": size / value,
            "x CLIP": seconds[precision, size, "CLIP"] / value,
            "largest difference from SpLIP": (actual - reference).abs().max().item(),
            **count(partial(embed, found[name], batches[size], PRECISIONS[precision]), device),
        })  # fmt: skip
    return table


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parser(__doc__.splitlines()[0]).parse_args(argv)
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        table = rows(args.small, args.repeats or (1 if args.small else 5), Path(folder), args.device)
    report(table, f"Embedding images, {'tiny CLIP' if args.small else 'ViT-B/32'}", args.json)


if __name__ == "__main__":
    main()
