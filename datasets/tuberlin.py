"""TU-Berlin's sketches (Eitz et al., SIGGRAPH 2012) with the photos that Zhang et al. (ECCV 2016) added."""

from splip.data.archives import DATA_SETS
from splip.datasets.benchmarks import Benchmark
from splip.engine import DATASET_REGISTRY


@DATASET_REGISTRY.register()
class TUBerlin(Benchmark):
    """TU-Berlin with list A of 30 unseen classes (SAKE); list B is ``tuberlin_30_sempcyc``."""

    archive, default_split = DATA_SETS["TUBerlin"]
