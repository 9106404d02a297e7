"""CLIPs of Hugging Face's `transformers` and of `open_clip`, converted to OpenAI's layout.

Both libraries load and check their own weights, with their own mirrors, caches and offline modes. Here the tensors
only get OpenAI's names. Activation, heads and image statistics are read from the model that the library built. A
model with parts that OpenAI's layout lacks is refused, and these parts are named.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import torch
from torch import Tensor

from splip.backbone.layout import VOCABULARY, CLIPSpec

Found = Tuple[Dict[str, Tensor], CLIPSpec]

OFFLINE = (
    "without a network: give a folder that holds it, or fill the cache on another machine (HF_HOME says where it is, "
    "HF_ENDPOINT names a mirror, HF_HUB_OFFLINE=1 uses the cache alone)"
)
OPEN_CLIP = ("open_clip:", "hf-hub:", "local-dir:")  # open_clip itself defines the latter two
WEIGHT_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".tar", ".safetensors")


def route(name: str) -> str:
    """Which library a backbone's name asks for: ``hf``, ``open_clip`` or ``openai``.

    ``hf:...``, a folder with a config.json, and ``owner/model`` mean Hugging Face. ``hf-hub:...``, ``local-dir:...``
    and ``open_clip:ARCHITECTURE:TAG_OR_FILE`` mean open_clip. All others are names or files in OpenAI's layout.
    """
    if name.startswith(OPEN_CLIP):
        return "open_clip"
    if name.startswith("hf:") or os.path.isfile(os.path.join(os.path.expanduser(name), "config.json")):
        return "hf"
    on_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.startswith(("ViT-", "RN", "."))
    if on_hub and not os.path.exists(name) and not name.endswith(WEIGHT_SUFFIXES):
        return "hf"
    return "openai"


def read_foreign_clip(name: str) -> Found:
    """The weights of a CLIP of either library in OpenAI's layout, float32, and their :class:`CLIPSpec`.

    Raises:
        ValueError: the library is not installed, the model cannot be loaded, or has parts that OpenAI's layout lacks.
    """
    try:
        return {"hf": _from_hugging_face, "open_clip": _from_open_clip}[route(name)](name)
    except ModuleNotFoundError as error:
        extra = {"hf": "hf", "open_clip": "open_clip"}[route(name)]
        raise ValueError(f'backbone {name!r} needs {error.name}: pip install -e ".[{extra}]"') from error
    except ValueError as error:
        raise ValueError(f"backbone {name!r}: {error}") from error


def load_or_explain(load: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a library's loader. Any error of it (there are many types) becomes one ValueError that says how to work
    without a network.
    """
    try:
        return load(*args, **kwargs)
    except ModuleNotFoundError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"it could not be loaded ({reason[:300]}); {OFFLINE}") from error


# --------------------------------------------------------------------------- Hugging Face


def _from_hugging_face(name: str) -> Found:
    from transformers import AutoConfig, AutoImageProcessor, CLIPModel

    place = os.path.expanduser(name[len("hf:") :] if name.startswith("hf:") else name)
    config = load_or_explain(AutoConfig.from_pretrained, place)
    if config.model_type != "clip":
        raise ValueError(f"it is a {config.model_type!r} model; a 'clip' model (CLIPModel) is wanted")
    text, vision = config.text_config, config.vision_config
    if {text.layer_norm_eps, vision.layer_norm_eps} != {1e-5}:
        raise ValueError(f"its LayerNorms have eps {text.layer_norm_eps}, {vision.layer_norm_eps}; 1e-5 is wanted")
    if text.hidden_act != vision.hidden_act:
        raise ValueError(f"its towers have different activations: {text.hidden_act}, {vision.hidden_act}")
    model = load_or_explain(CLIPModel.from_pretrained, place, dtype=torch.float32).eval()
    statistics = _colours(load_or_explain(AutoImageProcessor.from_pretrained, place), vision.image_size)
    layout = CLIPSpec(vision.hidden_act, vision.num_attention_heads, text.num_attention_heads, *statistics)
    return _require_fit(_rename_hugging_face(model.state_dict())), layout


def _colours(processor: Any, side: int) -> Tuple[Tuple[float, ...], Tuple[float, ...]]:
    """(mean, std) of an image processor that prepares images as CLIP's own does."""
    size, crop = processor.size, processor.crop_size
    wanted = {"shortest edge": side, "crop": (side, side), "bicubic": True}
    given = {
        "shortest edge": size.get("shortest_edge"),
        "crop": (crop.get("height"), crop.get("width")) if processor.do_center_crop else None,
        "bicubic": int(processor.resample) == 3,
    }
    if given != wanted:
        raise ValueError(f"its images are prepared in another way than CLIP's: {given}, wanted {wanted}")
    return tuple(map(float, processor.image_mean)), tuple(map(float, processor.image_std))


def _rename_hugging_face(state_dict: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """A `CLIPModel`'s weights under OpenAI's names."""
    out: Dict[str, Tensor] = {}
    for name, value in state_dict.items():
        if name.endswith("position_ids") or ".self_attn.k_proj." in name or ".self_attn.v_proj." in name:
            continue  # keys and values are joined to the queries below
        if ".self_attn.q_proj." in name:
            value = torch.cat([state_dict[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")])
        new = name
        for old, ours in HUGGING_FACE_NAMES:
            new = re.sub(old, ours, new)
        out[new] = value.T.contiguous() if new in ("visual.proj", "text_projection") else value
    return out


HUGGING_FACE_NAMES = (
    (r"^vision_model\.embeddings\.class_embedding$", "visual.class_embedding"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual.conv1."),
    (r"^vision_model\.embeddings\.position_embedding\.weight$", "visual.positional_embedding"),
    (r"^vision_model\.pre_layrnorm\.", "visual.ln_pre."),
    (r"^vision_model\.post_layernorm\.", "visual.ln_post."),
    (r"^visual_projection\.weight$", "visual.proj"),
    (r"^text_model\.embeddings\.token_embedding\.", "token_embedding."),
    (r"^text_model\.embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^text_model\.final_layer_norm\.", "ln_final."),
    (r"^text_projection\.weight$", "text_projection"),
    (r"^vision_model\.encoder\.layers\.", "visual.transformer.resblocks."),
    (r"^text_model\.encoder\.layers\.", "transformer.resblocks."),
    (r"\.self_attn\.q_proj\.(weight|bias)$", r".attn.in_proj_\1"),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
)


# --------------------------------------------------------------------------- open_clip


def _from_open_clip(name: str) -> Found:
    import open_clip

    if not name.startswith("open_clip:"):  # open_clip finds it itself
        model = load_or_explain(open_clip.create_model, name, precision="fp32")
    else:
        architecture, _, pretrained = name[len("open_clip:") :].partition(":")
        known: List[str] = open_clip.list_models()
        if architecture not in known or not pretrained:
            raise ValueError(
                "open_clip:ARCHITECTURE:TAG_OR_FILE is wanted, e.g. open_clip:ViT-B-32:laion2b_s34b_b79k"
                + ("" if architecture in known else f"; there is no architecture {architecture!r}")
            )
        if Path(pretrained).expanduser().is_file():
            pretrained = str(Path(pretrained).expanduser())
        elif pretrained not in open_clip.list_pretrained_tags_by_model(architecture):
            tags = open_clip.list_pretrained_tags_by_model(architecture)
            raise ValueError(f"{pretrained!r} is neither a file nor one of {architecture}'s weights: {tags}")
        model = load_or_explain(open_clip.create_model, architecture, pretrained=pretrained, precision="fp32")
    visual = model.visual
    if type(model).__name__ != "CLIP" or type(visual).__name__ != "VisionTransformer":
        raise ValueError(f"it is a {type(model).__name__} around a {type(visual).__name__}, not a CLIP around a ViT")
    different = [
        f"{what} {value!r}"
        for what, value, wanted in (
            ("pooling", visual.pool_type, "tok"),
            ("pooling of texts", model.text_pool_type, "argmax"),
            ("attention pool", visual.attn_pool, None),
            ("LayerNorm after pooling", getattr(visual, "final_ln_after_pool", False), False),
        )
        if value != wanted
    ]
    if different:
        raise ValueError(f"it has what OpenAI's layout lacks: {', '.join(different)}")
    vision, text = visual.transformer.resblocks[0], model.transformer.resblocks[0]
    activations = {type(block.mlp.gelu).__name__ for block in (vision, text)}
    kinds = {"QuickGELU": "quick_gelu", "GELU": "gelu"}
    if len(activations) > 1 or not activations <= set(kinds):
        raise ValueError(f"its activations are {sorted(activations)}, one of {sorted(kinds)} is wanted")
    statistics = tuple(visual.preprocess_cfg["mean"]), tuple(visual.preprocess_cfg["std"])
    if visual.preprocess_cfg["interpolation"] != "bicubic" or visual.preprocess_cfg["resize_mode"] != "shortest":
        raise ValueError(f"its images are prepared in another way than CLIP's: {visual.preprocess_cfg}")
    layout = CLIPSpec(kinds[activations.pop()], vision.attn.num_heads, text.attn.num_heads, *statistics)
    return _require_fit(dict(model.state_dict())), layout


def _require_fit(state_dict: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Return the weights if they fit a CLIP of OpenAI's class; else ValueError."""
    vocabulary = len(state_dict["token_embedding.weight"])
    if vocabulary != VOCABULARY:
        raise ValueError(f"its vocabulary has {vocabulary:,} tokens: another tokenizer than OpenAI's ({VOCABULARY:,})")
    if "visual.class_embedding" not in state_dict:
        raise ValueError("its vision tower has no class token")
    return {name: value for name, value in state_dict.items() if name not in ("attn_mask", "logit_bias")}
