"""Trainers, registered with the engine (Dassl, or the built-in one) by being imported; those of other packages, too."""

from splip.engine.plugins import load_entry_points
from splip.trainers import clip_prompt, frozen, layernorm, splip

__all__ = ["clip_prompt", "frozen", "layernorm", "splip"]

load_entry_points("splip.trainers")
