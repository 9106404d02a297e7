"""SpLIP: multimodal prompt learning for zero-shot sketch-based image retrieval on a frozen CLIP."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what __getattr__ below finds, for editors and type checkers
    from splip.backbone import load_clip
    from splip.base import RetrievalModel
    from splip.config import SpLIPConfig
    from splip.data.transforms import preprocess
    from splip.model import SpLIP
    from splip.search.index import Index
    from splip.search.model import load_model
    from splip.training.config import extend_cfg

__version__ = "0.2.0"
__all__ = ["Index", "RetrievalModel", "SpLIP", "SpLIPConfig", "extend_cfg", "load_clip", "load_model", "preprocess"]

_HOMES = {
    "Index": "splip.search.index",
    "RetrievalModel": "splip.base",
    "SpLIP": "splip.model",
    "SpLIPConfig": "splip.config",
    "extend_cfg": "splip.training.config",
    "load_clip": "splip.backbone",
    "load_model": "splip.search.model",
    "preprocess": "splip.data.transforms",
}


def __getattr__(name: str):
    """Public names are imported at first use: torch takes seconds, and ``splip --help`` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'splip' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
