"""SeCo-like and ClipPrompt's settings against slow readings; MCC's term with any method; what reads images says so."""

import json

import pytest
import torch
from conftest import make_tiny_clip_file
from slow_method import cos, cross_entropy
from test_baselines import batch_of, make, moved_by_steps
from test_prompted_baselines import TRIPLET, check_images
from tiny_sbir import tiny_cfg, write_images

import splip.trainers.seco_like as seco
from splip.backbone.encoders import patch_embeddings
from splip.engine import build_trainer, set_random_seed
from splip.training import results


@torch.no_grad()
def test_seco_like_agrees_with_the_frozen_tower_on_augmented_images(monkeypatch):
    with torch.enable_grad():
        model, batch = make("SeCoLike", CONSISTENCY=2.0, TEXT_DEPTH=1), batch_of()
        untouched = make("SeCoLike").clip
        moved_by_steps(model, batch)
    shown, augmented = [], seco.augmented
    monkeypatch.setattr(seco, "augmented", lambda images: shown.append(augmented(images)) or shown[-1])
    loss, terms = model.eval()(batch)
    assert "triplet" not in terms and len(shown) == 2
    slow = 0.0
    for (name, modality), images in zip(TRIPLET, shown):
        z, r = model.encode(batch[name], modality), untouched.encode_image(images)
        rows = [torch.tensor([cos(a, b) / 0.07 for b in r], dtype=torch.float64) for a in z]
        slow += sum(cross_entropy(row, i) for i, row in enumerate(rows)) / len(rows)
    print(f"consistency {float(terms['consistency']):.5f}, slowly {slow:.5f}")
    assert float(terms["consistency"]) == pytest.approx(slow, rel=1e-4)
    assert float(loss) == pytest.approx(float(terms["class"]) + 2 * slow, rel=1e-4)
    (tokens,) = model.trainable["text_prompts"].tokens
    for modality, part in (("sketch", "maps_sketch"), ("photo", "maps")):
        (to_vision,) = model.trainable[part]
        check_images(model, batch["sketch"], [tokens @ to_vision.weight.t() + to_vision.bias], modality)


def test_augmented_images_are_mirrored_and_cropped_a_little():
    torch.manual_seed(0)
    ramp = torch.linspace(-1, 1, 64).expand(200, 3, 64, 64)  # grey grows from left to right
    found = seco.augmented(ramp)
    left, right = found[:, 0, 32, 1], found[:, 0, 32, -2]
    mirrored = (left > right).float().mean().item()
    widths = (right - left).abs()
    print(f"{mirrored:.2f} mirrored; a crop is {widths.min():.3f} to {widths.max():.3f} of 2 wide")
    assert 0.35 < mirrored < 0.65 and found.shape == ramp.shape
    assert widths.min() > 2 * 0.85**0.5 - 0.15 and widths.max() <= 2 and widths.std() > 0.02
    ones = torch.ones(2, 3, 8, 8)
    torch.testing.assert_close(seco.augmented(ones), ones, rtol=0, atol=1e-5)  # no black border
    with pytest.raises(ValueError, match=r"crops are cut from images, not from their E_0 of shape \(2, 9, 128\)"):
        seco.augmented(torch.zeros(2, 9, 128))


@pytest.mark.parametrize(
    "name, key, value", [("SeCoLike", "CONSISTENCY", 1.0), ("ClipAT", "PATCH_SHUFFLE", 0.5)]
)  # fmt: skip
def test_methods_that_read_images_are_not_given_patches(tmp_path, name, key, value):
    (tmp_path / "images").mkdir()
    files = write_images(tmp_path / "images"), make_tiny_clip_file(tmp_path / "clip.pt")
    node = f"TRAINER.{name.upper()}.{key}"
    opts = ["TRAINER.NAME", name, "INPUT.SKETCH_VIEWS", 1, "INPUT.PHOTO_VIEWS", 1, "TRAINER.PATCH_CACHE", "memory"]
    with pytest.raises(ValueError, match=rf"PATCH_CACHE keeps no images, and {name}'s {key} reads them: set it to ''"):
        build_trainer(tiny_cfg(*files, tmp_path / "run", *opts, node, value))
    build_trainer(tiny_cfg(*files, tmp_path / "run", *opts, node, 0.0))


def test_seco_like_without_consistency_needs_no_images():
    model, batch = make("SeCoLike", CONSISTENCY=0.0), batch_of()
    patches = {name: patch_embeddings(model.clip.visual, batch[name]).detach() for name, _ in TRIPLET}
    _, terms = model({**batch, **patches})
    assert set(terms) == {"class"}


@pytest.mark.parametrize("name", ["VPTSBIR", "ClipAT", "MaPLeSBIR", "SpLIP", "ClipPrompt"])
def test_mccs_term_joins_any_method(name):
    extra = {"PERMUTATIONS": 10} if name == "SpLIP" else {}
    batch, losses = batch_of(), {}
    for weights in ({}, {"MCC_SKETCH": 0.5}, {"MCC_PHOTO": 2.0, "MCC_PHOTO_AT": 0.3}):
        model = make(name, **extra, **weights).eval()
        loss, terms = model(batch)
        losses[str(weights)] = loss.item()
        assert ("mcc" in terms) == bool(weights)
        if "mcc" in terms and name != "SpLIP":  # whose T is that of the batch here, and of the prototype in `encode`
            part, at, (key, modality) = (0.5, 0.0, TRIPLET[0]) if "MCC_SKETCH" in weights else (2.0, 0.3, TRIPLET[1])
            rows = model.encode(batch[key], modality)
            slow = part * abs(sum(cos(a, b) for a in rows for b in rows) / 36 - at)
            print(f"{name} {weights}: {terms['mcc']:.5f}, slowly {slow:.5f}")
            assert float(terms["mcc"]) == pytest.approx(slow, abs=1e-4)
        if "mcc" in terms:
            assert loss.item() == pytest.approx(losses["{}"] + float(terms["mcc"]), rel=1e-4)


def test_clip_prompt_in_other_settings():
    batch = batch_of()
    (loss, terms), (heavy, same) = (
        make("ClipPrompt", TRIPLET_WEIGHT=w, CLASS_WEIGHT=c)(batch) for w, c in ((1.0, 0.5), (30.0, 0.25))
    )
    assert {name: value.item() for name, value in terms.items()} == {name: value.item() for name, value in same.items()}
    ces = float(terms["class_sketch"] + terms["class_photo"])
    assert loss.item() == pytest.approx(float(terms["triplet"]) + 0.5 * ces, rel=1e-5)
    assert heavy.item() == pytest.approx(30 * float(terms["triplet"]) + 0.25 * ces, rel=1e-5)
    with_proj, without = (moved_by_steps(make("ClipPrompt", TRAIN_PROJ=on), batch) for on in (True, False))
    assert with_proj - without == {"visual.proj", "proj_sketch.proj", "proj_photo.proj"} and not without - with_proj
    with pytest.raises(ValueError, match=r"TRAINER.CLIPPROMPT.PROMPTS must be at least 1, got 0"):
        make("ClipPrompt", PROMPTS=0)


RESUMED = {
    "random crops": ["SeCoLike"],
    "random patches": ["ClipAT", "TRAINER.CLIPAT.PATCH_SHUFFLE", 1.0, "TRAINER.CLIPAT.DIVERGENCE", 0.1],
    "a Gaussian mean": [
        "PromptSRCSBIR", "OPTIM.AVERAGE_EPOCHS", 2, "OPTIM.AVERAGE_MEAN", 1.5, "OPTIM.AVERAGE_STD", 1.0,
    ],
    "running means": ["CenteredCLIP", "OPTIM.WEIGHT_DECAY", 0.0],
    "prompts after LayerNorms": ["SpLIP", "TRAINER.SPLIP.PROMPTS_AFTER", 4, "TRAINER.SPLIP.ANCHOR", 1.0],
}  # fmt: skip


@pytest.mark.parametrize("case", RESUMED)
def test_a_resumed_run_ends_as_an_unbroken_one(tmp_path, monkeypatch, case):
    """Bit for bit: random draws, what is averaged, and what is counted go on where they were."""
    for drawing in ("draw_sheet", "draw_curve"):
        monkeypatch.setattr(results, drawing, lambda *args, **kwargs: None)
    (tmp_path / "images").mkdir()
    files, states = (write_images(tmp_path / "images"), make_tiny_clip_file(tmp_path / "clip.pt")), []
    for breaks in (False, True):
        cfg = tiny_cfg(*files, tmp_path / str(breaks), "TRAINER.NAME", *RESUMED[case])
        if breaks:
            set_random_seed(cfg.SEED)
            broken = build_trainer(cfg)
            broken.before_epoch = lambda trainer=broken: stop(trainer)
            with pytest.raises(KeyboardInterrupt):
                broken.train()
            torch.manual_seed(99)
        else:
            set_random_seed(cfg.SEED)
        trainer = build_trainer(cfg)
        trainer.train()
        assert len(trainer.history) == 2
        states.append(trainer.model.trainable.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def stop(trainer):
    if trainer.epoch == 1:
        raise KeyboardInterrupt


def test_clip_at_trains_fine_grained(tmp_path, monkeypatch):
    """One common prompt and encoder; every term of the loss is there, and the divergence has categories to compare."""
    for drawing in ("draw_sheet", "draw_curve"):
        monkeypatch.setattr(results, drawing, lambda *args, **kwargs: None)
    (tmp_path / "images").mkdir()
    files, node = (write_images(tmp_path / "images"), make_tiny_clip_file(tmp_path / "clip.pt")), "TRAINER.CLIPAT."
    opts = ["TRAINER.NAME", "ClipAT", "DATASET.SETTING", "fg", node + "PROMPTS_SHARED", True, node + "DIVERGENCE", 0.1]
    opts += [node + "LAYERNORM_SHARED", True, node + "PATCH_SHUFFLE", 1.0, "DATALOADER.TRAIN_X.BATCH_SIZE", 8]
    trainer = build_trainer(tiny_cfg(*files, tmp_path / "run", *opts))
    trainer.train()
    left, (first, _) = json.loads((tmp_path / "run/results.json").read_text()), trainer.history
    print(first)
    assert {"triplet", "class", "divergence", "patch_shuffle"} <= set(first) and first["divergence"] > 0
    assert left["setting"] == "fg" and "Acc@1" in left["metrics"]["category"] and not trainer.model.knows_modality
