"""Write docs/RESULTS.md out of results/*/: `python tools/results.py`.

results/<name>/<method>/seed<n>/results.json, and per_query.npz where the run wrote it. Each number on the page comes
from these files; `tests/test_docs.py` makes the page again. A method that ends in _plus or _released is a setting of
its trainer (the config's name says which).
"""

from __future__ import annotations

import json
import re
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
    "sketchy25_parts": (
        "Sketchy25, the parts of the method",
        "Tables 5 and 6 of the paper in small; 21 unseen classes.",
    ),
    "sketchy25_fg_parts": (
        "Sketchy25, the parts of the method, fine-grained",
        "Tables 5 and 6 in small; 21 unseen classes.",
    ),
    "sketchy25_less": ("Sketchy25, trained on less", "As many steps, on fewer classes or sketches; 21 unseen classes."),
    "sketchy25_sweeps": (
        "Sketchy25, one setting at a time",
        "Tested on 10 pseudo-unseen classes, trained on the other 94. Every other setting is the recipe's.",
    ),
    "sketchy25_class_loss": (
        "Sketchy25, without the class loss",
        "The same 10 pseudo-unseen classes, more seeds. (On unseen classes: in the table of parts.)",
    ),
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
    "SpLIP_plus": "SpLIP, beyond the paper", "SpLIP_best": "SpLIP, epoch chosen on pseudo-unseen classes", "CenteredCLIP": "frozen, mean of each modality taken off",
    "ClassNameCLIP": "frozen, the class name as query (oracle)", "VPTSBIR": "VPT-deep", "IVLPSBIR": "IVLP",
    "MaPLeSBIR": "MaPLe", "PromptSRCSBIR": "PromptSRC", "ClipAT": "CLIP-AT, as printed",
    "ClipAT_released": "CLIP-AT, as released", "ProjectionCLIP": "projection only (ProLIP)",
    "CLIPFitLike": "CLIPFit-like", "ClipPrompt": "ClipPrompt", "ClipPrompt_sgspl": "ClipPrompt, SG-SPL's setting", "SeCoLike": "SeCo-like",
    "class": "class loss alone", "triplet": "triplet loss alone, fixed margin", "class+triplet": "class and triplet loss",
    "adaptive_margin": "the same, adaptive margin (no jigsaw)",
    "clip_at_jigsaw": "the same, CLIP-AT's jigsaw", "no_layernorm": "without LayerNorms", "no_bv": "without B_v",
    "no_bt": "without B_t", "no_bvt": "without B_vt", "no_visual_prompts": "without visual prompts",
    "no_prompts": "without all prompts", "no_class_loss": "without the class loss",
    "norms_no_class_loss": "LayerNorms only, without the class loss",
}  # fmt: skip
WORDS = {  # of a sweep, whose folders are <name>_<value>
    "depth": "prompts in the first {} of 4 layers", "m": "m = {} (tokens of T)", "n": "n = {} (tokens of V^ms)",
    "alpha": "weight of the class loss {}", "norms_alpha": "LayerNorms only, weight of the class loss {}", "beta": "weight of the jigsaw {}", "margin": "margin mu, shifted by {}",
    "permutations": "{} permutations", "conditioning": "T of each {}", "distance": "distance {}",
    "anchor": "pulled to the frozen embedding, weight {}", "average": "mean of the weights, {}",
    "prompts_after": "LayerNorms alone for the first {} of 90 steps", "start": "visual prompts start as tokens ({})",
}  # fmt: skip
BASES = (("FrozenCLIP", "above frozen"), ("LayerNormCLIP", "above LayerNorms"))
PARTS = (("SpLIP", "to the whole method"),)
# A test without rows of its own for these methods: the folder that has them, and what the others are compared with.
BORROWED = {
    "sketchy25_parts": ("sketchy25_zs", ("LayerNormCLIP", "SpLIP"), PARTS),
    "sketchy25_fg_parts": ("sketchy25_fg", ("LayerNormCLIP", "SpLIP"), PARTS),
    "sketchy25_less": ("sketchy25_zs", ("FrozenCLIP", "LayerNormCLIP", "SpLIP"), (BASES[0],)),
    "sketchy25_class_loss": ("sketchy25_class_loss", ("SpLIP",), (("SpLIP", "to the recipe"),)),
    "sketchy25_sweeps": ("sketchy25_sweeps", ("SpLIP",), (("SpLIP", "to the recipe"),)),
}
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
    lender, borrowed, bases = BORROWED.get(name, (name, (), BASES))
    methods.update({label: read_method(ROOT / "results" / lender / label) for label in borrowed})
    title, what = TITLES[name]
    rows = []
    for label, method in sorted(methods.items(), key=lambda pair: order(pair[0])):
        values = [select(result["metrics"], "min_r_k") for result in method.results]
        row = {"": called(label), "seeds": str(len(values))}
        row.update({k: spread([v[k] for v in values]) for k in values[0] if k not in HIDDEN})
        for base, column in bases:
            other = methods.get(base)
            if other and label not in (base, "FrozenCLIP", *ORACLES) and method.queries and other.queries:
                row[column] = difference(method, other)
        last = methods.get(bases[-1][0])
        if label not in ("FrozenCLIP", bases[-1][0], *ORACLES) and last:
            row.update({"the same, over seeds": over} if (over := over_seeds(method, last)) else {})
        if any(result["seconds"]["train"] for result in method.results):
            row["training, s"] = f"{statistics.median(result['seconds']['train'] for result in method.results):.0f}"
        rows.append(row)
    one = next(iter(methods.values())).results[0]
    asked = f"{one['num_queries']:,} queries, {one['num_gallery']:,} photos"
    versions = sorted({r.get("versions", {}).get("splip", "") for m in methods.values() for r in m.results})
    return [f"## {title}", "", f"{what} {asked}. Version {', '.join(versions)}; [the runs](../results/{name}).", "",
            aligned(rows), ""]  # fmt: skip


def called(label: str) -> str:
    """How the page calls a row."""
    if label in METHODS:
        return METHODS[label]
    name, _, value = label.rpartition("_")
    if name in WORDS:
        return WORDS[name].format(value)
    first, value, *rest = label.split("_")
    return f"{METHODS[first]}, {value} {'sketches a class' if rest == ['sketches'] else 'classes'}".replace("**", "")


def order(label: str) -> Tuple[Any, ...]:
    """Frozen rows first, then the baselines or parts, then SpLIP."""
    first = ("FrozenCLIP", "CenteredCLIP", "ClassNameCLIP", "LayerNormCLIP")
    if label in first:
        return (first.index(label),)
    name, _, value = label.rpartition("_")
    if name in WORDS:  # a value of a sweep
        return 5, list(WORDS).index(name), [float(n) for n in re.findall(r"[\d.]+", value)], value
    name, *rest = label.split("_")
    if rest and rest[0].isdigit():  # trained on so many classes or sketches
        return 5, rest[1:], int(rest[0]), name
    if label in METHODS and label in (parts := list(METHODS)[list(METHODS).index("class") :]):
        return 5, parts.index(label)
    return 9 if label.startswith("SpLIP") else 5, label


def page(names: Sequence[str] = tuple(TITLES)) -> str:
    """The whole page."""
    lines = [
        "# Results", "", "Made by `python tools/results.py` from [`results/`](../results/README.md); do not edit.", "",
        "All numbers are of the embedded backbone, splip-hybrid, which is small. They say how methods compare on it, "
        "not what they reach with OpenAI's CLIP. They cannot be compared with the paper's numbers.", "",
        "Percent, convention `min_r_k` ([METRICS](METRICS.md)), mean ± standard deviation over seeds, last epoch. "
        "*Above frozen* and *above LayerNorms*: paired differences of the first metric, with 95 % intervals over classes "
        "and queries. *The same, over seeds*: the 95 % interval of the last difference over further seeds, for these "
        "queries. Training time is that of the machine at hand, with other work on it.", "",
    ]  # fmt: skip
    for name in names:
        if (ROOT / "results" / name).is_dir():
            lines += section(name)
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
