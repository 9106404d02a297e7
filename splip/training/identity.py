"""All that can change a run's result (settings, data, backbone, version), so that results of runs never mix."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional, Sequence

from splip.training.options import flat

if TYPE_CHECKING:  # it needs torch, and tables of results do not
    from splip.data.base import SBIRDataset

# Keys for how a run is computed and where its files are. With other values the result is the same up to rounding; or,
# for root, split, file lists and the backbone's name, the hash of the data or of the backbone differs.
HOW = (
    "OUTPUT_DIR", "RESUME", "VERBOSE", "VERSION", "USE_CUDA", "TRAIN.PRINT_FREQ", "TRAIN.CHECKPOINT_FREQ",
    "TRAIN.COUNT_ITER", "DATALOADER.NUM_WORKERS", "DATALOADER.TEST.BATCH_SIZE", "DATASET.CACHE", "DATASET.PIXEL_CACHE",
    "DATASET.ROOT", "DATASET.SPLIT", "DATASET.FILE_LISTS", "MODEL.BACKBONE.NAME", "TRAINER.PATCH_CACHE",
    "TRAINER.GRAD_CHECKPOINTING", "TRAINER.MICRO_BATCH", "TRAINER.PREC", "TRAINER.COMPILE", "TEST.SWAPPED",
)  # fmt: skip
SHOWN = 6  # differences that a message lists


def settings_of(config: Mapping[str, Any], method: Optional[Mapping[str, Any]]) -> Dict[str, Any]:
    """A config's settings that can change a result: without HOW, SEED, and the nodes of other methods.

    Args:
        method: the settings of the run's own method, by config key; None = they are not known, and the nodes of all
            methods count.
    """
    found = dict(method or {})
    for key, value in flat(config).items():
        in_a_node = method is not None and key.startswith("TRAINER.") and key.count(".") > 1
        if key not in (*HOW, "SEED") and not in_a_node:
            found[key] = json.loads(json.dumps(value))
    return found


def data_digest(dataset: SBIRDataset) -> str:
    """A hash of the images of a data set: their paths below its root, sizes, classes and other properties."""
    digest = hashlib.blake2b(digest_size=16)
    sizes: Dict[str, int] = {}
    for items in dataset.lists():
        for item in items:
            if item.impath not in sizes:
                sizes[item.impath] = os.stat(item.impath).st_size
            place = item.place or "/".join(item.impath.split(os.sep)[-3:])
            said = [place, sizes[item.impath], item.domain, item.classname, item.instance, repr(item.spec)]
            digest.update(json.dumps(said).encode())
        digest.update(b"|")
    return digest.hexdigest()


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> List[str]:
    """The differences of two identities, as text; what one of them does not contain counts as equal.

    Args:
        before, now: ``{"settings": {...}, "seed", "data", "backbone", "version", "engine",
            "precision"}``.
    """
    lines = []
    for key in ("seed", "data", "backbone", "version", "engine", "precision"):
        if key in before and key in now and before[key] != now[key]:
            lines.append(f"{key} {before[key]} then, {now[key]} now")
    old, new = before.get("settings", {}), now.get("settings", {})
    for key in sorted({*old} & {*new}):
        if old[key] != new[key]:
            lines.append(f"{key} {old[key]} then, {new[key]} now")
    return lines


def shown(lines: Sequence[str]) -> str:
    """The first few differences in one line."""
    rest = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return "; ".join(lines[:SHOWN]) + rest
