"""Loads CLIPs from any source into OpenAI's class, and runs them with prompts in their layers."""

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
