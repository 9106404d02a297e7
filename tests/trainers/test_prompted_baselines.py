"""VPT, IVLP, MaPLe, PromptSRC and CLIP-AT against slow readings: embeddings token by token, losses number by number."""

import math

import pytest
import torch
import torch.nn.functional as F
from conftest import CLASSNAMES, build_clip
from slow_method import cos, cross_entropy, kl, literal_image, run_causal
from test_baselines import batch_of, make, moved_by_steps

from splip.backbone import tokenize
from splip.backbone.encoders import patch_embeddings
from splip.tuning import leaked_parameters, trained_layernorms

NAMES = [name.replace("_", " ") for name in CLASSNAMES]


TRIPLET = (("sketch", "sketch"), ("positive", "photo"), ("negative", "photo"))  # names in a batch, and modalities


def trained(name, **settings):
    """A model whose parts are no longer at their start, and the images that it embeds."""
    model = make(name, **settings)
    moved_by_steps(model, batch_of())
    return model.eval(), torch.randn(2, 3, 48, 48)


def literal_texts(model, words, tokens):
    """Each class text whole through CLIP's blocks: its first words are learned, and replaced by deeper prompts."""
    clip, (first, *deeper) = model.clip, tokens
    ids = tokenize([f"a photo of a {name}." for name in NAMES])
    x = clip.token_embedding(ids)
    x = torch.cat([x[:, :1], first.expand(len(x), -1, -1), x[:, 1 + words :]], dim=1)
    x = x + clip.positional_embedding[: ids.shape[1]]
    for layer, block in enumerate(clip.transformer.resblocks):
        if 0 < layer <= len(deeper):
            x = torch.cat([x[:, :1], deeper[layer - 1].expand(len(x), -1, -1), x[:, 1 + words :]], dim=1)
        x = run_causal(block, x)
    return clip.ln_final(x[torch.arange(len(x)), ids.argmax(-1)]) @ clip.text_projection


def check_images(model, images, prompts, modality):
    """The first layer's prompts go through ln_pre, as all tokens."""
    visual = model.towers[modality]
    layers = [visual.ln_pre(prompts[0]), *prompts[1:]]
    wanted = F.normalize(literal_image(visual, patch_embeddings(visual, images), layers), dim=-1)
    torch.testing.assert_close(model.encode(images, modality), wanted, rtol=0, atol=2e-6)
    plain = F.normalize(literal_image(visual, patch_embeddings(visual, images), []), dim=-1)
    assert (plain - wanted).abs().max() > 1e-3, "the prompts must matter"


@pytest.mark.parametrize("depth", [1, 2, 12], ids=["shallow", "two layers", "deep"])
@pytest.mark.parametrize("shared", [True, False])
@torch.no_grad()
def test_vpt(depth, shared):
    with torch.enable_grad():
        model, images = trained("VPTSBIR", VISION_DEPTH=depth, PROMPTS_SHARED=shared, VISUAL_PROMPTS=3)
    parts = model.trainable["visual_prompts"]
    assert {tuple(p.shape) for p in parts.parameters()} == {(min(depth, 3), 3, 128)}
    for modality in ("sketch", "photo"):
        check_images(model, images, parts["both" if shared else modality].tokens, modality)
    assert torch.equal(model.encode(images, "sketch"), model.encode(images, "photo")) == shared
    assert model.knows_modality == (not shared)
    wanted = model.clip.encode_text(whole([f"a photo of a {name}" for name in NAMES]))
    torch.testing.assert_close(model.class_features(), wanted, rtol=0, atol=5e-6)


@pytest.mark.parametrize("name, words, depth", [("IVLPSBIR", 2, 12), ("IVLPSBIR", 3, 1), ("PromptSRCSBIR", 4, 1)])
@torch.no_grad()
def test_ivlp_and_promptsrc(name, words, depth):
    with torch.enable_grad():
        model, images = trained(name, TEXT_PROMPTS=words, TEXT_DEPTH=depth, VISION_DEPTH=depth)
    texts = model.trainable["text_prompts"].tokens
    assert texts.shape == (min(depth, 2), words, 64)
    torch.testing.assert_close(model.class_features(), literal_texts(model, words, texts), rtol=0, atol=5e-6)
    check_images(model, images, model.trainable["visual_prompts"]["both"].tokens, "photo")


@pytest.mark.parametrize("depth", [1, 2, 9])
@torch.no_grad()
def test_maple(depth):
    """Towers of three and two layers: both take the prompts of at most two, and the last ones go on."""
    with torch.enable_grad():
        model, images = trained("MaPLeSBIR", TEXT_DEPTH=depth)
    texts, maps = model.trainable["text_prompts"].tokens, model.trainable["maps"]
    assert len(texts) == len(maps) == min(depth, 2)
    torch.testing.assert_close(model.class_features(), literal_texts(model, 2, texts), rtol=0, atol=5e-6)
    check_images(model, images, [tokens @ of.weight.t() + of.bias for of, tokens in zip(maps, texts)], "sketch")


def test_text_prompts_start_as_the_templates_words():
    model = make("IVLPSBIR")
    words = model.clip.token_embedding(tokenize(["a photo"]))[0, 1:3]
    torch.testing.assert_close(model.text_prompts()[0], words, rtol=0, atol=0)
    assert model.text_prompts()[1].std().item() == pytest.approx(0.02, rel=0.3)


def test_the_losses_of_the_frame():
    """Triplet with the adaptive margin and class loss of sketches, positives and negatives, one number at a time."""
    settings = {"MARGIN_SHIFT": 0.5, "ALPHA": 0.2, "MARGIN_SCALE": 2.0}
    model, batch = make("IVLPSBIR", **settings).eval(), batch_of()
    loss, terms = model(batch)
    s, p, n = (model.encode(batch[name], modality) for name, modality in TRIPLET)
    names, texts = model.clip.encode_text(whole([f"a photo of a {name}" for name in NAMES])), model.class_features()
    mu = [2 * cos(names[a], names[b]) + 0.5 for a, b in zip(batch["label"], batch["negative_label"])]
    hinges = [max(0.0, m + 2 * (1 - cos(a, b)) - 2 * (1 - cos(a, c))) for m, a, b, c in zip(mu, s, p, n)]
    scale, labels = float(model.clip.logit_scale.exp()), (batch["label"], batch["label"], batch["negative_label"])
    ces = [
        cross_entropy(torch.tensor([scale * cos(x, t) for t in texts], dtype=torch.float64), int(y))
        for images, owners in zip((s, p, n), labels) for x, y in zip(images, owners)
    ]  # fmt: skip
    slow = {"triplet": sum(hinges) / 6, "class": sum(ces) / 18}
    print({name: (float(terms[name]), value) for name, value in slow.items()})
    assert {name: float(value) for name, value in terms.items()} == pytest.approx(slow, abs=2e-5)
    assert loss.item() == pytest.approx(slow["triplet"] + 0.2 * slow["class"], abs=2e-5)


def whole(texts):
    ids = tokenize(texts)
    return F.pad(ids, (0, 77 - ids.shape[1]))


def mean_gap(first, second):
    gaps = [abs(a - b) for x, y in zip(first.tolist(), second.tolist()) for a, b in zip(x, y)]
    return sum(gaps) / len(gaps)


@torch.no_grad()
def test_the_anchors_of_promptsrc():
    untouched, batch = build_clip(), batch_of()
    with torch.enable_grad():
        model, _ = trained("PromptSRCSBIR", LAYERNORM="vision")  # the anchor is the tower before it was trained
    loss, terms = model(batch)
    images = [(batch[k], m) for k, m in TRIPLET]
    found = torch.cat([model.encode(*pair) for pair in images])
    frozen = F.normalize(untouched.encode_image(torch.cat([pair[0] for pair in images])), dim=-1)
    sets = [untouched.encode_text(whole([f"a {kind} of a {name}" for name in NAMES])) for kind in ("photo", "sketch")]
    wanted, texts = F.normalize((sets[0] + sets[1]) / 2, dim=-1), F.normalize(model.class_features(), dim=-1)
    scale = float(untouched.logit_scale.exp())
    slow = {
        "anchor_image": mean_gap(found, frozen),
        "anchor_text": mean_gap(texts, wanted),
        "anchor_logits": sum(kl(scale * f @ wanted.t(), scale * x @ texts.t()) for f, x in zip(frozen, found)) / 18 / 5,
    }
    print({name: (float(terms[name]), value) for name, value in slow.items()})
    assert {name: float(terms[name]) for name in slow} == pytest.approx(slow, rel=1e-4)
    weighted = 10 * slow["anchor_image"] + 25 * slow["anchor_text"] + slow["anchor_logits"]
    assert float(loss) == pytest.approx(float(terms["triplet"] + terms["class"]) + weighted, rel=1e-4)
    without, named = make("PromptSRCSBIR", ANCHOR_TEMPLATES="a sketch of a"), model.frozen_texts
    torch.testing.assert_close(without.frozen_texts, F.normalize(sets[1], dim=-1), rtol=0, atol=1e-6)
    assert (without.frozen_texts - named).abs().max() > 1e-3


# ------------------------------------------------------------------------------ CLIP-AT


@torch.no_grad()
def test_clip_at_as_the_paper_has_it():
    with torch.enable_grad():
        model, images = trained("ClipAT")
    for modality in ("sketch", "photo"):
        check_images(model, images, model.trainable["visual_prompts"][modality].tokens, modality)
    norms = [{id(p) for m in model.towers[k].modules() if isinstance(m, torch.nn.LayerNorm) for p in m.parameters()}
             for k in ("sketch", "photo")]  # fmt: skip
    assert not norms[0] & norms[1] and len(norms[0]) == len(norms[1]) == 16
    batch = batch_of()
    loss, terms = model(batch)
    s, p, n = (model.encode(batch[name], modality) for name, modality in TRIPLET)
    texts, scale = model.class_features(), float(model.clip.logit_scale.exp())
    hinges = [max(0.0, 0.3 + cos(a, c) - cos(a, b)) for a, b, c in zip(s, p, n)]
    ces = [
        cross_entropy(torch.tensor([scale * cos(x, t) for t in texts], dtype=torch.float64), int(y))
        for images in (s, p) for x, y in zip(images, batch["label"])
    ]  # fmt: skip
    assert float(terms["triplet"]) == pytest.approx(sum(hinges) / 6, abs=1e-5)
    assert float(loss) == pytest.approx(sum(hinges) / 6 + 0.5 * sum(ces) / 6, rel=1e-5)


FINE = {"PROMPTS_SHARED": True, "LAYERNORM_SHARED": True}


@torch.no_grad()
def test_clip_ats_fine_grained_terms(monkeypatch):
    import splip.trainers.clip_at as module

    shuffles, of = [], module.shuffled_pairs
    monkeypatch.setattr(module, "shuffled_pairs", lambda *images: shuffles.append(of(*images)) or shuffles[-1])
    model, batch = make("ClipAT", **FINE, DIVERGENCE=0.1, PATCH_SHUFFLE=2.0).eval(), batch_of()
    batch["label"] = torch.tensor([0, 0, 1, 1, 2, 3])
    loss, terms = model(batch)
    embed = lambda images: model.encode(images, "photo")  # noqa: E731  (prompts are common)
    s, p, n = (embed(batch[name]) for name in ("sketch", "positive", "negative"))
    delta = torch.tensor([cos(a, c) - cos(a, b) for a, b, c in zip(s, p, n)])
    divergence = (kl(delta[:2], delta[2:4]) + kl(delta[2:4], delta[:2])) / 2
    hinges = [max(0.0, 0.3 + cos(a, c) - cos(a, b)) for a, b, c in zip(*map(embed, shuffles[0]))]
    print({name: float(value) for name, value in terms.items()}, divergence, sum(hinges) / 6)
    assert float(terms["divergence"]) == pytest.approx(divergence, rel=1e-3)
    assert float(terms["patch_shuffle"]) == pytest.approx(sum(hinges) / 6, abs=1e-5)
    rest = terms["triplet"] + 0.5 * terms["class"] + 0.1 * terms["divergence"] + 2.0 * terms["patch_shuffle"]
    assert float(loss) == pytest.approx(float(rest), rel=1e-5)


@torch.no_grad()
def test_clip_ats_jigsaw_in_splip(monkeypatch):
    import splip.model as module

    shuffles, of = [], module.shuffled_pairs
    monkeypatch.setattr(module, "shuffled_pairs", lambda *images: shuffles.append(of(*images)) or shuffles[-1])
    model, batch = make("SpLIP", BETA=0.0, USE_BT=False, PATCH_SHUFFLE=2.0, PATCH_MARGIN=0.4).eval(), batch_of()
    loss, terms = model(batch)
    embedded = (model.encode(images, side) for images, side in zip(shuffles[0], ("sketch", "photo", "photo")))
    hinges = [max(0.0, 0.4 + cos(a, c) - cos(a, b)) for a, b, c in zip(*embedded)]
    print(f"{float(terms['patch_shuffle']):.6f}, slowly {sum(hinges) / 6:.6f}")
    assert float(terms["patch_shuffle"]) == pytest.approx(sum(hinges) / 6, abs=1e-5)
    assert float(loss) == pytest.approx(float(terms["triplet"] + terms["class"] + 2 * terms["patch_shuffle"]), rel=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("conditioning", ["batch", "instance"])
def test_clip_ats_jigsaw_changes_no_other_term(conditioning):
    """T, L_class, L_cjs and the anchor come from the other images."""
    settings = {"PERMUTATIONS": 10, "ANCHOR": 1.0, "TEXT_CONDITIONING": conditioning}
    _, plain = make("SpLIP", **settings).train()(batch_of())
    _, terms = make("SpLIP", **settings, PATCH_SHUFFLE=1.0).train()(batch_of())
    print(plain, terms)
    for name, value in plain.items():
        assert float(terms[name]) == pytest.approx(float(value), abs=2e-6), name
    assert set(terms) - set(plain) == {"patch_shuffle"}


@pytest.mark.parametrize("name", ["ClipAT", "SpLIP"])
def test_shuffled_patches_are_cut_from_images(name):
    model, batch = make(name, PATCH_SHUFFLE=1.0, **({"BETA": 0.0} if name == "SpLIP" else {})), batch_of()
    for name in ("sketch", "positive", "negative"):
        batch[name] = patch_embeddings(model.clip.visual, batch[name])
    with pytest.raises(ValueError, match=r"cut from images, not from their E_0 of shape \(6, 9, 128\)"):
        model(batch)


def test_what_clip_ats_code_leaves_trainable_counted():
    """21.7 million of a ViT-B/32: queries, keys, values, projection, positions, class embedding, LayerNorms."""
    clip = build_clip(embed=512, resolution=224, patch=32, vision=(768, 12), text=(64, 1))
    model = make("ClipAT", clip, LAYERNORM="leaky", LAYERNORM_SHARED=True, ALPHA=0.0)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.trainable.items()}
    print(counts)
    leaked = 21_261_312 + 393_216 + 38_400 + 768
    assert counts == {"layernorms": 39_936, "leaked": leaked, "visual_prompts": 2 * 3 * 768}
    norms = trained_layernorms(clip, "vision").values()
    assert counts["layernorms"] == sum(p.numel() for module in norms for p in module.parameters())


def left_trainable(visual):
    """By the rule of the released code: module by module, what is called weight or bias is frozen, but LayerNorms."""
    left = {name for name, _ in visual.named_parameters()}
    for name, module in visual.named_modules():
        if not isinstance(module, torch.nn.LayerNorm):
            left -= {f"{name}.weight", f"{name}.bias"}
    return left


def test_leaky_is_what_that_helper_leaves():
    clip = build_clip()
    norms = {f"{n}.{own}" for n, m in clip.visual.named_modules() if isinstance(m, torch.nn.LayerNorm)
             for own in ("weight", "bias")}  # fmt: skip
    left = {name.replace(".", "_") for name in left_trainable(clip.visual) - norms}
    assert set(leaked_parameters(clip.visual)) == left and len(left) == 3 * 2 + 3, left


@pytest.mark.parametrize("name", ["ClipAT", "VPTSBIR", "SpLIP"])
def test_leaky_trains_with_any_method_that_has_the_setting(name):
    settings = {"PERMUTATIONS": 10} if name == "SpLIP" else {"LAYERNORM_SHARED": True}
    model = make(name, LAYERNORM="leaky", **settings)
    moved = moved_by_steps(model, batch_of())
    of_clip = {n for n, _ in model.clip.named_parameters() if n in moved}
    wanted = {f"visual.{n}" for n in left_trainable(model.clip.visual)}
    assert of_clip == wanted, of_clip ^ wanted
    rate = {part: model.rates[part] for part in ("layernorms", "leaked")}
    assert rate["layernorms"] == rate["leaked"]


WRONG = {
    "no words left": ("IVLPSBIR", {"TEXT_PROMPTS": 5}, "TEXT_PROMPTS 5: PHOTO_TEMPLATE 'a photo of a' has 4 words"),
    "no layers": ("VPTSBIR", {"VISION_DEPTH": 0}, r"TRAINER.VPTSBIR.VISION_DEPTH must be at least 1, got 0"),
    "no text layers": ("MaPLeSBIR", {"TEXT_DEPTH": 0}, r"TRAINER.MAPLESBIR.TEXT_DEPTH must be at least 1, got 0"),
    "nothing reads the texts": ("IVLPSBIR", {"ALPHA": 0.0}, "ALPHA 0 leaves text prompts that no loss reads"),
    "no loss": ("VPTSBIR", {"ALPHA": 0.0, "TRIPLET": False}, "TRAINER.VPTSBIR has no loss"),
    "apart": ("VPTSBIR", {"LAYERNORM_SHARED": False}, "VPTSBIR.LAYERNORM_SHARED False .* must be 'both' or 'vision'"),
    "leaky apart": ("ClipAT", {"LAYERNORM": "leaky"}, "CLIPAT.LAYERNORM_SHARED False .* got 'leaky'"),
    "type": ("ClipAT", {"DIVERGENCE": "1"}, "TRAINER.CLIPAT.DIVERGENCE must be a finite number, got '1'"),
    "one triplet": ("ClipAT", {"DIVERGENCE_TRIPLETS": 1}, "CLIPAT.DIVERGENCE_TRIPLETS must be at least 2, got 1"),
    "weight": ("PromptSRCSBIR", {"ANCHOR_TEXT": -1.0}, "PROMPTSRCSBIR.ANCHOR_TEXT must be at least 0, got -1.0"),
    "twice": ("SpLIP", {"LAYERNORM": "leaky", "TRAIN_PROJ": True}, "leaky trains the projection, too"),
}


@pytest.mark.parametrize("case", WRONG)
def test_settings_that_do_not_fit_are_refused(case):
    name, settings, message = WRONG[case]
    clip = build_clip()
    with pytest.raises(ValueError, match=message):
        make(name, clip, **settings)
    assert not hasattr(clip, "splip_owner"), "the CLIP is free for another model"


def test_gradients_of_a_patch_shuffle_are_finite():
    model = make("ClipAT", **FINE, PATCH_SHUFFLE=1.0, DIVERGENCE=0.1, TRIPLET=False, ALPHA=0.1).train()
    model(batch_of())[0].backward()
    norms = [p.grad.norm().item() for p in model.trainable.parameters()]
    assert all(map(math.isfinite, norms)) and max(norms) > 0
