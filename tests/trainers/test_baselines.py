"""Every baseline: a run on tiny data, saved and loaded; which parameters move; one short file, nothing copied."""

import json
import re
from pathlib import Path

import pytest
import torch
from conftest import CLASSNAMES, build_clip, make_batch, make_tiny_clip_file
from tiny_sbir import tiny_cfg, write_images

import splip
import splip.trainers
from splip.engine import TRAINER_REGISTRY, build_trainer
from splip.models import pretrained, registry
from splip.models.framed import FramedModel
from splip.training import results

ROOT = Path(__file__).resolve().parents[2]
BASELINES = [
    "VPTSBIR", "IVLPSBIR", "MaPLeSBIR", "PromptSRCSBIR", "ClipAT", "ProjectionCLIP", "CLIPFitLike", "SeCoLike",
]  # fmt: skip
HOSTS_HAVE = {"CoOp", "CoCoOp", "MaPLe", "IVLP", "VPT", "PromptSRC", "ZeroshotCLIP", "ZeroshotCLIP2"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("baselines")
    (root / "images").mkdir()
    return write_images(root / "images"), make_tiny_clip_file(root / "clip.pt")


def make(name, clip=None, **settings):
    """A baseline's model with other settings, as the trainer makes it."""
    cls = TRAINER_REGISTRY.get(name).model_class
    torch.manual_seed(0)
    return cls.make(clip or build_clip(), CLASSNAMES, {**cls.settings, **settings})


def moved_by_steps(model, batch, steps=2):
    """Names of the trained and of CLIP's parameters that change."""
    before = {n: p.detach().clone() for n, p in [*model.trainable.named_parameters(), *model.clip.named_parameters()]}
    optimiser = torch.optim.Adam(model.train().trainable.parameters(), 1e-2)
    for _ in range(steps):
        optimiser.zero_grad()
        loss, terms = model(batch)
        assert torch.isfinite(loss), terms
        loss.backward()
        optimiser.step()
    now = dict([*model.trainable.named_parameters(), *model.clip.named_parameters()])
    return {name for name, old in before.items() if not torch.equal(old, now[name])}


def batch_of(**changes):
    return {**make_batch(6, 48, len(CLASSNAMES), 10), **changes}


@pytest.mark.parametrize("precision, cached", [("fp32", False), ("bf16", True)], ids=["images", "patches in bf16"])
@pytest.mark.parametrize("name", BASELINES)
def test_a_run_trains_is_saved_and_loads(files, tmp_path, monkeypatch, name, cached, precision):
    for drawing in ("draw_sheet", "draw_curve"):
        monkeypatch.setattr(results, drawing, lambda *args, **kwargs: None)
    cached = cached and name != "SeCoLike"  # which augments images
    opts = ["INPUT.SKETCH_VIEWS", 1, "INPUT.PHOTO_VIEWS", 1, "TRAINER.PATCH_CACHE", "memory"] if cached else []
    opts += ["TRAINER.NAME", name, "OPTIM.MAX_EPOCH", 1, "TRAINER.PREC", precision]
    cfg = tiny_cfg(*files, tmp_path / "run", *opts)
    trainer = build_trainer(cfg)
    trainer.train()
    left = json.loads((tmp_path / "run/results.json").read_text())
    assert left["trainer"] == name and 0 < left["metrics"]["min_r_k"]["mAP@all"] <= 100
    loaded, images = splip.load_model(tmp_path / "run").source, torch.randn(2, 3, 48, 48)
    trainer.model.save_pretrained(tmp_path / "saved")
    shared = splip.load_model(tmp_path / "saved").source
    trainer.model.eval().cpu()
    for modality in ("sketch", "photo"):
        wanted = trainer.model.encode(images, modality)
        torch.testing.assert_close(loaded.encode(images, modality), wanted, rtol=0, atol=1e-6)
        torch.testing.assert_close(shared.encode(images, modality), wanted, rtol=0, atol=1e-6)
    words = trainer.model.encode_text(["a red car"])
    torch.testing.assert_close(loaded.encode_text(["a red car"]), words, rtol=0, atol=1e-6)
    assert words.shape == (1, 32)


@pytest.mark.parametrize("name", BASELINES)
def test_what_is_trained_moves_and_nothing_else(name):
    model = make(name)
    allowed = {n for n, p in model.clip.named_parameters() if any(p is q for q in model.trainable.parameters())}
    trained = {n for n, _ in model.trainable.named_parameters()}
    moved = moved_by_steps(model, batch_of())
    print(f"{name}: not moved {sorted(trained - moved)}, of CLIP {sorted(allowed)}")
    assert moved == trained | allowed


@pytest.mark.parametrize("name", BASELINES)
def test_memory_savers_change_no_gradient(name):
    found = []
    for memory in ({}, {"grad_checkpointing": True, "micro_batch": 2}):
        model = make(name).train()
        for key, value in memory.items():
            setattr(model, key, value)
        torch.manual_seed(3)
        model(batch_of())[0].backward()
        found.append({n: p.grad for n, p in model.trainable.named_parameters()})
    for key, value in found[0].items():
        torch.testing.assert_close(value, found[1][key], rtol=1e-4, atol=1e-5, msg=lambda m, n=key: f"{n}: {m}")


def test_baselines_are_registered_and_hide_no_name_of_a_host():
    found = {
        name
        for name in TRAINER_REGISTRY.registered_names()
        if issubclass(getattr(TRAINER_REGISTRY.get(name), "model_class", object), FramedModel)
        and TRAINER_REGISTRY.get(name).__module__.startswith("splip.trainers")
    }
    assert found == set(BASELINES) and not found & HOSTS_HAVE
    nodes = {TRAINER_REGISTRY.get(name).node for name in found}
    assert not nodes & {name.upper() for name in HOSTS_HAVE}
    for name in found:
        trainer = TRAINER_REGISTRY.get(name)
        cls = trainer.model_class
        assert registry.HERE[cls.__name__] == cls.__module__ and cls.config_class.node == trainer.node


def lines_of(path):
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def test_a_trainer_is_one_short_file_and_no_two_share_code():
    files = {path.name: lines_of(path) for path in sorted((ROOT / "trainers").glob("*.py"))}
    long = {name: len(lines) for name, lines in files.items() if len(lines) >= 80}
    assert not long, long
    runs = {}
    for name, lines in files.items():
        code = [line for line in lines if not re.match(r"(from|import|@|class|\"\"\"|def __init__)", line)]
        for i in range(len(code) - 3):
            runs.setdefault(tuple(code[i : i + 4]), set()).add(name)
    copied = {run: names for run, names in runs.items() if len(names) > 1}
    assert not copied, copied


@pytest.mark.parametrize("name", BASELINES)
def test_a_config_for_the_embedded_backbone_is_there(name):
    path = ROOT / "configs/trainers" / name / "sketchy25.yaml"
    text = path.read_text()
    assert f"  {TRAINER_REGISTRY.get(name).node}:\n" in text and "# Frame" in text and "# Method" in text, text


def test_settings_that_only_training_reads_are_known_as_such():
    """Numbers that are called training-only change no embedding of the model that is not trained yet."""
    images = torch.randn(2, 3, 48, 48)
    for name in BASELINES:
        cls = TRAINER_REGISTRY.get(name).model_class
        wanted, kept = make(name).eval().encode(images, "photo"), cls.inference_settings(cls.settings)
        for key, value in cls.settings.items():
            if key in kept or not isinstance(value, float) or key == "PROMPT_STD" or key.endswith("_AT"):
                continue
            other = make(name, **{key: value + 1}).eval().encode(images, "photo")
            assert torch.equal(other, wanted), (name, key)
    assert pretrained.SCHEMA == 2  # nothing here needed another
