"""Weight files, read as tensors and plain values: no code that a file holds is run.

A plain state dict or safetensors file can hold nothing else. A TorchScript archive, which is what OpenAI published, is
a program: one is opened only where its SHA-256 is that of a file of OpenAI's, or where the user says that its source
is trusted.
"""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from pathlib import Path
from typing import Collection, Dict, Union

import torch
from torch import Tensor

TRUST = "SPLIP_TRUST_TORCHSCRIPT"  # environment variable; 1 = open every TorchScript archive


def is_torchscript(path: Union[str, Path]) -> bool:
    """Whether a file is a TorchScript archive, which `torch.load` would run, too, without ``weights_only``."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rpartition("/")[2] == "constants.pkl" for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError):  # the latter of a version that there is not yet
        return False


def read_weights(path: Path, trusted: Collection[str] = ()) -> Dict[str, Tensor]:
    """The state dict in a weight file, on the CPU, in the types that it was saved with.

    Args:
        path: ``.safetensors``, a file of ``torch.save``, or a TorchScript archive.
        trusted: SHA-256 (hexadecimal) of TorchScript archives that may be opened.

    Raises:
        ValueError: it is damaged, holds no state dict, is a TorchScript archive of unknown origin, or is
            ``.safetensors`` without that package.
    """
    if is_torchscript(path):
        if os.environ.get(TRUST) != "1" and sha256(path) not in trusted:
            raise ValueError(
                f"{path} is a TorchScript archive, which can run code, and none that OpenAI published: set {TRUST}=1 "
                "if you trust its source, or save its state_dict() with torch.save"
            )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`torch.jit.load` is deprecated")
            return dict(torch.jit.load(str(path), map_location="cpu").state_dict())
    try:
        if path.suffix == ".safetensors":
            state_dict = _safetensors(path)
        else:
            state_dict = torch.load(str(path), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a different type for each way in which a file can be broken
        reason = str(error).partition("\n")[0]  # torch goes on with advice to switch off its safety
        raise ValueError(f"{path} is damaged or no weight file ({reason})") from error
    if not isinstance(state_dict, dict) or not all(isinstance(value, Tensor) for value in state_dict.values()):
        raise ValueError(f"{path} holds no state dict: it has other things than tensors in it")
    return state_dict


def _safetensors(path: Path) -> Dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise ValueError("reading .safetensors needs the package safetensors: pip install safetensors") from error
    return load_file(str(path))


def sha256(path: Union[str, Path]) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for part in iter(lambda: file.read(2**20), b""):
            digest.update(part)
    return digest.hexdigest()
