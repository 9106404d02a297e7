"""The text encoder runs only where something reads what it computes; the margins have a prompt of their own."""

import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import CLASSNAMES, build_clip, make_batch

import splip.prompted
from splip import SpLIP, SpLIPConfig
from splip.backbone.encoders import encode_text, patch_embeddings
from splip.config import TRAINING_ONLY
from splip.trainers.clip_prompt import ClipPromptModel

NODE = ClipPromptModel.config_class()
INSTANCE = {"text_conditioning": "instance"}


def build(clip, **settings):
    torch.manual_seed(0)
    model = SpLIP(clip, CLASSNAMES, SpLIPConfig(permutations=10, **settings))
    for part in ("b_t", "b_v", "b_vt"):  # as after training: T and prompts that do something
        if part in model.trainable:
            for parameter in model.trainable[part].parameters():
                torch.nn.init.normal_(parameter, std=0.05)
    return model


@pytest.fixture
def calls(monkeypatch):
    """Sets of class texts that were encoded, one entry for each call of the text encoder."""
    sets = []

    def counted(clip, tokens, prompts=(), *args, **kwargs):
        sets.append(max((len(own) for own in prompts if own is not None and own.dim() == 3), default=1))
        return encode_text(clip, tokens, prompts, *args, **kwargs)

    monkeypatch.setattr(splip.prompted, "encode_text", counted)
    return sets


UNREAD = [{"use_bvt": False}, {"vision_depth": 0}]  # no text state reaches the images


@pytest.mark.parametrize("conditioning", [{}, INSTANCE], ids=["batch", "instance"])
@pytest.mark.parametrize("setting", UNREAD, ids=str)
def test_embedding_encodes_no_text_that_nothing_reads(tiny_clip, calls, monkeypatch, setting, conditioning):
    model, images = build(tiny_clip, **setting, **conditioning).eval(), torch.randn(3, 3, 48, 48)
    pooled, b_t = [], model.trainable["b_t"]
    monkeypatch.setattr(b_t, "pool", lambda patches: pooled.append(len(patches)) or type(b_t).pool(b_t, patches))
    embedded = {modality: model.encode(images, modality) for modality in ("sketch", "photo")}
    model.describe()
    print(f"{setting} {conditioning}: class texts encoded {calls}, images pooled for T {pooled}")
    assert calls == [] and pooled == []
    for modality, wanted in embedded.items():  # so there is an image encoder to export, with the same embeddings
        torch.testing.assert_close(model.image_encoder(modality)(images), wanted, rtol=0, atol=1e-6)


def test_t_that_enters_no_text_layer_makes_no_prompts_of_each_image(tiny_clip, calls):
    model, images = build(tiny_clip, text_depth=0, **INSTANCE).eval(), torch.randn(3, 3, 48, 48)
    embedded = model.encode(images, "photo")
    assert torch.equal(embedded, model.encode(images, "photo"))
    print(f"class texts encoded {calls}")
    assert calls == [1], "once, whatever the images"
    own = model.trainable["b_t"](model._pool(patch_embeddings(model.visual("photo"), images)))
    prompts, _ = model._prompts("photo", own)
    torch.testing.assert_close(prompts[0], model.prepare_inference("photo")[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, [1, 1]),
        ({"use_bvt": False}, [1, 1]),
        ({"use_bt": False, "use_bvt": False, "alpha": 0.0}, []),
        ({"use_bt": False, "vision_depth": 0, "alpha": 0.0}, []),
        (INSTANCE, [12, 12]),
        ({**INSTANCE, "use_bvt": False}, [6, 12]),  # shuffled sketches are compared with no class text
    ],
    ids=str,
)
def test_a_training_step_encodes_the_texts_that_its_losses_read(tiny_clip, calls, settings, wanted):
    loss, _ = build(tiny_clip, **settings).train()(make_batch(6, 48, len(CLASSNAMES), 10))
    print(f"{settings}: sets of class texts encoded {calls}")
    assert calls == wanted and torch.isfinite(loss)


def test_texts_left_out_change_neither_loss_nor_gradients(tiny_clip):
    """With instance conditioning, against every image's own set of texts."""
    batch, found = make_batch(6, 48, len(CLASSNAMES), 10), []
    for all_sets in (False, True):
        model = build(copy.deepcopy(tiny_clip), use_bvt=False, **INSTANCE).train()
        if all_sets:
            encode = model._encode
            model._encode = lambda modality, images, anchors, encode=encode, **_: encode(modality, images, anchors)
        loss, _ = model(batch)
        loss.backward()
        found.append({"loss": loss.detach(), **{n: p.grad for n, p in model.trainable.named_parameters()}})
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-5, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("template", ["", "  ", "&nbsp;"])
def test_a_template_without_words_is_refused_where_b_v_reads_them(tiny_clip, template):
    with pytest.raises(ValueError, match="SKETCH_TEMPLATE has no words for B_v"):
        build(tiny_clip, sketch_template=template)
    assert build(tiny_clip, sketch_template=template, use_bv=False).clip is tiny_clip, "class names alone may be texts"


# ------------------------------------------------------------------------- the prompt of the margins


def mu_of(**settings):
    return build(build_clip(), **settings).class_similarity


@pytest.mark.parametrize("key", ["photo_template", "sketch_template"])
def test_the_templates_of_the_prompts_do_not_change_mu(key):
    off = (mu_of() - mu_of(**{key: "the drawing"})).abs().max()
    print(f"{key.upper()}: mu differs by up to {off:.4f}")
    assert off == 0


@torch.no_grad()
@pytest.mark.parametrize("template", ["a photo of a", "the picture", ""])
def test_mu_has_a_prompt_of_its_own(tiny_clip, template):
    import clip

    tokens = clip.tokenize([f"{template} {name.replace('_', ' ')}" for name in CLASSNAMES]).long()
    features = F.normalize(tiny_clip.encode_text(tokens), dim=-1)
    mu = mu_of(margin_template=template)
    torch.testing.assert_close(mu, features @ features.t(), rtol=0, atol=1e-6)
    off = (mu - mu_of()).abs().max()
    print(f"{template!r}: mu differs from the default's by up to {off:.4f}")
    assert (off > 1e-3) == (template != "a photo of a") and "margin_template" in TRAINING_ONLY


@pytest.mark.parametrize("make", [
    lambda clip: SpLIP(clip, CLASSNAMES).class_similarity,
    lambda clip: ClipPromptModel(clip, CLASSNAMES, NODE).texts,
], ids=["SpLIP", "ClipPromptModel"])  # fmt: skip
def test_making_a_model_runs_no_padding_through_the_text_encoder(tiny_clip, monkeypatch, make):
    """567 class names took 6.3 s of every start of `splip search` so, and 0.2 s without."""
    places, linear = [], F.linear
    monkeypatch.setattr(F, "linear", lambda x, *rest: places.append(x.shape[:-1].numel()) or linear(x, *rest))
    make(tiny_clip)
    print(f"most places that went through a layer at a time: {max(places)} of {len(CLASSNAMES)} x 77")
    assert max(places) <= len(CLASSNAMES) * 9


def test_the_prompt_of_the_margins_changes_no_embedding():
    images = torch.randn(2, 3, 48, 48)
    embedded = [build(build_clip(), margin_template=t).eval().encode(images, "photo") for t in ("a photo of a", "the")]
    assert torch.equal(*embedded)
