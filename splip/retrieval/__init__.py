"""Ranking, metrics and pictures of retrieval results. Definitions and guarantees: docs/METRICS.md."""

from __future__ import annotations

from .bootstrap import bootstrap_means, interval
from .curves import training_curve
from .metrics import (
    CONVENTIONS,
    accuracy_of,
    instance_accuracy,
    instance_ranks,
    mean_over_queries,
    per_query_metrics,
    retrieval_metrics,
)
from .ranking import topk
from .sheets import contact_sheet

__all__ = [
    "CONVENTIONS",
    "accuracy_of",
    "bootstrap_means",
    "contact_sheet",
    "instance_accuracy",
    "instance_ranks",
    "interval",
    "mean_over_queries",
    "per_query_metrics",
    "retrieval_metrics",
    "topk",
    "training_curve",
]
