"""Checkpoint files: written whole or not at all, read without running code, and compared before use."""

from __future__ import annotations

import json
import os
import random
from typing import Any, Dict, Iterator, Optional, Tuple

import numpy as np
import torch

BEST = "model-best.pth.tar"
POINTER = "checkpoint"  # a text file that names the newest checkpoint, as Dassl has it


def epoch_file(epoch: int) -> str:
    """Dassl's name for the checkpoint after `epoch` epochs."""
    return f"model.pth.tar-{epoch}"


def newest(folder: str) -> Optional[str]:
    """Path of the newest checkpoint in `folder`, or None if none was ever written there."""
    pointer = os.path.join(folder, POINTER)
    if not os.path.isfile(pointer):
        return None
    with open(pointer, encoding="utf-8") as file:
        return os.path.join(folder, file.readline().strip())


def write_text(path: str, text: str) -> None:
    """Write a file that a kill cannot leave half written."""
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".part", path)


def write(path: str, state: Dict[str, Any]) -> None:
    """Save `state` (tensors and plain values) so that a kill leaves the old file or the new one."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".part", "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".part", path)


def read(path: str, device: torch.device) -> Dict[str, Any]:
    """The saved state.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or no checkpoint of this project.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises a different type for each way in which a file can be broken
        raise ValueError(f"checkpoint {path} is damaged or no checkpoint: {error}") from error
    if not isinstance(state, dict) or "fingerprint" not in state:
        raise ValueError(f"checkpoint {path} was not written by this project: it has no 'fingerprint'")
    return state


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
    return (
        f"{key}: checkpoint has {len(before)}, here {len(now)}; "
        f"only in the checkpoint: {_some(only_before)}; only here: {_some(only_now)}"
    )


def _some(values: list) -> str:
    return ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "") if values else "none"


def random_state() -> Dict[str, Any]:
    """Every global generator's state, in types that load without unpickling code."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [kind, keys.tolist(), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_random_state(state: Dict[str, Any]) -> None:
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(state["torch"].cpu())
    for device, one in zip(range(torch.cuda.device_count()), state["cuda"]):  # another machine may have fewer
        torch.cuda.set_rng_state(one.cpu(), device)
