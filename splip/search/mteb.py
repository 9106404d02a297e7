"""Run a model on the benchmarks of `mteb`, which measures Sketchy and TU-Berlin with independent code.

>>> import mteb
>>> from splip import load_model
>>> from splip.search.mteb import MTEBModel
>>> mteb.evaluate(MTEBModel(load_model("output/mine")), mteb.get_tasks(tasks=["SketchyI2IRetrieval"]))

Needs ``pip install -e ".[mteb]"``. SketchyI2IRetrieval has all 125 classes of Sketchy. If a model was trained on some
of them, its result is not zero-shot.
"""

from __future__ import annotations

import warnings
from typing import Any, Dict, List

import numpy as np
import torch
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta, ScoringFunction
from mteb.types import PromptType
from torch import Tensor

from splip.data.classes import read_shipped, seen_test_classes, some
from splip.data.images import as_rgb
from splip.models.image_model import ImageModel

# The kind of a task's images. In TU-Berlin the images are the documents, and the queries are text.
TASKS: Dict[str, Dict[str, str]] = {
    "SketchyI2IRetrieval": {"query": "sketch", "document": "photo"},
    "TUBerlinT2IRetrieval": {"document": "sketch"},
}
CLASSES = {"SketchyI2IRetrieval": "sketchy_all", "TUBerlinT2IRetrieval": "tuberlin_all"}  # lists of their test classes


class MTEBModel(AbsEncoder):
    """An :class:`splip.models.load.ImageModel` as mteb's encoder.

    Args:
        model: from :func:`splip.load_model`.
        query, document: kind of the images in tasks that are not in TASKS, ``sketch`` or ``photo``.
    """

    def __init__(self, model: ImageModel, query: str = "sketch", document: str = "photo") -> None:
        self.model, self.kinds = model, {"query": query, "document": document}
        self.seen = {task: seen_test_classes(model.classes or [], read_shipped(name)) for task, name in CLASSES.items()}
        trained = None if model.classes is None else {task for task, seen in self.seen.items() if seen}
        name = "".join(c if c.isalnum() or c in "-_." else "-" for c in model.name).strip("-")
        self.mteb_model_meta = ModelMeta.create_empty({
            "name": f"splip/{name}", "revision": model.identity, "modalities": ["image", "text"],
            "training_datasets": trained, "framework": ["PyTorch"], "similarity_fn_name": ScoringFunction.COSINE,
            "reference": "https://arxiv.org/abs/2407.04207",
        })  # fmt: skip

    def encode(
        self, inputs: Any, *, task_metadata: Any, hf_split: str, hf_subset: str, prompt_type: Any = None, **kwargs: Any
    ) -> np.ndarray:
        """Embed batches of images or texts -> (n, d) float32, unit length.

        A task with classes that the model was trained on is not zero-shot: a warning names them, and mteb's own tables
        show it from the model's ``training_datasets``.

        Raises:
            ValueError: an item has both image and text, or neither.
        """
        seen = self.seen.get(task_metadata.name)
        if seen:
            of = len(read_shipped(CLASSES[task_metadata.name]))
            said = f"{len(seen)} of its {of} classes were trained on ({', '.join(some(seen))})"
            warnings.warn(f"{task_metadata.name} is not zero-shot: {said}", stacklevel=2)
        side = prompt_type.value if isinstance(prompt_type, PromptType) else str(prompt_type or "document")
        modality = {**self.kinds, **TASKS.get(task_metadata.name, {})}[side]
        parts: List[Tensor] = []
        for batch in inputs:
            if ("image" in batch) == ("text" in batch):
                raise ValueError(f"{task_metadata.name}: items of an image or of words are wanted, got {sorted(batch)}")
            if "image" in batch:
                parts.append(self.model.embed([as_rgb(image) for image in batch["image"]], modality))
            else:
                parts.append(self.model.embed_text(list(batch["text"])))
        return torch.cat(parts).numpy()
