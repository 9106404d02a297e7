"""One interface for all models that embed pictures and words: search and users need nothing else of a model."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Callable, Optional, Sequence, Union

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from splip.common.modalities import check_modality
from splip.data.images import as_rgb
from splip.data.transforms import Preprocessing, to_tensor
from splip.models.base import RetrievalModel
from splip.models.scores import Scores


class ImageModel:
    """A model that embeds sketches, photos and, where it has a text tower, words into one space.

    Args:
        encode: normalised images (B, 3, S, S) and their modality -> (B, d), unit length.
        preprocessing: of its images.
        name: where it came from.
        identity: a hash of all that its embeddings depend on: models with the same identity give the same embeddings.
        encode_text: texts -> (n, d), unit length; None = there is no text tower.
        device: of its images.
        source: the model that it wraps, if that is one of this project.
        classes: that it was trained on; None = not known.
        scores: how often a photo of a cosine to a drawing is right; None = that was not measured.
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
        scores: Optional[Scores] = None,
    ) -> None:
        self.encode, self.preprocessing, self.name, self.identity = encode, preprocessing, name, identity
        self._encode_text, self.device, self.source = encode_text, torch.device(device), source
        self.classes, self.scores = classes, scores

    @property
    def knows_words(self) -> bool:
        """Whether :meth:`embed_text` works."""
        return self._encode_text is not None

    def pixels(self, image: Image.Image) -> np.ndarray:
        """A picture as the model sees it, (S, S, 3) uint8."""
        return self.preprocessing.pixels(as_rgb(image))

    @torch.no_grad()
    def embed_pixels(self, pixels: Sequence[np.ndarray], modality: str) -> Tensor:
        """Outputs of :meth:`pixels` -> embeddings (n, d) float32 on the CPU, unit length."""
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


def identity_of(model: RetrievalModel, preprocessing: Preprocessing) -> str:
    """A hash of backbone, weights, settings and preprocessing: of exactly what embeddings depend on."""
    digest, recipe = hashlib.blake2b(digest_size=16), model.recipe
    assert recipe is not None  # of a model that was loaded
    said = [recipe.method, model.inference_settings(recipe.settings), recipe.classes, asdict(preprocessing)]
    digest.update(json.dumps(said, sort_keys=True).encode())
    for holder in (model.clip, model.trainable):
        for name, value in sorted(holder.state_dict().items()):
            if holder is model.clip or name.split(".")[0] not in model.training_only:
                digest.update(name.encode())
                digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
