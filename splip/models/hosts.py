"""Test a model of CoOp, MaPLe or a similar repository (the host) on our data sets in the same way as our models."""

from __future__ import annotations

import os
import pickle
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn

from splip.backbone import load_clip
from splip.backbone.layout import clip_package
from splip.backbone.weights import is_torchscript
from splip.models import checkpoints


def _maple_prompts(model: Any) -> tuple:
    _, shared, _, deep = model.prompt_learner()
    return shared, deep


# Additional inputs of a trainer's image encoder, besides images; trainers that are not listed have none.
IMAGE_PROMPTS: Dict[str, Callable[[nn.Module], tuple]] = {"MaPLe": _maple_prompts}


TEMPLATE_WORDS = ("a", "an", "the", "photo", "picture", "image", "sketch", "drawing", "of")  # before a class's name


class HostImages(nn.Module):
    """The image side of a host's model: ``image_encoder`` with the prompts that the model's ``forward`` passes.

    Args:
        model: the host trainer's ``model``.
        trainer: the trainer's name, a key of IMAGE_PROMPTS or any other name.

    Attributes:
        classes: the training classes; None = not known.
    """

    knows_modality = False
    classes: Optional[List[str]] = None

    def __init__(self, model: nn.Module, trainer: str) -> None:
        super().__init__()
        self.model: Any = getattr(model, "module", model)  # hosts use DataParallel if they can
        self.prompts = IMAGE_PROMPTS.get(trainer, lambda model: ())

    @torch.no_grad()
    def encode(self, images: Tensor, modality: str) -> Tensor:
        """images (B, 3, H, W), CLIP-normalised -> (B, d) in the host's precision; the same for every modality."""
        return self.model.image_encoder(images.type(self.model.dtype), *self.prompts(self.model))

    def describe(self) -> Dict[str, Any]:
        return {}


def host_images(host: Any, name: str) -> HostImages:
    """The image side of the model of a host's trainer ``host`` with the name ``name``.

    Raises:
        ValueError: the model has no ``image_encoder``.
    """
    if not hasattr(getattr(host, "model", None), "image_encoder"):
        raise ValueError(f"trainer {name!r} has no model.image_encoder, from which embeddings could be taken")
    return HostImages(host.model, name)


def load_host_weights(
    host: Any, directory: str, backbone: str, epoch: Optional[int] = None
) -> Tuple[int, Optional[List[str]]]:
    """Load a checkpoint of a host's trainer, ``directory``/<model>/model.pth.tar-<epoch>; by default the newest.

    The buffers ``token_*`` (embedded class names) are skipped, as in the hosts, so the training classes may be
    different.

    Args:
        backbone: the backbone's name or file, for the class names.

    Returns:
        The epoch and the training classes (:func:`class_names`).

    Raises:
        FileNotFoundError: there is no such checkpoint.
        ValueError: it is damaged, or its weights are not those of the model (hosts skip these without a message).
    """
    found, classes = 0, None
    for name in host.get_model_names():
        folder = os.path.join(directory, name)
        path = checkpoints.newest(folder) if epoch is None else os.path.join(folder, checkpoints.epoch_file(epoch))
        if path is None:
            wanted = os.path.join(folder, checkpoints.POINTER)
            raise FileNotFoundError(f"no checkpoint in {directory!r}: looked for {wanted}")
        state, module = read_foreign(path), host._models[name]
        weights = {key: value for key, value in state["state_dict"].items() if not _is_token(key)}
        here = {key: value for key, value in module.state_dict().items() if not _is_token(key)}
        checkpoints.require_equal(_shapes(weights), _shapes(here), path)
        module.load_state_dict(weights, strict=False)
        classes = classes or class_names(state["state_dict"], backbone)
        found = state["epoch"]
        print(f"Loaded {path} (epoch {found})")
    return found, classes


def _shapes(weights: Dict[str, Tensor]) -> Dict[str, str]:
    return {key: str(tuple(value.shape)) for key, value in weights.items()}


def _is_token(key: str) -> bool:
    return key.split(".")[-1].startswith("token_")


def class_names(weights: Dict[str, Tensor], backbone: str) -> Optional[List[str]]:
    """The class names that a host's prompt learner was trained with; None if they are not in the weights.

    The buffer ``token_suffix`` (classes, tokens, width) contains the embeddings of "<class>. <end>". Each embedding is
    a row of the backbone's token table; the row number is the token. MaPLe's begins with the rest of "a photo of a".
    """
    suffix = next((value for key, value in weights.items() if key.split(".")[-1] == "token_suffix"), None)
    if suffix is None:
        return None
    try:
        table = load_clip(backbone).token_embedding.weight.detach().half()
    except ValueError as error:
        print(f"the class names of the training cannot be read: {error}")
        return None
    rows = {row.tobytes(): number for number, row in enumerate(table.numpy())}
    decode, end = clip_package()._tokenizer.decode, len(table) - 1  # the table's last token marks the end of a text
    names = []
    for tokens in suffix.half().numpy():
        numbers = [rows.get(row.tobytes()) for row in tokens]
        if end not in numbers or None in numbers[: numbers.index(end)]:
            return None
        names.append(decode(numbers[: numbers.index(end)]).strip().rstrip(".").split())
    while names and all(len(words) > 1 and words[0] in TEMPLATE_WORDS and words[0] == names[0][0] for words in names):
        names = [words[1:] for words in names]
    return [" ".join(words) for words in names]


class _Ignored(dict):
    """A placeholder for any class, function or object that a checkpoint must not create."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__()

    def __call__(self, *args, **kwargs):
        return self

    def __setstate__(self, state) -> None:
        pass


class _TensorsOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        tensor = module == "torch._utils" and name in ("_rebuild_tensor_v2", "_rebuild_parameter")
        if tensor or (module, name) == ("collections", "OrderedDict"):
            return super().find_class(module, name)
        return _Ignored


def read_foreign(path: str) -> Dict[str, Any]:
    """Dassl's checkpoint at ``path`` on the CPU: tensors and plain values; other objects become empty ones.

    Dassl saves its schedulers as Python objects. ``torch.load`` rejects these since torch 2.6, because unpickling
    them could run any code. This function runs no code of the file.

    Raises:
        FileNotFoundError: there is no such file. ValueError: it is damaged or not a checkpoint of Dassl.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no checkpoint at {path}")
    module = SimpleNamespace(Unpickler=_TensorsOnly, __name__="tensors_only")
    try:
        if is_torchscript(path):  # torch would run its code, with any unpickler
            raise ValueError("it is a TorchScript archive")
        state = torch.load(path, map_location="cpu", weights_only=False, pickle_module=module)
    except Exception as error:  # torch raises many types of error for damaged files
        raise ValueError(f"checkpoint {path} is damaged or no checkpoint: {error}") from error
    if not isinstance(state, dict) or "state_dict" not in state:
        raise ValueError(f"checkpoint {path} was not written by Dassl: it has no 'state_dict'")
    return state
