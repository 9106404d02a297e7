"""One contact sheet for several runs on the same data: each query once, with the results of each run.

    splip compare --output output/sketchmoji RUN [RUN ...]      (folders with a results.json)

Writes ``compare.png`` into --output. The queries are the same as in each run's own sheet (``retrieval.json``). They
do not depend on the model.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import List


def read_run(folder: Path) -> dict:
    """results.json and retrieval.json of a run, in one dict."""
    try:
        return {
            **json.loads((folder / "results.json").read_text(encoding="utf-8")),
            "retrieval": json.loads((folder / "retrieval.json").read_text(encoding="utf-8")),
        }
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder} holds no finished run: {error}") from error


def dataset_of(run: dict):
    """The data set that a run was tested on, built from the config in its results."""
    import splip.datasets  # noqa: F401  (registers them)
    from splip.engine import build_dataset, get_cfg_default
    from splip.training.config import extend_cfg

    cfg = get_cfg_default()
    extend_cfg(cfg)
    node = run["config"]["DATASET"]
    cfg.merge_from_list([item for key in cfg.DATASET if key in node for item in (f"DATASET.{key}", node[key])])
    return build_dataset(cfg)


def compare(runs: List[dict], path: Path, queries: int) -> Path:
    """Draw the sheet.

    Raises:
        ValueError: the runs were not tested on the same queries and gallery.
    """
    first = runs[0]
    for run in runs[1:]:
        for key in ("dataset", "setting", "split", "gallery", "num_queries", "num_gallery"):
            if run[key] != first[key]:
                raise ValueError(f"runs differ in {key}: {first['trainer']} {first[key]}, {run['trainer']} {run[key]}")
    from splip.retrieval import contact_sheet
    from splip.training.results import sheet_row  # here: slow to import

    dataset = dataset_of(first)
    rows = []
    for i, position in enumerate(first["retrieval"]["queries"][:queries]):
        image = dataset.load_image(dataset.test_queries[position])
        for run in runs:
            row = sheet_row(dataset, position, run["retrieval"]["hits"][i])
            rows.append((image, *row[1:], run["trainer"]))
    heading = f"{first['dataset']}, {first['setting']}: query, and the first photos of {first['num_gallery']}"
    return contact_sheet(rows, path, heading=heading)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip compare``."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a finished run")
    parser.add_argument("--output", type=Path, required=True, help="folder for compare.png")
    parser.add_argument("--queries", type=int, default=8)


def run(args: argparse.Namespace) -> int:
    """Draw the sheet and print its path -> exit status 0; raises as :func:`read_run` and :func:`compare`."""
    print(compare([read_run(folder) for folder in args.runs], args.output / "compare.png", args.queries))
    return 0
