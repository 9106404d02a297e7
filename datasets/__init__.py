"""Data sets for sketch-based retrieval. The import registers them, and those of other packages, with the engine (Dassl
or the built-in one). They are at the top of a checkout and are imported as ``splip.datasets``.
"""

if __name__ != "splip.datasets":
    raise ModuleNotFoundError(f"{__file__} is splip.datasets: `import splip.datasets`", name=__name__)


from splip.common.modalities import PHOTO, SKETCH
from splip.common.plugins import load_entry_points
from splip.data.base import SBIRDataset, SBIRDatum
from splip.datasets import folder, quickdraw, sketchmoji, sketchy, tuberlin

__all__ = [
    "PHOTO", "SKETCH", "SBIRDataset", "SBIRDatum", "folder", "quickdraw", "sketchmoji", "sketchy", "tuberlin",
]  # fmt: skip

load_entry_points("splip.datasets")
