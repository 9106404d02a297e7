"""Baselines without prompts, their losses against slow readings."""

import pytest
import torch
from slow_method import cos
from test_baselines import batch_of, make, moved_by_steps

from splip.backbone import tokenize
from splip.backbone.encoders import encode_text


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
