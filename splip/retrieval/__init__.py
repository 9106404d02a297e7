"""Ranking, metrics and pictures of retrieval results. Definitions and guarantees: docs/METRICS.md."""

from __future__ import annotations

from .curves import training_curve
from .metrics import CONVENTIONS, instance_accuracy, mean_over_queries, per_query_metrics, retrieval_metrics
from .ranking import topk
from .sheets import contact_sheet

__all__ = [
    "CONVENTIONS",
    "contact_sheet",
    "instance_accuracy",
    "mean_over_queries",
    "per_query_metrics",
    "retrieval_metrics",
    "topk",
    "training_curve",
]
