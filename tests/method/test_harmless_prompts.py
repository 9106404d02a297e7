"""What the field tries where prompts hurt, as options of SpLIP: what each does, and that it does nothing when off."""

import copy

import pytest
import torch
from conftest import CLASSNAMES, build_clip
from slow_method import cos
from test_model import build, step

from splip import SpLIP, SpLIPConfig
from splip.backbone.encoders import first_tokens, patch_embeddings
from splip.losses import capacity_loss


@pytest.mark.parametrize("layernorm", ["both", "leaky"])
def test_the_anchor_is_the_cosine_to_the_untouched_clip(tiny_clip, tiny_batch, layernorm):
    untouched = copy.deepcopy(tiny_clip)
    model = build(tiny_clip, anchor=3.0, beta=0.0, layernorm=layernorm)
    for _ in range(2):
        step(model, tiny_batch, lr=1e-2)
    with torch.no_grad():
        loss, terms = model(tiny_batch)  # of a batch's T, not of the prototype
        found = {name: value.item() for name, value in terms.items()}
        texts = [model.trainable["b_t"](model._pool(patch_embeddings(tiny_clip.visual, images)).mean(0)) for images in (
            tiny_batch["sketch"], torch.cat([tiny_batch["positive"], tiny_batch["negative"]]))]  # fmt: skip
        slow = []
        for name, modality, text in zip(("sketch", "positive", "negative"), ("sketch", "photo", "photo"), (0, 1, 1)):
            prompts, _ = model._prompts(modality, texts[text])
            own = encode(tiny_clip.visual, tiny_batch[name], prompts)
            slow += [1 - cos(a, b) for a, b in zip(own, untouched.encode_image(tiny_batch[name]))]
    print(f"anchor {found['anchor']:.6f}, slowly {sum(slow) / len(slow):.6f}")
    assert found["anchor"] == pytest.approx(sum(slow) / len(slow), abs=1e-5) and found["anchor"] > 1e-3
    assert loss.item() == pytest.approx(found["triplet"] + found["class"] + 3 * found["anchor"], rel=1e-5)
    assert not [name for name in model.state_dict() if "frozen" in name], "the frozen tower is no part of the model"


def encode(visual, images, prompts):
    from splip.backbone.encoders import encode_patches

    return encode_patches(visual, patch_embeddings(visual, images), prompts)


def test_an_anchor_holds_embeddings_at_their_start(tiny_clip, tiny_batch):
    moved = []
    for weight in (0.0, 100.0):
        untouched = copy.deepcopy(tiny_clip)
        model = build(copy.deepcopy(tiny_clip), anchor=weight, use_bv=False, use_bvt=False, use_bt=False)
        for _ in range(5):
            step(model, tiny_batch, lr=1e-3)
        own = model.eval().encode(tiny_batch["sketch"], "sketch")
        with torch.no_grad():
            start = untouched.encode_image(tiny_batch["sketch"])
        moved.append(float((1 - torch.cosine_similarity(own, start)).mean()))
    print(f"1 - cos to the start: without an anchor {moved[0]:.5f}, with one {moved[1]:.5f}")
    assert moved[1] < moved[0] / 2


@pytest.mark.parametrize("at", [0.0, 0.2])
def test_capacity_loss(at):
    torch.manual_seed(0)
    sketch, photo = torch.randn(5, 7) + 0.5, torch.randn(4, 7) + 0.5
    config = SpLIPConfig(mcc_sketch=0.3, mcc_photo=2.0, mcc_sketch_at=at, mcc_photo_at=-at)
    means = [sum(cos(a, b) for a in rows for b in rows) / len(rows) ** 2 for rows in (sketch, photo)]
    slow = 0.3 * abs(means[0] - at) + 2.0 * abs(means[1] + at)
    print(f"mean cosines {means}: {slow:.6f}")
    assert float(capacity_loss(config, sketch, photo)) == pytest.approx(slow, abs=1e-6)


def test_prompts_join_after_so_many_steps_also_when_resumed(tiny_clip, tiny_batch):
    model = build(tiny_clip, prompts_after=2, beta=0.0, free_prompts=1)
    names = [name for name, _ in model.trainable.named_parameters()]
    prompts = {name for name in names if name.split(".")[0] in ("b_t", "b_v", "b_vt", "free")}
    optimiser = torch.optim.Adam(model.trainable.parameters(), 1e-2)
    for done in range(4):
        before = {name: p.detach().clone() for name, p in model.trainable.named_parameters()}
        optimiser.zero_grad()
        model(tiny_batch)[0].backward()
        optimiser.step()
        moved = {name for name, p in model.trainable.named_parameters() if not torch.equal(p, before[name])}
        print(f"step {done + 1}: {len(moved & prompts)} of {len(prompts)} parts of prompts move")
        assert moved - prompts == set(names) - prompts
        assert moved & prompts == (set() if done < 2 else prompts if done > 2 else moved & prompts)
        assert bool(moved & prompts) == (done >= 2)
    assert int(model.trainable.state_dict()["steps.done"]) == 4
    other = build(build_clip(), prompts_after=2, beta=0.0, free_prompts=1)
    other.trainable.load_state_dict(model.trainable.state_dict())
    other(tiny_batch)
    assert all(p.requires_grad for p in other.trainable.parameters())
    other.eval()(tiny_batch)
    assert int(other.trainable["steps"].done) == 5, "only training steps count"


@pytest.mark.parametrize("kind", ["token_mean", "token_norm"])
@torch.no_grad()
def test_prompts_start_as_tokens_do(tiny_clip, kind):
    model, plain = (build(copy.deepcopy(tiny_clip), prompt_start=k, free_prompts=2) for k in (kind, "small"))
    tokens = first_tokens(tiny_clip.visual, patch_embeddings(tiny_clip.visual, torch.zeros(1, 3, 48, 48)))[0, 1:]
    assert tokens.shape == (9, 128)
    for own, other in zip(model._prompts("sketch", None)[0], plain._prompts("sketch", None)[0]):
        size, before = own.norm(dim=1).mean(), other.norm(dim=1).mean()
        print(f"{kind}: mean norm of prompts {size:.2f}, of tokens {tokens.norm(dim=1).mean():.2f}; small {before:.2f}")
        if kind == "token_norm":
            assert size == pytest.approx(float(tokens.norm(dim=1).mean()), rel=0.1)
            assert torch.cosine_similarity(own[-1], own[-2], dim=0).abs() < 0.5, "free prompts or V^ms differ"
        else:
            mean = tokens.mean(dim=0).expand(8, -1)
            wanted = torch.cat([other[:4] + mean[:4], mean[4:6], other[6:] + mean[6:]])  # V^tg, free prompts, V^ms
            torch.testing.assert_close(own, wanted, rtol=0, atol=1e-5)


def test_nothing_of_this_is_there_when_off(tiny_clip):
    model = SpLIP(tiny_clip, CLASSNAMES, SpLIPConfig(permutations=10))
    assert not hasattr(model, "_frozen") and "steps" not in model.trainable
