"""Only the embedded backbone's patch embedding: images per second by precision.

    python benchmarks/trunk.py [--small] [--device cuda] [--json FILE]

On the CPU, ONNX Runtime is also measured if its packages are installed.
"""

from __future__ import annotations

import importlib.util
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Sequence

import torch
from common import measure, parser, report
from torch import Tensor, nn

from splip.backbone import load_clip

ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


@torch.no_grad()
def run(conv1: nn.Module, images: Tensor, dtype: Optional[torch.dtype]) -> Tensor:
    with torch.autocast(images.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
        return conv1(images)


def onnx_session(conv1: nn.Module, images: Tensor) -> Callable[[], Any]:
    """The same patch embedding with ONNX Runtime, float32."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "trunk.onnx")
        program = torch.onnx.export(conv1, (images,), input_names=["images"], dynamo=True, verbose=False)
        program.save(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return partial(session.run, None, {"images": images.numpy()})


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parser(__doc__.split("\n")[0]).parse_args(argv)
    torch.set_num_threads(args.threads)
    batch = 2 if args.small else 64
    conv1 = load_clip(device=args.device).visual.conv1.eval()
    images = torch.randn(batch, 3, 160, 160).to(args.device)
    cases: Dict[str, Callable[[], Any]] = {
        "fp32": partial(run, conv1, images, None),
        "bf16": partial(run, conv1, images, torch.bfloat16),
    }
    if not args.small and args.device == "cpu" and all(importlib.util.find_spec(name) for name in ONNX_PACKAGES):
        cases["ONNX Runtime, fp32"] = onnx_session(conv1, images)
    seconds = measure(cases, args.repeats or (1 if args.small else 9))
    wanted = run(conv1, images, None)
    rows = [
        {
            "": name,
            "images a second": batch / value,
            "times fp32": seconds["fp32"] / value,
            "relative error": 0.0 if name != "bf16" else float((cases["bf16"]() - wanted).norm() / wanted.norm()),
        }
        for name, value in seconds.items()
    ]
    report(rows, f"Patch embedding of splip-hybrid, batches of {batch}", args.json)


if __name__ == "__main__":
    main()
