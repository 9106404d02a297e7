"""The results of `scripts/gpu_check.sh` on one page: the GPU, every part with its result, the targets, all tables.

    python benchmarks/gpu_report.py FOLDER
    python benchmarks/gpu_report.py --same results.json results.json

FOLDER holds ``parts.tsv`` (name, exit status, seconds), a ``<name>.log`` for each part, and the benchmarks' JSON files.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch

Rows = List[Dict[str, Any]]


def rows_of(folder: Path, name: str) -> Rows:
    """The rows of a benchmark's JSON file; empty if there are none."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text())["rows"] if path.is_file() else []


def pick(rows: Rows, column: str, **where: str) -> Optional[float]:
    """The number in a column of the first row that matches ``where``; None if there is no such row or number."""
    for row in rows:
        if all(row.get(key) == value for key, value in where.items()):
            return row.get(column)
    return None


def aims(folder: Path) -> List[Tuple[str, str, Optional[float], bool]]:
    """(quantity, target, value, reached); a value of None was not measured, and does not reach its target."""
    step, run = rows_of(folder, "train_step"), rows_of(folder, "full_run")
    evaluation = rows_of(folder, "evaluation_evaluation")
    compiled, waits = "SpLIP, compiled", [row.get("waits") for row in step if row.get("case", "").startswith("SpLIP")]
    found = [
        ("bf16 step with compile, to its floor", "<= 1.15",
         pick(step, "to the floor", case=compiled, precision="bf16"), 1.15),
        ("waits for the device in a step", "0", max(waits) if waits and None not in waits else None, 0),
        ("waited for data, share of a step", "< 0.02", pick(run, "waited, share", run="first epoch"), 0.02),
        ("QuickDraw evaluation, s", "< 10", pick(evaluation, "GPU: seconds", setting="QuickDraw zs"), 10),
    ]  # fmt: skip
    return [(what, aim, figure, figure is not None and figure <= most) for what, aim, figure, most in found]


def head() -> List[str]:
    """GPU, driver, versions, commit."""
    card = "no GPU: this page only proves that the script runs"
    if torch.cuda.is_available():
        driver = _said(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"])
        card = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}, driver {driver or '?'}"
    commit = _said(["git", "rev-parse", "--short", "HEAD"]) or "?"
    changed = " with changes" if _said(["git", "status", "--porcelain", "-uno"]) else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = f"torch {torch.__version__} (CUDA {torch.version.cuda}), Python {platform.python_version()}"
    return [f"- {card}", f"- {versions}, {cores} cores", f"- commit {commit}{changed}"]


def _said(command: Sequence[str]) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said.strip().split("\n")[0]


def page(folder: Path) -> str:
    """The report, in Markdown."""
    parts = [line.split("\t") for line in (folder / "parts.tsv").read_text().splitlines()]
    lines = ["# GPU check", "", *head(), "", "| part | outcome | seconds |", "|---|---|--:|"]
    for name, status, seconds in parts:
        lines.append(f"| {name} | {'passed' if status == '0' else f'**failed ({status})**'} | {seconds} |")
    lines += ["", "| | aim | found | |", "|---|---|--:|---|"]
    for what, aim, figure, reached in aims(folder):
        found = "not measured" if figure is None else f"{figure:.3g}"
        lines.append(f"| {what} | {aim} | {found} | {'reached' if reached else '**missed**'} |")
    for name, status, _ in parts:
        text = (folder / f"{name}.log").read_text(errors="replace").splitlines()
        shown = [line for line in text if line.startswith("|") or " passed" in line or " failed" in line]
        lines += ["", f"## {name}", "", *(shown if status == "0" else ["```", *text[-40:], "```"])]
    return "\n".join(lines) + "\n"


def require_same(first: Path, second: Path, within: float = 1.0) -> None:
    """Stop unless the mAP@all of two results.json agrees, in points: exported encoders use float32, a run may not."""
    values = [json.loads(path.read_text())["metrics"]["min_r_k"]["mAP@all"] for path in (first, second)]
    print(f"mAP@all {values[0]:.2f} and {values[1]:.2f}")
    if abs(values[0] - values[1]) > within:
        sys.exit("the exported encoders rank otherwise than the run")


def main(argv: Optional[Sequence[str]] = None) -> None:
    words = sys.argv[1:] if argv is None else list(argv)
    if words[0] == "--same":
        require_same(*map(Path, words[1:]))
        return
    (folder,) = map(Path, words)
    card = torch.cuda.get_device_name().replace(" ", "-") if torch.cuda.is_available() else "no-gpu"
    path = folder / f"{card}.md"
    path.write_text(page(folder))
    print(path)


if __name__ == "__main__":
    main()
