"""Draw docs/images/gain_*.png out of results/*/: `python tools/figures.py [FOLDER]`.

How the gain over the frozen backbone grows with the training data, with the depth and number of prompts, and by epoch
on classes of the training beside unseen ones. Points are seeds, lines their means. The numbers are those of
docs/RESULTS.md; `tests/tools/test_figures.py` draws them again.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from statistics import fmean
from typing import Any, Dict, List, Mapping

from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from splip.retrieval.curves import COLOURS  # noqa: E402

RESULTS, IMAGES = ROOT / "results", ROOT / "docs/images"
NAMES = {"SpLIP": "SpLIP, the paper's losses", "LayerNormCLIP": "LayerNorms only"}
Line = Dict[float, List[float]]  # x -> a value of each seed


def values(folder: Path) -> List[float]:
    """mAP@all (`min_r_k`) of each seed of results/<test>/<method>."""
    files = sorted(folder.glob("seed*/results.json"))
    return [json.loads(path.read_text(encoding="utf-8"))["metrics"]["min_r_k"]["mAP@all"] for path in files]


def swept(folder: Path, pattern: str, own: Path, whole: float) -> Line:
    """The methods whose name has the pattern, by the number in it, and those of ``own`` at ``whole``."""
    found = {float(m[1]): values(path) for path in folder.iterdir() if (m := re.fullmatch(pattern, path.name))}
    return dict(sorted({**found, whole: values(own)}.items()))


def draw(axis: Any, lines: Mapping[str, Line], frozen: float, title: str, label: str) -> None:
    """One panel: the gain over ``frozen`` of each line."""
    for (name, line), colour in zip(lines.items(), COLOURS):
        points = [(x, y - frozen) for x, ys in line.items() for y in ys]
        axis.plot(list(line), [fmean(ys) - frozen for ys in line.values()], color=colour, label=name)
        axis.plot(*zip(*points), ".", color=colour, alpha=0.6)
    axis.axhline(0, color="grey", linewidth=1, linestyle=":")
    axis.set_title(title, fontsize="medium")
    axis.set_xlabel(label)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize="small")


def figure_of(columns: int) -> Figure:
    """An empty figure of so many panels beside each other."""
    figure = Figure(figsize=(4.2 * columns, 3.2), dpi=120, layout="constrained")
    for number, axis in enumerate(figure.subplots(1, columns, squeeze=False)[0]):
        if number == 0:
            axis.set_ylabel("mAP@all above the frozen backbone")
    return figure


def ticks(axis: Any, at: List[float]) -> None:
    """The values that were tried, on a scale of powers of two."""
    axis.set_xscale("log", base=2)
    axis.set_xticks(at, [f"{x:g}" for x in at])
    axis.minorticks_off()


def data(results: Path) -> Figure:
    """By the number of training classes, and of sketches of each."""
    figure, zs = figure_of(2), results / "sketchy25_zs"
    (frozen,) = values(zs / "FrozenCLIP")
    for axis, what, whole in zip(figure.axes, ("classes", "sketches"), (104, 25)):
        lines = {
            name: swept(results / "sketchy25_less", rf"{method}_(\d+)_{what}", zs / method, whole)
            for method, name in NAMES.items()
        }
        words = "training classes" if what == "classes" else "sketches of each of 104 classes"
        draw(axis, lines, frozen, f"as many steps, fewer {what}", words)
        ticks(axis, sorted({x for line in lines.values() for x in line}))
    return figure


def prompts(results: Path) -> Figure:
    """By depth and numbers of prompts, on pseudo-unseen classes."""
    figure, sweeps = figure_of(3), results / "sketchy25_sweeps"
    (frozen,), norms = values(sweeps / "FrozenCLIP"), values(sweeps / "LayerNormCLIP")
    for axis, what, own, label in zip(
        figure.axes, ("depth", "m", "n"), (4, 4, 2), ("layers with prompts", "m, tokens of T", "n, tokens of V^ms")
    ):
        line = swept(sweeps, rf"{what}_(\d+)", sweeps / "SpLIP", own)
        lines = {NAMES["SpLIP"]: line, NAMES["LayerNormCLIP"]: dict.fromkeys(line, norms)}
        draw(axis, lines, frozen, f"{label} (recipe: {own})", label)
        ticks(axis, list(line))
    return figure


def epochs(results: Path) -> Figure:
    """By epoch, on classes of the training and on unseen ones; each above the frozen backbone on the same classes."""
    figure = figure_of(2)
    for axis, classes, zs in zip(figure.axes, ("seen", "unseen"), ("sketchy25_zs_seen", "sketchy25_zs")):
        (frozen,) = values(results / zs / "FrozenCLIP")
        lines = {}
        for method, name in NAMES.items():
            folder = results / f"sketchy25_epochs_{classes}"
            lines[name] = swept(folder, rf"{method}_(\d+)_epoch", results / zs / "FrozenCLIP", 0)
        draw(axis, lines, frozen, f"21 {classes} classes", "epoch of 10")
    first, second = figure.axes
    low, high = zip(first.get_ylim(), second.get_ylim())
    for axis in figure.axes:
        axis.set_ylim(min(low), max(high))  # so that the two can be compared
    return figure


FIGURES = {"gain_data": data, "gain_prompts": prompts, "gain_epochs": epochs}


def main(results: Path = RESULTS, images: Path = IMAGES) -> None:
    """Draw all of them."""
    images.mkdir(parents=True, exist_ok=True)
    for name, make in FIGURES.items():
        make(results).savefig(images / f"{name}.png")


if __name__ == "__main__":
    main(RESULTS, Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
