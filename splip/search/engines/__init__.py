"""Where an index keeps its vectors and how it searches them. A new engine needs a file here and a line below."""

from importlib import import_module
from typing import Any, Dict

# name -> the class of the store, `FILE:CLASS` in this folder; called with (place, about). A file is imported when its
# engine is used.
ENGINES: Dict[str, str] = {
    "faiss": "store:LocalStore",  # SQLite and FAISS in a folder
    "milvus": "milvus:MilvusStore",  # a file of Milvus Lite, or a server
}
SHARED = ("milvus",)  # engines with a --uri as place; several processes may write to them


def engine_class(name: str) -> Any:
    """The store of an engine; ValueError: unknown name."""
    if name not in ENGINES:
        raise ValueError(f"engine must be one of {tuple(ENGINES)}, got {name!r}")
    module, _, cls = ENGINES[name].partition(":")
    return getattr(import_module(f"{__name__}.{module}"), cls)
