"""Launches and waits: what work costs a GPU beside its arithmetic, counted on any machine.

Every operation that is no view is a kernel or more to a GPU; where a number is read, or a shape depends on values, the
host waits for it. Both show in torch's dispatcher whatever the device and the sizes, so they are counted on the CPU.
Where there is a GPU, its driver's own count stands beside them.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any, Callable, Dict, Iterator, List
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from splip import SpLIP, prompted
from splip.backbone.texts import PackedTexts
from splip.common.modalities import MODALITIES

# What makes the host wait for the device: reading a number, and shapes that depend on values.
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "item", "is_nonzero", "equal")
NO_KERNEL = ("_unsafe_view", "_reshape_alias", "empty", "empty_like", "empty_strided", "new_empty", "device")


class Counts(TorchDispatchMode):
    """Counts what runs inside of ``with``.

    Attributes:
        launches: operations by part (:meth:`part`; "rest" where none was named).
        waits: names of those that would wait; also of indexing by a mask, whose result has an unknown length.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter = Counter()
        self.waits: List[str] = []
        self._part = "rest"

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if not func.is_view and name not in NO_KERNEL:
            self.launches[self._part] += 1
        by_mask = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in WAITS or by_mask:
            self.waits.append(name)
        return func(*args, **(kwargs or {}))

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What runs inside counts as this part."""
        before, self._part = self._part, name
        try:
            yield
        finally:
            self._part = before

    def named(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """``function``, whose operations count as a part."""

        def run(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return run


def as_on_a_gpu(model: SpLIP) -> SpLIP:
    """The model with its class texts laid out as on a GPU."""
    for modality in MODALITIES:
        tokens = getattr(model, f"{modality}_class_tokens")
        model._layouts[modality] = PackedTexts(tokens, share_prefix=bool(model._share_prefix))
    return model


def count_step(model: SpLIP, batch: Dict[str, torch.Tensor], on_gpu: bool = False) -> Dict[str, int]:
    """Launches and waits of a training step in float32, without its optimiser; the towers' are of the forward pass.

    Args:
        on_gpu: as a GPU would run it.
    """
    counts = Counts()
    if on_gpu:
        as_on_a_gpu(model)
    with contextlib.ExitStack() as stack:
        for name, part in (("encode_text", "text"), ("encode_patches", "vision")):
            stack.enter_context(mock.patch.object(prompted, name, counts.named(getattr(prompted, name), part)))
        with counts:
            loss, _ = model(batch)
            with counts.part("backward"):
                loss.backward()
    found = {part: counts.launches[part] for part in ("text", "vision", "rest", "backward")}
    return {**found, "all": sum(found.values()), "waits": len(counts.waits)}


def count(run: Callable[[], Any], device: str) -> Dict[str, int]:
    """Launches and waits of ``run()``: on a CUDA device as its driver saw them, else by the dispatcher."""
    run()  # constants and kernels are made in the first
    if device == "cpu":
        with Counts() as counts:
            run()
        return {"launches": sum(counts.launches.values()), "waits": len(counts.waits)}
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=list(torch.profiler.supported_activities())) as profiler:
        run()
    seen = Counter({event.key: event.count for event in profiler.key_averages()})
    launches = sum(count for key, count in seen.items() if "LaunchKernel" in key or "GraphLaunch" in key)
    waits = sum(count for key, count in seen.items() if key in ("cudaStreamSynchronize", "cudaEventSynchronize"))
    return {"launches": launches, "waits": waits}
