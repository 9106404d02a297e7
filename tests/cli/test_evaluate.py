"""`splip evaluate`: our own runs, and of other projects' models what needs none of them (the rest: test_hosts.py)."""

import json
from pathlib import Path

import pytest
import torch
from conftest import make_tiny_clip_file
from tiny_sbir import tiny_cfg, write_images

from splip import cli, engine
from splip.models.hosts import HostImages, read_foreign


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The output folder of a run of two epochs."""
    root = tmp_path_factory.mktemp("run")
    (root / "data").mkdir()
    cfg = tiny_cfg(write_images(root / "data"), make_tiny_clip_file(root / "clip.pt"), root / "out")
    engine.build_trainer(cfg).train()
    with open(root / "out" / "config.yaml", "a") as file:
        file.write("A_HOSTS_KEY: 1\n")  # as after training inside a host
    return root / "out"


def evaluate(*words):
    return cli.main(["evaluate", *map(str, words)])


def test_a_run_is_tested_again_and_in_another_setting(run, tmp_path):
    trained = json.loads((run / "results.json").read_text())
    for setting, photos in (("zs", 8), ("gzs", 24)):  # two unseen classes of four photos; four seen ones
        out = tmp_path / setting
        assert evaluate("--run", run, "--output-dir", out, "DATASET.SETTING", setting) == 0
        results = json.loads((out / "results.json").read_text())
        assert (results["setting"], results["num_gallery"], results["epoch"]) == (setting, photos, 2)
        assert (results["metrics"] == trained["metrics"]) == (setting == "zs"), results["metrics"]
    assert json.loads((run / "results.json").read_text()) == trained


@pytest.fixture(scope="module")
def folder_run(tmp_path_factory):
    """A run on pictures in folders, trained on all classes but octa and round; and their root."""
    root = tmp_path_factory.mktemp("folder")
    (root / "flat").mkdir()
    for path in write_images(root / "flat").iterdir():
        name, instance, kind = path.stem.split("_")
        (root / kind / name).mkdir(parents=True, exist_ok=True)
        path.rename(root / kind / name / f"{instance}.png")
    (root / "unseen.txt").write_text("octa\nround\n")
    (root / "other.txt").write_text("Tri\nocta\n")
    words = "DATASET.NAME", "SBIRFolder", "DATASET.SPLIT", str(root / "unseen.txt"), "OPTIM.MAX_EPOCH", 1
    engine.build_trainer(tiny_cfg(root, make_tiny_clip_file(root / "clip.pt"), root / "out", *words)).train()
    return root / "out", root


def test_what_was_trained_on_is_not_tested_as_unseen(folder_run, tmp_path, capsys):
    run, root = folder_run
    other = "DATASET.SPLIT", root / "other.txt"
    assert evaluate("--run", run, "--output-dir", tmp_path / "no", *other) == 2
    assert "1 of the 2 test classes were trained on (tri)" in capsys.readouterr().err
    assert not (tmp_path / "no" / "results.json").exists()
    cli.main(["export", "--model", str(run), "--format", "pretrained", "--output", str(tmp_path / "saved")])
    data = tmp_path / "data.yaml"
    data.write_text(f"DATASET:\n  NAME: SBIRFolder\n  ROOT: {root}\n  SPLIT: {root / 'other.txt'}\n")
    words = "--model", tmp_path / "saved", "--dataset-config-file", data, "DATALOADER.NUM_WORKERS", 0
    assert evaluate(*words, "--output-dir", tmp_path / "shared") == 2
    assert not (tmp_path / "shared" / "config.yaml").exists(), "a folder of nothing"
    for way, out in ((words, "shared"), (("--run", run, *other), "again")):
        assert evaluate(*way, "--output-dir", tmp_path / out, "--allow-seen") == 0
        assert "Not zero-shot: 1 of the 2 test classes were trained on (tri)" in capsys.readouterr().out
        assert json.loads((tmp_path / out / "results.json").read_text())["seen_test_classes"] == ["tri"]
    assert evaluate(*words, "DATASET.SPLIT", root / "unseen.txt", "--output-dir", tmp_path / "fine") == 0
    assert json.loads((tmp_path / "fine" / "results.json").read_text())["seen_test_classes"] == []


@pytest.mark.parametrize(
    "words, message",
    [
        (["--run", "nowhere"], "'nowhere' is no run's output folder: there is no nowhere/config.yaml"),
        (["--run", "{run}", "--trainer", "MaPLe"], "belong to --host: a run has its own"),
        (["--run", "{run}", "--load-epoch", "7"], "no checkpoint at {run}/splip/model.pth.tar-7"),
    ],
)
def test_what_cannot_be_tested_is_said_in_a_line(run, tmp_path, capsys, words, message):
    assert evaluate(*[word.format(run=run) for word in words], "--output-dir", tmp_path) == 2
    assert message.format(run=run) in capsys.readouterr().err


@pytest.mark.parametrize(
    "running, words, message",
    [
        ("builtin", ["--host", "."], "--host needs Dassl"),
        ("dassl 0", ["--host", "."], "--host needs --trainer and --model-dir"),
        ("dassl 0", ["--host", "{tmp}", "--trainer", "CoOp", "--model-dir", "x"], "there is no {tmp}/train.py"),
    ],
)
def test_a_host_needs_dassl_its_arguments_and_its_checkout(monkeypatch, tmp_path, capsys, running, words, message):
    monkeypatch.setattr(engine, "ENGINE", running)
    assert evaluate(*[word.format(tmp=tmp_path) for word in words], "--output-dir", tmp_path / "out") == 2
    assert message.format(tmp=tmp_path) in capsys.readouterr().err


# ---------------------------------------------------------------- other projects' checkpoints


class Intruder:
    """Writes a file wherever it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (Path(self.path), "ran")


def test_reading_dassls_checkpoints_runs_nothing(tmp_path):
    """Its warm-up schedulers are pickled with the one that follows them, which holds the optimiser."""
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    successor = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5)
    torch.save(
        {
            "state_dict": module.state_dict(), "epoch": 3, "optimizer": optimizer.state_dict(),
            "scheduler": {"successor": successor, "last_epoch": 3}, "val_result": Intruder(tmp_path / "trace"),
        },
        tmp_path / "model.pth.tar-3",
    )  # fmt: skip
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        torch.load(tmp_path / "model.pth.tar-3", weights_only=True)
    state = read_foreign(str(tmp_path / "model.pth.tar-3"))
    assert state["epoch"] == 3 and state["state_dict"].keys() == {"weight", "bias"}
    assert all(torch.equal(state["state_dict"][name], value) for name, value in module.state_dict().items())
    assert not (tmp_path / "trace").exists()
    torch.load(tmp_path / "model.pth.tar-3", weights_only=False)
    assert (tmp_path / "trace").exists(), "the intruder does not even work"


def test_what_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*gone"):
        read_foreign(str(tmp_path / "gone"))
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(ValueError, match=r"text is damaged or no checkpoint"):
        read_foreign(str(tmp_path / "text"))
    torch.save({"weights": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(ValueError, match=r"other was not written by Dassl: it has no 'state_dict'"):
        read_foreign(str(tmp_path / "other"))


def test_maples_prompts_reach_its_image_encoder():
    """Of what its prompt learner returns, the second and fourth are for images (trainers/maple.py)."""

    class MaPLeLike(torch.nn.Module):
        dtype = torch.float64

        def prompt_learner(self):
            return "prompts", "shared", "deep text", "deep vision"

        def image_encoder(self, images, *prompts):
            return images.dtype, prompts

    images = torch.zeros(1, 3, 2, 2)
    wrapped = torch.nn.Module()
    wrapped.module = MaPLeLike()  # as DataParallel holds it
    assert HostImages(wrapped, "MaPLe").encode(images, "photo") == (torch.float64, ("shared", "deep vision"))
    assert HostImages(MaPLeLike(), "CoOp").encode(images, "photo") == (torch.float64, ())
