"""Any CLIP in OpenAI's layout: by name, by file, or from a host repository's modified ``clip`` package."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Sequence, Union

import torch
from torch import Tensor

from splip.hybrid import MARK, build_hybrid, no_design

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

ASSETS = Path(__file__).resolve().parent / "assets"
EMBEDDED = "splip-hybrid"  # the backbone that ships with the package


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


def clip_dims(clip: Any) -> CLIPDims:
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
    return [EMBEDDED] + [name for name in _openai_clip()._MODELS if name.startswith("ViT")]


def load_clip(name_or_path: Union[str, Path] = EMBEDDED, device: Union[str, torch.device] = "cpu") -> Any:
    """A CLIP in float32 and ``eval()`` mode on ``device``.

    Args:
        name_or_path: ``"splip-hybrid"`` (embedded), a name of ``clip.available_models()`` (downloaded once, as
            OpenAI's package does), or a file: a TorchScript archive or a state dict in OpenAI's layout, or in that of
            the embedded backbone (:mod:`splip.hybrid`).
        device: where the model goes.

    Raises:
        ValueError: the name is unknown and no such file exists, the file is not a CLIP, or its vision
            tower is not a ViT.
    """
    state_dict = _read_state_dict(resolve_backbone(name_or_path), str(name_or_path))
    if "visual.class_embedding" not in state_dict and "visual.layer1.0.conv1.weight" in state_dict:
        raise _resnet_error(name_or_path)
    try:
        if MARK in state_dict:
            clip = build_hybrid(_clip_class(), state_dict)
        else:
            clip = _build_plain_clip(_openai_clip().build_model, state_dict)
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{name_or_path} does not hold a CLIP in OpenAI's layout: {error}") from error
    clip = clip.float().to(device).eval()
    clip_dims(clip)
    return clip


def resolve_backbone(name_or_path: Union[str, Path]) -> Path:
    """The weight file behind a backbone's name (downloaded if need be) or path; errors as :func:`load_clip`."""
    if str(name_or_path) == EMBEDDED:
        return ASSETS / "hybrid" / f"{EMBEDDED}.pt"
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
    gone = f": version 0.2 has {EMBEDDED!r} in its place" if str(name_or_path) == "TinyCLIP" else ""
    raise ValueError(
        f"backbone {str(name_or_path)!r} is neither a file nor one of {available_backbones()}{gone}"
    )


def _resnet_error(name_or_path: Union[str, Path]) -> ValueError:
    return ValueError(
        f"backbone {name_or_path} has a ResNet vision tower: it has no token sequence that could take "
        f"visual prompts. Use one of {available_backbones()}"
    )


def backbone_fingerprint(clip: Any) -> Dict[str, object]:
    """What tells one backbone from another: its sizes, and hashes of its patch convolution and of all its weights.

    To be taken before anything is trained: LayerNorms are trained in place.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(clip.state_dict().items()):
        digest.update(name.encode())
        digest.update(_bytes(value))
    conv1 = hashlib.sha256(_bytes(clip.visual.conv1.weight)).hexdigest()[:16]  # all that was taken until 23ad539
    return {**asdict(clip_dims(clip)), "sha256": conv1, "weights": digest.hexdigest()}


def _bytes(value: Tensor) -> bytes:
    return value.detach().float().cpu().contiguous().numpy().tobytes()


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
    if not isinstance(state_dict, dict) or not {"visual.conv1.weight", MARK} & set(state_dict):
        raise ValueError(f"backbone {asked_for}: {path} holds no CLIP state dict (no 'visual.conv1.weight')")
    return state_dict


def _clip_class() -> type:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        from clip.model import CLIP

    return CLIP


def _build_plain_clip(build_model, state_dict: Dict[str, Tensor]) -> Any:
    """CLIP without prompts, also from the ``build_model`` of MaPLe and PromptSRC, which wants a design."""
    # build_model deletes keys of what it is given
    return build_model(dict(state_dict), **no_design(build_model))
