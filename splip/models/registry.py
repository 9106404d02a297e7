"""Which class of model a name means, and how a model is made again: by its class alone, without a trainer."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Dict, Mapping, Type, TypeVar

from splip.models.base import Recipe, RetrievalModel

Model = TypeVar("Model", bound=Type[RetrievalModel])

# The module of each method here, imported when it is asked for. SpLIP's has nothing that trains; a baseline is one file
# with its trainer.
HERE = {
    "SpLIP": "splip.model",
    "FrozenCLIP": "splip.models.frozen",
    "ClipPromptModel": "splip.trainers.clip_prompt",
}
_FOUND: Dict[str, Type[RetrievalModel]] = {}


def register_model(cls: Model) -> Model:
    """Class decorator: what is made of this class is found again by the class's name.

    Raises:
        ValueError: another class has the name.
    """
    before = _FOUND.get(cls.__name__)
    if before is not None and (before.__module__, before.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(f"a model named {cls.__name__!r} is there already, of {before.__module__}")
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
        where: they are from, for the message.

    Raises:
        ValueError: there are some that this version does not know.
    """
    unknown = sorted(set(settings) - set(cls.settings))
    if unknown:
        raise ValueError(f"{where} has settings that this splip does not know: {', '.join(unknown)}")
    return {**cls.settings, **settings}


def build(recipe: Recipe, clip: Any, where: str = "the recipe") -> RetrievalModel:
    """The model that a recipe describes, around ``clip``; untrained.

    Args:
        where: the recipe is from, for messages.

    Raises:
        ValueError: the method is not known, or has other settings in this version.
    """
    cls = model_class(recipe.method)
    settings = complete(cls, recipe.settings, where)
    model = cls.make(clip, recipe.classes, settings)
    model.recipe = recipe._replace(settings=settings)
    return model
