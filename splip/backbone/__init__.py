"""CLIP as it comes: loaded from anywhere into OpenAI's class, and run with prompts in its layers."""

from .load import (
    ASSETS,
    EMBEDDED,
    HUB_TWINS,
    BackboneInfo,
    CLIPDims,
    available_backbones,
    backbone_fingerprint,
    backbone_info,
    clip_dims,
    load_clip,
    resolve_backbone,
    tokenize,
)

__all__ = [
    "ASSETS", "EMBEDDED", "HUB_TWINS", "BackboneInfo", "CLIPDims", "available_backbones", "backbone_fingerprint",
    "backbone_info", "clip_dims", "load_clip", "resolve_backbone", "tokenize",
]  # fmt: skip
