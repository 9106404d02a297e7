"""OpenAI's `clip`: finds the package, and fills its class with any weights in its layout.

The class `CLIP` fixes two things that differ in other CLIPs: QuickGELU, and heads of width 64. A :class:`CLIPSpec`
states both for given weights, and the image statistics.
"""

from __future__ import annotations

import inspect
import sys
import types
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Dict, Optional, Tuple

from torch import Tensor, nn

from splip.backbone.hybrid import MARK, STRIDE, HybridPatches

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
VOCABULARY = 49408  # of OpenAI's tokenizer, the only one here
ACTIVATIONS = ("quick_gelu", "gelu")


@dataclass(frozen=True)
class CLIPSpec:
    """The properties of a CLIP that its weights do not contain.

    Args:
        activation: of the blocks' MLPs: ``quick_gelu`` (OpenAI) or ``gelu`` (LAION, DataComp).
        vision_heads, text_heads: of the attention; None = one for each 64 channels (OpenAI).
        mean, std: of the image colours that it was trained with.

    Raises:
        ValueError: the activation is not one of ACTIVATIONS.
    """

    activation: str = "quick_gelu"
    vision_heads: Optional[int] = None
    text_heads: Optional[int] = None
    mean: Tuple[float, ...] = CLIP_MEAN
    std: Tuple[float, ...] = CLIP_STD

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"its activation {self.activation!r} is none of {ACTIVATIONS}")


def clip_package() -> Any:
    """The ``clip.clip`` module that is importable here: OpenAI's package or a host repository's copy."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        try:
            from clip import clip as module
        except ModuleNotFoundError as error:
            if error.name != "pkg_resources":
                raise
            module = _without_pkg_resources()
    return module


def _without_pkg_resources() -> Any:
    """`clip.clip` if setuptools is absent or newer than 80: it needs only `packaging` from pkg_resources."""
    import packaging.version

    stand_in = types.ModuleType("pkg_resources")
    stand_in.packaging = packaging  # type: ignore[attr-defined]
    sys.modules["pkg_resources"] = stand_in
    try:
        from clip import clip as module
    finally:
        del sys.modules["pkg_resources"]  # other packages must see that it is not installed
    return module


def build_clip(state_dict: Dict[str, Tensor], layout: CLIPSpec) -> nn.Module:
    """A CLIP of OpenAI's class, float32, with these weights, unrounded.

    Args:
        state_dict: in OpenAI's layout, or with a :class:`splip.backbone.hybrid.HybridPatches` as
            `visual.conv1`; both towers must be at least 64 wide.

    Raises:
        KeyError, RuntimeError: a weight is missing, not known, or has another shape.
    """
    clip_package()
    from clip.model import CLIP

    state_dict = {name: value.float() for name, value in state_dict.items() if name not in SIZES_OF_OPENAI}
    clip = CLIP(**_sizes(state_dict), **no_design(CLIP)).float()
    if MARK in state_dict:
        clip.visual.conv1 = HybridPatches(state_dict["visual.class_embedding"].shape[0])
    towers = (("visual.transformer.", clip.visual, layout.vision_heads), ("transformer.", clip, layout.text_heads))
    for prefix, tower, heads in towers:
        for i, block in enumerate(tower.transformer.resblocks):
            inner, width = state_dict[f"{prefix}resblocks.{i}.mlp.c_fc.weight"].shape
            if inner != 4 * width:
                block.mlp.c_fc, block.mlp.c_proj = nn.Linear(width, inner), nn.Linear(inner, width)
            if layout.activation == "gelu":
                block.mlp = nn.Sequential(OrderedDict(c_fc=block.mlp.c_fc, gelu=nn.GELU(), c_proj=block.mlp.c_proj))
            if heads is not None:
                block.attn.num_heads, block.attn.head_dim = heads, width // heads
    clip.load_state_dict(state_dict)
    return clip


SIZES_OF_OPENAI = ("input_resolution", "context_length", "vocab_size")  # its archives hold these besides weights


def no_design(maker: Any) -> Dict[str, Any]:
    """The extra argument that MaPLe's and PromptSRC's copies of `clip` need: a design without prompts. {} for other
    copies.
    """
    if "design_details" not in inspect.signature(maker).parameters:
        return {}
    off = dict.fromkeys(["vision_depth", "language_depth", "vision_ctx", "language_ctx"], 0)
    return {"design_details": {"trainer": "CoOp", **off}}


def _sizes(state_dict: Dict[str, Tensor]) -> Dict[str, int]:
    """Arguments of OpenAI's `CLIP` for these weights."""

    def layers(prefix: str) -> int:
        return len({name.split(".")[prefix.count(".")] for name in state_dict if name.startswith(prefix)})

    width, text = state_dict["visual.class_embedding"].shape[0], state_dict["ln_final.weight"].shape[0]
    patch = STRIDE if MARK in state_dict else state_dict["visual.conv1.weight"].shape[-1]
    side = round((state_dict["visual.positional_embedding"].shape[0] - 1) ** 0.5)
    return {
        "embed_dim": state_dict["text_projection"].shape[1],
        "image_resolution": side * patch,
        "vision_layers": layers("visual.transformer.resblocks."),
        "vision_width": width,
        "vision_patch_size": patch,
        "context_length": state_dict["positional_embedding"].shape[0],
        "vocab_size": state_dict["token_embedding.weight"].shape[0],
        "transformer_width": text,
        "transformer_heads": text // 64,
        "transformer_layers": layers("transformer.resblocks."),
    }
