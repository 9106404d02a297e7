"""Data sets of sketch-based retrieval, registered with Dassl (or the built-in engine) on import."""

from splip.data.base import PHOTO, SKETCH, SBIRDataset, SBIRDatum
from splip.datasets import benchmarks, folder, sketchmoji

__all__ = ["PHOTO", "SKETCH", "SBIRDataset", "SBIRDatum", "benchmarks", "folder", "sketchmoji"]
