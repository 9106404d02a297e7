"""Write docs/RESULTS.md out of results/*/: `python tools/results.py`.

results/<name>/<method>/seed<n>/results.json, and per_query.npz where the run wrote it. Each number on the page comes
from these files; `tests/test_docs.py` makes the page again. A method that ends in _plus or _released is a setting of
its trainer (the config's name says which).
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from splip.cli.formats import aligned, spread  # noqa: E402
from splip.cli.table import select  # noqa: E402
from splip.retrieval.bootstrap import bootstrap_means, interval, seeds_interval  # noqa: E402
from splip.training.per_query import read  # noqa: E402

PAGE = ROOT / "docs/RESULTS.md"
TITLES = {  # folder of results: title, what it is
    "sketchy25_zs": ("Sketchy25, 21 unseen classes", "104 classes are seen (Yelamarthi et al.'s list)."),
    "sketchy25_zs_seen": (
        "Sketchy25, 21 of the seen classes",
        "The same models on classes and images of their training.",
    ),
    "sketchy25_sake": ("Sketchy25, 25 unseen classes", "100 classes are seen (SAKE's list)."),
    "sketchy25_sake_seen": (
        "Sketchy25, 25 of the seen classes",
        "Those models on classes and images of their training.",
    ),
    "sketchy25_gzs": ("Sketchy25, generalised", "21 unseen classes; the photos of the seen ones are in the gallery."),
    "sketchy25_fg": ("Sketchy25, fine-grained", "The one right photo is the one that was drawn; 21 unseen classes."),
    "sketchy25_fg_seen": ("Sketchy25, fine-grained, 21 of the seen classes", "On images of the training."),
    "sketchy25_cross_sketchmoji": (
        "Trained on Sketchy25, tested on Sketchmoji",
        "121 classes that training has not seen.",
    ),
    "sketchmoji_cross_sketchy25": (
        "Trained on Sketchmoji, tested on Sketchy25",
        "11 classes that training has not seen.",
    ),
    "sketchmoji_zs": ("Sketchmoji", "Emoji, drawn by independent artists; 142 unseen classes."),
    "sketchmoji_gzs": ("Sketchmoji, generalised", "The photos of the seen classes are in the gallery."),
    "sketchmoji_fg": ("Sketchmoji, fine-grained", "The one right photo is the one that was drawn."),
}
METHODS = {  # folder of a method: how the page calls it
    "FrozenCLIP": "frozen backbone", "LayerNormCLIP": "LayerNorms only", "SpLIP": "**SpLIP, the paper's losses**",
    "SpLIP_plus": "SpLIP, beyond the paper", "CenteredCLIP": "frozen, mean of each modality taken off",
    "ClassNameCLIP": "frozen, the class name as query (oracle)", "VPTSBIR": "VPT-deep", "IVLPSBIR": "IVLP",
    "MaPLeSBIR": "MaPLe", "PromptSRCSBIR": "PromptSRC", "ClipAT": "CLIP-AT, as printed",
    "ClipAT_released": "CLIP-AT, as released", "ProjectionCLIP": "projection only (ProLIP)",
    "CLIPFitLike": "CLIPFit-like", "ClipPrompt": "ClipPrompt", "ClipPrompt_sgspl": "ClipPrompt, SG-SPL's setting", "SeCoLike": "SeCo-like",
}  # fmt: skip
BASES = (("FrozenCLIP", "above frozen"), ("LayerNormCLIP", "above LayerNorms"))
ORACLES = ("ClassNameCLIP",)
HIDDEN = ("mAP@100",)  # the page is wide enough; results.json has it


class Method(NamedTuple):
    """The runs of one method in one test."""

    results: List[Dict[str, Any]]  # by seed
    queries: Dict[int, np.ndarray]  # by seed: (Q,) percent of the first metric; empty without per_query.npz
    classes: np.ndarray  # (Q,)


def read_method(folder: Path) -> Method:
    """The runs below results/<name>/<method>."""
    results, queries, classes = [], {}, np.array([])
    for path in sorted(folder.glob("seed*/results.json")):
        result = {**json.loads(path.read_text(encoding="utf-8")), "folder": path.parent}
        results.append(result)
        if (path.parent / "per_query.npz").exists():
            found = read(path.parent, result)
            queries[result["seed"]], classes = next(iter(found.values.values())), found.classname
    return Method(results, queries, classes)


def difference(method: Method, base: Method) -> str:
    """ "+1.23 (0.45 to 2.01)": the paired difference of means over seeds, and its interval over classes and queries."""
    pair = np.stack([np.mean(list(one.queries.values()), axis=0) for one in (method, base)])
    drawn = bootstrap_means(pair, method.classes)
    low, high = interval(drawn[0] - drawn[1])
    return f"{(pair[0] - pair[1]).mean():+.2f} ({low:+.2f} to {high:+.2f})"


def over_seeds(method: Method, base: Method) -> str:
    """ "0.02 to 1.14": the interval of the paired difference over further seeds, the same queries."""
    seeds = sorted(set(method.queries) & set(base.queries))
    if len(seeds) < 2:
        return ""
    low, high = seeds_interval([float((method.queries[s] - base.queries[s]).mean()) for s in seeds])
    return f"{low:+.2f} to {high:+.2f}"


def section(name: str) -> List[str]:
    """Title, sentence and table of results/<name>."""
    methods = {path.name: read_method(path) for path in sorted((ROOT / "results" / name).iterdir()) if path.is_dir()}
    title, what = TITLES[name]
    rows = []
    for label, method in sorted(methods.items(), key=lambda pair: order(pair[0])):
        values = [select(result["metrics"], "min_r_k") for result in method.results]
        row = {"": METHODS[label], "seeds": str(len(values))}
        row.update({k: spread([v[k] for v in values]) for k in values[0] if k not in HIDDEN})
        for base, column in BASES:
            other = methods.get(base)
            if other and label not in (base, "FrozenCLIP", *ORACLES) and method.queries and other.queries:
                row[column] = difference(method, other)
        if label not in ("FrozenCLIP", "LayerNormCLIP", *ORACLES) and methods.get("LayerNormCLIP"):
            row.update({"the same, over seeds": over} if (over := over_seeds(method, methods["LayerNormCLIP"])) else {})
        if any(result["seconds"]["train"] for result in method.results):
            row["training, s"] = f"{statistics.median(result['seconds']['train'] for result in method.results):.0f}"
        rows.append(row)
    one = next(iter(methods.values())).results[0]
    asked = f"{one['num_queries']:,} queries, {one['num_gallery']:,} photos"
    versions = sorted({r.get("versions", {}).get("splip", "") for m in methods.values() for r in m.results})
    return [f"## {title}", "", f"{what} {asked}. Version {', '.join(versions)}; [the runs](../results/{name}).", "",
            aligned(rows), ""]  # fmt: skip


def order(label: str) -> Tuple[int, str]:
    """Frozen rows first, then the baselines, then SpLIP."""
    first = ("FrozenCLIP", "CenteredCLIP", "ClassNameCLIP", "LayerNormCLIP")
    return (first.index(label) if label in first else 9 if label.startswith("SpLIP") else 5), label


def page(names: Sequence[str] = tuple(TITLES)) -> str:
    """The whole page."""
    lines = [
        "# Results", "", "Made by `python tools/results.py` from [`results/`](../results/README.md); do not edit.", "",
        "All numbers are of the embedded backbone, splip-hybrid, which is small. They say how methods compare on it, "
        "not what they reach with OpenAI's CLIP. They cannot be compared with the paper's numbers.", "",
        "Percent, convention `min_r_k` ([METRICS](METRICS.md)), mean ± standard deviation over seeds, last epoch. "
        "*Above frozen* and *above LayerNorms*: paired differences of the first metric, with 95 % intervals over classes "
        "and queries. *The same, over seeds*: the 95 % interval of the difference to LayerNorms over further seeds, for "
        "these queries. Training time is that of the machine at hand, with other work on it.", "",
    ]  # fmt: skip
    for name in names:
        if (ROOT / "results" / name).is_dir():
            lines += section(name)
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
