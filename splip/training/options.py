"""Puts settings from files and the command line into a config. Errors name the wrong key and the nearest known one."""

from __future__ import annotations

import ast
import os
import re
from difflib import get_close_matches
from typing import Any, Dict, List, Sequence, Tuple, Union

from yaml import YAMLError


def read_config(folder: Union[str, os.PathLike]) -> Any:
    """The config that a run was made with, not frozen; keys that its file lacks have their defaults.

    Raises:
        ValueError: there is no ``config.yaml``.
    """
    path = require_run(folder)
    from splip.engine import get_cfg_default  # imported here: they need torch, the rest of this file does not
    from splip.training.config import extend_cfg

    cfg = get_cfg_default()
    extend_cfg(cfg)
    cfg.set_new_allowed(True)  # a run under Dassl, or in a host, has more keys than the built-in engine
    cfg.merge_from_file(path)
    cfg.set_new_allowed(False)
    return cfg


def require_run(folder: Union[str, os.PathLike]) -> str:
    """The path of a run's config.

    Raises:
        ValueError: there is none.
    """
    path = os.path.join(folder, "config.yaml")
    if not os.path.isfile(path):
        raise ValueError(f"{os.fspath(folder)!r} is no run's output folder: there is no {path}")
    return path


def require_file(path: str) -> None:
    """Look at a config file without reading it.

    Raises:
        ValueError: it does not end in .yaml (yacs would run a .py file), or does not exist.
    """
    if not path.endswith((".yaml", ".yml")):
        raise ValueError(f"a config file must end in .yaml, got {path!r}")
    if not os.path.isfile(path):
        raise ValueError(f"no config file {path!r}")


def merge_file(cfg: Any, path: str) -> None:
    """Merge a config file into ``cfg``, in place.

    Raises:
        ValueError: `require_file` refuses it, it is not YAML, or sets an unknown key or a value of another type.
    """
    require_file(path)
    try:
        with open(path, encoding="utf-8") as file:
            found = cfg.load_cfg(file)
    except (YAMLError, UnicodeDecodeError, AssertionError, AttributeError) as error:
        raise ValueError(f"config file {path!r} is no YAML of keys: {' '.join(str(error).split())[:200]}") from error
    try:
        for key, value in flat(found).items():
            set_key(cfg, key, value)
    except ValueError as error:
        raise ValueError(f"config file {path!r}: {error}") from error


def merge_options(cfg: Any, words: Sequence[str]) -> None:
    """Merge ``KEY VALUE ...`` and ``KEY=VALUE`` into ``cfg``, in place.

    Raises:
        ValueError: a key is unknown (the nearest is named), a value is of another type, or a value is missing.
    """
    for key, text in pairs(words):
        set_key(cfg, key, text)


def pairs(words: Sequence[str]) -> List[Tuple[str, str]]:
    """The words as (key, value)."""
    found, rest = [], list(words)
    while rest:
        word = rest.pop(0)
        key, sign, value = word.partition("=")
        if sign and re.fullmatch(r"[A-Za-z_][\w.]*", key):
            found.append((key, value))
        elif rest:
            found.append((word, rest.pop(0)))
        else:
            raise ValueError(f"the last setting has no value: {word!r} (KEY VALUE, or KEY=VALUE)")
    return found


def decoded(text: str) -> Any:
    """The value of a Python literal; anything else stays a text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def set_key(cfg: Any, key: str, value: Any) -> None:
    """Set ``cfg.<key>`` to a value of its type; a float also takes an int, a text a number, a tuple a list.

    Raises:
        ValueError: no such key, or a value of another type.
    """
    node, known = cfg, flat(cfg)
    *parents, last = key.split(".")
    for name in parents:
        node = node.get(name) if isinstance(node, dict) else None
    if not isinstance(node, dict) or last not in node or isinstance(node[last], dict):
        near = get_close_matches(key.upper(), known, n=1, cutoff=0.6)
        ends = [name for name in known if name.split(".")[-1] == last.upper()]
        hint = next(iter([*near, *ends]), "")
        raise ValueError(f"there is no setting {key!r}" + (f": did you mean {hint}?" if hint else ""))
    node[last] = _of_type(key, value, node[last])


def _of_type(key: str, value: Any, old: Any) -> Any:
    if isinstance(value, str) and not isinstance(old, str):  # from a file: YAML has no tuples, and reads 1e-3 as text
        value = decoded(value)
    if old is None or (type(value) is type(old) and not isinstance(old, (list, tuple))):
        return value
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(old, str) and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    numbers = isinstance(old, (list, tuple)) and old and all(isinstance(item, (int, float)) for item in old)
    fits = {bool: (bool,), int: (int,), float: (int, float)}.get(type(old[0]), (str,)) if numbers else (str, int, float)
    if isinstance(old, (list, tuple)) and isinstance(value, (list, tuple)) and all(type(v) in fits for v in value):
        return type(old)(value)
    wanted = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
    kind = wanted.get(type(old), f"a {type(old).__name__} like {old!r}")
    raise ValueError(f"{key} wants {kind}, got {value!r}")


def flat(node: Any, prefix: str = "") -> Dict[str, Any]:
    """A config's settings by their full names."""
    found: Dict[str, Any] = {}
    for name, value in node.items():
        if isinstance(value, dict):
            found.update(flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = value
    return found
