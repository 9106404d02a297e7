"""Image encoders as files that need neither SpLIP nor its text encoder: ONNX, or ``torch.export`` files (.pt2).

The input is CLIP-normalised images (B, 3, side, side) float32, the output is embeddings (B, d) float32 of unit length,
for any B (ONNX: ``images`` (batch, 3, side, side) -> ``embeddings`` (batch, d)). An ONNX file cannot contain more than
2 GB of weights; larger weights are in a second file next to it (``sketch.onnx.<number>.data``), and both are needed.
The file itself contains the preprocessing (side, mean, standard deviation) and the training classes as JSON;
:func:`read_encoder` returns them. ONNX needs ``pip install -e ".[export]"``.
"""

from __future__ import annotations

import copy
import errno
import glob
import io
import json
import logging
import os
import secrets
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from torch import Tensor

from splip.backbone import clip_dims
from splip.common.errors import is_full
from splip.common.files import whole_file
from splip.common.modalities import MODALITIES
from splip.data.transforms import Preprocessing
from splip.models.base import RetrievalModel
from splip.models.seen import trained_classes

FORMATS = ("onnx", "pt2")
METADATA = "splip.json"  # name of the metadata inside the file
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
LARGEST = 2**31 - 2**24  # most bytes of weights in an ONNX file; the rest of 2 GB is for the graph


def metadata(model: RetrievalModel, preprocessing: Preprocessing, modality: str, backbone: str) -> Dict[str, Any]:
    """What a caller must know about an exported encoder, as plain values."""
    return {
        "modality": modality,
        "backbone": backbone,
        "resolution": preprocessing.size,
        "resize": preprocessing.resize,
        "interpolation": preprocessing.interpolation,
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "embed_dim": clip_dims(model.clip).embed_dim,
        "classes": trained_classes(model),
    }


@torch.no_grad()
def export_encoder(
    model: RetrievalModel, modality: str, path: Path, backbone: str = "", preprocessing: Optional[Preprocessing] = None
) -> None:
    """Write the encoder of ``modality`` to ``path``; its suffix, ``.onnx`` or ``.pt2``, selects the format.

    Args:
        backbone: the backbone's name, for the file's metadata.
        preprocessing: of its images, for the metadata; default: CLIP's.

    Raises:
        ValueError: the suffix is another one, packages are missing, or see the model's ``image_encoder``.
    """
    kind = _kind(path)
    encoder = copy.deepcopy(model).cpu().image_encoder(modality).eval()
    side = clip_dims(model.clip).resolution
    images = torch.zeros(2, 3, side, side)
    batch = torch.export.Dim("batch", max=2**31 - 1)  # torch 2.6 cannot prove that it is not the largest integer
    program = torch.export.export(encoder, (images,), dynamic_shapes={"images": {0: batch}})
    preprocessing = preprocessing or Preprocessing(clip_dims(model.clip).resolution)
    about = json.dumps(metadata(model, preprocessing, modality, backbone))
    if kind == "pt2":
        content = io.BytesIO()  # torch's own file writer ends the process if the disk is full
        torch.export.save(program, content, extra_files={METADATA: about})
        with whole_file(path) as file:
            file.write(content.getbuffer())
        return
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it logs every node that it does not fold
    onnx = torch.onnx.export(
        program, input_names=["images"], output_names=["embeddings"], dynamic_shapes={"images": {0: "batch"}},
        dynamo=True, verbose=False,
    )  # fmt: skip
    assert onnx is not None  # with dynamo
    onnx.model.metadata_props[METADATA] = about
    _write_onnx(onnx, path)


def _write_onnx(onnx: Any, path: Path) -> None:
    """Write a program; weights above LARGEST go into a second file. The old files stay until all is written."""
    from onnx_ir.external_data import unload_from_model

    before, data = weights_beside(path), path.with_name(f"{path.name}.{secrets.token_hex(4)}.data")
    large = sum(value.const_value.nbytes for value in onnx.model.graph.initializers.values()) > LARGEST
    try:
        if large:
            unload_from_model(onnx.model, path.parent, data.name, size_threshold_bytes=1024)  # shapes stay in the graph
            with open(data, "rb") as file:
                os.fsync(file.fileno())
        with whole_file(path) as file:
            file.write(onnx.model_proto.SerializeToString())
    except BaseException as error:
        data.unlink(missing_ok=True)
        if is_full(error) and not isinstance(error, OSError):
            raise OSError(errno.ENOSPC, "No space left to write", os.fspath(data)) from error
        raise
    for old in before:
        old.unlink()


def weights_beside(path: Path) -> List[Path]:
    """The weight files of an ONNX file, as :func:`export_encoder` names them."""
    return sorted(path.parent.glob(f"{glob.escape(path.name)}.*.data"))


def read_encoder(path: Path) -> Tuple[Callable[[Tensor], Tensor], Dict[str, Any]]:
    """An exported encoder as a function of images on the CPU, and its metadata.

    A ``.pt2`` file can run code: read it only from people whom you trust.

    Raises:
        ValueError: the suffix is neither ``.onnx`` nor ``.pt2``, packages are missing, or ONNX Runtime cannot read
            the file.
    """
    if _kind(path) == "pt2":
        files = {METADATA: ""}
        encode = torch.export.load(path, extra_files=files).module()
        return torch.no_grad()(encode), json.loads(files[METADATA])
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has its own types
        said = " ".join(str(error).split())[:200]
        raise ValueError(f"cannot read {path} (its weights may lie in a .data file beside it): {said}") from error
    about = json.loads(session.get_modelmeta().custom_metadata_map[METADATA])
    return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0]), about


def _kind(path: Path) -> str:
    """The format that a file name asks for, after a check that its packages are installed."""
    kind = path.suffix[1:]
    if kind not in FORMATS:
        raise ValueError(f"an encoder is exported as one of {FORMATS}, got the file name {path.name!r}")
    missing = [name for name in ONNX_PACKAGES if find_spec(name) is None] if kind == "onnx" else []
    if missing:
        raise ValueError(f'ONNX needs the packages {", ".join(missing)}: pip install -e ".[export]"')
    return kind


def find_exported(folder: str) -> Dict[str, Path]:
    """The encoders of both modalities in a folder of ``splip export``, ONNX first; {} if one is missing."""
    for kind in FORMATS:
        paths = {modality: Path(folder, f"{modality}.{kind}") for modality in MODALITIES}
        if all(map(os.path.isfile, paths.values())):
            return paths
    return {}
