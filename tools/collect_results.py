"""Tables from ``results.json`` files alone: mean and standard deviation over seeds, as Markdown or CSV.

    python tools/collect_results.py output/sketchmoji
    python tools/collect_results.py output/sketchmoji --convention voc --csv table.csv
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Dict, List

# what must agree for runs to be seeds of one experiment
GROUP = ("dataset", "setting", "gallery", "backbone", "trainer", "selection")


def read_results(folder: Path) -> List[dict]:
    """Every ``results.json`` below ``folder``.

    Raises:
        SystemExit: there is none, or one is no results file.
    """
    results = []
    for path in sorted(folder.rglob("results.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            result["metrics"], result["seed"], result["split"]["name"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            sys.exit(f"{path} is not the results file of a run: {error!r}")
        results.append(result)
    if not results:
        sys.exit(f"no results.json below {folder}")
    return results


def summarise(results: List[dict], convention: str) -> List[Dict[str, str]]:
    """One row for each group of seeds: its names, the seeds, and "mean ± std" of each metric in percent.

    Raises:
        SystemExit: a seed occurs twice in one group, so the runs are not seeds of one experiment.
    """
    groups = defaultdict(list)
    for result in results:
        groups[(*(str(result[key]) for key in GROUP), result["split"]["name"])].append(result)
    rows = []
    for key, runs in groups.items():
        seeds = sorted(run["seed"] for run in runs)
        # what trains nothing is the same for every seed
        if len(set(seeds)) < len(seeds):
            sys.exit(f"{dict(zip(GROUP, key))}: seeds {seeds} repeat; give a folder that holds one experiment each")
        row = {**dict(zip(GROUP, key)), "split": key[-1], "seeds": " ".join(map(str, seeds))}
        for metric in select(runs[0]["metrics"], convention):
            values = [select(run["metrics"], convention)[metric] for run in runs]
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            row[metric] = f"{statistics.mean(values):.2f}{spread}"
        rows.append(row)
    return sorted(rows, key=lambda row: [row[name] for name in ("dataset", "setting")] + [rank(row["trainer"])])


def select(metrics: dict, convention: str) -> Dict[str, float]:
    """The metrics of one convention; fine-grained ones (no convention) as "category Acc@1" and so on."""
    if convention in metrics:
        return metrics[convention]
    return {f"{scope} {name}": value for scope, values in metrics.items() for name, value in values.items()}


def rank(trainer: str) -> str:
    """Baselines first."""
    order = ["FrozenCLIP", "LayerNormCLIP"]
    return f"{order.index(trainer) if trainer in order else len(order)}{trainer}"


def markdown(rows: List[Dict[str, str]]) -> str:
    """Aligned Markdown; columns that say the same in every row stand in one line above the table."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    names = [*GROUP, "split", "seeds"]
    common = [c for c in names if c != "trainer" and len({row[c] for row in rows}) == 1]
    columns = [c for c in columns if c not in common]
    cells = [columns, *[[row.get(c, "") for c in columns] for row in rows]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return ", ".join(f"{c}: {rows[0][c]}" for c in common) + "\n\n" + "\n".join(lines)


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="searched for results.json files")
    parser.add_argument("--convention", default="prefix", choices=("prefix", "min_r_k", "voc"))
    parser.add_argument("--csv", type=Path, help="also write the rows here")
    args = parser.parse_args(argv)
    rows = summarise(read_results(args.folder), args.convention)
    print(f"Percent, convention {args.convention}, mean ± std over seeds.", markdown(rows))
    if args.csv:
        with args.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
