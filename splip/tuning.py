"""Which parts of CLIP itself are trained, and at which rate each part of a model learns."""

from __future__ import annotations

import copy
import zlib
from typing import Any, Dict, List, Mapping, Sequence

import torch
from torch import nn


def trained_layernorms(clip: Any, towers: str) -> Dict[str, nn.Module]:
    """LayerNorms of the named towers (``both | vision | text | none``), by a name without dots."""
    wanted = {"both": ("vision", "text"), "none": ()}.get(towers, (towers,))
    return {
        name.replace(".", "_"): module
        for name, module in clip.named_modules()
        if isinstance(module, nn.LayerNorm) and ("vision" if name.startswith("visual.") else "text") in wanted
    }


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
