"""Ranking, metrics and pictures of retrieval results. Definitions and guarantees: docs/METRICS.md."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what __getattr__ below finds
    from .bootstrap import bootstrap_means, interval
    from .conventions import CONVENTIONS
    from .curves import training_curve
    from .metrics import (
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

_HOMES = {
    "CONVENTIONS": "conventions", "bootstrap_means": "bootstrap", "contact_sheet": "sheets", "interval": "bootstrap",
    "topk": "ranking", "training_curve": "curves",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Imports a name at first use: a sheet or a table needs no torch, whose import takes seconds."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'metrics')}"), name)
    return value
