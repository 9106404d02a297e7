"""Load a trained model that embeds images and words: from a run, a saved model or exported encoders."""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path
from typing import Any, Dict, Union

import torch
from torch import Tensor

from splip.backbone import available_backbones, load_clip
from splip.backbone.foreign import OPEN_CLIP
from splip.backbone.weights import TRUST, sha256
from splip.common.modalities import MODALITIES
from splip.data.transforms import Preprocessing, preprocess
from splip.models import pretrained
from splip.models.base import Recipe
from splip.models.exported import find_exported, read_encoder, weights_beside
from splip.models.frozen import FrozenCLIP
from splip.models.image_model import ImageModel, identity_of
from splip.models.seen import trained_classes

DEFAULT = "splip-search"  # the trained model that ships with the package
PLAIN = "clip:"  # comes before a backbone's name


def load_model(where: Union[str, os.PathLike] = DEFAULT, device: str = "cpu", backbone: str = "") -> ImageModel:
    """Load a model for embedding and search.

    Args:
        where: output folder of a run; folder of ``save_pretrained``, or its ``owner/name`` on the Hugging Face hub;
            folder of ``splip export``; ``splip-search``, the model that ships with the package; or a CLIP as it is:
            ``clip:`` and an argument of :func:`splip.load_clip` (``clip:ViT-B/32``), or open_clip's names alone.
        device: where the model computes.
        backbone: name or file of its backbone, if the backbone was moved.

    Raises:
        ValueError: it is none of these, damaged, or has another backbone. FileNotFoundError: a run has no checkpoint.
    """
    check_device(device)
    folder = os.path.expanduser(os.fspath(where))
    if folder == DEFAULT:
        return of_saved(pretrained.read(ASSET), DEFAULT, device, backbone)
    if folder.startswith((PLAIN, *OPEN_CLIP)):
        return _plain_clip(folder, device)
    if folder in available_backbones():
        raise ValueError(f"{folder!r} is a backbone, not a trained model: {PLAIN}{folder} embeds with it as it is")
    if not os.path.isdir(folder) and (os.path.exists(folder) or folder.count("/") != 1 or folder.startswith(".")):
        raise ValueError(f"no model at {folder!r}: a run's folder, a saved model or exported encoders are wanted")
    if is_exported(folder):
        return _exported(folder, device)
    return of_saved(pretrained.read(folder), folder, device, backbone)


def of_saved(saved: pretrained.Saved, name: str, device: str = "cpu", backbone: str = "") -> ImageModel:
    """A model for embedding, from the result of :func:`splip.models.pretrained.read`.

    Args:
        name: name of the model. device, backbone: as in :func:`load_model`.

    Raises:
        ValueError: as in :func:`splip.models.pretrained.load`.
    """
    model = pretrained.load(saved, backbone, device)
    given = saved.recipe.preprocessing
    preprocessing = Preprocessing(**given) if given else preprocess(model.clip)
    identity, classes = identity_of(model, preprocessing), trained_classes(model)
    return ImageModel(
        model.encode, preprocessing, name, identity, model.encode_text, model.device, model, classes, saved.scores
    )  # fmt: skip


ASSET = Path(__file__).resolve().parents[1] / "assets" / "search"


def _plain_clip(name: str, device: str) -> ImageModel:
    """A CLIP without any training, for photos, drawings and words."""
    clip = load_clip(name[len(PLAIN) :] if name.startswith(PLAIN) else name, device)
    model, preprocessing = FrozenCLIP(clip), preprocess(clip)
    model.recipe = Recipe("FrozenCLIP", {}, [], {})
    identity, classes = identity_of(model, preprocessing), trained_classes(model)
    return ImageModel(model.encode, preprocessing, name, identity, model.encode_text, model.device, model, classes)


def check_device(device: str) -> None:
    """Raise ValueError unless torch knows this device and the machine has it."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from error


def is_exported(folder: str) -> bool:
    """Whether ``splip export`` wrote this folder: both encoders are there, and neither a run nor a saved model."""
    a_model = os.path.isfile(os.path.join(folder, "config.yaml")) or pretrained.is_saved(folder)
    return os.path.isdir(folder) and not a_model and bool(find_exported(folder))


def _exported(folder: str, device: str) -> ImageModel:
    """A model of both encoders that ``splip export`` wrote; they run on the CPU."""
    if torch.device(device).type != "cpu":
        raise ValueError(f"exported encoders run on the CPU, not on {device!r}")
    paths = find_exported(folder)
    if paths["sketch"].suffix == ".pt2" and os.environ.get(TRUST) != "1":
        trust = f"set {TRUST}=1 if you trust its source, or use ONNX"
        raise ValueError(f"{paths['sketch']} can run code when it is read: {trust}")
    encoders: Dict[str, Any] = {modality: read_encoder(path) for modality, path in paths.items()}
    (_, about), (_, other) = (encoders[modality] for modality in MODALITIES)
    keys = ("resolution", "resize", "interpolation", "mean", "std", "backbone", "embed_dim", "classes")
    differ = [key for key in keys if about[key] != other[key]]
    if differ:
        raise ValueError(f"the encoders in {folder!r} do not belong together: they differ in {', '.join(differ)}")
    statistics = tuple(about["mean"]), tuple(about["std"])
    preprocessing = Preprocessing(about["resolution"], about["resize"], *statistics, about["interpolation"])
    files = [file for path in paths.values() for file in (path, *weights_beside(path))]
    identity = hashlib.blake2b(" ".join(map(sha256, files)).encode(), digest_size=16).hexdigest()
    return ImageModel(partial(_encode_exported, encoders), preprocessing, folder, identity, classes=about["classes"])


def _encode_exported(encoders: Dict[str, Any], images: Tensor, modality: str) -> Tensor:
    return encoders[modality][0](images)
