"""Trained models as folders that load on any machine and in later versions: weights, settings, classes, a card.

``splip.json`` describes ``model.safetensors``: the method, its settings and classes, its backbone (name and hash of the
weights), and how images are prepared. The backbone itself is not in the folder. A run's folder has the same
``splip.json``, and its weights in checkpoints.
"""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Union

import torch
from safetensors.torch import load_file
from torch import Tensor

import splip
from splip.backbone import backbone_info, load_clip
from splip.common.files import whole_file
from splip.models import checkpoints
from splip.models.base import Recipe, RetrievalModel
from splip.models.registry import build, model_class
from splip.models.scores import Scores, read_scores

SCHEMA = 2  # of splip.json; another one is refused
ABOUT, WEIGHTS, CARD = "splip.json", "model.safetensors", "README.md"


@dataclass(frozen=True)
class Saved:
    """The content of such a folder."""

    recipe: Recipe
    backbone: Dict[str, Any]  # {"name", "fingerprint"}
    weights: Dict[str, Tensor]
    where: str
    epoch: int = 0  # of a run's checkpoint
    seed: Optional[int] = None  # of a run that trains
    history: List[Dict[str, float]] = field(default_factory=list)  # of a run's epochs
    scores: Optional[Scores] = None  # what a cosine says, if that was measured


def describe(model: RetrievalModel) -> Dict[str, Any]:
    """The content of ``splip.json`` for a model.

    Raises:
        ValueError: the model has no recipe, or its backbone did not come from ``splip.load_clip``.
    """
    recipe, info = model.recipe, backbone_info(model.clip)
    if recipe is None:
        raise ValueError(f"{type(model).__name__} has no recipe: make it with splip.models.registry.build")
    if not info.fingerprint:
        raise ValueError("the backbone did not come from splip.load_clip: it is not known which one it is")
    return checkpoints.plain(
        {
            "schema": SCHEMA,
            "splip": splip.__version__,
            **recipe._asdict(),
            "backbone": {"name": info.name, "fingerprint": info.fingerprint},
        }
    )


def same_model(about: Mapping[str, Any]) -> Dict[str, Any]:
    """The part of ``splip.json`` that must be equal so that weights have the same meaning."""
    return {**{name: about[name] for name in Recipe._fields}, "backbone": about["backbone"]["fingerprint"]}


def save(model: RetrievalModel, folder: Union[str, os.PathLike], *, results: Optional[Dict[str, Any]] = None) -> Path:
    """Write ``model`` into ``folder`` -> the folder. Parts that only training reads (``training_only``) are left out.

    Args:
        results: a run's ``results.json``, for the card.

    Raises:
        ValueError: as :func:`describe`. FileExistsError: the folder holds files that an earlier save did not write.
    """
    from safetensors.torch import save as serialize

    about, folder = describe(model), Path(folder)
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
    content = serialize(weights, metadata={"format": "pt"})
    with whole_file(folder / WEIGHTS) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # a full disk raises here, where an earlier model is still complete
        (folder / ABOUT).unlink(missing_ok=True)  # it is no saved model until the new description is written
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
    """Whether ``where`` is a folder of :func:`save`, or of a run."""
    return os.path.isfile(os.path.join(where, ABOUT))


def read(where: Union[str, os.PathLike], epoch: Optional[int] = None) -> Saved:
    """Read what :func:`save` wrote to a folder, :func:`push` to the hub, or a run to its folder; no code in it is run.

    Args:
        where: folder, or ``owner/name``.
        epoch: of a run's checkpoint; default: the one that the run is tested with.

    Raises:
        ValueError: it is neither, damaged, or of another version. FileNotFoundError: a run has no such checkpoint.
    """
    where = os.path.expanduser(os.fspath(where))
    local = os.path.isdir(where)
    about = _read_about(where, os.path.join(where, ABOUT) if local else _download(where, ABOUT))
    recipe = Recipe(*(about[name] for name in Recipe._fields))
    if "checkpoint" in about:
        return _of_run(where, about, recipe, epoch)
    if epoch is not None:
        raise ValueError(f"{where!r} is a saved model, which has no epochs to choose from, got {epoch}")
    path = os.path.join(where, WEIGHTS) if local else _download(where, WEIGHTS)
    try:
        return Saved(recipe, about["backbone"], load_file(path), where, scores=read_scores(about))
    except Exception as error:  # safetensors has errors of its own
        raise ValueError(f"cannot read the model in {where!r}: {error}") from error


def _read_about(where: str, path: str) -> Dict[str, Any]:
    """splip.json."""
    try:
        with open(path, encoding="utf-8") as file:
            about = json.load(file)
        if about["schema"] != SCHEMA:
            raise ValueError(f"it was written by another version of splip (schema {about['schema']}, here {SCHEMA})")
        missing = {*Recipe._fields, "backbone"} - set(about)
        if missing:
            raise KeyError(", ".join(sorted(missing)))
        return about
    except FileNotFoundError as error:
        raise ValueError(f"{where!r} is no folder of save_pretrained or of a run: there is no {path}") from error
    except (ValueError, KeyError, TypeError, OSError) as error:
        reason = f"{ABOUT} lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"cannot read the model in {where!r}: {reason}") from error


def _of_run(where: str, about: Dict[str, Any], recipe: Recipe, epoch: Optional[int]) -> Saved:
    """A run's model, from the checkpoint that it is tested with."""
    if about["checkpoint"] == NO_CHECKPOINT:
        return Saved(recipe, about["backbone"], {}, where)
    path = checkpoints.find(where, about["checkpoint"] == "best", epoch)
    state = checkpoints.read(path)
    checkpoints.require_equal(state["model"], same_model(about), path)
    weights = checkpoints.weights(state)
    return Saved(recipe, about["backbone"], weights, where, state["epoch"], state["seed"], state["history"])


NO_CHECKPOINT = "none"  # in the splip.json of a run that trains nothing


def _download(repo_id: str, name: str) -> str:
    """A file of a repository on the hub, from the local cache if it is there."""
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
        raise ValueError(
            f"{repo_id!r} is neither a folder nor a model of splip on the hub (a CLIP there: clip:{repo_id}): {reason}"
        ) from error


def load(saved: Saved, backbone: str = "", device: Union[str, torch.device] = "cpu") -> RetrievalModel:
    """The model that was saved, in ``eval()``.

    Args:
        backbone: name or path of its backbone on this machine; default the name that it was trained with.

    Raises:
        ValueError: its method is not known, it has settings of another version, or the backbone is a different one.
    """
    model_class(saved.recipe.method)  # an unknown method is refused before the backbone is read
    model = build(saved.recipe, load_backbone(saved, backbone, device), repr(saved.where))
    load_weights(model, saved.weights)
    return model.eval()


def load_backbone(saved: Saved, name: str = "", device: Union[str, torch.device] = "cpu") -> Any:
    """The CLIP that a saved model was trained on.

    Args:
        name: its name or path on this machine; default the name that it was saved with.

    Raises:
        ValueError: it cannot be loaded, or is a different one.
    """
    try:
        clip = load_clip(name or saved.backbone["name"], device)
    except ValueError as error:
        hint = "" if name else "; if it has another path on this machine, give that as backbone (--backbone)"
        raise ValueError(f"the model in {saved.where!r} needs its backbone: {error}{hint}") from error
    here, wanted = backbone_info(clip).fingerprint, saved.backbone["fingerprint"]
    differ = [f"{key} {wanted[key]}, here {here.get(key)}" for key in wanted if here.get(key) != wanted[key]]
    if differ:
        raise ValueError(f"the model in {saved.where!r} was trained on another backbone: {'; '.join(differ)}")
    return clip


def load_weights(model: RetrievalModel, weights: Dict[str, Tensor]) -> None:
    """Load weights to embed with: parts that only training reads may be missing or have another shape.

    Raises:
        RuntimeError: another weight is missing or has another shape.
    """

    def is_read(name: str) -> bool:
        return name.split(".")[0] not in model.training_only

    kept = {name: value for name, value in model.trainable.state_dict().items() if not is_read(name)}
    model.trainable.load_state_dict({**kept, **{name: value for name, value in weights.items() if is_read(name)}})


# ------------------------------------------------------------------------------- card


def card(about: Dict[str, Any], results: Optional[Dict[str, Any]] = None) -> str:
    """The model card, in Markdown with the hub's metadata at its top."""
    name, backbone = about["method"], about["backbone"]
    lines = [
        "---", "library_name: splip", "tags:", "- sketch-based-image-retrieval", "- image-retrieval", "- clip",
        "---", "", f"# {name} on {Path(backbone['name']).name}", "",
        "Finds photos with a drawing. Trained parts of a "
        f"{name} model of [splip](https://arxiv.org/abs/2407.04207) {about['splip']}; the backbone is not "
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
