"""SpLIP as a whole: what training changes, what stays, what each switch does. (test_literal.py tests the numbers.)"""

import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import CLASSNAMES, build_clip, make_batch

from splip import SpLIP, SpLIPConfig
from splip.backbone import tokenize
from splip.model import RATE_OF
from splip.tuning import param_groups as groups_of

SMALL = {"permutations": 10}  # the size of the bank in `tiny_batch`
OFF = {"use_bt": False, "use_bv": False, "use_bvt": False}


def build(clip, **settings):
    torch.manual_seed(0)
    return SpLIP(clip, CLASSNAMES, SpLIPConfig(**{**SMALL, **settings})).train()


def step(model, batch, lr=1e-3):
    optimiser = torch.optim.Adam(model.trainable.parameters(), lr)
    loss, terms = model(batch)
    loss.backward()
    optimiser.step()
    return loss, terms


def snapshot(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


LAYERNORMS = {
    "vision": [f"visual.transformer.resblocks.{i}.ln_{j}" for i in range(3) for j in (1, 2)]
    + ["visual.ln_pre", "visual.ln_post"],
    "text": [f"transformer.resblocks.{i}.ln_{j}" for i in range(2) for j in (1, 2)] + ["ln_final"],
    "none": [],
}
LAYERNORMS["both"] = LAYERNORMS["vision"] + LAYERNORMS["text"]


@pytest.mark.parametrize("towers", LAYERNORMS)
def test_exactly_the_whitelisted_parameters_move(tiny_clip, tiny_batch, towers):
    model = build(tiny_clip, layernorm=towers)
    allowed = {f"{name}.{kind}" for name in LAYERNORMS[towers] for kind in ("weight", "bias")}
    assert {n for n, p in model.clip.named_parameters() if p.requires_grad} == allowed
    clip_before, ours_before = snapshot(model.clip), snapshot(model.trainable)
    for _ in range(2):  # the mappers' first layers hardly move while their last ones are near zero
        step(model, tiny_batch)
    moved = {name for name, old in clip_before.items() if not torch.equal(old, model.clip.state_dict()[name])}
    assert moved == allowed
    still = {name for name, old in ours_before.items() if torch.equal(old, model.trainable.state_dict()[name])}
    assert still == set(), f"trainable but not moved: {still}"


def test_trainable_names_are_the_documented_ones(tiny_clip):
    full = build(copy.deepcopy(tiny_clip))
    assert set(full.trainable) == {"layernorms", "b_t", "prototypes", "b_v", "b_vt", "jigsaw"}
    bare = build(tiny_clip, **OFF, layernorm="none", beta=0.0)
    assert not list(bare.trainable.parameters()) and not bare.config.learns


@torch.no_grad()
def test_with_all_parts_off_an_embedding_is_clips(tiny_clip):
    images = torch.randn(3, 3, 48, 48)
    expected = F.normalize(tiny_clip.encode_image(images), dim=-1)
    model = build(tiny_clip, **OFF, layernorm="none").eval()
    torch.testing.assert_close(model.encode(images, "photo"), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("conditioning", ["batch", "instance"])
@pytest.mark.parametrize("modality", ["sketch", "photo"])
def test_an_embedding_does_not_depend_on_its_batch(tiny_clip, tiny_batch, conditioning, modality):
    model = build(tiny_clip, text_conditioning=conditioning)
    step(model, tiny_batch, lr=1e-2)
    model.eval()
    images = torch.randn(5, 3, 48, 48)
    together = model.encode(images, modality)
    alone = torch.cat([model.encode(image[None], modality) for image in images])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)
    assert together.dtype == torch.float32 and torch.allclose(together.norm(dim=-1), torch.ones(5))


def test_instance_conditioning_gives_each_image_its_own_prompts(tiny_clip, tiny_batch):
    """Against a loop that encodes one image at a time with the T that its own patches give."""
    model = build(tiny_clip, text_conditioning="instance")
    step(model, tiny_batch, lr=1e-2)
    images = torch.randn(3, 3, 48, 48)
    features, texts = model._encode("photo", images, 3)
    assert texts.shape == (3, len(CLASSNAMES), 32)
    assert not torch.allclose(texts[0], texts[1], atol=1e-4)
    for i in range(3):
        one, one_text = model._encode("photo", images[i : i + 1], 1)
        torch.testing.assert_close(features[i : i + 1], one, rtol=0, atol=5e-6)
        torch.testing.assert_close(texts[i : i + 1], one_text, rtol=0, atol=5e-6)


def test_the_text_side_is_cached_until_a_weight_changes(tiny_clip, tiny_batch, monkeypatch):
    import splip.prompted as module

    model, calls, images = build(tiny_clip), [], torch.randn(2, 3, 48, 48)
    step(model, tiny_batch)
    model.eval()
    encode_text = module.encode_text
    monkeypatch.setattr(module, "encode_text", lambda *a, **k: calls.append(1) or encode_text(*a, **k))
    first = model.encode(images, "sketch")
    assert torch.equal(first, model.encode(images, "sketch")) and len(calls) == 1
    step(model.train(), tiny_batch, lr=1e-2)
    calls.clear()
    assert not torch.allclose(first, model.eval().encode(images, "sketch"), atol=1e-4) and len(calls) == 1


def test_the_checkpoint_carries_all_that_an_embedding_needs(tiny_clip, tiny_batch):
    model, images = build(copy.deepcopy(tiny_clip)), torch.randn(2, 3, 48, 48)
    for _ in range(2):
        step(model, tiny_batch, lr=1e-2)
    other = build(tiny_clip).eval()
    other.encode(images, "photo")  # fills the cache that loading must void
    other.trainable.load_state_dict(model.trainable.state_dict())
    assert torch.equal(model.eval().encode(images, "photo"), other.encode(images, "photo"))


def test_prototypes_follow_the_batches(tiny_clip, tiny_batch):
    model = build(tiny_clip, prototype_momentum=0.6)
    b_t, visual = model.trainable["b_t"], model.clip.visual
    from splip.backbone.encoders import patch_embeddings

    expected = torch.zeros(64)
    for done in range(4):  # a plain mean (1, 1/2) until the momentum is slower (0.4, 0.4)
        batch = {**tiny_batch, **{k: tiny_batch[k] * 0.5**done for k in ("positive", "negative")}}
        with torch.no_grad():
            photos = torch.cat([batch["positive"], batch["negative"]])
            mean = b_t.pool(patch_embeddings(visual, photos)).mean(0)
            model(batch)
        weight = max(0.4, 1 / (done + 1))
        expected = (1 - weight) * expected + weight * mean
        torch.testing.assert_close(model.trainable["prototypes"].photo, expected)
    assert model.trainable["prototypes"].updates.tolist() == [4, 4]
    before = snapshot(model.trainable["prototypes"])
    model.eval()(tiny_batch)
    assert all(torch.equal(before[k], v) for k, v in model.trainable["prototypes"].state_dict().items())


# Each row: a setting, and what it must change relative to the full method.
SWITCHES = [
    ({"use_bt": False}, "b_t"),
    ({"use_bv": False}, "b_v"),
    ({"use_bvt": False}, "b_vt"),
    ({"beta": 0.0}, "jigsaw"),
    ({"layernorm": "none"}, "layernorms"),
]


@pytest.mark.parametrize(("setting", "part"), SWITCHES)
def test_a_part_that_is_off_is_not_there(tiny_clip, tiny_batch, setting, part):
    full, model = build(copy.deepcopy(tiny_clip)), build(tiny_clip, **setting)
    assert part in full.trainable and part not in model.trainable
    loss, _ = step(model, tiny_batch)
    assert torch.isfinite(loss)


CHANGES = [
    {"use_bt": False},
    {"use_bv": False},
    {"use_bvt": False},
    {"use_bv": False, "use_bvt": False},
    OFF,
    {"text_prompts": 2},
    {"visual_prompts": 3},
    {"text_depth": 0},
    {"text_depth": 1},
    {"vision_depth": 0},
    {"text_depth": 0, "text_conditioning": "instance"},
    {"text_depth": 1, "text_conditioning": "instance"},
    {"vision_depth": 2},
    {"text_conditioning": "instance"},
    {"sketch_template": "a drawing of the"},
    {"photo_template": "a"},
    {"alpha": 0.0},
    {"alpha": 2.0},
    {"beta": 0.0},
    {"beta": 0.5},
    {"triplet": False},
    {"margin": "fixed"},
    {"margin": "fixed", "fixed_margin": 0.5},
    {"margin_scale": 0.5},
    {"margin_shift": 0.1},
    {"margin_template": "a"},
    {"logit_scale": 50.0},
    {"jigsaw_layers": 1},
    {"permutations": 12},
    {"bt_pool": "mean"},
    {"bt_pool": "attention"},
    {"bt_positions": True},
    {"bt_shuffled": False},
    {"bv_layers": 2},
    {"bv_positions": False},
    {"bv_normalize": False},
    {"bvt_states": "eot"},
    {"bvt_width": 0},
    {"bvt_width": 32},
    {"bvt_activation": "gelu"},
    {"free_prompts": 2},
    {"distance": "cosine"},
    {"contrastive": 1.0},
    {"contrastive": 1.0, "contrastive_temperature": 0.5},
    {"anchor": 1.0},
    {"mcc_sketch": 1.0},
    {"mcc_photo": 1.0, "mcc_photo_at": 0.5},
    {"mcc_sketch": 1.0, "mcc_sketch_at": 1},
    {"patch_shuffle": 1.0},
    {"patch_shuffle": 0.5, "patch_margin": 1.0, "beta": 0.0},
    {"patch_shuffle": 1.0, "text_conditioning": "instance", "anchor": 1.0},
    {"prompt_start": "token_mean"},
    {"prompt_start": "token_norm"},
    {"negatives": "semi_hard"},
    {"negatives": "batch_hard"},
    {"negatives": "batch_all"},
]


@pytest.mark.parametrize("setting", CHANGES, ids=str)
def test_every_switch_takes_a_step_and_changes_the_loss(tiny_clip, tiny_batch, setting):
    full, _ = build(copy.deepcopy(tiny_clip))(tiny_batch)
    loss, terms = step(build(tiny_clip, **setting), tiny_batch)
    assert torch.isfinite(loss) and abs(float(loss) - float(full)) > 1e-7, (float(loss), float(full), terms)


TRAINING = [{"layernorm": towers} for towers in LAYERNORMS]
TRAINING += [{"prototype_momentum": 0.1}, {"layernorm_shared": False}, {"train_proj": True}]


@pytest.mark.parametrize("setting", TRAINING, ids=str)
def test_switches_of_training_change_the_embedding(tiny_clip, tiny_batch, setting):
    """These leave the first loss as it is; what two steps make of the model must differ."""
    results = []
    for extra in ({"layernorm": "both"}, setting):
        model = build(copy.deepcopy(tiny_clip), **extra)
        step(model, tiny_batch, lr=1e-2), step(model, {**tiny_batch, "sketch": -tiny_batch["sketch"]}, lr=1e-2)
        results.append(model.eval().encode(tiny_batch["sketch"], "sketch"))
    assert torch.allclose(*results, atol=1e-7) == (setting == {"layernorm": "both"})


def test_the_margin_is_the_cosine_of_untouched_class_names(tiny_clip, tiny_batch):
    with torch.no_grad():
        texts = tiny_clip.encode_text(tokenize_77(f"a photo of a {name.replace('_', ' ')}" for name in CLASSNAMES))
        expected = F.cosine_similarity(texts[tiny_batch["label"]], texts[tiny_batch["negative_label"]])
    model = build(tiny_clip, margin_scale=2.0, margin_shift=-0.5)
    step(model, tiny_batch, lr=1e-1)
    mu = model.margin(tiny_batch["label"], tiny_batch["negative_label"])
    torch.testing.assert_close(mu, 2.0 * expected - 0.5, rtol=0, atol=1e-5)


def test_the_margin_of_a_pair_in_one_class_is_a_setting(tiny_clip):
    same = torch.tensor([0, 1, 2])
    model = build(tiny_clip, same_class_margin=0.25)
    assert model.margin(same, same).tolist() == [0.25] * 3
    mixed = model.margin(same, torch.tensor([0, 2, 2]))
    assert mixed[0] == mixed[2] == 0.25 != mixed[1]


def test_margin_summary_leaves_the_diagonal_out(tiny_clip):
    summary = build(tiny_clip, same_class_margin=99.0).margin_summary()
    assert summary["min"] <= summary["mean"] <= summary["max"] < 1.5


def test_bf16_has_finite_float32_losses_near_those_of_fp32(tiny_clip, tiny_batch):
    model = build(tiny_clip)
    exact, _ = model(tiny_batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, terms = model(tiny_batch)
    assert loss.dtype == torch.float32 and all(t.dtype == torch.float32 for t in terms.values())
    assert float(loss) == pytest.approx(float(exact), rel=0.05)
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.trainable.parameters())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("conditioning", ["batch", "instance"])
def test_recomputed_blocks_give_the_same_gradients_and_keep_less(tiny_clip, tiny_batch, conditioning, precision):
    results = []
    for grad_checkpointing in (False, True):
        model = build(copy.deepcopy(tiny_clip), text_conditioning=conditioning)
        model.grad_checkpointing, kept = grad_checkpointing, []
        count = lambda t, kept=kept: kept.append(t.numel()) or t  # noqa: E731
        autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")
        with autocast, torch.autograd.graph.saved_tensors_hooks(count, lambda t: t):
            loss, _ = model(tiny_batch)
        kept = sum(kept)  # before the backward pass keeps what it runs again
        loss.backward()
        results.append((kept, loss.detach(), {n: p.grad for n, p in model.trainable.named_parameters()}))
    (plain, loss, gradients), (less, same_loss, same) = results
    assert less < plain / 3, f"{less:,} numbers kept for the backward pass, {plain:,} without recomputing"
    assert torch.equal(loss, same_loss)
    for name, gradient in gradients.items():
        torch.testing.assert_close(same[name], gradient, rtol=0, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}")


def test_visual_layer_l_reads_the_text_layer_at_its_relative_depth():
    clip = build_clip(vision=(64, 5), text=(64, 2))
    model = build(clip, use_bv=False, use_bt=False, bvt_states="eot")
    from splip.backbone.encoders import encode_text

    with torch.no_grad():
        _, states = encode_text(model.clip, model.photo_class_tokens)
        layers, _ = model._prompts("photo", None)
        for layer, source in enumerate([0, 0, 0, 1, 1]):  # floor(l * 2 / 5)
            torch.testing.assert_close(layers[layer], model.trainable["b_vt"](states[source]))


def test_an_unknown_modality_is_refused(tiny_clip):
    with pytest.raises(ValueError, match=r"modality must be one of \('sketch', 'photo'\), got 'painting'"):
        build(tiny_clip).encode(torch.zeros(1, 3, 48, 48), "painting")


def tokenize_77(texts):
    import clip

    return clip.tokenize(list(texts)).long()


def test_template_words_are_the_tokens_between_start_and_end(tiny_clip):
    model = build(tiny_clip)
    assert torch.equal(model.sketch_words, tokenize(["a sketch of a"])[0, 1:5]) and len(model.photo_words) == 4


@pytest.mark.parametrize("free_prompts", [0, 2])
def test_each_modality_may_have_layernorms_of_its_own(tiny_clip, tiny_batch, free_prompts):
    images = tiny_batch["sketch"]
    shared = build(copy.deepcopy(tiny_clip), free_prompts=free_prompts).eval()
    model = build(tiny_clip, layernorm_shared=False, free_prompts=free_prompts)
    for modality in ("sketch", "photo"):  # copies begin equal
        if not free_prompts:  # these are drawn after the copies in one and before in the other
            assert torch.equal(model.eval().encode(images, modality), shared.encode(images, modality))
    names = {n.split(".")[0] for n, _ in model.trainable["layernorms_photo"].named_parameters()}
    assert names == {n.replace(".", "_")[len("visual_") :] for n in LAYERNORMS["vision"]}
    before = snapshot(model.trainable)
    for _ in range(2):
        step(model.train(), tiny_batch, lr=1e-2)
    still = {n for n, old in before.items() if torch.equal(old, model.trainable.state_dict()[n])}
    assert still == set(), f"trainable but not moved: {still}"
    sketch, photo = model.visual("sketch"), model.visual("photo")
    assert not torch.equal(sketch.ln_post.weight, photo.ln_post.weight)
    same = [a is b for (n, a), (_, b) in zip(sketch.named_parameters(), photo.named_parameters()) if "ln_" not in n]
    assert len(same) > 10 and all(same), "weights other than LayerNorms are shared, not copied"
    other = build(build_clip(), layernorm_shared=False, free_prompts=free_prompts).eval()
    other.trainable.load_state_dict(model.trainable.state_dict())
    assert torch.equal(other.encode(images, "photo"), model.eval().encode(images, "photo"))


def test_recomputed_blocks_use_the_layernorms_of_their_modality(tiny_clip, tiny_batch):
    gradients = []
    for grad_checkpointing in (False, True):
        model = build(copy.deepcopy(tiny_clip), layernorm_shared=False, train_proj=True)
        model.grad_checkpointing = grad_checkpointing
        model(tiny_batch)[0].backward()
        gradients.append({n: p.grad for n, p in model.trainable.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=0, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}")


def test_positions_tell_the_two_words_a_of_a_template_apart(tiny_clip):
    (with_positions, *_), _ = build(copy.deepcopy(tiny_clip))._prompts("sketch", None)
    (without, *_), _ = build(tiny_clip, bv_positions=False)._prompts("sketch", None)
    assert not torch.allclose(with_positions[0], with_positions[3], atol=1e-3) and torch.equal(without[0], without[3])


def test_positions_make_the_modalities_prompts_differ(tiny_clip):
    before = {"bv_positions": False, "bv_normalize": False, "bv_layers": 2, "bvt_states": "eot"}
    old = build(copy.deepcopy(tiny_clip), **before).prompt_cosines()
    new = build(copy.deepcopy(tiny_clip)).prompt_cosines()
    assert set(old) == {"V^tg", "V^ms"} and new["V^tg"] < old["V^tg"] < 1, (old, new)
    assert build(copy.deepcopy(tiny_clip), **OFF).prompt_cosines() == {}
    assert set(build(tiny_clip, use_bv=False, text_conditioning="instance").prompt_cosines()) == {"V^ms"}


def test_after_training_the_modality_matters(tiny_clip, tiny_batch):
    model = build(tiny_clip)
    for _ in range(3):
        step(model, tiny_batch, lr=1e-2)
    own, swapped = (model.eval().encode(tiny_batch["sketch"], modality) for modality in ("sketch", "photo"))
    cosine = (own * swapped).sum(dim=1)
    assert (cosine < 0.9999).all(), cosine


def param_groups(model, cfg):
    factors = {part: getattr(model.config, rate) for part, rate in RATE_OF.items()}
    return groups_of(model.trainable, cfg.OPTIM, factors, RATE_OF)


def cfg_of(**optim):
    from yacs.config import CfgNode

    staged = {"LR": 0.01, "STAGED_LR": False, "NEW_LAYERS": (), "BASE_LR_MULT": 0.1}
    return CfgNode({"OPTIM": {**staged, **optim}})


def test_each_kind_of_parameter_has_its_rate(tiny_clip):
    model = build(tiny_clip, layernorm_shared=False, train_proj=True, free_prompts=1)
    assert [g["lr"] for g in param_groups(model, cfg_of())] == [0.01], "one rate, one group"
    factors = {"lr_layernorm": 0.5, "lr_mappers": 2.0, "lr_solver": 3.0, "lr_proj": 0.25}
    model = build(build_clip(), layernorm_shared=False, train_proj=True, free_prompts=1, **factors)
    parts = {0.03: ["jigsaw"], 0.02: ["b_t", "b_v", "b_vt", "free"], 0.005: ["layernorms", "layernorms_photo"],
             0.0025: ["proj"]}  # fmt: skip
    groups = param_groups(model, cfg_of())
    assert [g["lr"] for g in groups] == pytest.approx(list(parts))
    for group, names in zip(groups, parts.values()):
        wanted = {id(p) for name in names for p in model.trainable[name].parameters()}
        assert {id(p) for p in group["params"]} == wanted, names
    assert sum(len(g["params"]) for g in groups) == len(list(model.trainable.parameters()))
    before = snapshot(model.trainable)
    loss, _ = model(make_batch(6, 48, len(CLASSNAMES), 10))
    loss.backward()
    torch.optim.SGD(groups).step()  # a step is rate times gradient
    for group in groups:
        for name, parameter in model.trainable.named_parameters():
            if any(parameter is p for p in group["params"]):
                torch.testing.assert_close(before[name] - group["lr"] * parameter.grad, parameter.detach())


def test_staged_rates_are_dassls(tiny_clip):
    model = build(tiny_clip, lr_solver=2.0)
    staged = cfg_of(STAGED_LR=True, NEW_LAYERS=("b_t", "b_v", "b_vt", "jigsaw", "proj"))  # a part may be off
    rates = {id(p): g["lr"] for g in param_groups(model, staged) for p in g["params"]}
    for name, rate in (("layernorms", 0.001), ("b_t", 0.01), ("jigsaw", 0.02)):
        assert all(rates[id(p)] == pytest.approx(rate) for p in model.trainable[name].parameters()), name
    for names in ((), ("b_t", "head")):
        with pytest.raises(ValueError, match=r"OPTIM.NEW_LAYERS must name some of .* with STAGED_LR, got \["):
            param_groups(model, cfg_of(STAGED_LR=True, NEW_LAYERS=names))


@pytest.mark.parametrize("fine_grained", [False, True])
def test_the_batchs_negatives_are_of_other_classes_or_of_other_objects(tiny_clip, fine_grained):
    model = build(tiny_clip, negatives="batch_all", same_class_margin=0.3)
    batch = make_batch(6, 48, len(CLASSNAMES), 10)
    if fine_grained:
        label = torch.tensor([0, 0, 0, 1, 1, 2])
        batch.update(label=label, negative_label=label, instance=torch.tensor([0, 1, 2, 0, 1, 0]),
                     negative_instance=torch.tensor([1, 2, 0, 1, 0, 1]))  # fmt: skip
    _, terms = model(batch)
    with torch.no_grad():
        sketch = model._encode("sketch", torch.cat([batch["sketch"], batch["shuffled"]]), 12)[0][:6]
        positive, negative = model._encode("photo", torch.cat([batch["positive"], batch["negative"]]), 12)[0].chunk(2)
    photos = [(positive[i], batch["label"][i], batch["instance"][i]) for i in range(6)]
    photos += [(negative[i], batch["negative_label"][i], batch["negative_instance"][i]) for i in range(6)]

    def far(a, b):
        return float(2 - 2 * F.cosine_similarity(a, b, dim=0))

    values = []
    for i in range(6):
        for photo, label, instance in photos:
            same = label == batch["label"][i]
            if fine_grained and same and instance != batch["instance"][i]:
                values.append(max(0.0, 0.3 + far(sketch[i], positive[i]) - far(sketch[i], photo)))
            elif not fine_grained and not same:
                mu = float(model.class_similarity[batch["label"][i], label])
                values.append(max(0.0, mu + far(sketch[i], positive[i]) - far(sketch[i], photo)))
    wanted = sum(values) / len(values)
    assert abs(float(terms["triplet"]) - wanted) < 1e-5, (float(terms["triplet"]), wanted, len(values))


@pytest.mark.parametrize("settings", [{}, {"text_conditioning": "instance"}, {"contrastive": 1.0}], ids=str)
def test_images_in_parts_give_the_whole_batchs_gradients(settings):
    gradients = []
    for micro_batch in (0, 4, 5):
        torch.manual_seed(0)
        config = SpLIPConfig(**{**SMALL, **settings})
        model = SpLIP(build_clip(), CLASSNAMES, config, micro_batch=micro_batch).train()
        loss, _ = model(make_batch(6, 48, len(CLASSNAMES), 10))
        loss.backward()
        gradients.append({name: p.grad for name, p in model.trainable.named_parameters()} | {"loss": loss.detach()})
    for other in gradients[1:]:
        for name, value in gradients[0].items():
            torch.testing.assert_close(value, other[name], rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("names", ["cat", []])
def test_class_names_are_a_list_of_some(tiny_clip, names):
    with pytest.raises(ValueError, match="classnames must be a list of at least one class name, got"):
        SpLIP(tiny_clip, names)


def test_tokens_may_stand_in_for_images(tiny_clip, tiny_batch):
    from splip.backbone.encoders import patch_embeddings

    model, names = build(tiny_clip), ("sketch", "shuffled", "positive", "negative")
    tokens = {name: patch_embeddings(model.clip.visual, tiny_batch[name]) for name in names}
    plain, _ = model(tiny_batch)
    given, _ = model({**tiny_batch, **tokens})
    torch.testing.assert_close(plain, given, rtol=0, atol=1e-6)
    encoded = [model.eval().encode(images, "photo") for images in (tiny_batch["positive"], tokens["positive"])]
    torch.testing.assert_close(*encoded, rtol=0, atol=1e-6)


def test_fine_grained_other_objects_are_no_targets_of_the_contrastive_loss(tiny_clip):
    from splip.losses import contrastive_loss

    model = build(tiny_clip, contrastive=1.0, triplet=False, alpha=0.0, beta=0.0)
    batch, label = make_batch(6, 48, len(CLASSNAMES), 10), torch.tensor([0, 0, 0, 1, 1, 2])
    batch.update(label=label, negative_label=label, instance=torch.tensor([0, 1, 1, 0, 1, 0]))
    _, terms = model(batch)
    with torch.no_grad():
        sketch = model._encode("sketch", batch["sketch"], 6)[0]
        photo = model._encode("photo", torch.cat([batch["positive"], batch["negative"]]), 12)[0][:6]
    ids = torch.tensor([0, 1, 1, 2, 3, 4])
    torch.testing.assert_close(terms["contrastive"], contrastive_loss(sketch, photo, ids, ids, 0.1))
    assert not torch.allclose(terms["contrastive"], contrastive_loss(sketch, photo, label, label, 0.1))


# ------------------------------------------------------------- the cached text side is never stale


def change_by_data(parameter):
    parameter.data.mul_(-2)


def change_by_fused_step(parameter):
    optimiser = torch.optim.Adam([parameter], lr=0.1, fused=True)
    parameter.grad = torch.randn_like(parameter)
    optimiser.step()


def change_in_inference_mode(parameter):
    with torch.inference_mode():
        parameter.mul_(-2)


@pytest.mark.parametrize("change", [change_by_data, change_by_fused_step, change_in_inference_mode])
def test_a_weight_changed_in_any_way_is_seen(tiny_clip, change):
    model, images = build(tiny_clip).eval(), torch.randn(2, 3, 48, 48)
    before = model.encode(images, "sketch")
    change(model.trainable["b_v"].map[0].weight)
    after = model.encode(images, "sketch")
    model._cache.clear()
    assert torch.equal(after, model.encode(images, "sketch"))
    assert (after - before).abs().max() > 1e-4


def test_the_cache_made_in_inference_mode_serves_outside(tiny_clip, tiny_batch):
    model, images = build(tiny_clip).eval(), torch.randn(2, 3, 48, 48)
    with torch.inference_mode():
        inside = model.encode(images, "photo").clone()
    assert torch.equal(model.encode(images, "photo"), inside)
    model.train()(tiny_batch)[0].backward()
