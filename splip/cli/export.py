"""Export a trained model for others: the whole model, a copy on a hub, or only its image encoders.

    splip export --model output/sketchmoji/SpLIP/seed1 --output shared --format pretrained   # splip.load_model reads it
    splip export --model output/sketchmoji/SpLIP/seed1 --output encoders [--format pt2]      # sketch.onnx, photo.onnx
    splip export --model output/sketchmoji/SpLIP/seed1 --push-to-hub owner/name

`splip.models.exported` describes the inputs and outputs of the encoders.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any, Dict, Optional

from splip.cli import add_model, check_model
from splip.common.modalities import MODALITIES

FORMATS = ("onnx", "pt2")  # of encoders, as in splip.models.exported, which is slow to import
PRETRAINED = "pretrained"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip export``."""
    add_model(parser, required=True)
    parser.add_argument("--output", type=Path, help="folder for what is written")
    parser.add_argument("--format", choices=(*FORMATS, PRETRAINED), default=FORMATS[0])
    parser.add_argument("--push-to-hub", default="", metavar="OWNER/NAME", help="upload it as --format pretrained")


def run(args: argparse.Namespace) -> int:
    """Write the requested files and print their paths -> exit status 0.

    Raises:
        ValueError: neither a folder nor a name on the hub is given; or as :func:`splip.models.load.load_model`,
            :func:`splip.models.exported.export_encoder`, :func:`splip.models.pretrained.save` and ``push``.
    """
    if not (args.output or args.push_to_hub):
        raise ValueError("--output FOLDER or --push-to-hub OWNER/NAME is needed")
    check_model(args.model)
    from splip.models.exported import export_encoder
    from splip.models.load import load_model

    loaded = load_model(args.model, backbone=args.backbone)
    model, recipe = loaded.source, getattr(loaded.source, "recipe", None)
    if model is None or recipe is None:
        raise ValueError(f"{args.model} holds exported encoders already")
    if args.push_to_hub:
        print(model.push_to_hub(args.push_to_hub, results=_results(args.model)))
    if args.output is None:
        return 0
    if args.format == PRETRAINED:
        print(model.save_pretrained(args.output, results=_results(args.model)))
        return 0
    args.output.mkdir(parents=True, exist_ok=True)
    for modality in MODALITIES:
        path = args.output / f"{modality}.{args.format}"
        export_encoder(model, modality, path, model.clip.splip_info.name, loaded.preprocessing)
        print(path)
    return 0


def _results(folder: str) -> Optional[Dict[str, Any]]:
    """A finished run's results.json, or None if there is none."""
    path = os.path.join(folder, "results.json")
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as file:
        return json.load(file)
