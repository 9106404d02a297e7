"""Compares the method as it runs, `splip/model.py`, with the method on one page, `splip/literal.py`.

In float64, where both differ only by the order of sums: by up to 2e-14 of a tensor's largest entry here, in float32 by
5e-6.
"""

import copy

import pytest
import torch
from conftest import CLASSNAMES, build_clip, make_batch

from splip import SpLIP, SpLIPConfig
from splip.jigsaw import permutation_bank, shuffle
from splip.literal import LiteralSpLIP

TOLERANCE = 1e-12  # of a tensor's largest entry
BANK = permutation_bank(3, 10)
SHAPES = {  # a tile is never a whole number of patches: s' would have the same patches as s, and its part in T be lost
    "vision deeper": {"embed": 128, "resolution": 32, "vision": (128, 3), "text": (64, 2)},
    "text deeper and wider": {"resolution": 32, "vision": (64, 2), "text": (128, 5)},
    "as deep": {"resolution": 40, "patch": 8, "vision": (64, 2), "text": (64, 2)},
    "one layer of text": {"resolution": 32, "vision": (128, 4), "text": (64, 1)},
}


def close(actual, expected, what):
    actual, expected = actual.detach(), expected.detach()
    assert actual.dtype == expected.dtype == torch.float64 and actual.shape == expected.shape and expected.any()
    difference = float((actual - expected).abs().max() / expected.abs().max())
    print(f"{what}: {difference:.1e}")
    assert difference < TOLERANCE, f"{what} differs by {difference:.1e} of its largest entry"


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def both(request, monkeypatch):
    """SpLIP and its literal reading with equal random weights, far from CLIP's."""
    # CLIP's LayerNorms, our losses and prototypes go by way of float32, whatever the weights are
    monkeypatch.setattr("clip.model.LayerNorm.forward", torch.nn.LayerNorm.forward)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    clip = build_clip(**request.param)
    literal = LiteralSpLIP(copy.deepcopy(clip), CLASSNAMES, BANK, alpha=0.3, beta=0.7)
    model = SpLIP(clip, CLASSNAMES, SpLIPConfig(permutations=len(BANK), alpha=0.3, beta=0.7)).double().train()
    with torch.no_grad():
        for parameter in model.trainable.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    literal.trainable.load_state_dict(model.trainable.state_dict())
    return model, literal


def batch_of(model, seed):
    batch = make_batch(5, model.dims.resolution, len(CLASSNAMES), len(BANK), seed)
    batch = {name: x.double() if x.is_floating_point() else x for name, x in batch.items()}
    batch["shuffled"] = shuffle(batch["sketch"], BANK[batch["permutation"]])
    batch["negative_label"][0] = batch["label"][0]  # as in fine-grained training
    return batch


def test_loss_gradients_and_embeddings_are_those_of_the_page(both):
    model, literal = both
    optimisers = [torch.optim.SGD(one.trainable.parameters(), 0.01) for one in both]
    for seed, updates in enumerate((0, 1, 300)):  # the prototypes' first means, and their momentum
        for one in both:
            one.trainable["prototypes"].updates.fill_(updates)
        batch = batch_of(model, seed)
        (loss, terms), (literal_loss, literal_terms) = model(batch), literal.loss(batch)
        close(loss, literal_loss, "L")
        assert set(terms) == set(literal_terms) == {"triplet", "class", "jigsaw"}
        for name, term in literal_terms.items():
            close(terms[name], term, f"L_{name}")
        for optimiser, value in zip(optimisers, (loss, literal_loss)):
            optimiser.zero_grad()
            value.backward()
        found, expected = ({n: p.grad for n, p in one.trainable.named_parameters()} for one in both)
        assert list(found) == list(expected) and len(found) > 40
        for name, gradient in expected.items():
            close(found[name], gradient, f"gradient of {name}")
        for optimiser in optimisers:
            optimiser.step()
    for name, value in literal.trainable.state_dict().items():
        close(model.trainable.state_dict()[name].double(), value.double(), name)
    model.eval()
    for modality in ("sketch", "photo"):
        embedding = literal.embed(batch["sketch"], modality)
        close(model.encode(batch["sketch"], modality), embedding, f"embeddings of {modality}s")
        assert embedding.std(dim=0).max() > 1e-3, "images of one modality must differ"
    other = literal.embed(batch["sketch"], "sketch")
    assert (other - embedding).abs().max() > 1e-3, "an image must be another one as a sketch and as a photo"
