"""Tables from ``results.json`` files: mean and standard deviation over seeds, as Markdown, CSV, LaTeX or HTML.

    splip table output/sketchmoji
    splip table output/sketchmoji --convention voc --csv table.csv
    splip table output/sketchy2 --latex table.tex --html table.html
    splip table output/sketchy2 --paper        (next to the paper's numbers)
    splip table output/sketchy25 --intervals   (confidence intervals over queries)

docs/METRICS.md explains conventions and intervals.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Set, Tuple

import splip
from splip.cli.formats import aligned, latex, page, spread, write_csv
from splip.cli.groups import by_epoch, identity, recipes
from splip.cli.intervals import compare_all
from splip.retrieval.conventions import CONVENTIONS
from splip.training.identity import differences, shown

# runs that agree in these are seeds of one experiment; `switches` are the parts of the method that are off
GROUP = (
    "dataset", "setting", "gallery", "backbone", "trainer", "switches", "selection", "split", "trained on", "recipe"
)  # fmt: skip
SWITCHES = {  # keys of TRAINER.SPLIP, with their values in the full method
    "TRIPLET": True, "MARGIN": "adaptive", "LAYERNORM": "both", "USE_BT": True, "USE_BV": True, "USE_BVT": True
}  # fmt: skip
BEYOND = {  # keys of TRAINER.SPLIP that are not in the paper, with the value for off
    "CONTRASTIVE": 0, "TRAIN_PROJ": False, "LAYERNORM_SHARED": True, "FREE_PROMPTS": 0, "NEGATIVES": "random"
}  # fmt: skip
WEIGHTS = ("ALPHA", "BETA")  # of losses: off if 0
HEADLINES = ("mAP@all", "category Acc@1")
PAPER = Path(splip.__file__).parent / "assets" / "paper_results.csv"
PAPER_BACKBONE = "ViT-B/32"
EMBEDDED = "splip-hybrid"  # as splip.backbone.load, which needs torch


def read_results(folders: Sequence[Path]) -> List[dict]:
    """Read every ``results.json`` in ``folders`` and their sub-folders.

    Raises:
        ValueError: a folder has none, or one is not a results file. OSError: a folder cannot be read.
    """
    results = []
    for folder in folders:
        paths = sorted(_find(folder)) if folder.is_dir() else []
        if not paths:
            raise ValueError(f"no results.json below {folder}")
        for path in paths:
            try:
                result = json.loads(path.read_text(encoding="utf-8"))
                result["metrics"], result["seed"], result["split"]["name"]
                result["folder"] = path.parent
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ValueError(f"{path} is not the results file of a run: {error!r}") from error
            results.append(result)
    return results


def _find(folder: Path) -> Iterator[Path]:
    """Find every ``results.json``. A folder that cannot be read is an error: its runs would be missing silently."""

    def stop(error: OSError) -> None:
        raise error

    for where, _, files in os.walk(folder, onerror=stop):
        if "results.json" in files:
            yield Path(where, "results.json")


def group(results: List[dict]) -> List[tuple]:
    """(names, runs) of each experiment, baselines first; names are GROUP's and the seeds.

    Experiments that differ in another setting are told apart by the folders that hold their seeds ("recipe").

    Raises:
        ValueError: a seed occurs twice in one group, or settings, data or backbone differ among runs in one folder, so
            they are not seeds of one experiment.
    """
    groups = defaultdict(list)
    for result in results:
        named = {**result, "switches": switches(result), "split": result["split"]["name"]}
        named.update({"trained on": seen(result), "recipe": ""})
        groups[tuple(str(named[key]) for key in GROUP)].append(result)
    pairs = []
    for key, runs in groups.items():
        for recipe, part in by_epoch(recipes(runs)).items():
            names = {**dict(zip(GROUP, key)), "recipe": recipe}
            seeds = sorted(run["seed"] for run in part)
            # a method without training has the same result for every seed
            if len(set(seeds)) < len(seeds):
                raise ValueError(f"{names}: seeds {seeds} repeat; give a folder that holds one experiment each")
            lines = next(filter(None, (differences(identity(part[0]), identity(run)) for run in part[1:])), None)
            if lines:
                raise ValueError(
                    f"{part[0]['trainer']} on {part[0]['dataset']}: seeds {seeds} are of different experiments "
                    f"({shown(lines)})"
                )
            pairs.append(({**names, "seeds": " ".join(map(str, seeds))}, part))
    return sorted(pairs, key=lambda pair: (pair[0]["dataset"], pair[0]["setting"], *rank(pair[1][0])))


def seen(result: dict) -> str:
    """How many test classes of a result the model was trained on: "" for none, "not known" if unknown.

    Without this column a table would mix such numbers with zero-shot ones.
    """
    found = result.get("seen_test_classes", [])
    if found is None:
        return "not known"
    return f"{len(found)} of {result.get('num_test_classes', '?')} test classes" if found else ""


def switches(result: dict) -> str:
    """Parts of SpLIP that a run switched off, or additions that it switched on, as KEY VALUE ...; else empty."""
    if result["trainer"] != "SpLIP":
        return ""
    method = result.get("config", {}).get("TRAINER", {}).get("SPLIP", {})
    usual = {**SWITCHES, **BEYOND}
    off = {key: method[key] for key, value in usual.items() if method.get(key, value) != value}
    off.update({key: method[key] for key in WEIGHTS if method.get(key) == 0})
    return " ".join(f"{key} {value}" for key, value in off.items())


def summarise(results: List[dict], convention: str) -> List[Dict[str, str]]:
    """One row for each group of seeds: its names, the seeds, and "mean ± std" of each metric in percent. The first
    metric is also shown with the modality swapped."""
    rows = []
    for names, runs in group(results):
        metrics = [select(run["metrics"], convention) for run in runs]
        row = {**names, **{name: spread([values[name] for values in metrics]) for name in metrics[0]}}
        first = next((name for name in HEADLINES if name in metrics[0]), "")
        other = swapped(runs, convention, first)
        rows.append({**row, f"{first}, swapped": other} if other else row)
    return rows


def swapped(runs: List[dict], scope: str, metric: str) -> str:
    """A metric with the modality swapped, formatted by :func:`spread`: "off" if it was not measured (TEST.SWAPPED),
    empty for a method that ignores the modality.
    """
    found = [run["swapped"] for run in runs if "swapped" in run]
    values = [select(metrics, scope)[metric] for metrics in found if metrics != "off"]
    part = f" ({len(values)} of {len(runs)} seeds)" if len(values) < len(runs) else ""
    return spread(values) + part if values else "off" if found else ""


def compare(results: List[dict], convention: Optional[str]) -> List[Dict[str, str]]:
    """Our results next to the paper's: a row for each group of seeds, each metric in the paper, and each convention.

    Every metric is listed for a setting and split that is not in the paper.

    Args:
        convention: list only this one; None for all. Fine-grained results have galleries instead, always all.
    """
    with PAPER.open(newline="", encoding="utf-8") as file:
        paper = list(csv.DictReader(file))
    rows = []
    for names, runs in group(results):
        near = [p for p in paper if p["setting"] == names["setting"] and names["split"] in p["split"].split(" or ")]
        metrics = dict.fromkeys(p["metric"] for p in near) or next(iter(runs[0]["metrics"].values()))
        for metric in metrics:
            same = [p for p in near if p["metric"] == metric and p["switches"] == names["switches"]]
            theirs = next((p for p in same if p["method"] == names["trainer"]), None)
            others = [p for p in same if p["method"] != "SpLIP"]
            best = max(others, key=lambda p: float(p["percent"])) if others else None
            for scope in runs[0]["metrics"]:
                if scope in CONVENTIONS and convention not in (None, scope):
                    continue
                values = [run["metrics"][scope][metric] for run in runs]
                other = swapped(runs, scope, metric)
                rows.append(
                    {
                        **names,
                        "metric": metric,
                        "convention": scope if scope in CONVENTIONS else f"{scope} gallery",
                        "ours": spread(values),
                        "paper": theirs["percent"] if theirs else "",
                        "gap": f"{statistics.mean(values) - float(theirs['percent']):+.2f}" if theirs else "",
                        "table": f"{theirs['table']} ({theirs['sure']})" if theirs else "",
                        "best earlier": f"{best['percent']} ({best['method']})" if best else "",
                        **({"swapped": other} if other else {}),
                    }
                )
    return rows


def select(metrics: dict, convention: str) -> Dict[str, float]:
    """The metrics of one convention; fine-grained ones (no convention) as "category Acc@1" and so on."""
    if convention in metrics:
        return metrics[convention]
    return {f"{scope} {name}": value for scope, values in metrics.items() for name, value in values.items()}


def rank(run: dict) -> Tuple[bool, bool, str]:
    """Sort key: methods without training first, SpLIP last."""
    return run.get("epoch", 1) > 0, run["trainer"] == "SpLIP", run["trainer"]


def markdown(rows: List[Dict[str, str]]) -> str:
    """Aligned Markdown. Columns with the same value in every row become one line above the table."""
    names = [*GROUP, "seeds"]
    common = [c for c in names if c != "trainer" and len({row[c] for row in rows}) == 1]
    rest = [{name: value for name, value in row.items() if name not in common} for row in rows]
    return ", ".join(f"{c}: {rows[0][c]}" for c in common if rows[0][c]) + "\n\n" + aligned(rest)


def backbone_notes(names: Set[str], paper: bool) -> List[str]:
    """What a reader must know of the backbones before the numbers."""
    notes = []
    if EMBEDDED in names:
        notes.append(f"{EMBEDDED} is the small embedded backbone: compare methods by its numbers, not with CLIP's.")
    others = sorted(names - {PAPER_BACKBONE})
    if paper and others:
        notes.append(f"The paper's backbone is {PAPER_BACKBONE}; these runs have {', '.join(others)}.")
    return notes


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip table``."""
    parser.add_argument("folders", type=Path, nargs="+", help="searched for results.json files")
    parser.add_argument("--convention", choices=tuple(CONVENTIONS), help="default: min_r_k, with --paper all")
    parser.add_argument("--paper", action="store_true", help="beside the paper's numbers")
    parser.add_argument("--intervals", action="store_true", help="also intervals over queries, and paired differences")
    parser.add_argument("--metric", default="", help="of --intervals, a column of the table (default: the first)")
    parser.add_argument("--latex", type=Path, help="also write the rows here, as a table for LaTeX (booktabs)")
    parser.add_argument("--html", type=Path, help="also write the rows here, as a page whose columns sort")
    parser.add_argument("--csv", type=Path, help="also write the rows here, intervals beside it as NAME_intervals.csv")


def run(args: argparse.Namespace) -> int:
    """Print the table -> exit status 0; raises as :func:`read_results`, :func:`group` and :func:`compare_all`."""
    if args.metric and not args.intervals:
        raise ValueError("--metric belongs to --intervals")
    results = read_results(args.folders)
    if args.paper:
        rows = compare(results, args.convention)
        caption = "Percent, ours as mean ± std over seeds, gap = ours - paper."
    else:
        convention = args.convention or next(iter(CONVENTIONS))
        rows = summarise(results, convention)
        caption = f"Percent, convention {convention}, mean ± std over seeds."
    caption = " ".join([*backbone_notes({row["backbone"] for row in rows}, args.paper), caption])
    print(caption, markdown(rows))
    if args.latex:
        args.latex.write_text(latex(rows, caption), encoding="utf-8")
    if args.html:
        args.html.write_text(page(rows, caption), encoding="utf-8")
    if args.csv:
        write_csv(args.csv, rows)
    if args.intervals:
        tests = compare_all(group(results), args.metric)
        for title, lines in tests:
            print(f"\n{title}\n\n{aligned(lines)}")
        if args.csv:
            path = args.csv.with_name(f"{args.csv.stem}_intervals.csv")
            write_csv(path, [{"test": title, **line} for title, lines in tests for line in lines])
    return 0
