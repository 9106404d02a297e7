"""What was trained, as a folder that loads on any machine and in later versions: weights, settings, classes, a card.

``splip.json`` says what ``model.safetensors`` is: which method with which settings and classes, on which backbone
(by name and by a hash of its weights), for which images. The backbone itself is not in it.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Collection, Dict, List, Optional, Union

import torch
from torch import Tensor

import splip
from splip.backbone import backbone_info, load_clip
from splip.common.files import whole_file
from splip.models.base import Recipe, RetrievalModel

SCHEMA = 1  # of splip.json; a later one is refused
ABOUT, WEIGHTS, CARD = "splip.json", "model.safetensors", "README.md"


@dataclass(frozen=True)
class Saved:
    """What such a folder holds."""

    method: str  # name of the model's class
    recipe: Recipe
    backbone: Dict[str, Any]  # {"name", "fingerprint"}
    weights: Dict[str, Tensor]
    where: str


def save(model: RetrievalModel, folder: Union[str, os.PathLike], *, results: Optional[Dict[str, Any]] = None) -> Path:
    """Write ``model`` into ``folder`` -> the folder. Parts that training alone reads (``training_only``) stay out.

    Args:
        results: a run's ``results.json``, for the card.

    Raises:
        ValueError: it is not known how the model is made again, or its backbone did not come from
            ``splip.load_clip``. FileExistsError: the folder holds other files than an earlier save left.
    """
    from safetensors.torch import save as serialize

    recipe, info, folder = model.recipe, backbone_info(model.clip), Path(folder)
    if recipe is None:
        raise ValueError(f"{type(model).__name__} has no recipe: save a model of a trainer, or set model.recipe")
    if not info.fingerprint:
        raise ValueError("the backbone did not come from splip.load_clip: it cannot be said which one it is")
    folder.mkdir(parents=True, exist_ok=True)
    ours = {ABOUT, WEIGHTS, CARD}
    others = sorted({path.name for path in folder.iterdir()} - ours - {f"{name}.part" for name in ours})
    if others:
        raise FileExistsError(f"{folder} holds other files ({', '.join(others[:3])}): give a new folder")
    weights = {
        name: value.detach().cpu().contiguous()
        for name, value in model.trainable.state_dict().items()
        if name.split(".")[0] not in model.training_only
    }
    about = {
        "schema": SCHEMA,
        "splip": splip.__version__,
        "method": type(model).__name__,
        **recipe._asdict(),
        "backbone": {"name": info.name, "fingerprint": info.fingerprint},
    }
    content = serialize(weights, metadata={"format": "pt"})
    with whole_file(folder / WEIGHTS) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # a full disk shows here, where an earlier model is still whole
        (folder / ABOUT).unlink(missing_ok=True)  # from here on it is no saved model until its description is back
    for name, text in ((CARD, card(about, results)), (ABOUT, json.dumps(about, indent=2) + "\n")):
        with whole_file(folder / name) as file:
            file.write(text.encode())
    return folder


def push(model: RetrievalModel, repo_id: str, *, private: bool = False, **about: Any) -> str:
    """Upload what :func:`save` writes to the Hugging Face hub (HF_TOKEN, HF_ENDPOINT) -> its address.

    Raises:
        ValueError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError as error:
        raise ValueError('push_to_hub needs huggingface_hub: pip install -e ".[hf]"') from error
    api = HfApi()
    with tempfile.TemporaryDirectory() as folder:
        save(model, folder, **about)
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=f"splip {splip.__version__}")
    return str(getattr(commit, "repo_url", "") or f"{api.endpoint}/{repo_id}")


def is_saved(where: Union[str, os.PathLike]) -> bool:
    """Whether ``where`` is a folder of :func:`save`."""
    return os.path.isfile(os.path.join(where, ABOUT))


def read(where: Union[str, os.PathLike]) -> Saved:
    """What :func:`save` left in a folder or :func:`push` on the hub; no code in it is run.

    Args:
        where: folder, or ``owner/name``.

    Raises:
        ValueError: it is neither, damaged, or of a later version.
    """
    from safetensors.torch import load_file

    where = os.path.expanduser(os.fspath(where))
    files = {name: os.path.join(where, name) if os.path.isdir(where) else _download(where, name) for name in FILES}
    try:
        with open(files[ABOUT], encoding="utf-8") as file:
            about = json.load(file)
        schema = about["schema"]
        if schema > SCHEMA:
            raise ValueError(f"it was written by a later version of splip (schema {schema}, here {SCHEMA})")
        recipe = Recipe(*(about[name] for name in Recipe._fields))
        weights = load_file(files[WEIGHTS])
        return Saved(about["method"], recipe, about["backbone"], weights, where)
    except FileNotFoundError as error:
        raise ValueError(f"{where!r} is no folder of save_pretrained: there is no {error.filename}") from error
    except Exception as error:  # safetensors has errors of its own
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"cannot read the model in {where!r}: {reason}") from error


FILES = (ABOUT, WEIGHTS)


def _download(repo_id: str, name: str) -> str:
    """A file of a repository on the hub, out of its cache where it is there."""
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError as error:
        raise ValueError(
            f'{repo_id!r} is no folder; as a name on the hub it needs huggingface_hub: pip install -e ".[hf]"'
        ) from error
    try:
        return hf_hub_download(repo_id, name)
    except Exception as error:  # of many kinds
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"{repo_id!r} is neither a folder nor a model of splip on the hub: {reason}") from error


def require_known(saved: Saved, known: Collection[str]) -> None:
    """Raise ValueError naming settings that this version does not have."""
    unknown = sorted(set(saved.recipe.settings) - set(known))
    if unknown:
        raise ValueError(f"the model in {saved.where!r} has settings that this splip does not know: {unknown}")


def load_backbone(saved: Saved, name: str = "", device: Union[str, torch.device] = "cpu") -> Any:
    """The CLIP that a saved model was trained on.

    Args:
        name: of it here; default the name that it was saved with.

    Raises:
        ValueError: it is not to be had, or another one.
    """
    try:
        clip = load_clip(name or saved.backbone["name"], device)
    except ValueError as error:
        hint = "" if name else "; if it is elsewhere here, say where with backbone (--backbone)"
        raise ValueError(f"the model in {saved.where!r} needs its backbone: {error}{hint}") from error
    here, wanted = backbone_info(clip).fingerprint, saved.backbone["fingerprint"]
    differ = [f"{key} {wanted[key]}, here {here.get(key)}" for key in wanted if here.get(key) != wanted[key]]
    if differ:
        raise ValueError(f"the model in {saved.where!r} was trained on another backbone: {'; '.join(differ)}")
    return clip


def load_weights(model: RetrievalModel, weights: Dict[str, Tensor]) -> None:
    """Load weights to embed with: parts that training alone reads may be absent or of another shape.

    Raises:
        RuntimeError: any other weight is.
    """
    def is_read(name: str) -> bool:
        return name.split(".")[0] not in model.training_only

    kept = {name: value for name, value in model.trainable.state_dict().items() if not is_read(name)}
    model.trainable.load_state_dict({**kept, **{name: value for name, value in weights.items() if is_read(name)}})


# ------------------------------------------------------------------------------- card


def card(about: Dict[str, Any], results: Optional[Dict[str, Any]] = None) -> str:
    """The model card, in Markdown with the hub's head."""
    name, backbone = about["method"], about["backbone"]
    lines = [
        "---", "library_name: splip", "tags:", "- sketch-based-image-retrieval", "- image-retrieval", "- clip",
        "---", "", f"# {name} on {Path(backbone['name']).name}", "",
        "Finds photos with a drawing. Trained parts of a "
        f"{about['trainer']} model of [splip](https://arxiv.org/abs/2407.04207) {about['splip']}; the backbone is not "
        "in this folder.", "", "```python", "from PIL import Image", "from splip import load_model", "",
        'model = load_model("this folder, or owner/name")',
        'query = model.embed([Image.open("drawing.png")], "sketch")  # (1, d), unit length',
        'gallery = model.embed([Image.open("photo.jpg")], "photo")',
        "print(query @ gallery.T)", "```", "",
        "| | |", "|---|---|", f"| backbone | `{backbone['name']}`, weights {backbone['fingerprint']['weights']} |",
        f"| seen classes | {len(about['classes'])} |",
    ]  # fmt: skip
    changed = ", ".join(f"{key} {value}" for key, value in sorted(about["settings"].items()))
    lines += [f"| settings | {changed} |"] if changed else []
    return "\n".join([*lines, "", *_results(results)]) + "\n"


def _results(results: Optional[Dict[str, Any]]) -> List[str]:
    """What a run measured, as a section of the card."""
    if not results:
        return ["No results were saved with it."]
    metrics = results["metrics"]
    columns = list(next(iter(metrics.values())))
    seen = results.get("seen_test_classes")
    return [
        "## Results", "",
        f"{results['dataset']} `{results['setting']}`, {results['num_queries']:,} queries, {results['num_gallery']:,} "
        f"photos, seed {results['seed']}, epoch {results['epoch']}; percent."
        + (f" Not zero-shot: {len(seen)} test classes were trained on ({', '.join(seen)})." if seen else ""), "",
        "| | " + " | ".join(columns) + " |", "|---" + "|--:" * len(columns) + "|",
        *(f"| {group} | " + " | ".join(f"{named[c]:.2f}" for c in columns) + " |" for group, named in metrics.items()),
    ]  # fmt: skip
