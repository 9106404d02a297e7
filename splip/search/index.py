"""An index of photos that you can search with a drawing, a photo or text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence, Union

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from splip.data.images import open_rgb
from splip.models.image_model import ImageModel
from splip.models.load import DEFAULT, load_model
from splip.search.absent import is_below
from splip.search.drawings import clean_drawing, open_drawing
from splip.search.engines import SHARED, engine_class
from splip.search.excludes import as_lines
from splip.search.records import CLEAN, KINDS, Hit, Store
from splip.search.scaling import CANDIDATES, LEAST, Sample, reorder
from splip.search.scan import Report, update
from splip.search.walk import require_folder

VERSION = 1  # of reading and embedding photos; part of an index's identity

Question = Union[str, os.PathLike, Image.Image]


def default_place() -> Path:
    """Default folder of indexes: SPLIP_INDEX, else the user's data folder."""
    if os.environ.get("SPLIP_INDEX"):
        return Path(os.environ["SPLIP_INDEX"]).expanduser()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "splip"


class Index:
    """Embeddings of image files by one model; :meth:`open` creates or opens one.

    >>> index = splip.Index.open()
    >>> index.add(["~/Pictures"])
    >>> for hit in index.search("drawing.png", 20):
    ...     print(hit.score, hit.path)
    """

    def __init__(self, store: Store, model: ImageModel) -> None:
        self.store, self.model = store, model
        self._sample = Sample()

    @classmethod
    def open(
        cls,
        place: Union[str, os.PathLike] = "",
        model: Union[str, os.PathLike, ImageModel] = DEFAULT,
        engine: str = "faiss",
        uri: str = "",
        device: str = "cpu",
        backbone: str = "",
    ) -> Index:
        """The index of a model, created if necessary. Indexes of other models in the same place do not change.

        Args:
            place: folder for the indexes of all models (default: :func:`default_place`).
            model: an argument of :func:`splip.load_model`, or a model.
            engine: ``faiss``, or ``milvus`` at ``uri``: a file (Milvus Lite) or ``http://host:19530``.
            device: of the model.
            backbone: its name or file, if that is elsewhere now.

        Raises:
            ValueError: the engine is unknown or not installed, cannot be reached, or the index is damaged.
        """
        open_store = engine_class(engine)
        if (engine in SHARED) != bool(uri):
            raise ValueError(f"--engine {' or '.join(SHARED)} and --uri go together: a file, or http://host:19530")
        if not isinstance(model, ImageModel):
            model = load_model(model, device, backbone)
        identity = f"{model.identity}_{VERSION}"  # photos read in another way have other vectors
        about = {
            "identity": identity, "dim": len(model.embed([Image.new("RGB", (8, 8))], "photo")[0]),
            "model": model.name,
        }  # fmt: skip
        folder = Path(place or default_place()).expanduser() / f"{model.identity[:16]}_{VERSION}"
        store: Store = open_store(uri or folder, about)
        return cls(store, model)

    def __len__(self) -> int:
        return len(self.store)

    # ------------------------------------------------------------------- photos

    def add(
        self,
        paths: Union[str, os.PathLike, Iterable[Union[str, os.PathLike]]],
        excludes: Optional[Sequence[str]] = None,
        quiet: bool = False,
        remember: bool = True,
    ) -> Report:
        """Add folders with all their sub-folders, and update the index from them.

        Args:
            excludes: gitignore patterns or paths to exclude (:mod:`splip.search.excludes`); None = those that the
                folder was added with before.
            remember: whether :meth:`update` also reads these folders.

        Raises:
            ValueError: a folder does not exist and is not known, a pattern is invalid, or another process is writing.
        """
        if isinstance(paths, (str, os.PathLike)):
            paths = [paths]
        with self.store.writing():
            before, folders = self.store.folders(), {}
            for folder in (os.path.abspath(os.path.expanduser(path)) for path in paths):
                if folder not in before:
                    require_folder(folder)
                kept = {line: line for line in before.get(folder, [])}
                folders[folder] = kept if excludes is None else as_lines(excludes, folder)
            if remember:
                self.store.set_folders({**before, **{folder: list(lines) for folder, lines in folders.items()}})
            others = [folder for folder in before if folder not in folders]
            return update(self.store, self.model, folders, quiet, others)

    def update(self, quiet: bool = False) -> Report:
        """Update the index from all of its folders.

        Raises:
            ValueError: it has none, or another process is writing. The report names folders that do not exist.
        """
        with self.store.writing():
            folders = {folder: {line: line for line in lines} for folder, lines in self.store.folders().items()}
            if not folders:
                raise ValueError("no folder was added yet")
            return update(self.store, self.model, folders, quiet)

    def forget(self, path: Union[str, os.PathLike]) -> int:
        """Remove every image in a folder and its sub-folders, and the folder if it was added -> number of images.

        If the folder is inside an added folder, the next update adds its existing images again.

        Raises:
            ValueError: it was not added and no image in it is known; or another process is writing.
        """
        folder = os.path.abspath(os.path.expanduser(path))
        with self.store.writing():
            folders, gone = self.store.folders(), []
            inside = [p for p in {**self.store.known(), **self.store.failed()} if is_below(p, folder)]
            if folder in folders:
                del folders[folder]
                gone = [path for path in inside if not any(is_below(path, other) for other in folders)]
            elif inside:
                gone = inside
            else:
                raise ValueError(
                    f"{folder!r} is none of the folders that were added: {list(folders)}, and nothing below it is known"
                )
            self.store.remove(gone)
            self.store.set_folders(folders)
            self.store.set_mounts({place for place in self.store.mounts() if not is_below(place, folder)})
        return len(gone)

    # ---------------------------------------------------------------- queries

    def search(
        self,
        question: Optional[Question] = None,
        k: int = 10,
        *,
        kind: str = "sketch",
        text: str = "",
        text_weight: float = 0.5,
        minus: str = "",
        minus_weight: float = 0.5,
        below: Union[str, os.PathLike] = "",
        scaled: bool = False,
    ) -> List[Hit]:
        """The k photos nearest to a drawing, a photo, text, or image and text together, best first.

        Args:
            question: an image or its file, or strokes as ``FILE.ndjson:N``; None = only text.
            kind: ``sketch`` (after :func:`splip.search.drawings.clean_drawing`) or ``photo``.
            text: words that the photos should match, too.
            text_weight: weight of the text against the image, in [0, 1].
            minus: words that the photos should not match; minus_weight times their embedding is subtracted, in [0, 1].
            below: search only this folder.
            scaled: photos that are near to everything come later (:mod:`splip.search.scaling`); the index needs at
                least 100 photos.

        Raises:
            ValueError: neither image nor text, the drawing is blank, a file cannot be read, an unknown kind, or k
                below 1.
        """
        vector = self.question(question, kind, text, text_weight, minus, minus_weight)
        hits = self.nearest(vector, k, below, scaled)
        drawn_alone = question is not None and kind != "photo" and not (text + minus).strip()  # so scores were measured
        return self.rate(hits) if drawn_alone and not scaled else hits

    def question(
        self, question: Optional[Question], kind: str = "sketch", text: str = "", text_weight: float = 0.5,
        minus: str = "", minus_weight: float = 0.5,
    ) -> Tensor:  # fmt: skip
        """The query as a vector (d,); arguments and errors as :meth:`search`."""
        if kind not in (*KINDS, CLEAN):
            raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
        for name, weight in (("text_weight", text_weight), ("minus_weight", minus_weight)):
            if not 0 <= weight <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {weight}")
        parts = []
        if question is not None:
            if isinstance(question, Image.Image):
                picture = question
            elif kind == "sketch":
                picture = open_drawing(question)
            else:
                picture = open_rgb(os.path.expanduser(os.fspath(question)))
            try:
                picture = clean_drawing(picture).image if kind == "sketch" else picture
            except ValueError as error:
                named = "the drawing" if isinstance(question, Image.Image) else os.fspath(question)
                raise ValueError(f"{named}: {error}") from error
            parts.append(self.model.embed([picture], "photo" if kind == "photo" else "sketch")[0])
        if text.strip():
            words = self.model.embed_text([text.strip()])[0]
            if parts:
                parts = [(1 - text_weight) * parts[0], text_weight * words]
            else:
                parts = [words]
        if not parts:
            raise ValueError("a picture or words are needed")
        if minus.strip():
            parts.append(-minus_weight * self.model.embed_text([minus.strip()])[0])
        vector = torch.stack(parts).sum(dim=0)
        if float(vector.norm()) < 1e-4:
            raise ValueError(f"nothing is left of the question minus {minus!r}")
        return torch.nn.functional.normalize(vector, dim=0)

    def nearest(
        self,
        vector: Union[Tensor, np.ndarray],
        k: int = 10,
        below: Union[str, os.PathLike] = "",
        scaled: bool = False,
    ) -> List[Hit]:
        """The k photos nearest to a vector (d,), best first; below, scaled and errors as in :meth:`search`."""
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        folder = os.path.abspath(os.path.expanduser(below)) if below else ""
        if scaled and len(self) < LEAST:
            raise ValueError(f"the scaled order needs an index of at least {LEAST} photos, this one has {len(self)}")
        count = max(CANDIDATES, 2 * k) if scaled else k
        hits = self.store.search(np.asarray(vector, dtype=np.float32)[None], count, folder)[0]
        if not scaled:
            return hits
        return reorder(hits, self.store.vectors_at([hit.id for hit in hits]), self._sample.of(self.store), k)

    def rate(self, hits: Sequence[Hit]) -> List[Hit]:
        """A drawing's hits, each with how often a photo of its cosine was right, if that was measured for the model."""
        scores = self.model.scores
        return [hit._replace(right=scores.share(hit.score)) for hit in hits] if scores else list(hits)

    def similar(self, id: int, k: int = 10) -> List[Hit]:
        """The k photos nearest to a photo of the index, given by number; that photo is first.

        Raises:
            ValueError: there is no photo with this number.
        """
        vectors = self.store.vectors_at([id])
        if id not in vectors:
            raise ValueError(f"there is no image {id} in the index")
        return self.nearest(vectors[id], k)

    # ------------------------------------------------------------------ other

    def finish(self) -> str:
        """Save data for a quick next start -> description of the search method. Waits for no lock: see :meth:`add`."""
        with self.store.writing():
            return self.store.finish()

    def export(self, folder: Union[str, os.PathLike]) -> Path:
        """Write ``vectors.npy`` (n, d), ``images.parquet`` (path, size, time, digest) and ``about.json`` -> the folder.

        Raises:
            ValueError: pyarrow is not installed.
        """
        from splip.search.export import write

        return write(self.store, Path(folder).expanduser())

    def describe(self) -> Dict[str, Any]:
        """A description for the user."""
        store = self.store
        return {"images": len(self), "model": self.model.name, "place": store.place, "folders": store.folders()}

    def close(self) -> None:
        """Close its files."""
        self.store.close()
