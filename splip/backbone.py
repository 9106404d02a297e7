"""Any CLIP in OpenAI's layout: by name, by file, or from a host repository's modified ``clip`` package."""

from __future__ import annotations

import hashlib
import inspect
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Sequence, Union

import torch
from torch import Tensor, nn

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

ASSETS = Path(__file__).resolve().parent / "assets"
TINYCLIP = "TinyCLIP"  # the backbone that ships with the package


@dataclass(frozen=True)
class CLIPDims:
    """Sizes of a CLIP, read from its weights so that no width is ever a literal."""

    embed_dim: int  # joint space
    vision_width: int
    vision_layers: int
    text_width: int
    text_layers: int
    patch_size: int
    resolution: int  # input side in pixels
    context_length: int


def clip_dims(clip: nn.Module) -> CLIPDims:
    """Sizes of ``clip``.

    Raises:
        ValueError: the vision tower is not a ViT. Visual prompts are extra tokens, and a ResNet has no
            tokens to put them beside.
    """
    visual = clip.visual
    if not hasattr(visual, "class_embedding"):
        raise ValueError(
            f"SpLIP needs a ViT backbone, got a CLIP whose vision tower is {type(visual).__name__}: "
            "a ResNet has no token sequence that could take visual prompts"
        )
    return CLIPDims(
        embed_dim=visual.proj.shape[1],
        vision_width=visual.class_embedding.shape[0],
        vision_layers=len(visual.transformer.resblocks),
        text_width=clip.ln_final.weight.shape[0],
        text_layers=len(clip.transformer.resblocks),
        patch_size=visual.conv1.kernel_size[0],
        resolution=visual.input_resolution,
        context_length=clip.positional_embedding.shape[0],
    )


def available_backbones() -> List[str]:
    """Names that :func:`load_clip` accepts besides a file path."""
    return [TINYCLIP] + [name for name in _openai_clip()._MODELS if name.startswith("ViT")]


def load_clip(name_or_path: Union[str, Path] = TINYCLIP, device: Union[str, torch.device] = "cpu") -> nn.Module:
    """A CLIP in float32 and ``eval()`` mode on ``device``.

    Args:
        name_or_path: ``"TinyCLIP"`` (embedded), a name of ``clip.available_models()`` (downloaded once, as
            OpenAI's package does), or a file: a TorchScript archive or a state dict in OpenAI's layout.
        device: where the model goes.

    Raises:
        ValueError: the name is unknown and no such file exists, the file is not a CLIP, or its vision
            tower is not a ViT.
    """
    state_dict = _read_state_dict(resolve_backbone(name_or_path), str(name_or_path))
    if "visual.class_embedding" not in state_dict and "visual.layer1.0.conv1.weight" in state_dict:
        raise _resnet_error(name_or_path)
    try:
        clip = _build_plain_clip(_openai_clip().build_model, state_dict)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{name_or_path} does not hold a CLIP in OpenAI's layout: {error}") from error
    clip = clip.float().to(device).eval()
    clip_dims(clip)
    return clip


def resolve_backbone(name_or_path: Union[str, Path]) -> Path:
    """The weight file behind a backbone's name (downloaded if need be) or path; errors as :func:`load_clip`."""
    if str(name_or_path) == TINYCLIP:
        return ASSETS / "tinyclip" / "tinyclip.pt"
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    openai_clip = _openai_clip()
    if str(name_or_path) in openai_clip._MODELS:
        if str(name_or_path).startswith("RN"):  # before a quarter of a gigabyte is downloaded for nothing
            raise _resnet_error(name_or_path)
        url = openai_clip._MODELS[str(name_or_path)]
        # CoOp's copy of clip gives its download folder a default, the registry's asks for one
        return Path(openai_clip._download(url, str(Path("~/.cache/clip").expanduser())))
    raise ValueError(
        f"backbone {str(name_or_path)!r} is neither a file nor one of {available_backbones()}"
    )


def _resnet_error(name_or_path: Union[str, Path]) -> ValueError:
    return ValueError(
        f"backbone {name_or_path} has a ResNet vision tower: it has no token sequence that could take "
        f"visual prompts. Use one of {available_backbones()}"
    )


def backbone_fingerprint(clip: nn.Module) -> Dict[str, object]:
    """What tells one backbone from another: its sizes and a hash of its frozen patch convolution."""
    weight = clip.visual.conv1.weight.detach().float().cpu().contiguous()
    digest = hashlib.sha256(weight.numpy().tobytes()).hexdigest()[:16]
    return {**asdict(clip_dims(clip)), "sha256": digest}


def tokenize(texts: Sequence[str]) -> Tensor:
    """OpenAI's tokens cut to the longest text, (n, longest) long.

    Everything right of the last end-of-text token is padding that the causal mask hides, so the cut
    changes no feature and saves most of the text encoder's work.
    """
    tokens = _openai_clip().tokenize(list(texts)).long()
    return tokens[:, : int(tokens.argmax(dim=-1).max()) + 1]


def _openai_clip():
    """The ``clip.clip`` module that is importable here: OpenAI's package or a host repository's copy."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")  # setup.py pins what it needs
        from clip import clip as module

    return module


def _read_state_dict(path: Path, asked_for: str) -> Dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`torch.jit.load` is deprecated")  # OpenAI's files need it
            return torch.jit.load(str(path), map_location="cpu").state_dict()
    except RuntimeError:  # no TorchScript archive, so a plain state dict
        pass
    try:
        state_dict = torch.load(str(path), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different type for each way in which a file can be broken
        raise ValueError(f"backbone {asked_for}: {path} is damaged or no weight file ({error})") from error
    if not isinstance(state_dict, dict) or "visual.conv1.weight" not in state_dict:
        raise ValueError(f"backbone {asked_for}: {path} holds no CLIP state dict (no 'visual.conv1.weight')")
    return state_dict


def _build_plain_clip(build_model, state_dict: Dict[str, Tensor]) -> nn.Module:
    """CLIP without prompts, also from the ``build_model`` of MaPLe and PromptSRC, which wants a design."""
    # build_model deletes keys of what it is given
    state_dict = dict(state_dict)
    if "design_details" not in inspect.signature(build_model).parameters:
        return build_model(state_dict)
    off = dict.fromkeys(["vision_depth", "language_depth", "vision_ctx", "language_ctx"], 0)
    return build_model(state_dict, {"trainer": "CoOp", **off})
