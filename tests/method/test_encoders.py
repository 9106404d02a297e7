"""Without prompts both encoders equal CLIP; with prompts they equal a direct implementation that keeps every token."""

import pytest
import torch
import torch.nn.functional as F
from conftest import build_clip
from slow_method import run_causal

from splip.backbone import load_clip, tokenize
from splip.backbone.attention import attend
from splip.backbone.encoders import encode_patches, encode_text, patch_embeddings

TEXTS = ["a photo of a cat", "a sketch of a hot-air balloon over the sea", "dog"]


def close(actual, expected, atol=1e-6):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def same_embedding(actual, expected):
    """Equal to 1e-6 as unit vectors, which is what cosines see, and to rounding as they are (entries up to 12)."""
    close(F.normalize(actual, dim=-1), F.normalize(expected, dim=-1))
    close(actual, expected, atol=1e-5)


@pytest.fixture(scope="module", params=["tiny", "splip-hybrid", "ViT-B/32 shape"])
def any_clip(request):
    if request.param == "tiny":
        return build_clip()
    if request.param == "splip-hybrid":
        return load_clip("splip-hybrid")
    return build_clip(embed=512, resolution=224, patch=32, vision=(768, 12), text=(512, 12))


@torch.no_grad()
def test_without_prompts_the_vision_encoder_is_clip(any_clip):
    side = any_clip.visual.input_resolution
    images = torch.randn(2, 3, side, side)
    expected = any_clip.encode_image(images)
    close(encode_patches(any_clip.visual, patch_embeddings(any_clip.visual, images)), expected)
    with torch.enable_grad():  # the way of training
        same_embedding(encode_patches(any_clip.visual, patch_embeddings(any_clip.visual, images)), expected)


@torch.no_grad()
def test_without_prompts_the_text_encoder_is_clip(any_clip):
    import clip

    tokens = clip.tokenize(TEXTS).long()
    expected = any_clip.encode_text(tokens)
    for given in (tokens, tokenize(TEXTS)):
        close(encode_text(any_clip, given)[0], expected)
    with torch.enable_grad():
        same_embedding(encode_text(any_clip, tokens, share_prefix=False)[0], expected)


@torch.enable_grad()
def test_in_float64_the_way_of_training_and_clip_agree_to_a_billionth(any_clip, monkeypatch):
    """What float32 leaves between them (a few 1e-6 on entries up to 12) is the order of sums and nothing else."""
    import copy

    import clip

    monkeypatch.setattr("clip.model.LayerNorm.forward", torch.nn.LayerNorm.forward)  # CLIP's own goes by way of float32
    exact, side = copy.deepcopy(any_clip).double(), any_clip.visual.input_resolution
    images, tokens = torch.randn(2, 3, side, side, dtype=torch.float64), clip.tokenize(TEXTS).long()
    close(encode_patches(exact.visual, patch_embeddings(exact.visual, images)), exact.encode_image(images), atol=1e-9)
    for share_prefix in (False, True):
        features, _ = encode_text(exact, tokenize(TEXTS), share_prefix=share_prefix)
        close(features, exact.encode_text(tokens), atol=1e-9)


@torch.enable_grad()
def test_text_cut_to_length_gives_the_features_of_77_tokens(any_clip):
    import clip

    tokens = tokenize(TEXTS)
    assert tokens.shape[1] < 77
    full = any_clip.encode_text(clip.tokenize(TEXTS))
    for share_prefix in (False, True):
        same_embedding(encode_text(any_clip, tokens, share_prefix=share_prefix)[0], full)


@torch.no_grad()
def test_prompted_text_does_not_depend_on_padding(tiny_clip):
    import clip

    prompts = torch.randn(4, 64)
    cut, cut_states = encode_text(tiny_clip, tokenize(TEXTS), [prompts] * 2)
    full, full_states = encode_text(tiny_clip, clip.tokenize(TEXTS).long(), [prompts] * 2)
    close(cut, full, atol=5e-6)
    close(torch.stack(cut_states), torch.stack(full_states), atol=5e-6)


@torch.no_grad()
def test_vision_prompts_equal_carrying_them_through_the_blocks(tiny_clip):
    visual, images = tiny_clip.visual, torch.randn(2, 3, 48, 48)
    shared, own = torch.randn(5, 128), torch.randn(2, 3, 128)
    layers = [shared, own, None]  # shared by the batch, one for each image, none

    patches = patch_embeddings(visual, images)
    x = torch.cat([visual.class_embedding.expand(2, 1, -1), patches], dim=1) + visual.positional_embedding
    x = visual.ln_pre(x).transpose(0, 1)
    for block, prompts in zip(visual.transformer.resblocks, layers):
        length = len(x)
        if prompts is not None:
            prompts = prompts.expand(2, -1, -1) if prompts.dim() == 2 else prompts
            x = torch.cat([x, prompts.transpose(0, 1)])
        x = block(x)[:length]
    literal = visual.ln_post(x[0]) @ visual.proj
    close(encode_patches(visual, patches, layers), literal)


PREFIXED = [f"a sketch of a {name}" for name in ("cat", "hot air balloon", "dog")]
BY_LAYER = {  # tokens of each set of prompts in each of the two text layers, None: no prompts there
    "none": [], "first": [4], "all": [4, 4], "last": [None, 4], "of two lengths": [3, 5],
}  # fmt: skip


@pytest.mark.parametrize("share_prefix", [False, True])
@pytest.mark.parametrize("texts", [TEXTS, PREFIXED, PREFIXED[:1]], ids=["no prefix", "prefix", "one text"])
@pytest.mark.parametrize("lengths", BY_LAYER.values(), ids=BY_LAYER)
@torch.no_grad()
def test_text_prompts_equal_carrying_them_behind_the_start_token(tiny_clip, lengths, texts, share_prefix):
    tokens, prompts = tokenize(texts), [m and torch.randn(m, 64) for m in lengths]
    expected, expected_states = literal_text(tiny_clip, tokens, prompts)
    features, states = encode_text(tiny_clip, tokens, prompts, share_prefix)
    close(torch.stack(states), torch.stack(expected_states), atol=5e-6)
    close(features, expected, atol=5e-6)


@pytest.mark.parametrize("share_prefix", [False, True])
@torch.no_grad()
def test_sets_of_text_prompts_equal_one_set_at_a_time(tiny_clip, share_prefix):
    tokens, own, shared = tokenize(PREFIXED), torch.randn(5, 4, 64), torch.randn(3, 64)
    for prompts in ([own, own], [shared, own], [own]):
        features, states = encode_text(tiny_clip, tokens, prompts, share_prefix)
        assert features.shape == (5, 3, 32) and states[0].shape == (5, 3, 64)
        for i in range(5):
            one = [p if p is shared else p[i] for p in prompts]
            expected, expected_states = literal_text(tiny_clip, tokens, one)
            close(features[i], expected, atol=5e-6)
            close(torch.stack([state[i] for state in states]), torch.stack(expected_states), atol=5e-6)


def literal_text(clip, tokens, prompts):
    """Every token of every text through CLIP's own blocks; prompts put in and taken out at each layer."""
    n, rows = len(tokens), torch.arange(len(tokens))
    x = clip.token_embedding(tokens) + clip.positional_embedding[: tokens.shape[1]]
    states = []
    for layer, block in enumerate(clip.transformer.resblocks):
        own = prompts[layer] if layer < len(prompts) else None
        own = x.new_zeros(0, x.shape[-1]) if own is None else own
        x = torch.cat([x[:, :1], own.expand(n, -1, -1), x[:, 1:]], dim=1)
        x = run_causal(block, x)
        x = torch.cat([x[:, :1], x[:, 1 + len(own) :]], dim=1)
        states.append(x[rows, tokens.argmax(-1)])
    return clip.ln_final(states[-1]) @ clip.text_projection, states


@pytest.mark.parametrize("share_prefix", [False, True])
@torch.enable_grad()
def test_maples_text_prompts_fit(tiny_clip, share_prefix):
    """As MaPLe has them: in place of the "X X" of "X X cat.", with their positions; the outputs at these places are
    replaced by prompts of its own in each later layer.
    """
    m, names = 2, ["cat", "hot air balloon", "dog"]
    context = [torch.randn(m, 64, requires_grad=True) for _ in tiny_clip.transformer.resblocks]
    tokens = tokenize([f"X X {name}." for name in names])
    embedded = tiny_clip.token_embedding(tokens)
    x = torch.cat([embedded[:, :1], context[0].expand(3, -1, -1), embedded[:, 1 + m :]], dim=1)
    x = x + tiny_clip.positional_embedding[: tokens.shape[1]]
    for layer, block in enumerate(tiny_clip.transformer.resblocks):
        if layer > 0:
            x = torch.cat([x[:, :1], context[layer].expand(3, -1, -1), x[:, 1 + m :]], dim=1)
        x = run_causal(block, x)
    expected = tiny_clip.ln_final(x[torch.arange(3), tokens.argmax(-1)]) @ tiny_clip.text_projection

    prompts = [context[0] + tiny_clip.positional_embedding[1 : 1 + m], *context[1:]]
    found, _ = encode_text(tiny_clip, tokenize([f"{name}." for name in names]), prompts, share_prefix, shift=m)
    close(found, expected, atol=5e-6)
    gradients, wanted = (torch.autograd.grad(features.sum(), context) for features in (found, expected))
    for gradient, its in zip(gradients, wanted):
        close(gradient, its, atol=1e-5)
    with torch.no_grad():  # also where nothing but the words is shifted
        alone, unshifted = (encode_text(tiny_clip, tokens, share_prefix=share_prefix, shift=s)[0] for s in (m, 0))
    assert (alone - unshifted).abs().max() > 1e-2


T = torch.zeros(4, 64)


@pytest.mark.parametrize(
    ("prompts", "shift", "message"),
    [
        (T, 0, r"an entry for each layer: give \[prompts\] \* layers"),
        (torch.zeros(2, 4, 64), 0, r"an entry for each layer: give \[prompts\] \* layers"),
        ([T] * 3, 0, "this tower has 2 layers, got prompts for 3"),
        ([T.expand(2, 4, 64), T.expand(3, 4, 64)], 0, r"one B for all layers, got \[\(2, 4, 64\), \(3, 4, 64\)\]"),
        ([T[0]], 0, r"prompts of a layer are \(P, D\), or \(B, P, D\) .*, got \[\(64,\)\]"),
        ([T], 70, "a shift of 70 do not fit into CLIP's 77 positions"),
        ([T], -1, "a shift of -1 do not fit"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(tiny_clip, prompts, shift, message):
    with pytest.raises(ValueError, match=message):
        encode_text(tiny_clip, tokenize(TEXTS), prompts, shift=shift)


@pytest.mark.parametrize("prompts", [torch.zeros(3, 4, 128), [torch.zeros(4, 128)] * 4], ids=["tensor", "4 layers"])
def test_image_prompts_that_do_not_fit_are_refused(tiny_clip, prompts):
    with pytest.raises(ValueError, match=r"an entry for each layer|this tower has 3 layers, got prompts for 4"):
        encode_patches(tiny_clip.visual, torch.zeros(1, 9, 128), prompts)


@torch.no_grad()
def test_an_activation_other_than_openais_is_kept(tiny_clip):
    for block in tiny_clip.visual.transformer.resblocks:
        block.mlp.gelu = torch.nn.GELU()
    images = torch.randn(2, 3, 48, 48)
    ours = encode_patches(tiny_clip.visual, patch_embeddings(tiny_clip.visual, images))
    same_embedding(ours, tiny_clip.encode_image(images))


@pytest.mark.parametrize("shape", [(3,), (2, 3)], ids=["4-D", "5-D"])
def test_attention_in_bf16_is_that_of_float32_to_rounding(tiny_clip, shape):
    attn, masked = tiny_clip.transformer.resblocks[0].attn, torch.ones(4, 6, dtype=torch.bool).tril_(2)
    query, key, value = (torch.randn(*shape, n, 64).bfloat16().requires_grad_() for n in (4, 6, 6))
    exact = [t.detach().float().requires_grad_() for t in (query, key, value)]
    for mask in (None, masked):
        ours, expected = (attend(attn, q, [(k, v)], mask) for q, k, v in ((query, key, value), exact))
        assert ours.dtype == torch.bfloat16
        close(ours.float(), expected, atol=0.03)
        gradients = torch.autograd.grad(ours.sum(), (query, key, value))
        for actual, wanted in zip(gradients, torch.autograd.grad(expected.sum(), exact)):
            close(actual.float(), wanted, atol=0.05)


def test_wrong_resolution_is_refused(tiny_clip):
    with pytest.raises(ValueError, match=r"takes 48x48 images, got \(64, 64\)"):
        patch_embeddings(tiny_clip.visual, torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("share_prefix", [True, False])
@torch.enable_grad()
def test_the_mean_state_of_all_tokens_is_that_of_clips_own_layers(tiny_clip, share_prefix):
    """Without prompts: hooks on CLIP's blocks, and the mean from start to end of text, one text at a time."""
    seen, texts = [], ["a photo of a cat", "a photo of a wine bottle on a table"]
    hooks = [b.register_forward_hook(lambda m, i, o: seen.append(o)) for b in tiny_clip.transformer.resblocks]
    tokens = tokenize(texts)
    with torch.no_grad():
        import clip

        wanted = tiny_clip.encode_text(clip.tokenize(texts))
    for hook in hooks:
        hook.remove()
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            features, states = encode_text(tiny_clip, tokens, share_prefix=share_prefix, all_states=True)
        close(features, wanted, atol=1e-5)
        for layer, state in enumerate(states):
            for i, text in enumerate(tokens):
                own = seen[layer][: int(text.argmax()) + 1, i]  # (its tokens, D)
                close(state[i], own.mean(dim=0), atol=1e-5)


@torch.enable_grad()
def test_the_mean_state_with_prompts_does_not_depend_on_how_it_is_computed(tiny_clip):
    tokens, prompts = tokenize(["a photo of a cat", "a photo of a wine bottle"]), torch.randn(3, 4, 64)
    shared, states = encode_text(tiny_clip, tokens, [prompts] * 2, all_states=True)
    whole, same = encode_text(tiny_clip, tokens, [prompts] * 2, share_prefix=False, all_states=True)
    eot, _ = encode_text(tiny_clip, tokens, [prompts] * 2)
    close(shared, eot, atol=1e-5)
    assert len(states) == 2 and states[0].shape == (3, 2, 64)
    for a, b in zip([shared, *states], [whole, *same]):
        close(a, b, atol=1e-5)
    for row in range(3):
        _, its = encode_text(tiny_clip, tokens, [prompts[row]] * 2, all_states=True)
        close(states[-1][row], its[-1], atol=1e-5)
