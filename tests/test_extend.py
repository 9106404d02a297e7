"""docs/EXTEND.md: its method trains, is found, exported, tested, tabled, resumed, alone and by two; its data loads."""

import csv
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import make_tiny_clip_file
from PIL import Image
from tiny_sbir import UNSEEN, tiny_cfg, write_images

from splip import cli, engine
from splip.common import plugins
from splip.data.transforms import to_tensor
from splip.engine import DATASET_REGISTRY, build_dataset, get_cfg_default
from splip.models import registry
from splip.models.contract import CONTRACT
from splip.models.encoders import load_encoder
from splip.models.exported import read_encoder
from splip.models.load import load_model
from splip.training import results

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/EXTEND.md").read_text(encoding="utf-8")
BLOCKS = {re.match(r"# (\w+)\.py", code).group(1): code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page's files, small images and a tiny CLIP."""
    root = tmp_path_factory.mktemp("extend")
    for name, code in BLOCKS.items():
        (root / f"{name}.py").write_text(code, encoding="utf-8")
    (root / "data").mkdir()
    write_images(root / "data")
    make_tiny_clip_file(root / "clip.pt")
    plugins.import_module(str(root / "my_method.py"))
    plugins.import_module(str(root / "my_data.py"))
    return root


@pytest.fixture(scope="module")
def train():
    spec = importlib.util.spec_from_file_location("train_script", ROOT / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(folder, out, *opts):
    """train.py's arguments: the tiny data set from a file, as tests/tiny_sbir.py sets it up."""
    cfg = tiny_cfg(folder / "data", folder / "clip.pt", out, *opts).clone()
    method = {key: cfg[key] for key in ("INPUT", "DATALOADER", "OPTIM", "DATASET", "USE_CUDA")}
    (folder / "method.yaml").write_text(json.dumps(method))
    return [
        "--import", str(folder / "my_method.py"), "--trainer", "Mine", "--seed", "1", "--backbone",
        str(folder / "clip.pt"), "--config-file", str(folder / "method.yaml"), "--output-dir", str(out),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def run(folder, train):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", sys.stdout)  # train.py tees it
        for name in ("draw_sheet", "draw_curve"):
            patch.setattr(results, name, lambda *args, **kwargs: None)
        out = folder / "mine"
        train.main([*words(folder, out), "TRAINER.MINE.TEMPERATURE", "0.05", "TEST.SWAPPED", "True"])
    return out


def read(path):
    return json.loads(Path(path).read_text())


def test_a_method_is_one_short_file():
    lines = [line for line in BLOCKS["my_method"].splitlines() if line.strip()]
    assert len(lines) < 60, len(lines)
    assert "Mine" in PAGE and set(BLOCKS) == {"my_method", "my_data", "mine"}


def test_a_frozen_encoder_is_one_function(folder, monkeypatch):
    """With a network of a few weights in place of timm's."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 5))
    data = SimpleNamespace(resolve_data_config=lambda args, model: {}, create_transform=lambda: to_pixels_of_8)
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=lambda *a, **b: network, data=data))
    path = folder / "encoder_of_the_page.py"  # other tests have a module called mine
    path.write_text(BLOCKS["mine"], encoding="utf-8")
    encode, transform = load_encoder(f"{path}:f", "cpu")
    features = encode(transform(Image.new("RGB", (20, 30), "red"))[None])
    assert features.shape == (1, 5) and not features.requires_grad
    assert CONTRACT in " ".join(PAGE.replace("`", "").split())


def to_pixels_of_8(picture):
    return to_tensor(np.asarray(picture.resize((8, 8)))).float() / 255


def test_it_trains_with_its_settings_and_rates_and_knows_the_modality(folder, run):
    left = read(run / "results.json")
    assert left["trainer"] == "Mine" and left["config"]["TRAINER"]["MINE"]["TEMPERATURE"] == 0.05
    assert left["swapped"].keys() == left["metrics"].keys()
    state = torch.load(run / "splip/model.pth.tar-2", weights_only=True)
    assert state["model"]["settings"] == {"TEMPERATURE": 0.05, "LR_MAPS": 2.0}
    assert state["optimizer"]["param_groups"][0]["initial_lr"] == 2 * left["config"]["OPTIM"]["LR"]
    assert set(state["state_dict"]) == {f"maps.{m}.{part}" for m in ("sketch", "photo") for part in ("weight", "bias")}


def test_a_run_is_rebuilt_by_its_own_trainer(folder, run):
    model = load_model(run).source
    assert type(model).__name__ == "MappedCLIP" and model.temperature == 0.05
    assert float(model.trainable["maps"]["sketch"].weight.abs().sum()) > 0, "the trained weights were not loaded"
    moved = folder / "elsewhere.pt"
    moved.write_bytes((folder / "clip.pt").read_bytes())
    assert load_model(run, backbone=str(moved)).source.temperature == 0.05


def test_search_export_evaluate_and_table_take_it(folder, run, tmp_path, capsys):
    own = ["--import", str(folder / "my_method.py"), "--run", str(run)]
    drawing = str(folder / "data" / "octa_0_sketch.png")
    sheet = tmp_path / "a.png"
    assert cli.main(["search", *own, "--photos", str(folder / "data"), "--sheet", str(sheet), drawing]) == 0
    assert "octa_0_sketch" in capsys.readouterr().out and sheet.is_file()
    assert cli.main(["export", *own, "--output", str(tmp_path / "out"), "--format", "pt2"]) == 0
    encode, about = read_encoder(tmp_path / "out" / "sketch.pt2")
    images = torch.randn(3, 3, 48, 48)
    torch.testing.assert_close(encode(images), load_model(run).source.encode(images, "sketch"), rtol=0, atol=1e-5)
    assert about["modality"] == "sketch"
    assert cli.main(["evaluate", *own, "--output-dir", str(tmp_path / "again"), "DATASET.SETTING", "gzs"]) == 0
    assert read(tmp_path / "again/results.json")["num_gallery"] == 24
    assert cli.main(["table", str(run)]) == 0
    assert "Mine" in capsys.readouterr().out


def test_it_resumes_alone_from_its_folder_and_refuses_other_settings(folder, run, train, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdout", sys.stdout)
    for name in ("draw_sheet", "draw_curve"):
        monkeypatch.setattr(results, name, lambda *args, **kwargs: None)
    out = tmp_path / "killed"
    stop = engine.build_trainer

    def killed(cfg):
        trainer = stop(cfg)

        def before_epoch():
            if trainer.epoch == 1:
                raise KeyboardInterrupt

        trainer.before_epoch = before_epoch
        return trainer

    monkeypatch.setattr(engine, "build_trainer", killed)
    with pytest.raises(KeyboardInterrupt):
        train.main([*words(folder, out), "TRAINER.MINE.TEMPERATURE", "0.05"])
    monkeypatch.setattr(engine, "build_trainer", stop)
    with pytest.raises(ValueError, match=r"TRAINER.MINE.TEMPERATURE: checkpoint 0.05, here 0.1"):
        train.main(words(folder, out))
    train.main(["--import", str(folder / "my_method.py"), "--resume", str(out)])
    assert read(out / "results.json")["metrics"] == read(run / "results.json")["metrics"]
    whole, resumed = (torch.load(path / "splip/model.pth.tar-2", weights_only=True) for path in (run, out))
    assert all(torch.equal(value, resumed["state_dict"][name]) for name, value in whole["state_dict"].items())


def test_two_processes_make_the_run_of_one(folder, run):
    out = folder / "two"
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    code = "import tiny_sbir, runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    (folder / "start.py").write_text(code)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    # the batch of one process, 5, cannot be shared by two
    opts = ["TRAINER.MINE.TEMPERATURE", "0.05", "DATALOADER.TRAIN_X.BATCH_SIZE", "4"]
    if torch.cuda.device_count() == 1:  # which two processes cannot share
        opts += ["USE_CUDA", "False"]
    for launcher, place in ((torchrun, out), ([sys.executable], folder / "one")):
        command = [*launcher, str(folder / "start.py"), str(ROOT / "train.py"), *words(folder, place), *opts]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (torch.load(folder / name / "splip/model.pth.tar-2", weights_only=True) for name in ("one", "two"))
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(value, two["state_dict"][name], rtol=1e-4, atol=1e-6)


def test_a_run_whose_method_is_not_known_says_how(run, monkeypatch, capsys, tmp_path):
    monkeypatch.delitem(registry._FOUND, "MappedCLIP")
    assert cli.main(["export", "--run", str(run), "--output", str(tmp_path)]) == 2
    assert "method 'MappedCLIP' is not known here" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nowhere.py", "no_such_module_at_all"])
def test_a_module_that_is_not_there_is_named(name, tmp_path, capsys):
    words = ["search", "--import", name, "--run", str(tmp_path), "--photos", str(tmp_path), "a.png"]
    assert cli.main(words) == 2
    assert "--import: no " in (said := capsys.readouterr().err) and name in said


def test_a_file_with_the_name_of_another_module_is_refused(tmp_path, capsys):
    (tmp_path / "json.py").write_text("")
    assert cli.main(["export", "--import", str(tmp_path / "json.py"), "--run", "x", "--output", "y"]) == 2
    assert "has the name of a module that is there already" in capsys.readouterr().err
    (tmp_path / "broken_method.py").write_text("1 / 0")
    for _ in range(2):  # it is tried again
        with pytest.raises(ZeroDivisionError):
            plugins.import_module(str(tmp_path / "broken_method.py"))


def test_entry_points_are_imported_and_a_broken_one_is_left_out(monkeypatch):
    class Point:
        def __init__(self, name, load):
            self.name, self.value, self.load = name, f"{name}:x", load

    loaded = []

    def broken():
        raise ImportError("no torch")

    points = [Point("good", lambda: loaded.append(1)), Point("bad", broken)]

    class All(list):
        def select(self, group):
            return self if group == "splip.trainers" else []

    monkeypatch.setattr(plugins.metadata, "entry_points", lambda: All(points))
    with pytest.warns(UserWarning, match=r"splip.trainers: bad = bad:x is left out: ImportError"):
        plugins.load_entry_points("splip.trainers")
    assert loaded == [1]


def test_the_data_set_of_the_page_loads(folder, tmp_path):
    with open(tmp_path / "images.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "class", "modality", "unseen"])
        for path in sorted((folder / "data").glob("*.png")):
            name, _, kind = path.stem.split("_")
            (tmp_path / path.name).write_bytes(path.read_bytes())
            writer.writerow([path.name, name, kind, int(name in UNSEEN)])
    cfg = get_cfg_default()
    import splip

    splip.extend_cfg(cfg)
    cfg.DATASET.NAME, cfg.DATASET.ROOT = "Listed", str(tmp_path)
    assert "Listed" in DATASET_REGISTRY.registered_names()
    data = build_dataset(cfg)
    assert data.test_classnames == sorted(UNSEEN) and len(data.test_gallery) == 8 and len(data.train_x) == 32
