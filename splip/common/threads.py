"""How torch's threads wait for one another. OpenMP reads it once, when torch is loaded: a program says it before."""

from __future__ import annotations

import os

# Any of these is a user's own word: it is left alone, and nothing is set beside it.
POLICIES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
# So much spinning that an idle machine loses nothing; less is better only beside other work (docs/PERFORMANCE.md).
SLEEPING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "10000"}


def wait_passively() -> None:
    """Let waiting threads sleep after some microseconds of spinning.

    By default GNU's OpenMP lets them spin for milliseconds, in the way of any other program that wants the processors:
    embedding beside one is several times as slow (docs/PERFORMANCE.md).
    """
    if not any(name in os.environ for name in POLICIES):
        os.environ.update(SLEEPING)
