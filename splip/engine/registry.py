"""Name -> class tables, and the two builders that read them."""

from __future__ import annotations

import difflib
from typing import Callable, List, Optional


class Registry:
    """Classes and functions by their own name; a name can be registered once."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict = {}

    def register(self, entry: Optional[Callable] = None, force: bool = False) -> Callable:
        """Use as `@REGISTRY.register()` or `REGISTRY.register(SomeClass)`.

        Raises KeyError if the name is taken, unless `force`.
        """
        if entry is None:
            return lambda decorated: self.register(decorated, force=force)
        name = entry.__name__
        if name in self._entries and not force:
            raise KeyError(f"{self.kind} {name!r} is already registered")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> Callable:
        """The entry called `name`; KeyError if there is none."""
        if name not in self._entries:
            raise KeyError(f"no {self.kind} {name!r}; registered: {self.registered_names()}")
        return self._entries[name]

    def registered_names(self) -> List[str]:
        return list(self._entries)


DATASET_REGISTRY = Registry("DATASET")
TRAINER_REGISTRY = Registry("TRAINER")


def _build(registry: Registry, name: str, cfg):
    """registry[name](cfg); ValueError with the nearest name if it is unknown."""
    names = registry.registered_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
        hint = f" (did you mean {near[0]!r}? --import names a module of your own)" if near else ""
        raise ValueError(f"{registry.kind}.NAME must be one of {sorted(names)}, got {name!r}{hint}")
    return registry.get(name)(cfg)


def build_dataset(cfg):
    """The data set that cfg.DATASET.NAME names."""
    return _build(DATASET_REGISTRY, cfg.DATASET.NAME, cfg)


def build_trainer(cfg):
    """The trainer that cfg.TRAINER.NAME names."""
    return _build(TRAINER_REGISTRY, cfg.TRAINER.NAME, cfg)
