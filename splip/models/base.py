"""What trainers, search, export and evaluation expect of a model, so that your own model works with all of them."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from splip.backbone import tokenize
from splip.backbone.encoders import encode_patches, encode_text, patch_embeddings
from splip.common.modalities import check_modality
from splip.config import TRAINING_ONLY
from splip.tuning import frozen_twin

FROZEN = "frozen model"  # owner of a CLIP that nothing trains


class Recipe(NamedTuple):
    """What a model is built from, besides its backbone and weights; plain values."""

    method: str  # registered name of the model's class (`splip.models.registry`)
    settings: Dict[str, Any]  # by key
    classes: List[str]  # those that it was trained on
    preprocessing: Dict[str, Any]  # arguments of `splip.data.transforms.Preprocessing`; {} = the backbone's


class RetrievalModel(nn.Module):
    """A frozen CLIP, and what a method trains beside or inside it. This class has CLIP's embeddings and trains nothing.

    A method overrides ``forward`` (its loss) and, if it changes embeddings, ``encode``; docs/EXTEND.md has an example.

    Args:
        clip: float32, OpenAI's layout (``splip.load_clip``). All its parameters are frozen here; a method may
            unfreeze some. The CLIP then belongs to this model (:func:`take_over`).

    Attributes:
        settings: of the class: the method's settings in capitals, with plain default values.
        config_class: of the class: a dataclass of the settings, which checks them; ``settings`` then follow from it.
        trainable: holds exactly what is trained, and running statistics; its ``state_dict`` is the checkpoint.
        parts: of the class: all children that ``trainable`` can have, if a config decides which it has.
        rates: factors on OPTIM.LR, by child of ``trainable``; 1 if not named.
        loss_weights: weights in the loss of the terms that ``forward`` returns; 1 if not named.
        training_only: names of children of ``trainable`` that ``encode`` does not read.
        knows_modality: whether a sketch and a photo are encoded in different ways.
        memory_keys: those of GRAD_CHECKPOINTING and MICRO_BATCH that the method supports, as attributes in lower
            case.
        recipe: how to rebuild the model (:class:`Recipe`); set by `splip.models.registry.build`, and in every
            ``SpLIP``.
    """

    settings: Mapping[str, Any] = {}
    config_class: Optional[Type[Any]] = None
    parts: Sequence[str] = ()
    rates: Mapping[str, float] = {}
    memory_keys: Sequence[str] = ()
    training_only: Sequence[str] = ()
    loss_weights: Mapping[str, float] = {}
    knows_modality: bool = False
    clip: Any  # OpenAI's class, or a host's copy of it
    recipe: Optional[Recipe] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "config_class" in cls.__dict__ and cls.config_class is not None:
            cls.settings = cls.config_class.defaults()

    def __init__(self, clip: Any) -> None:
        super().__init__()
        take_over(clip, type(self))
        self.clip = clip.eval().requires_grad_(False)
        self.trainable = nn.ModuleDict()

    @classmethod
    def make(cls, clip: Any, classnames: Sequence[str], settings: Mapping[str, Any]) -> RetrievalModel:
        """The model around ``clip`` for the seen classes, on the clip's device. Nothing else rebuilds a run.

        Default: ``cls(clip)`` if the class has no settings, else ``cls(clip, classnames, settings)`` with the settings
        as attributes, or as a ``config_class``.

        Args:
            settings: all of them, by key.
        """
        if cls.config_class is not None:
            return cls(clip, classnames, cls.config_of(settings))  # type: ignore[call-arg]
        return cls(clip, classnames, SimpleNamespace(**settings)) if cls.settings else cls(clip)  # type: ignore[call-arg]

    @classmethod
    def config_of(cls, settings: Mapping[str, Any]) -> Any:
        """The ``config_class`` for settings by key, in capitals; ValueError if a value is not accepted."""
        assert cls.config_class is not None
        return cls.config_class(**{name.lower(): value for name, value in settings.items()})

    @classmethod
    def inference_settings(cls, settings: Mapping[str, Any]) -> Dict[str, Any]:
        """The settings that embeddings depend on: models that differ only in others give the same embeddings.

        Default: all; of a ``config_class`` those that `splip.config.TRAINING_ONLY` does not name.
        """
        skipped = TRAINING_ONLY if cls.config_class is not None else ()
        return {key: value for key, value in settings.items() if key.lower() not in skipped}

    @classmethod
    def reads_images(cls, settings: Mapping[str, Any]) -> str:
        """The key of a setting with which the loss needs a batch's images, not only their E_0; "" = there is none."""
        return ""

    @classmethod
    def trains(cls) -> bool:
        """Whether there is anything to train: the class has a loss."""
        return cls.forward is not RetrievalModel.forward

    @property
    def device(self) -> torch.device:
        return self.clip.visual.conv1.weight.device

    def train(self, mode: bool = True) -> RetrievalModel:
        super().train(mode)
        self.clip.eval()  # the frozen backbone stays in eval mode
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

    def keep_frozen_tower(self) -> None:
        """Keep the visual tower as it is now, for :meth:`frozen_features`; call it before anything is trained."""
        self._frozen = [frozen_twin(self.clip.visual)]  # in a list it is not registered as a part of the model

    @torch.no_grad()
    def frozen_features(self, *images: Tensor) -> Tensor:
        """Of the untrained tower without prompts: groups of images, or of their E_0 -> (B, d), not normalised."""
        (visual,) = self._frozen
        return encode_patches(visual, patch_embeddings(visual, torch.cat(images)))

    def weighted(self, terms: Dict[str, Tensor]) -> Tuple[Tensor, Dict[str, Tensor]]:
        """What ``forward`` returns, from its terms: their sum by ``loss_weights``, and the terms, detached."""
        loss = torch.stack([self.loss_weights.get(name, 1.0) * value for name, value in terms.items()]).sum()
        return loss, {name: value.detach() for name, value in terms.items()}

    @torch.no_grad()
    def encode(self, images: Tensor, modality: str) -> Tensor:
        """Embeddings to rank by cosine: images (B, 3, H, W), CLIP-normalised -> (B, d) float32, unit length.

        Raises:
            ValueError: ``modality`` is neither ``"sketch"`` nor ``"photo"``.
        """
        check_modality(modality)
        patches = patch_embeddings(self.clip.visual, images)
        return F.normalize(encode_patches(self.clip.visual, patches).float(), dim=-1)

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings of texts, to be ranked with photos: (n, d) float32, unit length.

        Raises:
            ValueError: a text is longer than the backbone's context.
        """
        return F.normalize(self._text_features(tokens_of(texts).to(self.device)).float(), dim=-1)

    def _text_features(self, tokens: Tensor) -> Tensor:
        return encode_text(self.clip, tokens)[0]

    def image_encoder(self, modality: str) -> nn.Module:
        """``encode`` of one modality as a module of images alone, to be exported."""
        check_modality(modality)
        return _Encode(self, modality)

    def save_pretrained(self, folder: Union[str, os.PathLike], *, results: Optional[Dict[str, Any]] = None) -> Path:
        """Write what was trained, as a folder that loads anywhere (:func:`splip.models.pretrained.save`) -> the folder.

        Args:
            results: a run's ``results.json``, for the card.
        """
        from splip.models.pretrained import save

        return save(self, folder, results=results)

    def push_to_hub(self, repo_id: str, *, private: bool = False, **about: Any) -> str:
        """Upload what :meth:`save_pretrained` writes to the Hugging Face hub -> its address.

        Args:
            repo_id: ``owner/name``; created if it does not exist.
            about: arguments of :meth:`save_pretrained`.
        """
        from splip.models.pretrained import push

        return push(self, repo_id, private=private, **about)

    def describe(self) -> Dict[str, Any]:
        """Plain values for a run's results, besides its metrics."""
        return {}


def take_over(clip: Any, model: Type[RetrievalModel]) -> None:
    """Mark ``clip`` as belonging to a model.

    A model trains parts of its CLIP in place, and reads others before they are trained. So a CLIP belongs to the first
    model that is made around it, even after that model is deleted. A copy of the CLIP belongs to it, too, since a copy
    does not tell whether it was already trained. Models share a CLIP only if their class defines neither ``__init__``
    nor a loss: they change nothing.

    Raises:
        ValueError: it belongs to another model.
    """
    frozen = model.__init__ is RetrievalModel.__init__ and not model.trains()
    before, owner = getattr(clip, "splip_owner", None), FROZEN if frozen else model.__name__
    if before is not None and not before == owner == FROZEN:
        raise ValueError(
            f"this CLIP already belongs to a {before}, which may train parts of it in place. For a {owner} call "
            "splip.load_clip again, or give it copy.deepcopy(clip), taken before the first model is made"
        )
    clip.splip_owner = owner


class _Encode(nn.Module):
    def __init__(self, model: RetrievalModel, modality: str) -> None:
        super().__init__()
        self.model, self.modality = model, modality

    def forward(self, images: Tensor) -> Tensor:
        return self.model.encode(images, self.modality)


def class_tokens(template: str, classnames: Sequence[str]) -> Tensor:
    """CLIP's tokens of ``template`` before each class name, (C, longest); "wine_bottle" is read as "wine bottle".

    Raises:
        ValueError: ``classnames`` is no list of at least one class name, a text is too long, or two are the same.
    """
    named = not isinstance(classnames, str) and all(isinstance(name, str) and name.strip() for name in classnames)
    if not named or not classnames:
        raise ValueError(f"classnames must be a list of at least one class name, got {classnames!r}")
    tokens = tokens_of([f"{template} {name.replace('_', ' ')}" for name in classnames])
    first: Dict[tuple, str] = {}
    for name, text in zip(classnames, map(tuple, tokens.tolist())):
        if text in first:
            raise ValueError(f"classnames {first[text]!r} and {name!r} are the same text to CLIP: rename one class")
        first[text] = name
    return tokens


def tokens_of(texts: Sequence[str]) -> Tensor:
    """CLIP's tokens of texts, (n, longest); ValueError naming one that is too long."""
    try:
        return tokenize(texts)
    except RuntimeError as error:  # of OpenAI's package; its message has the whole text in it
        raise ValueError(f"too long for CLIP's text encoder: {max(texts, key=len)[:60]!r} ...") from error
