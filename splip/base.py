"""What trainers, search, export and evaluation expect of a model, so that one of your own works with all of them."""

from __future__ import annotations

from typing import Any, Dict, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splip.encoders import encode_patches, patch_embeddings

MODALITIES = ("sketch", "photo")


class RetrievalModel(nn.Module):
    """A frozen CLIP, and what a method trains beside or inside it. As it is: CLIP's own embeddings, nothing trained.

    A method overrides ``forward`` (its loss) and, where it changes embeddings, ``encode``; docs/EXTEND.md builds one.

    Args:
        clip: float32, OpenAI's layout (``splip.load_clip``). All its parameters are frozen here; a method may free
            some again.

    Attributes:
        trainable: holds exactly what is trained, and running statistics; its ``state_dict`` is the checkpoint.
        training_only: names of children of ``trainable`` that ``encode`` does not read.
        knows_modality: whether a sketch and a photo are encoded in different ways.
    """

    training_only: Sequence[str] = ()
    knows_modality: bool = False
    clip: Any  # OpenAI's class, or a host's copy of it

    def __init__(self, clip: Any) -> None:
        super().__init__()
        self.clip = clip.eval().requires_grad_(False)
        self.trainable = nn.ModuleDict()

    @property
    def device(self) -> torch.device:
        return self.clip.visual.conv1.weight.device

    def train(self, mode: bool = True) -> RetrievalModel:
        super().train(mode)
        self.clip.eval()  # the backbone is frozen in every sense
        return self

    def forward(self, batch: Dict[str, Tensor]) -> Tuple[Tensor, Dict[str, Tensor]]:
        """The loss of a training batch, and its unweighted terms, detached.

        Args:
            batch: ``sketch``, ``positive``, ``negative`` (B, 3, H, W), CLIP-normalised; ``label``, ``negative_label``,
                ``instance``, ``negative_instance`` and ``permutation`` (B,) long.

        Raises:
            TypeError: the method trains nothing.
        """
        raise TypeError(f"{type(self).__name__} has no loss: it trains nothing")

    @torch.no_grad()
    def encode(self, images: Tensor, modality: str) -> Tensor:
        """Embeddings to rank by cosine: images (B, 3, H, W), CLIP-normalised -> (B, d) float32, unit length.

        Raises:
            ValueError: ``modality`` is neither ``"sketch"`` nor ``"photo"``.
        """
        check_modality(modality)
        patches = patch_embeddings(self.clip.visual, images)
        return F.normalize(encode_patches(self.clip.visual, patches).float(), dim=-1)

    def image_encoder(self, modality: str) -> nn.Module:
        """``encode`` of one modality as a module of images alone, to be exported."""
        check_modality(modality)
        return _Encode(self, modality)

    def describe(self) -> Dict[str, Any]:
        """Plain values that belong into a run's results beside its metrics."""
        return {}


class _Encode(nn.Module):
    def __init__(self, model: RetrievalModel, modality: str) -> None:
        super().__init__()
        self.model, self.modality = model, modality

    def forward(self, images: Tensor) -> Tensor:
        return self.model.encode(images, self.modality)


def check_modality(modality: str) -> None:
    """Raise ValueError unless ``modality`` is one of MODALITIES."""
    if modality not in MODALITIES:
        raise ValueError(f"modality must be one of {MODALITIES}, got {modality!r}")
