"""What is installed here, what it will use, and what is missing for what.

    splip doctor                # send this with a report

Nothing is changed, and nothing is sent.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shutil
from pathlib import Path
from typing import List, Optional, Tuple

import splip
from splip.common.threads import POLICIES

# what a package is for, and the extra that installs it
EXTRAS = (
    ("faiss", "splip index, splip search", "search"), ("pyarrow", "indexes, parquet mirrors", "search"),
    ("starlette", "splip app", "app"), ("uvicorn", "splip app", "app"),
    ("simplejpeg", "JPEGs decoded faster, to the same pixels", "jpeg"),
    ("transformers", "CLIPs and encoders of Hugging Face", "hf"),
    ("open_clip", "CLIPs and encoders of open_clip", "open_clip"),
    ("onnxruntime", "exported ONNX encoders", "export"), ("pymilvus", "--engine milvus", "milvus"),
    ("shtab", "completion in the shell", "completion"), ("mteb", "mteb's sketch tasks", "mteb"),
)  # fmt: skip
BASE = ("torch", "torchvision", "numpy", "PIL", "clip", "yacs", "safetensors", "matplotlib")
DISTRIBUTIONS = {"PIL": "pillow", "clip": "openai-clip", "faiss": "faiss-cpu", "open_clip": "open_clip_torch"}
CACHES = (("OpenAI's weights", "", "~/.cache/clip"), ("hub", "HF_HOME", "~/.cache/huggingface"))  # variable, default


def configure(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def run(args: argparse.Namespace) -> int:
    """Print the report -> 0, or 1 if something that every command needs is missing."""
    missing = [name for name in BASE if version(name) is None]
    for title, rows in report(missing):
        print(title)
        width = max(len(name) for name, _ in rows)
        for name, said in rows:
            print(f"  {name:<{width}}  {said}")
    return 1 if missing else 0


def version(package: str) -> Optional[str]:
    """The installed version of a package, by the name that Python imports; None if it is not there."""
    if importlib.util.find_spec(package) is None:
        return None
    try:
        return importlib.metadata.version(DISTRIBUTIONS.get(package, package))
    except importlib.metadata.PackageNotFoundError:
        return "version unknown"


def report(missing: List[str]) -> List[Tuple[str, List[Tuple[str, str]]]]:
    """(title, rows of name and text). missing: of `BASE`; what needs torch is left out without it."""
    system = [
        ("splip", f"{splip.__version__} in {Path(splip.__file__).parent}"),
        ("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}"),
        ("disk free here", f"{shutil.disk_usage('.').free / 2**30:.0f} GiB"),
        *((name, version(name) or f"MISSING: pip install -e {Path(splip.__file__).parents[1]}") for name in BASE),
    ]
    extras = [(name, version(name) or f'not installed; for {use}: pip install -e ".[{extra}]"')
              for name, use, extra in EXTRAS]  # fmt: skip
    kept = [*caches(), ("splip-hybrid", weights())]
    found = [("this machine", system), ("extras", extras), ("caches and weights", kept)]
    if not missing:
        found.insert(1, ("what a run would use", computing()))
    return found


def computing() -> List[Tuple[str, str]]:
    """Engine, device, precision and threads. Imports torch, and Dassl if it is installed."""
    import torch

    from splip.engine import ENGINE, get_cfg_default
    from splip.training.precision import precision

    cfg, on_gpu = get_cfg_default(), torch.cuda.is_available()
    splip.extend_cfg(cfg)
    cfg.TRAINER.PREC, cfg.OUTPUT_DIR = "auto", ""
    said = [f"{name}={os.environ[name]}" for name in POLICIES if name in os.environ]
    return [
        ("engine", ENGINE if ENGINE != "builtin" else "builtin (Dassl is not installed, or SPLIP_ENGINE says so)"),
        ("device", torch.cuda.get_device_name() if on_gpu else "CPU (torch finds no CUDA device)"),
        ("TRAINER.PREC auto", precision(cfg, torch.device("cuda" if on_gpu else "cpu"))),
        ("threads", f"{torch.get_num_threads()}; {', '.join(said) or 'waiting as OpenMP does by default'}"),
    ]


def caches() -> List[Tuple[str, str]]:
    """Where weights from outside are kept, and how much is there."""
    rows = []
    for name, variable, default in CACHES:
        folder = Path(os.environ.get(variable) or default).expanduser()
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
        rows.append((name, f"{folder}: {size / 2**30:.1f} GiB" if size else f"{folder}: empty"))
    return rows


def weights() -> str:
    """The embedded backbone."""
    path = Path(splip.__file__).parent / "assets" / "hybrid" / "splip-hybrid.pt"
    return f"{path.stat().st_size / 2**20:.0f} MiB" if path.is_file() else f"MISSING: {path}"
