"""A trained run's image encoders as files that need neither SpLIP nor its text encoder.

    splip export --run output/sketchmoji/SpLIP/seed1 --output encoders [--format pt2]

Writes one encoder for each modality, ``sketch.onnx`` and ``photo.onnx`` (or ``.pt2``, which ``torch.export.load``
reads): CLIP-normalised images (B, 3, side, side) float32 -> embeddings (B, d) float32 of unit length, for any B. What
an image must look like (side, mean, standard deviation) stands in the file itself, as JSON; :func:`read_encoder`
returns it. Needs torch 2.6 or newer, and for ONNX ``pip install -e ".[export]"``.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splip.backbone import CLIP_MEAN, CLIP_STD, clip_dims
from splip.encoders import encode_patches, patch_embeddings
from splip.model import MODALITIES, SpLIP

FORMATS = ("onnx", "pt2")
METADATA = "splip.json"  # its name inside the file
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class ImageEncoder(nn.Module):
    """The encoder of one modality with its prompts as constants: ``SpLIP.encode`` as a function of images alone.

    Raises:
        ValueError: the prompts depend on the image (TEXT_CONDITIONING instance), or the modality is unknown.
    """

    def __init__(self, model: SpLIP, modality: str) -> None:
        super().__init__()
        if model.config.use_bt and model.config.text_conditioning == "instance":
            raise ValueError(
                "TRAINER.SPLIP.TEXT_CONDITIONING instance runs the text encoder for every image: "
                "there is no image encoder to export"
            )
        self.visual = model.visual(modality)
        self.prompts = model.prepare_inference(modality)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, side, side) -> (B, d)."""
        features = encode_patches(self.visual, patch_embeddings(self.visual, images), self.prompts)
        return F.normalize(features, dim=-1)


def metadata(model: SpLIP, modality: str, backbone: str) -> Dict[str, Any]:
    """What a caller must know of an exported encoder; plain values."""
    dims = clip_dims(model.clip)
    return {
        "modality": modality,
        "backbone": backbone,
        "resolution": dims.resolution,
        "mean": list(CLIP_MEAN),
        "std": list(CLIP_STD),
        "embed_dim": dims.embed_dim,
    }


@torch.no_grad()
def export_encoder(model: SpLIP, modality: str, path: Path, backbone: str = "") -> None:
    """Write the encoder of ``modality`` to ``path``, whose ending says how: ``.onnx`` or ``.pt2``.

    Args:
        backbone: its name, for the file's metadata.

    Raises:
        ValueError: another ending, torch is too old, packages are missing, or see :class:`ImageEncoder`.
    """
    kind = _kind(path)
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 6):
        raise ValueError(f"exporting an encoder needs torch 2.6 or newer, this is {torch.__version__}")
    encoder = ImageEncoder(copy.deepcopy(model).cpu(), modality).eval()
    images = torch.zeros(2, 3, *2 * [model.clip.visual.input_resolution])
    program = torch.export.export(encoder, (images,), dynamic_shapes={"images": {0: torch.export.Dim("batch")}})
    about = json.dumps(metadata(model, modality, backbone))
    if kind == "pt2":
        torch.export.save(program, path, extra_files={METADATA: about})
        return
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it lists every node that it does not fold
    names = {"input_names": ["images"], "output_names": ["embeddings"]}
    onnx = torch.onnx.export(program, **names, dynamo=True, verbose=False)
    onnx.model.metadata_props[METADATA] = about
    onnx.save(path)


def read_encoder(path: Path) -> Tuple[Callable[[Tensor], Tensor], Dict[str, Any]]:
    """An exported encoder as a function of images, on the CPU, and its metadata.

    Raises:
        ValueError: the file's ending is neither ``.onnx`` nor ``.pt2``, or packages are missing.
    """
    if _kind(path) == "pt2":
        files = {METADATA: ""}
        encode = torch.export.load(path, extra_files=files).module()
        return torch.no_grad()(encode), json.loads(files[METADATA])
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map[METADATA])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0]), about


def _kind(path: Path) -> str:
    """The format that a file name asks for, once what it needs is known to be there."""
    kind = path.suffix[1:]
    if kind not in FORMATS:
        raise ValueError(f"an encoder is exported as one of {FORMATS}, got the file name {path.name!r}")
    missing = [name for name in ONNX_PACKAGES if find_spec(name) is None] if kind == "onnx" else []
    if missing:
        raise ValueError(f'ONNX needs the packages {", ".join(missing)}: pip install -e ".[export]"')
    return kind


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip export``."""
    parser.add_argument("--run", required=True, help="output folder of a training run")
    parser.add_argument("--output", type=Path, required=True, help="folder for the two encoders")
    parser.add_argument("--format", choices=FORMATS, default="onnx")


def run(args: argparse.Namespace) -> int:
    """Export both encoders of a run and print their paths -> exit status 0; errors as :func:`export_encoder`."""
    from yacs.config import CfgNode

    from splip.cli.search import load_run

    model = load_run(args.run)
    with open(Path(args.run) / "config.yaml", encoding="utf-8") as file:
        backbone = CfgNode.load_cfg(file).MODEL.BACKBONE.NAME
    args.output.mkdir(parents=True, exist_ok=True)
    for modality in MODALITIES:
        path = args.output / f"{modality}.{args.format}"
        export_encoder(model, modality, path, backbone)
        print(path)
    return 0
