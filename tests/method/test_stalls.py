"""A training step asks the device nothing, and is one graph: what a GPU needs, counted where there is none."""

import pytest
import torch
from conftest import CLASSNAMES, build_clip, make_batch
from torch.utils._python_dispatch import TorchDispatchMode

from splip import SpLIP, SpLIPConfig
from splip.data.transforms import normalize

# What makes the host wait for the device: reading a number, and shapes that depend on values.
WAITS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "item", "is_nonzero", "equal")

VARIANTS = {
    "the whole method": {},
    "instance": {"text_conditioning": "instance"},
    "beyond the paper": {"contrastive": 1.0, "train_proj": True, "layernorm_shared": False, "free_prompts": 2},
    "batch_all": {"negatives": "batch_all"},
    "semi_hard": {"negatives": "semi_hard"},
    "batch_hard": {"negatives": "batch_hard"},
    "fixed margin, end of text": {"margin": "fixed", "bvt_states": "eot", "bt_pool": "attention"},
}


class Count(TorchDispatchMode):
    """Operations by name, and those that would wait; also indexing by a mask, whose result has an unknown length."""

    def __init__(self):
        super().__init__()
        self.waits, self.operations = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.operations += 1
        by_mask = name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in WAITS or by_mask:
            self.waits.append(name)
        return func(*args, **(kwargs or {}))


def make(**settings):
    return SpLIP(build_clip(), CLASSNAMES, SpLIPConfig(permutations=10, same_class_margin=0.3, **settings)).train()


def step(model, batch):
    loss, _ = model(batch)
    loss.backward()


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_waits_for_nothing(variant):
    model, batch = make(**VARIANTS[variant]), make_batch(4, 48, len(CLASSNAMES), 10)
    step(model, batch)  # layouts and constants are made in the first
    with Count() as count:
        pixels = normalize(torch.zeros(4, 3, 48, 48, dtype=torch.uint8))
        step(model, {**batch, "sketch": pixels})
    assert count.operations > 100 and not count.waits, count.waits


def test_what_would_wait_is_counted():
    with Count() as count:
        x = torch.arange(4.0)
        float(x.sum()), x[x > 1], x.nonzero()
    assert len(count.waits) >= 3, count.waits


@pytest.mark.parametrize("variant", ["the whole method", "beyond the paper"])
def test_the_loss_is_one_graph(variant):
    """`fullgraph` raises at a graph break; the gradients are those without it."""
    batch = make_batch(4, 48, len(CLASSNAMES), 10)
    plain, compiled = make(**VARIANTS[variant]), make(**VARIANTS[variant])
    compiled.load_state_dict(plain.state_dict())
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
