"""Prompts whose outputs go on through later layers (`carry`), against every token run through CLIP's own blocks."""

import pytest
import torch
from conftest import build_clip
from slow_method import literal_image, literal_text
from test_encoders import PREFIXED, TEXTS, close

from splip.backbone import tokenize
from splip.backbone.encoders import encode_patches, encode_text, patch_embeddings
from splip.backbone.texts import PackedTexts

# Tokens of the prompts in each of four layers; None: none of its own, so those of the layer before go on.
BY_LAYER = {
    "first": [3], "two of four": [3, 2], "first and third": [3, None, 2], "from the second": [None, 3, None, None],
    "all": [2, 2, 2, 2], "none": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def deep_clip():
    return build_clip(vision=(128, 4), text=(64, 4))


def prompts_of(lengths, width, sets=0):
    torch.manual_seed(1)
    shape = (sets,) if sets else ()
    return [None if m is None else torch.randn(*shape, m, width, requires_grad=True) for m in lengths]


def compare(found, wanted, prompts):
    close(found, wanted, atol=5e-6)
    leaves = [own for own in prompts if own is not None]
    if leaves:
        for gradient, its in zip(*(torch.autograd.grad(x.square().sum(), leaves) for x in (found, wanted))):
            close(gradient, its, atol=2e-5)


@pytest.mark.parametrize("sets", [0, 2], ids=["shared", "for each image"])
@pytest.mark.parametrize("memory", [{}, {"grad_checkpointing": True}, {"micro_batch": 1}], ids=str)
@pytest.mark.parametrize("lengths", BY_LAYER.values(), ids=BY_LAYER)
def test_visual_prompts_go_on(deep_clip, lengths, memory, sets):
    visual, prompts = deep_clip.visual, prompts_of(lengths, 128, sets)
    patches = patch_embeddings(visual, torch.randn(2, 3, 48, 48)).detach()
    found = encode_patches(visual, patches, prompts, **memory, carry=True)
    compare(found, literal_image(visual, patches, prompts), prompts)
    dropped = encode_patches(visual, patches, prompts)
    differ = (found - dropped).abs().max().item()
    print(f"{lengths}: carried and dropped prompts differ by up to {differ:.3f}")
    goes_on = any(m is not None for m in lengths) and lengths != [2, 2, 2, 2]
    assert (differ > 1e-2) == goes_on


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("texts", [TEXTS, PREFIXED], ids=["no prefix", "prefix"])
@pytest.mark.parametrize("lengths", BY_LAYER.values(), ids=BY_LAYER)
def test_text_prompts_go_on(deep_clip, lengths, texts, checkpointing):
    tokens, prompts = tokenize(texts), prompts_of(lengths, 64)
    found, states = encode_text(deep_clip, tokens, prompts, grad_checkpointing=checkpointing, carry=True)
    wanted, its = literal_text(deep_clip, tokens, prompts)
    close(torch.stack(states), torch.stack(its), atol=5e-6)
    compare(found, wanted, prompts)


def test_sets_of_text_prompts_go_on_one_by_one(deep_clip):
    tokens, prompts = tokenize(PREFIXED), prompts_of([3, 2], 64, sets=5)
    found, states = encode_text(deep_clip, tokens, prompts, carry=True, all_states=True)
    assert found.shape == (5, 3, 32) and states[0].shape == (5, 3, 64)
    for i in range(5):
        one, its = encode_text(deep_clip, tokens, [own[i] for own in prompts], carry=True, all_states=True)
        close(found[i], one, atol=5e-6)
        close(torch.stack([state[i] for state in states]), torch.stack(its), atol=5e-6)


def test_layouts_without_padding_are_refused(deep_clip):
    layout = PackedTexts(tokenize(PREFIXED), share_prefix=True)
    with pytest.raises(ValueError, match=r"carried on need whole texts: PackedTexts\(tokens, share_prefix=False\)"):
        encode_text(deep_clip, layout, prompts_of([3], 64), carry=True)
