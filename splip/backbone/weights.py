"""Weight files, read as tensors and plain values: no code in a file is run.

A plain state dict or a safetensors file can hold nothing else. OpenAI published TorchScript archives, which are
programs. Such an archive is opened only if its SHA-256 is that of one of OpenAI's files, or if the user says that its
source is trusted.
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
    """Whether a file is a TorchScript archive; `torch.load` without ``weights_only`` would run it, too."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rpartition("/")[2] == "constants.pkl" for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError):  # the latter: an unknown version of zip
        return False


def read_weights(path: Path, trusted: Collection[str] = ()) -> Dict[str, Tensor]:
    """The state dict in a weight file, on the CPU, in the types that it was saved with.

    Args:
        path: ``.safetensors``, a file of ``torch.save``, or a TorchScript archive.
        trusted: SHA-256 (hexadecimal) of TorchScript archives that may be opened.

    Raises:
        ValueError: it is damaged, holds no state dict, is a TorchScript archive of unknown origin, or is
            ``.safetensors`` and that package is not installed.
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
        reason = str(error).partition("\n")[0]  # torch's next lines advise to switch off its safety check
        raise ValueError(f"{path} is damaged or no weight file ({reason})") from error
    if not isinstance(state_dict, dict) or not all(isinstance(value, Tensor) for value in state_dict.values()):
        raise ValueError(f"{path} holds no state dict: not all its values are tensors")
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
