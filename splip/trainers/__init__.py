"""Trainers, registered with the engine (Dassl, or the built-in one) by being imported."""

from splip.trainers import baselines, splip

__all__ = ["baselines", "splip"]
