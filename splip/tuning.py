"""Which parts of CLIP itself are trained, and at which rate each part of a model learns."""

from __future__ import annotations

import copy
import zlib
from typing import Any, Dict, List, Mapping, Sequence

import torch
from torch import nn

from splip.common.modalities import MODALITIES


def trained_layernorms(clip: Any, towers: str) -> Dict[str, nn.Module]:
    """LayerNorms of the named towers (``both | vision | text | none``), by a name without dots."""
    wanted = {"both": ("vision", "text"), "none": ()}.get(towers, (towers,))
    return {
        name.replace(".", "_"): module
        for name, module in clip.named_modules()
        if isinstance(module, nn.LayerNorm) and ("vision" if name.startswith("visual.") else "text") in wanted
    }


LAYERNORM_PARTS = ("layernorms", "layernorms_photo", "leaked")  # that `train_layernorms` can make


def leaked_parameters(visual: Any) -> Dict[str, nn.Parameter]:
    """What CLIP-AT's released code trains of a visual tower beside its LayerNorms, by a name without dots.

    Its helper freezes, module by module, what is *named* weight or bias (github.com/aneeshan95/Sketch_LVM at ca33be98,
    `freeze_all_but_bn`). The queries, keys and values of every attention (`in_proj_*`), `proj`, the positions and the
    class embedding have other names, and so stay trainable: 21.7 million numbers of a ViT-B/32, with its LayerNorms.
    That code has no loss of texts, so its text tower does not change.
    """
    return {
        name.replace(".", "_"): parameter
        for name, parameter in visual.named_parameters()
        if name.split(".")[-1] not in ("weight", "bias")
    }


def train_layernorms(
    trainable: nn.ModuleDict, clip: Any, towers: str, shared: bool = True, proj: bool = False
) -> Dict[str, Any]:
    """Put the LayerNorms of ``towers`` into a model's trained parts -> the visual tower of each modality.

    Args:
        towers: as in :func:`trained_layernorms`; ``leaky``: of the vision tower, and its :func:`leaked_parameters`.
        shared: False: photos have a visual tower with LayerNorms of its own.
        proj: CLIP's visual projection, too.
    """
    visual: Dict[str, Any] = dict.fromkeys(MODALITIES, clip.visual)
    layernorms = trained_layernorms(clip, "vision" if towers == "leaky" else towers)
    if layernorms:
        trainable["layernorms"] = nn.ModuleDict(layernorms).requires_grad_(True)
    if towers == "leaky":
        trainable["leaked"] = nn.ParameterDict(leaked_parameters(clip.visual)).requires_grad_(True)
    if proj:
        trainable["proj"] = nn.ParameterDict({"visual": clip.visual.proj.requires_grad_(True)})
    if not shared:
        visual["photo"] = with_own_layernorms(clip.visual)
        trainable["layernorms_photo"] = nn.ModuleDict(trained_layernorms(visual["photo"], "both"))
    return visual


def frozen_twin(visual: Any) -> Any:
    """A visual tower that stays as it is now: it shares the weights that are not trained, and has copies of others."""
    held = {id(tensor): tensor for tensor in [*visual.parameters(), *visual.buffers()] if not tensor.requires_grad}
    return copy.deepcopy(visual, held).requires_grad_(False)


def with_own_layernorms(visual: Any, proj: bool = False) -> nn.Module:
    """A visual tower with its own copies of the LayerNorms, and with ``proj`` of the projection. It shares all other
    weights with ``visual``.
    """
    own = {id(p) for module in visual.modules() if isinstance(module, nn.LayerNorm) for p in module.parameters()}
    shared = {
        id(tensor): tensor
        for name, tensor in [*visual.named_parameters(), *visual.named_buffers()]
        if id(tensor) not in own and not (proj and name == "proj")
    }  # not to be copied
    return copy.deepcopy(visual, shared)


def param_groups(
    trainable: nn.ModuleDict, optim: Any, factors: Mapping[str, float], known: Sequence[str] = ()
) -> List[Dict[str, Any]]:
    """Parameter groups for the optimiser, one for each rate, the highest rate first.

    A part's rate is OPTIM.LR times its factor. With OPTIM.STAGED_LR, the rate of parts that OPTIM.NEW_LAYERS does not
    name is also multiplied by OPTIM.BASE_LR_MULT, as in Dassl.

    Args:
        trainable: a model's trained parts by name.
        optim: ``cfg.OPTIM``.
        factors: the factor of each part of ``trainable``; 1 for parts that are not named.
        known: all parts that a model can have under any config (default: those of ``trainable``).

    Raises:
        ValueError: STAGED_LR without NEW_LAYERS, or NEW_LAYERS names an unknown part.
    """
    parts, new = tuple(known or trainable), list(optim.NEW_LAYERS)
    if optim.STAGED_LR and (not new or set(new) - set(parts)):
        raise ValueError(f"OPTIM.NEW_LAYERS must name some of {parts} with STAGED_LR, got {new}")
    groups: Dict[float, List[nn.Parameter]] = {}
    for name, part in trainable.items():
        parameters = list(part.parameters())
        if parameters:
            factor = factors.get(name, 1.0)
            factor *= optim.BASE_LR_MULT if optim.STAGED_LR and name not in new else 1.0
            groups.setdefault(optim.LR * factor, []).extend(parameters)
    return [{"params": groups[rate], "lr": rate} for rate in sorted(groups, reverse=True)]


def weights_key(holder: nn.Module, without: Sequence[str] = ()) -> tuple:
    """A key that changes when the weights change: device, and a hash of their bits. The frozen CLIP is not in it.

    torch's version counters would miss changes by ``.data``, fused optimisers or in inference mode.

    Args:
        without: names of children to leave out.
    """
    held = [v for name, v in holder.state_dict().items() if name.split(".")[0] not in without]
    if not held:
        return ()
    if held[0].device.type == "cpu":
        crc = 0
        for value in held:  # takes a tenth of the time of the method for GPUs below
            crc = zlib.crc32(value.detach().float().contiguous().numpy(), crc)
        return held[0].device, sum(value.numel() for value in held), crc
    bits = torch.cat([value.detach().float().flatten().view(torch.int32) for value in held]).long()
    places = torch.arange(len(bits), device=bits.device) * 0x9E3779B1
    mixed = (bits + places) * -0x40A7B892E31B1A47  # splitmix64's steps: a plain sum would not see a doubling
    mixed = (mixed ^ (mixed >> 29)) * -0x6B2FB644ECCEEE15
    return bits.device, len(bits), int((mixed ^ (mixed >> 32)).sum())
