"""SpLIP: multimodal prompt learning for zero-shot sketch-based image retrieval on a frozen CLIP."""

from importlib import import_module

__version__ = "0.1.0"
__all__ = ["SpLIP", "SpLIPConfig", "extend_cfg", "load_clip"]

_HOMES = {
    "SpLIP": "splip.model",
    "SpLIPConfig": "splip.config",
    "extend_cfg": "splip.config",
    "load_clip": "splip.backbone",
}


def __getattr__(name: str):
    """Public names are imported at first use: torch takes seconds, and ``splip --help`` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'splip' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
