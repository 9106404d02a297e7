"""What a score says: how often a photo of this score was right, for a model whose scores were calibrated."""

from __future__ import annotations

from math import exp
from typing import Any, Mapping, NamedTuple, Optional

WEAK = 0.07  # a photo that is right less often is a weak match: the best ones of the search model are in 13 of 100


class Scores(NamedTuple):
    """A logistic curve through "was this photo right?" of the first ten results of drawings, of things that the model
    was not trained on (``tools/calibrate.py``).
    """

    slope: float
    offset: float

    def share(self, cosine: float) -> float:
        """How often a photo of this cosine was right, in (0, 1)."""
        return 1 / (1 + exp(-(self.slope * cosine + self.offset)))


def read_scores(about: Mapping[str, Any]) -> Optional[Scores]:
    """Those of a ``splip.json``; None if it has none.

    Raises:
        ValueError: they are not two numbers, or a higher score is not better.
    """
    if "scores" not in about:
        return None
    try:
        scores = Scores(**{name: float(value) for name, value in about["scores"].items()})
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"scores must be slope and offset, got {about['scores']!r}") from error
    if not 0 < scores.slope < 100:
        raise ValueError(f"the slope of scores must lie in (0, 100), got {scores.slope}")
    return scores
