"""Finds a model's class by its name, and rebuilds a model from its class, without a trainer."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Dict, Mapping, Type, TypeVar

from splip.models.base import Recipe, RetrievalModel

Model = TypeVar("Model", bound=Type[RetrievalModel])

# The module of each method here, imported when it is needed. SpLIP's module has no trainer; a baseline's file has both
# model and trainer.
HERE = {
    "SpLIP": "splip.model",
    "FrozenCLIP": "splip.models.frozen",
    "ClipPromptModel": "splip.trainers.clip_prompt",
    "ClipATModel": "splip.trainers.clip_at",
    "CenteredModel": "splip.trainers.centered",
    "ClassNameModel": "splip.trainers.class_name",
    "ProjectionModel": "splip.trainers.projection",
    "CLIPFitModel": "splip.trainers.clipfit",
    "SeCoLikeModel": "splip.trainers.seco_like",
    "VPTModel": "splip.trainers.vpt",
    "IVLPModel": "splip.trainers.ivlp",
    "MaPLeModel": "splip.trainers.maple",
    "PromptSRCModel": "splip.trainers.prompt_src",
}
_FOUND: Dict[str, Type[RetrievalModel]] = {}


def register_model(cls: Model) -> Model:
    """Class decorator: registers a model class under its name.

    Raises:
        ValueError: another class has the name.
    """
    before = _FOUND.get(cls.__name__)
    if before is not None and (before.__module__, before.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(f"a model named {cls.__name__!r} is already registered, from {before.__module__}")
    _FOUND[cls.__name__] = cls
    return cls


def model_class(name: str) -> Type[RetrievalModel]:
    """The class of a method's models.

    Raises:
        ValueError: no such method is known.
    """
    if name not in _FOUND and name in HERE:
        import_module(HERE[name])
    if name not in _FOUND:
        known = ", ".join(sorted({*_FOUND, *HERE}))
        raise ValueError(f"method {name!r} is not known here, only {known}: --import the module that has it")
    return _FOUND[name]


def complete(cls: Type[RetrievalModel], settings: Mapping[str, Any], where: str) -> Dict[str, Any]:
    """All settings of a method: those of ``settings``, and the defaults of the others.

    Args:
        where: the source of ``settings``, for the message.

    Raises:
        ValueError: ``settings`` has keys that this version does not know.
    """
    unknown = sorted(set(settings) - set(cls.settings))
    if unknown:
        raise ValueError(f"{where} has settings that this splip does not know: {', '.join(unknown)}")
    return {**cls.settings, **settings}


def build(recipe: Recipe, clip: Any, where: str = "the recipe") -> RetrievalModel:
    """The model that a recipe describes, around ``clip``; untrained.

    Args:
        where: the source of the recipe, for messages.

    Raises:
        ValueError: the method is not known, or has other settings in this version.
    """
    cls = model_class(recipe.method)
    settings = complete(cls, recipe.settings, where)
    model = cls.make(clip, recipe.classes, settings)
    model.recipe = recipe._replace(settings=settings)
    return model
