"""Image encoders as files that need neither SpLIP nor its text encoder: ONNX, or what ``torch.export.load`` reads.

A file takes CLIP-normalised images (B, 3, side, side) float32 and gives embeddings (B, d) float32 of unit length, for
any B. What an image must look like (side, mean, standard deviation) stands in the file itself, as JSON;
:func:`read_encoder` returns it. ONNX needs ``pip install -e ".[export]"``.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple

import torch
from torch import Tensor

from splip.backbone import clip_dims
from splip.common.files import whole_file
from splip.common.modalities import MODALITIES
from splip.data.transforms import Preprocessing
from splip.models.base import RetrievalModel

FORMATS = ("onnx", "pt2")
METADATA = "splip.json"  # its name inside the file
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def metadata(model: RetrievalModel, preprocessing: Preprocessing, modality: str, backbone: str) -> Dict[str, Any]:
    """What a caller must know of an exported encoder; plain values."""
    return {
        "modality": modality,
        "backbone": backbone,
        "resolution": preprocessing.size,
        "resize": preprocessing.resize,
        "interpolation": preprocessing.interpolation,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "embed_dim": clip_dims(model.clip).embed_dim,
    }


@torch.no_grad()
def export_encoder(
    model: RetrievalModel, modality: str, path: Path, backbone: str = "", preprocessing: Optional[Preprocessing] = None
) -> None:
    """Write the encoder of ``modality`` to ``path``, whose ending says how: ``.onnx`` or ``.pt2``.

    Args:
        backbone: its name, for the file's metadata.
        preprocessing: how its images are made, likewise; default CLIP's way.

    Raises:
        ValueError: another ending, packages are missing, or see the model's ``image_encoder``.
    """
    kind = _kind(path)
    encoder = copy.deepcopy(model).cpu().image_encoder(modality).eval()
    side = clip_dims(model.clip).resolution
    images = torch.zeros(2, 3, side, side)
    program = torch.export.export(encoder, (images,), dynamic_shapes={"images": {0: torch.export.Dim("batch")}})
    preprocessing = preprocessing or Preprocessing(clip_dims(model.clip).resolution)
    about = json.dumps(metadata(model, preprocessing, modality, backbone))
    if kind == "pt2":
        content = io.BytesIO()  # torch's own writer ends the process where a disk is full
        torch.export.save(program, content, extra_files={METADATA: about})
        with whole_file(path) as file:
            file.write(content.getbuffer())
        return
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it lists every node that it does not fold
    onnx = torch.onnx.export(program, input_names=["images"], output_names=["embeddings"], dynamo=True, verbose=False)
    assert onnx is not None  # with dynamo
    onnx.model.metadata_props[METADATA] = about
    with whole_file(path) as file:
        file.write(onnx.model_proto.SerializeToString())


def read_encoder(path: Path) -> Tuple[Callable[[Tensor], Tensor], Dict[str, Any]]:
    """An exported encoder as a function of images, on the CPU, and its metadata.

    A ``.pt2`` file can run code: read only those of people that you trust.

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


def find_exported(folder: str) -> Dict[str, Path]:
    """The encoders of both modalities in a folder of ``splip export``, ONNX first; {} where one lacks."""
    for kind in FORMATS:
        paths = {modality: Path(folder, f"{modality}.{kind}") for modality in MODALITIES}
        if all(map(os.path.isfile, paths.values())):
            return paths
    return {}
