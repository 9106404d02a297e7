"""SpLIP: multimodal prompt learning for zero-shot sketch-based image retrieval on a frozen CLIP."""

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the names that __getattr__ below finds, for editors and type checkers
    from splip.backbone import load_clip
    from splip.config import SpLIPConfig
    from splip.data.transforms import preprocess
    from splip.model import SpLIP
    from splip.models.base import RetrievalModel
    from splip.models.load import load_model
    from splip.search.index import Index
    from splip.training.config import extend_cfg

__version__ = "0.3.0"
__all__ = ["Index", "RetrievalModel", "SpLIP", "SpLIPConfig", "extend_cfg", "load_clip", "load_model", "preprocess"]

_HOMES = {
    "Index": "splip.search.index",
    "RetrievalModel": "splip.models.base",
    "SpLIP": "splip.model",
    "SpLIPConfig": "splip.config",
    "extend_cfg": "splip.training.config",
    "load_clip": "splip.backbone",
    "load_model": "splip.models.load",
    "preprocess": "splip.data.transforms",
}

# In a checkout `trainers/` and `datasets/` are beside this package, as in CoOp and MaPLe; in a wheel they are inside.
# Both ways they are imported as splip.trainers and splip.datasets. The checkout goes to the end of Python's path, so
# that our folders do not hide Hugging Face's `datasets` or a host's `trainers`.
_CHECKOUT = Path(__file__).resolve().parents[1]
_installed = (Path(__file__).parent / "trainers" / "__init__.py").is_file()  # an old checkout leaves empty folders
if not _installed and (_CHECKOUT / "trainers" / "clip_prompt.py").is_file():
    __path__.append(str(_CHECKOUT))
    _ours = [entry for entry in sys.path if Path(entry or ".").resolve() == _CHECKOUT]
    sys.path[:] = [entry for entry in sys.path if entry not in _ours] + _ours


def __getattr__(name: str):
    """Public names are imported at first use: torch takes seconds, and ``splip --help`` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'splip' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
