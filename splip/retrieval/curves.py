"""The training curve as a picture."""

from __future__ import annotations

import math
import os
from numbers import Real
from pathlib import Path
from typing import Dict, List, Mapping, Sequence, Union

from splip.common.files import whole_file
from splip.data.products import CURVE

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")  # Okabe and Ito
AXIS_KEYS = ("epoch", "loss", "val_mAP")


def training_curve(
    history: Sequence[Dict[str, float]], path: Union[str, os.PathLike], title: str = "", names: Mapping[str, str] = {}
) -> Path:
    """Draw loss, its terms and validation mAP (if there is any) against the epoch.

    history: one dict for each epoch: "epoch" and "loss". "val_mAP" (a fraction) gets its own panel, with the
        best epoch marked. Any other key is a term of the loss, drawn thinner.
        A key may be missing in some epochs (validation every n epochs).
    names: a term's name in the legend, if it is not its key.

    Writes `path` (its folder is made; .png, .svg or .pdf) and returns it. matplotlib's global state
    (backend, open figures) is not touched. Raises ValueError for an empty history, an epoch without
    "epoch" or "loss", and a value that is not a number.
    """
    from matplotlib.figure import Figure  # slow to import, so only for drawing
    from matplotlib.ticker import MaxNLocator

    history = [_checked(i, entry) for i, entry in enumerate(history)]
    if not history:
        raise ValueError("training_curve got an empty history")
    validated = any("val_mAP" in entry for entry in history)
    # A Figure made without pyplot draws itself with Agg and belongs to no window.
    figure = Figure(figsize=(6.4, 5.2 if validated else 3.6), dpi=150, layout="constrained")
    axes = figure.subplots(
        2 if validated else 1,
        1,
        sharex=True,
        squeeze=False,
        gridspec_kw={"height_ratios": [3, 2] if validated else [1]},
    )[:, 0]
    if title:
        figure.suptitle(title)

    _losses(axes[0], history, names)
    if validated:
        _validation(axes[1], history)
    for axis in axes:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("epoch")
    epochs = [entry["epoch"] for entry in history]
    axes[-1].set_xlim(min(epochs) - 0.5, max(epochs) + 0.5)  # one epoch alone keeps a whole-number axis
    axes[-1].xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))

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


def _losses(axis, history: List[Dict[str, float]], names: Mapping[str, str]) -> None:
    terms = dict.fromkeys(key for entry in history for key in entry if key not in AXIS_KEYS)
    _line(axis, history, "loss", color="#202124", linewidth=2.2, label="loss", zorder=3)
    for i, term in enumerate(terms):
        _line(axis, history, term, color=COLOURS[i % len(COLOURS)], linewidth=1.3, label=names.get(term, term))
    axis.set_ylabel("training loss")
    axis.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))  # beside the lines


def _validation(axis, history: List[Dict[str, float]]) -> None:
    x, y = _line(axis, history, "val_mAP", scale=100, color=COLOURS[0], linewidth=2.2)
    finite = [i for i in range(len(y)) if math.isfinite(y[i])]
    if finite:
        best = max(finite, key=lambda i: y[i])
        axis.plot(x[best], y[best], "o", color=COLOURS[5], markersize=7, zorder=4)
        first, last = history[0]["epoch"], history[-1]["epoch"]
        side = (x[best] - first) / (last - first) if last > first else 0.5
        align = "left" if side < 0.15 else "right" if side > 0.85 else "center"
        axis.annotate(
            f"best {y[best]:.1f} (epoch {x[best]:g})",
            (x[best], y[best]),
            xytext=(0, 8),
            textcoords="offset points",
            ha=align,
            fontsize="small",
        )
    axis.set_ylabel("validation mAP@all (%)")
    axis.margins(y=0.25)


def _line(axis, history, key, scale=1.0, **style):
    x = [entry["epoch"] for entry in history if key in entry]
    y = [entry[key] * scale for entry in history if key in entry]
    marker = "o" if len(x) < 30 else None  # a line alone hides few points, or shows nothing of one
    axis.plot(x, y, marker=marker, markersize=3.5, **style)
    return x, y
