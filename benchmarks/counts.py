"""Kernel launches and waits: the costs on a GPU besides arithmetic, counted on any machine.

On a GPU, every operation that is not a view is one or more kernels. The host waits if it reads a number, or if a shape
depends on values. torch's dispatcher shows both for every device and size, so they are counted on the CPU.
If there is a GPU, its driver's own count is also reported.
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

# Operations for which the host waits for the device: they read a number, or their shape depends on values.
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "item", "is_nonzero", "equal")
NO_KERNEL = ("_unsafe_view", "_reshape_alias", "empty", "empty_like", "empty_strided", "new_empty", "device")


class Counts(TorchDispatchMode):
    """Counts the operations that run inside ``with``.

    Attributes:
        launches: operations by part (:meth:`part`; "rest" if no part was named).
        waits: names of the operations that would wait, with indexing by a mask, whose result has an unknown length.
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
        """Operations inside ``with`` count as this part."""
        before, self._part = self._part, name
        try:
            yield
        finally:
            self._part = before

    def named(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """``function`` with all its operations counted as the part ``name``."""

        def run(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return function(*args, **kwargs)

        return run


def as_on_a_gpu(model: SpLIP) -> SpLIP:
    """The model with its class texts in the same layout as on a GPU."""
    for modality in MODALITIES:
        tokens = getattr(model, f"{modality}_class_tokens")
        model._layouts[modality] = PackedTexts(tokens, share_prefix=bool(model._share_prefix))
    return model


def count_step(model: SpLIP, batch: Dict[str, torch.Tensor], on_gpu: bool = False) -> Dict[str, int]:
    """Launches and waits of a float32 training step without its optimiser; those of the encoders: forward pass only.

    Args:
        on_gpu: count the step as a GPU would run it.
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
    """Launches and waits of ``run()``: on a CUDA device from its driver, else from the dispatcher."""
    run()  # the first run creates constants and kernels
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
