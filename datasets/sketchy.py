"""Sketchy (Sangkloy et al., SIGGRAPH 2016) with the photos that Liu et al. (CVPR 2017) added, in its two
common splits.
"""

from splip.data.archives import DATA_SETS
from splip.datasets.benchmarks import Benchmark
from splip.engine import DATASET_REGISTRY


@DATASET_REGISTRY.register()
class Sketchy1(Benchmark):
    """Sketchy with the 25 unseen classes of SAKE, unless ``DATASET.SPLIT`` names another of its lists."""

    archive, default_split = DATA_SETS["Sketchy1"]


@DATASET_REGISTRY.register()
class Sketchy2(Benchmark):
    """Sketchy with the 21 unseen classes of Yelamarthi et al., which are not in ImageNet-1k."""

    archive, default_split = DATA_SETS["Sketchy2"]
