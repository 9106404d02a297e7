"""QuickDraw-Extended (Dey et al., CVPR 2019): amateur sketches from Google's game, photos from Flickr."""

from splip.data.archives import DATA_SETS
from splip.datasets.benchmarks import Benchmark
from splip.engine import DATASET_REGISTRY


@DATASET_REGISTRY.register()
class QuickDraw(Benchmark):
    """QuickDraw with its 30 unseen classes."""

    archive, default_split = DATA_SETS["QuickDraw"]
