"""Data sets of sketch-based retrieval, registered with Dassl (or the built-in engine) on import; those of other
packages, too.
"""

from splip.data.base import PHOTO, SKETCH, SBIRDataset, SBIRDatum
from splip.datasets import folder, quickdraw, sketchmoji, sketchy, tuberlin
from splip.engine.plugins import load_entry_points

__all__ = [
    "PHOTO", "SKETCH", "SBIRDataset", "SBIRDatum", "folder", "quickdraw", "sketchmoji", "sketchy", "tuberlin",
]  # fmt: skip

BENCHMARKS = {
    benchmark.__name__: benchmark
    for benchmark in (sketchy.Sketchy1, sketchy.Sketchy2, tuberlin.TUBerlin, quickdraw.QuickDraw)
}  # the published ones

load_entry_points("splip.datasets")
