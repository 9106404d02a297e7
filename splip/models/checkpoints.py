"""Checkpoint files: written whole or not at all, read without running code, and compared before use."""

from __future__ import annotations

import json
import math
import os
import re
import zipfile
from typing import Any, Dict, Iterator, Optional, Tuple

import torch
from torch import Tensor

from splip.common.files import whole_file
from splip.data.classes import some

SCHEMA = 3  # of what a checkpoint holds
BEST = "model-best.pth.tar"
MOST_EXPONENT = 700.0  # of e in a float
POINTER = "checkpoint"  # a text file that names the newest checkpoint, as Dassl has it


def epoch_file(epoch: int) -> str:
    """Dassl's name for the checkpoint after `epoch` epochs."""
    return f"model.pth.tar-{epoch}"


def newest(folder: str) -> Optional[str]:
    """Path of the newest checkpoint in `folder`, or None if none was ever written there.

    Raises:
        ValueError: there are checkpoints, but the file that says which is the newest is gone.
    """
    pointer = os.path.join(folder, POINTER)
    if not os.path.isfile(pointer):
        there = os.listdir(folder) if os.path.isdir(folder) else []
        lost = sorted(name for name in there if re.fullmatch(r"model\.pth\.tar-\d+", name))
        if lost:
            beside = ", ".join(some(lost))
            raise ValueError(f"{pointer} is missing, beside {beside}: write the newest name to it or remove the folder")
        return None
    with open(pointer, encoding="utf-8") as file:
        return os.path.join(folder, file.readline().strip())


def find(directory: str, best: bool = False, epoch: Optional[int] = None) -> str:
    """Path of a run's checkpoint: that of ``epoch``, else with ``best`` the best one, else the newest.

    Args:
        directory: the run's output folder.

    Raises:
        FileNotFoundError: there is none.
    """
    folder = os.path.join(directory, "splip")
    if epoch is not None:
        return os.path.join(folder, epoch_file(epoch))
    path = os.path.join(folder, BEST) if best else newest(folder)
    if path is None:
        raise FileNotFoundError(f"no checkpoint in {directory!r}: looked for {os.path.join(folder, POINTER)}")
    return path


def write_text(path: str, text: str) -> None:
    """Write a file that is never left half written, even if the process is killed."""
    with whole_file(path) as file:
        file.write(text.encode("utf-8"))


def write(path: str, state: Dict[str, Any]) -> None:
    """Save `state` (tensors and plain values); if the process is killed, the old file or the new one is there."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with whole_file(path) as file:
        torch.save(state, file)


def read(path: str, device: Optional[torch.device] = None) -> Dict[str, Any]:
    """The saved state, on ``device`` (default: the CPU).

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, no checkpoint of this project, or of another version of it.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not look at the checksums
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"its part {damaged} is not what was written")
        state = torch.load(path, map_location=device or "cpu", weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # torch raises a different type for each way in which a file can be broken
        raise ValueError(f"checkpoint {path} is damaged or no checkpoint: {error}") from error
    if not isinstance(state, dict) or "schema" not in state:
        raise ValueError(f"checkpoint {path} was not written by this project: it has no 'schema'")
    if state.get("schema") != SCHEMA:
        version = f"schema {state.get('schema')}, here {SCHEMA}"
        raise ValueError(f"checkpoint {path} was written by another version of splip ({version})")
    return state


def weights(state: Dict[str, Any]) -> Dict[str, Tensor]:
    """The weights that a checkpoint is tested with: the averaged ones if the run averaged, else the last."""
    return state.get("average") or state["state_dict"]


def running_mean(mean: Optional[Dict[str, Tensor]], new: Dict[str, Tensor], count: float) -> Dict[str, Tensor]:
    """Mean of ``count`` state dicts: ``new`` is the last one, ``mean`` the mean of those before. Integers are taken
    from the last one. With unequal weights ``count`` is the sum of all weights in units of the last one's.
    """
    if mean is None:
        return {name: value.detach().clone() for name, value in new.items()}
    moved = {name: value.to(new[name].device) for name, value in mean.items()}  # a checkpoint is read to the CPU
    return {
        name: moved[name] + (value - moved[name]) / count if value.is_floating_point() else value.clone()
        for name, value in new.items()
    }


def epochs_averaged(optim: Any, epoch: int) -> float:
    """``count`` of :func:`running_mean` after ``epoch`` epochs (from 1) with ``cfg.OPTIM``; 0 = not averaged yet.

    Epochs weigh the same, or with AVERAGE_STD as a Gaussian around AVERAGE_MEAN (PromptSRC, Khattak et al., ICCV 2023).
    """
    count = epoch - (optim.MAX_EPOCH - optim.AVERAGE_EPOCHS)
    if count <= 0 or optim.AVERAGE_STD == 0:
        return max(count, 0)
    heights = [-0.5 * ((e - optim.AVERAGE_MEAN) / optim.AVERAGE_STD) ** 2 for e in range(epoch - count + 1, epoch + 1)]
    return sum(math.exp(min(height - heights[-1], MOST_EXPONENT)) for height in heights)


def require_finite(state_dict: Dict[str, Tensor]) -> None:
    """Raise FloatingPointError naming a weight that is NaN or infinite: such a checkpoint is not written."""
    for name, value in state_dict.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise FloatingPointError(f"{name} holds NaN or infinity: no checkpoint is written, the one before is kept")


def plain(value: Any) -> Any:
    """`value` as JSON would have it (tuples become lists, config nodes dicts)."""
    return json.loads(json.dumps(value))


def require_equal(saved: Dict[str, Any], here: Dict[str, Any], path: str) -> None:
    """Raise ValueError naming each setting in which a checkpoint and this run differ."""
    old, new = dict(_flat(saved)), dict(_flat(here))
    lines = [_difference(key, old, new) for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    if lines:
        raise ValueError(f"checkpoint {path} does not fit this run:\n  " + "\n  ".join(lines))


def _flat(node: Any, prefix: str = "") -> Iterator[Tuple[str, Any]]:
    for key, value in node.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, dict):
            yield from _flat(value, name)
        else:
            yield name, value


def _difference(key: str, old: Dict[str, Any], new: Dict[str, Any]) -> str:
    before, now = old.get(key, "absent"), new.get(key, "absent")
    if not (isinstance(before, list) and isinstance(now, list)):
        return f"{key}: checkpoint {before}, here {now}"
    only_before = [value for value in before if value not in now]
    only_now = [value for value in now if value not in before]
    there, here = (", ".join(some(values)) or "none" for values in (only_before, only_now))
    return f"{key}: checkpoint has {len(before)}, here {len(now)}; only in the checkpoint: {there}; only here: {here}"
