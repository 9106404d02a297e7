"""Baselines without prompts, their losses against slow readings; rows where nothing is trained."""

import json

import pytest
import torch
from conftest import make_tiny_clip_file
from slow_method import cos
from test_baselines import batch_of, make, moved_by_steps
from tiny_sbir import ROUNDING, tiny_cfg, write_images

import splip
import splip.trainers
from splip.backbone import tokenize
from splip.backbone.encoders import encode_text
from splip.data.transforms import to_tensor
from splip.engine import build_trainer
from splip.retrieval import retrieval_metrics
from splip.training import results


@pytest.mark.parametrize("shots", [1, 25])
def test_the_projection_is_pulled_to_its_start(shots):
    model, batch = make("ProjectionCLIP", SHOTS=shots), batch_of()
    start = model.clip.visual.proj.detach().clone()
    assert float(model(batch)[1]["pull"]) == 0
    moved = moved_by_steps(model, batch)
    assert moved == {"proj.visual", "visual.proj"}
    loss, terms = model(batch)
    pairs = zip(model.clip.visual.proj.flatten().tolist(), start.flatten().tolist())
    slow = sum((a - b) ** 2 for a, b in pairs)
    print(f"pull {float(terms['pull']):.6f}, slowly {slow:.6f}")
    assert float(terms["pull"]) == pytest.approx(slow, rel=1e-4) and slow > 0
    rest = float(terms["triplet"] + terms["class"])
    assert loss.item() == pytest.approx(rest + slow / shots, rel=1e-5)


@torch.no_grad()
def test_clipfit_pulls_the_texts_to_the_frozen_ones():
    with torch.enable_grad():
        model, batch = make("CLIPFitLike"), batch_of()
        texts = tokenize([f"a photo of a {name.replace('_', ' ')}" for name in model.classnames])
        untouched = encode_text(model.clip, texts)[0].detach()
        moved = moved_by_steps(model, batch)
    biases = {name for name in moved if name.startswith("transformer.")}
    assert biases == {f"transformer.resblocks.{i}.mlp.c_proj.bias" for i in range(2)}
    assert {name for name in moved if name.startswith("visual.")} == {
        name for name, _ in model.clip.named_parameters() if name.startswith("visual.") and ".ln_" in name
    }
    loss, terms = model(batch)
    slow = sum(1 - cos(a, b) for a, b in zip(model.class_features(), untouched)) / 5
    print(f"anchor {float(terms['anchor_text']):.6f}, slowly {slow:.6f}")
    assert float(terms["anchor_text"]) == pytest.approx(slow, abs=1e-6) and slow > 1e-5
    assert float(loss) == pytest.approx(float(terms["triplet"] + terms["class"]) + 8 * slow, rel=1e-5)


def test_a_projection_that_is_pulled_is_not_leaked():
    with pytest.raises(ValueError, match=r"PROJECTIONCLIP.LAYERNORM leaky trains the projection, too"):
        make("ProjectionCLIP", LAYERNORM="leaky")
    with pytest.raises(ValueError, match=r"PROJECTIONCLIP.SHOTS must be at least 1, got 0"):
        make("ProjectionCLIP", SHOTS=0)


# ------------------------------------------------------------------------------ nothing is trained


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("frozen")
    (root / "images").mkdir()
    return write_images(root / "images"), make_tiny_clip_file(root / "clip.pt")


@pytest.fixture
def run(files, tmp_path, monkeypatch):
    for name in ("draw_sheet", "draw_curve"):
        monkeypatch.setattr(results, name, lambda *args, **kwargs: None)

    def trained(name, *opts):
        trainer = build_trainer(tiny_cfg(*files, tmp_path / name, "TRAINER.NAME", name, "OPTIM.MAX_EPOCH", 1, *opts))
        trainer.train()
        return trainer, json.loads((tmp_path / name / "results.json").read_text())

    return trained


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_means_of_the_seen_classes_are_taken_off(run, optimiser, monkeypatch):
    """They are those of all images that training drew; embeddings are CLIP's, less the mean, of unit length."""
    from splip.trainers.centered import CenteredModel

    drawn, forward = {"sketch": [], "photo": []}, CenteredModel.forward

    def seen(self, batch):
        for name in ("sketch", "positive", "negative"):
            drawn["sketch" if name == "sketch" else "photo"] += list(batch[name])
        return forward(self, batch)

    monkeypatch.setattr(CenteredModel, "forward", seen)
    trainer, left = run("CenteredCLIP", "OPTIM.WEIGHT_DECAY", 0.0, "OPTIM.NAME", optimiser, "OPTIM.LR", 1.0)
    assert left["trainer"] == "CenteredCLIP" and len(drawn["photo"]) == 2 * len(drawn["sketch"]) == 30
    trainer.model.cpu()
    loaded, images = splip.load_model(trainer.output_dir).source, torch.randn(3, 3, 48, 48)
    for modality, shown in drawn.items():
        with torch.no_grad():
            each = [unit(trainer.clip.encode_image(image[None].cpu()))[0] for image in shown]
            wanted = sum(each) / len(each)
            plain = unit(trainer.clip.encode_image(images))
        torch.testing.assert_close(trainer.model.trainable["means"][modality].detach(), wanted, rtol=0, atol=ROUNDING)
        torch.testing.assert_close(loaded.encode(images, modality), unit(plain - wanted), rtol=0, atol=1e-5)
        assert (loaded.encode(images, modality) - plain).abs().max() > 0.05, "the mean is not small"
    assert left["swapped"] != "off" or not trainer.cfg.TEST.SWAPPED


def unit(rows):
    return rows / rows.norm(dim=-1, keepdim=True)


def test_weight_decay_would_move_the_means(files, tmp_path):
    with pytest.raises(ValueError, match=r"OPTIM.WEIGHT_DECAY 0.0005 would change CenteredCLIP's means: set it 0"):
        build_trainer(tiny_cfg(*files, tmp_path, "TRAINER.NAME", "CenteredCLIP"))


def test_class_names_as_queries(run):
    """Against a ranking by hand of the text of each query's class."""
    trainer, left = run("ClassNameCLIP")
    data, clip = trainer.dataset, trainer.clip
    photos, asked = (trainer.tester.encode(items).cpu() for items in (data.test_gallery, data.test_queries))
    trainer.model.cpu()
    names = [item.classname for item in data.test_queries]
    with torch.no_grad():
        wanted = torch.stack([unit(encode_text(clip, tokenize([f"a photo of a {name}"]))[0])[0] for name in names])
        frozen = unit(clip.encode_image(trainer.preprocessing.normalize(pixels(trainer, data.test_gallery))))
    torch.testing.assert_close(asked, wanted, rtol=0, atol=10 * ROUNDING)
    torch.testing.assert_close(photos, frozen, rtol=0, atol=10 * ROUNDING)
    labels = [torch.tensor([item.label for item in items]) for items in (data.test_queries, data.test_gallery)]
    metrics = retrieval_metrics(wanted, frozen, *labels)["min_r_k"]["mAP@all"]
    print(f"mAP@all {left['metrics']['min_r_k']['mAP@all']:.3f}, by hand {100 * metrics:.3f}")
    assert left["metrics"]["min_r_k"]["mAP@all"] == pytest.approx(100 * metrics, abs=1e-3)
    with pytest.raises(ValueError, match="ClassNameCLIP's queries are class names, not sketches"):
        splip.load_model(trainer.output_dir).encode(torch.randn(1, 3, 48, 48), "sketch")


def pixels(trainer, items):
    images = [trainer.preprocessing.pixels(trainer.dataset.load_image(item)) for item in items]
    return torch.stack([to_tensor(image) for image in images])
