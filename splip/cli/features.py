"""``splip evaluate --features``: compute metrics of embeddings from a file, without a model or a data set."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict

if TYPE_CHECKING:  # slow imports are made where they are needed, so errors appear at once
    from splip.retrieval.features import Features
    from splip.training.results import Metrics

OTHERS = ("backbone", "trainer", "model_dir", "load_epoch", "root", "dataset_config_file", "config_file", "allow_seen")
DATASET = "features"  # the data set's name in results.json


def run(args: argparse.Namespace) -> int:
    """Print the metrics of every convention; with --output-dir also write results.json, for ``splip table``.

    Raises:
        ValueError: other arguments are given, the folder holds the results of something else, or as
            :func:`splip.retrieval.features.read_features`. FileNotFoundError: there is no such file.
    """
    given = [f"--{name.replace('_', '-')}" for name in OTHERS if getattr(args, name)] + list(args.opts)
    if given:
        raise ValueError(f"--features needs no model and no data set: {', '.join(given)} would be ignored")
    target = os.path.join(args.output_dir, "results.json") if args.output_dir else ""
    if target and os.path.isfile(target) and not _is_ours(target):
        raise ValueError(f"{args.output_dir} holds the results of a run: give another --output-dir")
    if not os.path.isfile(args.features):
        raise FileNotFoundError(2, "No such file", args.features)
    from splip.retrieval.features import read_features, remarks, score_features
    from splip.training import results

    features = read_features(args.features)
    for line in remarks(features):
        print(line)
    metrics = score_features(features, args.device or None)
    print(f"{len(features.query):,} queries, {len(features.gallery):,} in the gallery, percent:")
    for group, named in metrics.items():
        print(results.table({group: named}) if group in ("min_r_k", "category") else
              results.table({group: named}).splitlines()[-1])  # fmt: skip
    if target:
        os.makedirs(args.output_dir, exist_ok=True)
        results.write_json(target, _result(Path(args.features), features, metrics, args.seed))
        print(target)
    return 0


def _is_ours(path: str) -> bool:
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)["dataset"] == DATASET
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _result(path: Path, features: Features, metrics: Metrics, seed: int) -> Dict[str, Any]:
    """results.json of a run, with the fields that are known for external embeddings."""
    from splip.training.results import versions

    asked = set(features.labels[0])
    return {
        "trainer": path.stem, "dataset": DATASET, "setting": "fg" if features.instances else "zs",
        "split": {"name": path.name}, "num_test_classes": len(asked), "gallery": f"{len(features.gallery)} items",
        "backbone": "", "seed": seed, "epoch": 0, "num_queries": len(features.query),
        "num_gallery": len(features.gallery), "metrics": metrics, "selection": "", "versions": versions(),
        "seen_test_classes": None,
    }  # fmt: skip
