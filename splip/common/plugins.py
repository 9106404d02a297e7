"""Imports modules of users and of other packages, which registers the trainers and data sets in them."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from importlib import metadata
from typing import Any


def load_entry_points(group: str) -> None:
    """Import what installed packages name under an entry point group, ``splip.trainers`` or ``splip.datasets``.

    If one cannot be imported, a warning is given and it is left out.
    """
    points: Any = metadata.entry_points()
    found = points.select(group=group) if hasattr(points, "select") else points.get(group, [])  # Python 3.9
    for point in found:
        try:
            point.load()
        except Exception as error:  # another package's module may raise anything
            where = f"{group}: {point.name} = {point.value}"
            warnings.warn(f"the entry point {where} is left out: {error!r}", stacklevel=2)


def import_module(name: str) -> Any:
    """Import ``--import``'s argument: a module's name, looked for in the working folder too, or the path of a .py file
    -> the module.

    Raises:
        ValueError: there is no such module or file. What the module itself raises passes through.
    """
    if name.endswith(".py") or os.sep in name:
        path = os.path.abspath(os.path.expanduser(name))
        name = os.path.splitext(os.path.basename(path))[0]
        if not os.path.isfile(path):
            raise ValueError(f"--import: no file at {path}")
        if name in sys.modules:
            there = getattr(sys.modules[name], "__file__", None) or "Python itself"
            if os.path.abspath(there) != path:
                raise ValueError(f"--import: {path} has the name of a module that is there already ({there})")
            return sys.modules[name]
        sys.path.append(os.path.dirname(path))  # new processes import it by name
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None  # of a file that ends in .py or is there
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    if importlib.util.find_spec(name.split(".")[0]) is None:
        raise ValueError(f"--import: no module {name!r} is installed, or found in {os.getcwd()}")
    return importlib.import_module(name)
