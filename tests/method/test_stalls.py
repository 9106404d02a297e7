"""A training step never waits for the device, and is one graph, as a GPU needs it; tested without a GPU."""

from pathlib import Path

import pytest
import torch
from conftest import CLASSNAMES, build_clip, make_batch

from splip import SpLIP, SpLIPConfig
from splip.data.transforms import normalize

VARIANTS = {
    "the whole method": {},
    "instance": {"text_conditioning": "instance"},
    "beyond the paper": {"contrastive": 1.0, "train_proj": True, "layernorm_shared": False, "free_prompts": 2},
    "batch_all": {"negatives": "batch_all"},
    "semi_hard": {"negatives": "semi_hard"},
    "batch_hard": {"negatives": "batch_hard"},
    "fixed margin, end of text": {"margin": "fixed", "bvt_states": "eot", "bt_pool": "attention"},
}


@pytest.fixture
def counts(monkeypatch):
    """benchmarks/counts.py"""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks"))
    import counts

    return counts


def make(**settings):
    return SpLIP(build_clip(), CLASSNAMES, SpLIPConfig(permutations=10, same_class_margin=0.3, **settings)).train()


def step(model, batch):
    loss, _ = model(batch)
    loss.backward()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_waits_for_nothing(counts, variant):
    model, batch = counts.as_on_a_gpu(make(**VARIANTS[variant])), make_batch(4, 48, len(CLASSNAMES), 10)
    step(model, batch)  # constants are made in the first
    with counts.Counts() as count:
        pixels = normalize(torch.zeros(4, 3, 48, 48, dtype=torch.uint8))
        step(model, {**batch, "sketch": pixels})
    assert sum(count.launches.values()) > 100 and not count.waits, count.waits


def test_what_would_wait_is_counted(counts):
    with counts.Counts() as count:
        x = torch.arange(4.0)
        float(x.sum()), x[x > 1], x.nonzero()
    assert len(count.waits) >= 3, count.waits


def test_a_gpu_gets_fewer_launches_for_the_same_loss(counts):
    """Whole texts take less than half of the operations that packed ones take; the loss and gradients are the same."""
    batch, losses, found, gradients = make_batch(4, 48, len(CLASSNAMES), 10), [], [], []
    for on_gpu in (False, True):
        model = counts.as_on_a_gpu(make()) if on_gpu else make()
        losses.append(model(batch)[0].item())
        model = make()
        found.append(counts.count_step(model, batch, on_gpu))
        gradients.append({name: p.grad for name, p in model.trainable.named_parameters()})
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
    assert 0 < found[1]["text"] < 0.5 * found[0]["text"], found
    assert found[0]["waits"] == found[1]["waits"] == 0
    for name, wanted in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], wanted, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize(("setting", "text"), [({}, True), ({"use_bvt": False}, True), ({"alpha": 0.0}, True),
                                               ({"use_bt": False, "use_bvt": False, "alpha": 0.0}, False)])  # fmt: skip
def test_the_text_encoder_runs_only_where_something_reads_it(counts, setting, text):
    found = counts.count_step(make(**setting), make_batch(4, 48, len(CLASSNAMES), 10))
    assert (found["text"] > 0) == text and found["vision"] > 0, found


@pytest.mark.parametrize("device", ["a CPU", "a GPU"])
@pytest.mark.parametrize("variant", ["the whole method", "beyond the paper"])
def test_the_loss_is_one_graph(counts, variant, device):
    """`fullgraph` raises at a graph break; the gradients are those without it."""
    batch = make_batch(4, 48, len(CLASSNAMES), 10)
    plain, compiled = make(**VARIANTS[variant]), make(**VARIANTS[variant])
    compiled.load_state_dict(plain.state_dict())
    if device == "a GPU":
        counts.as_on_a_gpu(plain), counts.as_on_a_gpu(compiled)
    run = torch.compile(compiled, fullgraph=True, backend="aot_eager")
    for _ in range(2):
        loss, terms = plain(batch)
        other, others = run(batch)
        torch.testing.assert_close(other, loss, rtol=0, atol=1e-5)
        assert set(terms) == set(others)
    loss.backward()
    other.backward()
    for (name, a), (_, b) in zip(plain.trainable.named_parameters(), compiled.trainable.named_parameters()):
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_on_a_gpu_waits_for_nothing(variant):
    model = make(**VARIANTS[variant]).cuda()
    batch = {name: value.cuda() for name, value in make_batch(4, 48, len(CLASSNAMES), 10).items()}
    step(model, batch)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(model, batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
