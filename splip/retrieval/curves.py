"""The training curve as a picture."""

from __future__ import annotations

import math
import os
from numbers import Real
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Tuple, Union

from splip.common.files import whole_file
from splip.data.products import CURVE

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")  # Okabe and Ito
VAL = "val"


def training_curve(
    history: Sequence[Dict[str, float]], path: Union[str, os.PathLike], title: str = "",
    names: Mapping[str, str] = {}, val_name: str = "mAP@all",
) -> Path:  # fmt: skip
    """Draw loss, its terms and the validation metric (if there is any) against the epoch, each on an axis of its own.

    history: one dict for each epoch: "epoch" and "loss". "val" (percent) comes first, with the best epoch marked. Any
        other key is a term of the loss. A key may be missing in some epochs (validation every n epochs).
    names: a term's title, if it is not its key.
    val_name: of the validation metric.

    Writes `path` (its folder is made; .png, .svg or .pdf) and returns it. matplotlib's global state
    (backend, open figures) is not touched. Raises ValueError for an empty history, an epoch without
    "epoch" or "loss", and a value that is not a number.
    """
    from matplotlib.figure import Figure  # slow to import, so only for drawing
    from matplotlib.ticker import MaxNLocator

    history = [_checked(i, entry) for i, entry in enumerate(history)]
    if not history:
        raise ValueError("training_curve got an empty history")
    terms = list(dict.fromkeys(key for entry in history for key in entry if key not in ("epoch", VAL)))
    panels = [VAL] * any(VAL in entry for entry in history) + terms
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    # A Figure made without pyplot draws itself with Agg and belongs to no window.
    figure = Figure(figsize=(3.2 * columns, 2.3 * rows + 0.4), dpi=150, layout="constrained")
    if title:
        figure.suptitle(title)
    epochs = [entry["epoch"] for entry in history]
    for number, key in enumerate(panels):
        axis = figure.add_subplot(rows, columns, number + 1)
        x, y = _line(axis, history, key, COLOURS[number % len(COLOURS)])
        said = f"{val_name} on pseudo-unseen classes, %" if key == VAL else names.get(key, key)
        axis.set_title(said, fontsize="small")
        if key == VAL:
            _mark_best(axis, x, y)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)  # one epoch alone keeps a whole-number axis
        axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
        if number >= len(panels) - columns:
            axis.set_xlabel("epoch")

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        kind = path.suffix[1:]
        figure.savefig(file, format=kind, metadata={"Software": CURVE} if kind.lower() == "png" else None)
    return path


def _checked(i: int, entry: Dict[str, float]) -> Dict[str, float]:
    for key in ("epoch", "loss"):
        if key not in entry:
            raise ValueError(f"entry {i} of the history has no {key!r}: {sorted(entry)}")
    for key, value in entry.items():
        if not isinstance(value, Real):
            raise ValueError(f"entry {i} of the history: {key} must be a number, got {value!r}")
    return {key: float(value) for key, value in entry.items()}


def _mark_best(axis, x: List[float], y: List[float]) -> None:
    finite = [i for i in range(len(y)) if math.isfinite(y[i])]
    if finite:
        best = max(finite, key=lambda i: y[i])
        axis.plot(x[best], y[best], "o", color=COLOURS[5], markersize=7, zorder=4)
        side = (x[best] - x[0]) / (x[-1] - x[0]) if x[-1] > x[0] else 0.5
        axis.annotate(
            f"best {y[best]:.1f} (epoch {x[best]:g})",
            (x[best], y[best]),
            xytext=(0, 8),
            textcoords="offset points",
            ha="left" if side < 0.15 else "right" if side > 0.85 else "center",
            fontsize="small",
        )
    axis.margins(y=0.25)


def _line(axis, history: List[Dict[str, float]], key: str, colour: str) -> Tuple[List[float], List[float]]:
    x = [entry["epoch"] for entry in history if key in entry]
    y = [entry[key] for entry in history if key in entry]
    marker = "o" if len(x) < 30 else None  # a line alone hides few points, or shows nothing of one
    axis.plot(x, y, marker=marker, markersize=3.5, color=colour, linewidth=1.6)
    return x, y
