"""What "mAP@k" and "P@k" mean, by name (docs/METRICS.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Convention:
    """What AP@k and P@k mean. R: relevant items in the gallery; hits: those in the top k."""

    ap_divisor: str  # "hits" | "min(R, k)"
    interpolated: bool  # precision at a hit = the best precision there or at any later hit of the top k
    p_depth: str  # "k" | "min(k, R)": the number of items that P@k reads and divides by


CONVENTIONS = {
    "min_r_k": Convention(ap_divisor="min(R, k)", interpolated=False, p_depth="k"),
    "prefix": Convention(ap_divisor="hits", interpolated=False, p_depth="k"),
    "voc": Convention(ap_divisor="min(R, k)", interpolated=True, p_depth="min(k, R)"),
}
