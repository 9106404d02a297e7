"""SpLIP: multimodal prompt learning for zero-shot sketch-based image retrieval on a frozen CLIP."""

from splip.backbone import load_clip
from splip.config import SpLIPConfig, extend_cfg
from splip.model import SpLIP

__version__ = "0.1.0"
__all__ = ["SpLIP", "SpLIPConfig", "extend_cfg", "load_clip"]
