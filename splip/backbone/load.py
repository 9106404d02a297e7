"""Any CLIP with a ViT as OpenAI's class: by name, by file, or from Hugging Face and open_clip."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from splip.backbone.foreign import read_foreign_clip, route
from splip.backbone.hybrid import MARK
from splip.backbone.layout import CLIP_MEAN, CLIP_STD, CLIPSpec, build_clip, clip_package
from splip.backbone.weights import read_weights

ASSETS = Path(__file__).resolve().parents[1] / "assets"
EMBEDDED = "splip-hybrid"  # the backbone that ships with the package
HUB_TWINS = {  # OpenAI's own copies of its weights
    "ViT-B/32": "openai/clip-vit-base-patch32", "ViT-B/16": "openai/clip-vit-base-patch16",
    "ViT-L/14": "openai/clip-vit-large-patch14", "ViT-L/14@336px": "openai/clip-vit-large-patch14-336",
}  # fmt: skip


@dataclass(frozen=True)
class CLIPDims:
    """Sizes of a CLIP, read from its weights so that no width is hard-coded."""

    embed_dim: int  # joint space
    vision_width: int
    vision_layers: int
    text_width: int
    text_layers: int
    patch_size: int
    resolution: int  # input side in pixels
    context_length: int


@dataclass(frozen=True)
class BackboneInfo:
    """What :func:`load_clip` knows about the CLIP that it returns, before any training.

    Args:
        name: the name that was asked for.
        fingerprint: from :func:`backbone_fingerprint`; empty for a CLIP that did not come from :func:`load_clip`.
        mean, std: of the image colours that it was trained with.
    """

    name: str = ""
    fingerprint: Dict[str, object] = field(default_factory=dict)
    mean: Tuple[float, ...] = CLIP_MEAN
    std: Tuple[float, ...] = CLIP_STD


def backbone_info(clip: Any) -> BackboneInfo:
    """The info of a CLIP. For one that did not come from :func:`load_clip`, OpenAI's colours are assumed."""
    return getattr(clip, "splip_info", None) or BackboneInfo()


def clip_dims(clip: Any) -> CLIPDims:
    """Sizes of ``clip``.

    Raises:
        ValueError: the vision tower is not a ViT. Visual prompts are extra tokens, and a ResNet has no
            token sequence.
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
    return [EMBEDDED] + [name for name in clip_package()._MODELS if name.startswith("ViT")]


def load_clip(name_or_path: Union[str, Path] = EMBEDDED, device: Union[str, torch.device] = "cpu") -> Any:
    """A CLIP of OpenAI's class in float32 and ``eval()`` mode on ``device``, with its own activation.

    It is described by ``clip.splip_info`` (:class:`BackboneInfo`), and :func:`splip.preprocess` prepares images for
    it.

    Args:
        name_or_path: ``"splip-hybrid"`` (embedded); a name of ``clip.available_models()`` (downloaded once, as OpenAI's
            package does); ``owner/model`` on the Hugging Face hub or a folder of a ``CLIPModel``; open_clip's
            ``hf-hub:owner/model``, ``local-dir:FOLDER`` or ``open_clip:ARCHITECTURE:TAG_OR_FILE``; or a weight file in
            OpenAI's layout.
            ``openai:FILE`` is a file with QuickGELU that lacks the sizes which OpenAI's own files hold.
        device: where the model goes.

    Raises:
        ValueError: the name is unknown and no such file exists; the file is not a CLIP, does not say which
            activation it has, or is a program (:mod:`splip.backbone.weights`); or the vision tower is not a ViT.
    """
    name = str(name_or_path)
    if route(name) == "openai":
        state_dict, layout = _read_openai(name), CLIPSpec()
    else:
        state_dict, layout = read_foreign_clip(name)
    try:
        clip: Any = build_clip(state_dict, layout)
    except (KeyError, RuntimeError, AssertionError, ValueError) as error:
        raise ValueError(f"{name} does not hold a CLIP in OpenAI's layout: {error}") from error
    clip = clip.to(device).eval()
    clip_dims(clip)
    clip.splip_info = BackboneInfo(name, backbone_fingerprint(clip), layout.mean, layout.std)
    return clip


def _read_openai(name: str) -> Dict[str, Tensor]:
    """A state dict in OpenAI's layout, whose activation is known to be QuickGELU."""
    said = name.startswith("openai:")
    path = resolve_backbone(name[len("openai:") :] if said else name)
    models = clip_package()._MODELS
    try:
        state_dict = read_weights(path, {url.split("/")[-2] for url in models.values()})
    except ValueError as error:
        raise ValueError(f"backbone {name}: {error}") from error
    if "visual.class_embedding" not in state_dict and "visual.layer1.0.conv1.weight" in state_dict:
        raise _resnet_error(name)
    if not {"visual.conv1.weight", MARK} & set(state_dict):
        raise ValueError(f"backbone {name}: {path} holds no CLIP state dict (no 'visual.conv1.weight')")
    if not (said or name in models or MARK in state_dict or "input_resolution" in state_dict):
        raise ValueError(
            f"backbone {name}: a plain state dict does not say which activation it was trained with. Name it "
            f"openai:{name} for QuickGELU (OpenAI's, and what was fine-tuned from them) or "
            f"open_clip:ARCHITECTURE:{name} (LAION, DataComp, ...)"
        )
    return state_dict


def resolve_backbone(name_or_path: Union[str, Path]) -> Path:
    """The weight file for a backbone's name (downloaded if necessary) or path; errors as :func:`load_clip`."""
    name = str(name_or_path)
    if name == EMBEDDED:
        return ASSETS / "hybrid" / f"{EMBEDDED}.pt"
    path = Path(name).expanduser()
    if path.is_file():
        return path
    package = clip_package()
    if name in package._MODELS:
        if name.startswith("RN"):  # before a quarter of a gigabyte is downloaded for nothing
            raise _resnet_error(name)
        url, folder = package._MODELS[name], Path("~/.cache/clip").expanduser()
        try:
            # the download folder has a default in CoOp's copy of clip, but not in the published package
            return Path(package._download(url, str(folder)))
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"backbone {name!r} could not be downloaded from {url} ({error}). Put the file into {folder}, give "
                "its path instead of the name, or take the same weights from the Hugging Face hub "
                f"({HUB_TWINS.get(name, 'openai/clip-vit-...')})"
            ) from error
    gone = f": version 0.2 has {EMBEDDED!r} in its place" if name == "TinyCLIP" else ""
    raise ValueError(f"backbone {name!r} is neither a file nor one of {available_backbones()}{gone}")


def _resnet_error(name_or_path: Union[str, Path]) -> ValueError:
    return ValueError(
        f"backbone {name_or_path} has a ResNet vision tower: it has no token sequence that could take "
        f"visual prompts. Use one of {available_backbones()}"
    )


def backbone_fingerprint(clip: Any) -> Dict[str, object]:
    """Identifies a backbone: its sizes, its activation, and hashes of its patch convolution and of all its weights.

    Call it before training: LayerNorms are trained in place.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(clip.state_dict().items()):
        digest.update(name.encode())
        digest.update(_bytes(value))
    conv1 = hashlib.sha256(_bytes(clip.visual.conv1.weight)).hexdigest()[:16]
    activation = "gelu" if isinstance(clip.transformer.resblocks[0].mlp.gelu, nn.GELU) else "quick_gelu"
    return {
        **asdict(clip_dims(clip)), "sha256": conv1, "weights": digest.hexdigest(), "activation": activation,
    }  # fmt: skip


def _bytes(value: Tensor) -> bytes:
    return value.detach().float().cpu().contiguous().numpy().tobytes()


def tokenize(texts: Sequence[str]) -> Tensor:
    """OpenAI's tokens cut to the longest text, (n, longest) long.

    Everything after the last end-of-text token is padding that the causal mask hides, so the cut
    changes no feature and saves most of the text encoder's work.
    """
    tokens = clip_package().tokenize(list(texts)).long()
    return tokens[:, : int(tokens.argmax(dim=-1).max()) + 1]
