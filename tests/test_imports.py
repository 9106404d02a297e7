"""Four ways to import the project, none of which hides a stranger's `trainers` or `datasets`; what embedding needs."""

import os
import shutil
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHOWN = "import splip.trainers, splip.datasets; print(splip.trainers.__file__); print(splip.datasets.__file__)"
FOREIGN = "import datasets, trainers; assert (datasets.MINE, trainers.MINE) == (1, 1), 'hidden'"


def python(*words, cwd, path=(), executable=sys.executable):
    """What a Python prints that knows nothing but ``path`` and what is installed."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    env["PYTHONPATH"] = os.pathsep.join(map(str, path))
    done = subprocess.run([executable, *words], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.split()


@pytest.fixture
def foreign(tmp_path):
    """A folder with a `trainers` and a `datasets` of somebody else, as a host's checkout and Hugging Face have them."""
    for name in ("trainers", "datasets"):
        (tmp_path / "host" / name).mkdir(parents=True)
        (tmp_path / "host" / name / "__init__.py").write_text("MINE = 1\n")
    return tmp_path / "host"


def test_a_plain_clone(foreign):
    """Run in its own folder, which is then the first place where Python looks: a stranger's packages come first."""
    found = python("-c", f"{SHOWN}; {FOREIGN}", cwd=ROOT, path=[foreign])
    assert found == [str(ROOT / room / "__init__.py") for room in ("trainers", "datasets")]


def test_a_host_repository(foreign):
    """Run in the host's folder, with the clone behind it."""
    found = python("-c", f"{FOREIGN}; {SHOWN}; {FOREIGN}", cwd=foreign, path=[ROOT])
    assert found == [str(ROOT / room / "__init__.py") for room in ("trainers", "datasets")]


@pytest.mark.parametrize("how", ["wheel", "editable"])
def test_installed(how, foreign, tmp_path):
    """Without the clone in reach; torch and the rest are this Python's."""
    venv.create(tmp_path / "env", with_pip=False)
    here = tmp_path / "env" / "bin" / "python"
    asked = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    site = Path(python("-c", asked, cwd=tmp_path, executable=here)[0])
    (site / "others.pth").write_text("\n".join(entry for entry in sys.path if entry.endswith("site-packages")))
    source = copy_of_checkout(tmp_path / "source")
    words = [sys.executable, "-m", "pip", "--python", here, "install", "--quiet", "--no-deps"]
    words += ["--no-build-isolation"] if find_spec("setuptools") and find_spec("wheel") else []  # needs no network
    words += ["-e", source] if how == "editable" else [source]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    found = python("-c", f"{FOREIGN}; {SHOWN}; {FOREIGN}", cwd=foreign, executable=here)
    inside = site / "splip" if how == "wheel" else source
    assert found == [str(inside / room / "__init__.py") for room in ("trainers", "datasets")]


def test_a_clone_that_was_pulled_over_an_older_layout(tmp_path):
    """git leaves `splip/trainers/` where files in it were ignored: an empty folder is no package, and hides none."""
    source = copy_of_checkout(tmp_path / "source")
    for room in ("trainers", "datasets"):
        (source / "splip" / room / "__pycache__").mkdir(parents=True)
    found = python("-c", SHOWN, cwd=source)
    assert found == [str(source / room / "__init__.py") for room in ("trainers", "datasets")]


def copy_of_checkout(target):
    """The files that an installation reads, without the large ones."""
    skipped = shutil.ignore_patterns("__pycache__", "sketchmoji", "hybrid", "search", "*.pt")
    for room in ("splip", "trainers", "datasets"):
        shutil.copytree(ROOT / room, target / room, ignore=skipped)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    return target


def test_the_clones_own_folders_are_no_packages_of_their_own():
    done = subprocess.run([sys.executable, "-c", "import datasets"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode and "is splip.datasets: `import splip.datasets`" in done.stderr, done.stderr


def test_embedding_a_picture_needs_no_trainer_engine_or_yacs(tmp_path):
    code = """
import sys
from PIL import Image
import splip
model = splip.load_model()
print(*model.embed([Image.new("RGB", (32, 32))], "sketch").shape)
model.source.save_pretrained("saved")
splip.SpLIP.from_pretrained("saved")
import splip.search.index, splip.cli.search, splip.cli.export
rooms = ("splip.engine", "splip.training", "splip.trainers", "splip.datasets", "yacs", "dassl")
print(*[name for name in sys.modules if name.startswith(rooms)])
"""
    assert python("-c", code, cwd=tmp_path, path=[ROOT]) == ["1", "512"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--help"], "settings, e.g. OPTIM.LR 0.001"),
        (["--config-file", "none.yaml"], "train.py: no config file 'none.yaml'"),
        (["--dataset-config-file", "code.py"], "train.py: a config file must end in .yaml, got 'code.py'"),
        (["--resume", "nothing"], "train.py: 'nothing' is no run's output folder"),
    ],
)
def test_train_py_looks_at_its_arguments_before_it_loads_torch(words, said, tmp_path):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", ROOT / "train.py", *words], cwd=tmp_path, capture_output=True, text=True
    )
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert said in done.stdout + done.stderr, (done.stdout, done.stderr[-500:])
    assert "argparse" in loaded and not loaded & {"torch", "numpy", "yacs", "splip.engine"}, sorted(loaded)[:200]
