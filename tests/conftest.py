"""A CLIP small enough for every test, with unequal widths and depths so that no mix-up can pass."""

from __future__ import annotations

import copy
import multiprocessing.util
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from splip.backbone.layout import clip_package

clip_package()  # tests import `clip` themselves, which wants an old setuptools without it

CLASSNAMES = ["cat", "fire engine", "wine_bottle", "dog", "tree"]


def build_clip(embed=32, resolution=48, patch=16, vision=(128, 3), text=(64, 2), seed=0):
    """A CLIP of OpenAI's own class with random weights, float32; vision and text are (width, layers)."""
    from clip.model import CLIP

    torch.manual_seed(seed)
    (vision_width, vision_layers), (text_width, text_layers) = vision, text
    clip = CLIP(
        embed, resolution, vision_layers, vision_width, patch, 77, 49408, text_width, text_width // 64, text_layers
    )
    for name, parameter in clip.named_parameters():  # a fresh LayerNorm is the identity and would hide mistakes
        if "ln_" in name:
            torch.nn.init.normal_(parameter, mean=1.0 if name.endswith("weight") else 0.0, std=0.1)
    return clip.float().eval()


def make_tiny_clip_file(path):
    """Write the tiny CLIP as a state dict with the sizes that OpenAI's own files have; returns ``path``."""
    return save_clip(build_clip(), path)


def save_clip(clip, path):
    """Write a CLIP as a state dict with the sizes that OpenAI's own files have; returns ``path``."""
    sizes = {"input_resolution": clip.visual.input_resolution, "context_length": 77, "vocab_size": 49408}
    torch.save({**clip.state_dict(), **{name: torch.tensor(size) for name, size in sizes.items()}}, path)
    return path


def pytest_terminal_summary(terminalreporter):
    """What this machine could not show: skipped tests alone are easily overlooked."""
    missing = [] if find_spec("dassl") else ["Dassl (not installed)"]
    if not os.environ.get("SPLIP_HOSTS"):
        missing.append("CoOp, MaPLe, PromptSRC (SPLIP_HOSTS is not set)")
    if not (REAL / "sketchy25").is_dir():
        terminalreporter.write_line(f"NOT TESTED: {NO_REAL}", yellow=True)
    if missing:
        line = f"NOT TESTED: {'; '.join(missing)}. bash scripts/hosts.sh FOLDER does it (docs/HOSTS.md)"
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture(scope="session", autouse=True)
def _own_places(tmp_path_factory):
    """Nothing is kept in the home of whoever runs the tests, nor in the folder for temporary files: what is killed
    and what fails on purpose leaves much there. (A short path, for the sockets in it.)
    """
    multiprocessing.util.get_temp_dir()  # made outside: the library removes it at exit, and shows a trace if it is gone
    cache, place = tmp_path_factory.mktemp("cache"), tempfile.mkdtemp(prefix="splip-")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPLIP_CACHE", str(cache))
        patch.setenv("TMPDIR", place)
        patch.setattr(tempfile, "tempdir", place)
        yield
    shutil.rmtree(place, ignore_errors=True)


REAL = Path(os.environ.get("SPLIP_REAL") or Path(__file__).parents[2] / "shared" / "real")  # not part of the project
NO_REAL = f"no real sketches: there is no {REAL / 'sketchy25'} (docs/DATASETS.md#sketchy25; SPLIP_REAL is its parent)"


@pytest.fixture(scope="session")
def real_root():
    """The folder that holds sketchy25; to be read only. Nothing of it may enter the repository."""
    if not (REAL / "sketchy25").is_dir():
        pytest.skip(NO_REAL)
    return REAL


@pytest.fixture(scope="session")
def sketchy25_root(tmp_path_factory):
    """All files that the list names, a few pixels each, as the folder sketchy25 has them; to be read only."""
    from tiny_benchmarks import make_sketchy25

    return make_sketchy25(tmp_path_factory.mktemp("sketchy25"))


@pytest.fixture(scope="session")
def benchmark_root(tmp_path_factory):
    """Sketchy, TUBerlin and QuickDraw in small, below one root; to be read only."""
    from tiny_benchmarks import make_quickdraw, make_sketchy, make_tuberlin

    root = tmp_path_factory.mktemp("benchmarks")
    return make_quickdraw(make_tuberlin(make_sketchy(root)))


@pytest.fixture(scope="session")
def _tiny_clip():
    return build_clip()


@pytest.fixture
def tiny_clip(_tiny_clip):
    """A copy for each test: SpLIP trains LayerNorms in place."""
    return copy.deepcopy(_tiny_clip)


@pytest.fixture
def tiny_batch():
    return make_batch(size=6, side=48, classes=len(CLASSNAMES), permutations=10)


def make_batch(size, side, classes, permutations, seed=0):
    """A training batch of noise in the trainer's layout."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.randint(classes, (size,), generator=generator)
    shift = torch.randint(1, classes, (size,), generator=generator)
    images = {
        name: torch.randn(size, 3, side, side, generator=generator)
        for name in ("sketch", "shuffled", "positive", "negative")
    }
    return {
        **images,
        "permutation": torch.randint(permutations, (size,), generator=generator),
        "label": label,
        "negative_label": (label + shift) % classes,
        "instance": torch.full((size,), -1),
        "negative_instance": torch.full((size,), -1),
    }
