"""Data sets of sketch-based retrieval, registered with Dassl (or the built-in engine) on import."""

from splip.datasets import benchmarks, folder, sketchmoji
from splip.datasets.base import PHOTO, SKETCH, SBIRDataset, SBIRDatum

__all__ = ["PHOTO", "SKETCH", "SBIRDataset", "SBIRDatum", "benchmarks", "folder", "sketchmoji"]
