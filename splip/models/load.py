"""Whatever was trained, as something that embeds pictures and words: a run, a saved model, exported encoders."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence, Union

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import splip.trainers  # noqa: F401  (registers them)
from splip.backbone import available_backbones
from splip.backbone.foreign import OPEN_CLIP
from splip.backbone.weights import TRUST, sha256
from splip.common.modalities import MODALITIES, check_modality
from splip.data.images import as_rgb
from splip.data.transforms import Preprocessing, to_tensor
from splip.models.base import RetrievalModel
from splip.models.exported import find_exported, read_encoder, weights_beside
from splip.models.pretrained import is_saved
from splip.models.seen import trained_classes
from splip.training.runs import load_run, load_saved, trainer_class

DEFAULT = "splip-hybrid"  # the model that ships with the package


class ImageModel:
    """A model that embeds sketches, photos and, where it has a text tower, words into one space.

    Args:
        encode: normalised images (B, 3, S, S) and their modality -> (B, d), unit length.
        preprocessing: of its images.
        name: where it came from.
        identity: a hash of all that its embeddings depend on: two models with one identity embed alike.
        encode_text: texts -> (n, d), unit length; None = there is no text tower.
        device: of its images.
        source: the model behind it, if it is one of this project.
        classes: that it was trained on; None = not known.
    """

    def __init__(
        self,
        encode: Callable[[Tensor, str], Tensor],
        preprocessing: Preprocessing,
        name: str,
        identity: str,
        encode_text: Optional[Callable[[Sequence[str]], Tensor]] = None,
        device: Union[str, torch.device] = "cpu",
        source: Optional[RetrievalModel] = None,
        classes: Optional[Sequence[str]] = None,
    ) -> None:
        self.encode, self.preprocessing, self.name, self.identity = encode, preprocessing, name, identity
        self._encode_text, self.device, self.source = encode_text, torch.device(device), source
        self.classes = classes

    @property
    def knows_words(self) -> bool:
        """Whether :meth:`embed_text` works."""
        return self._encode_text is not None

    def pixels(self, image: Image.Image) -> np.ndarray:
        """A picture as the model sees it, (S, S, 3) uint8."""
        return self.preprocessing.pixels(as_rgb(image))

    @torch.no_grad()
    def embed_pixels(self, pixels: Sequence[np.ndarray], modality: str) -> Tensor:
        """What :meth:`pixels` gave -> embeddings (n, d) float32 on the CPU, unit length."""
        check_modality(modality)
        batch = torch.stack([to_tensor(one) for one in pixels]).to(self.device)
        return self.encode(self.preprocessing.normalize(batch), modality).float().cpu()

    def embed(self, images: Sequence[Image.Image], modality: str, batch_size: int = 64) -> Tensor:
        """Pictures -> embeddings (n, d) float32 on the CPU, unit length.

        Raises:
            ValueError: ``modality`` is neither ``"sketch"`` nor ``"photo"``, or there are no pictures.
        """
        if not len(images):
            raise ValueError("there are no pictures to embed")
        parts = (images[i : i + batch_size] for i in range(0, len(images), batch_size))
        return torch.cat([self.embed_pixels([self.pixels(image) for image in part], modality) for part in parts])

    @torch.no_grad()
    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Words -> embeddings (n, d) float32 on the CPU, unit length.

        Raises:
            ValueError: the model has no text tower, or a text is too long for it.
        """
        if self._encode_text is None:
            raise ValueError(f"the model {self.name!r} has no text encoder")
        return self._encode_text(texts).float().cpu()


def load_model(where: Union[str, os.PathLike] = DEFAULT, device: str = "cpu", backbone: str = "") -> ImageModel:
    """A model to search with.

    Args:
        where: output folder of a run; folder of ``save_pretrained``, or its ``owner/name`` on the Hugging Face hub;
            folder of ``splip export``; ``splip-hybrid``, the model that ships with the package.
        device: where it computes.
        backbone: name or file of its backbone, if that is elsewhere now.

    Raises:
        ValueError: it is none of these, damaged, or of another backbone. FileNotFoundError: a run has no checkpoint.
    """
    check_device(device)
    folder = os.path.expanduser(os.fspath(where))
    if folder == DEFAULT:
        return _of_run(load_saved(ASSET, device, backbone), DEFAULT)
    if folder in available_backbones() or folder.startswith(OPEN_CLIP):
        raise ValueError(f"{folder!r} is a backbone, not a model: train one on it, or splip evaluate --encoder")
    if not os.path.isdir(folder) and (os.path.exists(folder) or folder.count("/") != 1 or folder.startswith(".")):
        raise ValueError(f"no model at {folder!r}: a run's folder, a saved model or exported encoders are wanted")
    if os.path.isdir(folder) and not is_saved(folder):
        if find_exported(folder) and not os.path.isfile(os.path.join(folder, "config.yaml")):
            return _exported(folder, device)
        return _of_run(load_run(folder, device, backbone), folder)
    return _of_run(load_saved(folder, device, backbone), folder)


ASSET = Path(__file__).resolve().parents[1] / "assets" / "search"


def check_device(device: str) -> None:
    """Raise ValueError unless torch knows this device and it is here."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from error


def _of_run(run: Any, name: str) -> ImageModel:
    model, device = run.model, run.model.device
    return ImageModel(
        model.encode, run.preprocessing, name, identity_of(model, run.preprocessing), model.encode_text, device, model,
        trained_classes(model),
    )  # fmt: skip


def identity_of(model: RetrievalModel, preprocessing: Preprocessing) -> str:
    """A hash of backbone, weights, settings and preprocessing: of what embeddings depend on, and no more."""
    digest, recipe = hashlib.blake2b(digest_size=16), model.recipe
    assert recipe is not None  # a trainer's model has one
    inference_settings = trainer_class(recipe.trainer).inference_settings
    said = [recipe.trainer, inference_settings(recipe.settings), recipe.classes, asdict(preprocessing)]
    digest.update(json.dumps(said, sort_keys=True).encode())
    for holder in (model.clip, model.trainable):
        for name, value in sorted(holder.state_dict().items()):
            if holder is model.clip or name.split(".")[0] not in model.training_only:
                digest.update(name.encode())
                digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _exported(folder: str, device: str) -> ImageModel:
    """Both encoders of ``splip export``; they run on the CPU."""
    if torch.device(device).type != "cpu":
        raise ValueError(f"exported encoders run on the CPU, not on {device!r}")
    paths = find_exported(folder)
    if paths["sketch"].suffix == ".pt2" and os.environ.get(TRUST) != "1":
        trust = f"set {TRUST}=1 if you trust its source, or use ONNX"
        raise ValueError(f"{paths['sketch']} can run code when it is read: {trust}")
    encoders: Dict[str, Any] = {modality: read_encoder(path) for modality, path in paths.items()}
    (_, about), (_, other) = (encoders[modality] for modality in MODALITIES)
    keys = ("resolution", "resize", "mean", "std", "backbone", "embed_dim", "classes")
    differ = [key for key in keys if about.get(key) != other.get(key)]
    if differ:
        raise ValueError(f"the encoders in {folder!r} do not belong together: they differ in {', '.join(differ)}")
    preprocessing = Preprocessing(about["resolution"], about["resize"], tuple(about["mean"]), tuple(about["std"]))
    files = [file for path in paths.values() for file in (path, *weights_beside(path))]
    identity = hashlib.blake2b(" ".join(map(sha256, files)).encode(), digest_size=16).hexdigest()
    return ImageModel(
        partial(_encode_exported, encoders), preprocessing, folder, identity, classes=about.get("classes")
    )


def _encode_exported(encoders: Dict[str, Any], images: Tensor, modality: str) -> Tensor:
    return encoders[modality][0](images)
