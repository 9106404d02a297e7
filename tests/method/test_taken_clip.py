"""A CLIP belongs to one model: a second model around it would change the first one, and be wrong itself."""

import copy
import gc
import io

import pytest
import torch
from conftest import CLASSNAMES, build_clip, make_batch
from torch import nn

from splip import RetrievalModel, SpLIP, SpLIPConfig
from splip.backbone.encoders import encode_text
from splip.losses import class_similarity
from splip.models.frozen import FrozenCLIP
from splip.trainers.clip_prompt import ClipPromptModel

CONFIG = SpLIPConfig(permutations=10)
NODE = ClipPromptModel.config_class()


class Mapped(RetrievalModel):
    """A method of one's own, as docs/EXTEND.md builds one."""

    def __init__(self, clip):
        super().__init__(clip)
        self.trainable["map"] = nn.Linear(32, 32)


MAKE = {
    "SpLIP": lambda clip: SpLIP(clip, CLASSNAMES, CONFIG),
    "ClipPromptModel": lambda clip: ClipPromptModel(clip, CLASSNAMES, NODE),
    "Mapped": Mapped,
    "frozen model": FrozenCLIP,
}
REFUSED = "this CLIP already belongs to a {}.*splip.load_clip.*copy.deepcopy"


@pytest.mark.parametrize("second", MAKE)
@pytest.mark.parametrize("first", MAKE)
def test_a_second_model_around_a_clip_is_refused_and_changes_nothing(tiny_clip, first, second):
    model = MAKE[first](tiny_clip)
    trained = {name: p.requires_grad for name, p in tiny_clip.named_parameters()}
    if first == second == "frozen model":
        MAKE[second](tiny_clip), RetrievalModel(tiny_clip)  # none of them moves anything
    else:
        with pytest.raises(ValueError, match=REFUSED.format(first)):
            MAKE[second](tiny_clip)
    after = {name: p.requires_grad for name, p in tiny_clip.named_parameters()}
    print(f"{first}, then {second}: {sum(trained.values())} trained tensors in CLIP, then {sum(after.values())}")
    assert after == trained and model.clip is tiny_clip


def test_a_clip_is_not_free_again_when_its_model_is_gone(tiny_clip):
    model = MAKE["SpLIP"](tiny_clip).train()
    loss, _ = model(make_batch(6, 48, len(CLASSNAMES), 10))
    loss.backward()
    torch.optim.SGD(model.trainable.parameters(), lr=0.1).step()
    del model, loss
    gc.collect()
    with pytest.raises(ValueError, match=REFUSED.format("SpLIP")):
        MAKE["SpLIP"](tiny_clip)


def through_a_file(clip):
    file = io.BytesIO()
    torch.save(clip, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, through_a_file], ids=lambda copied: copied.__name__)
@pytest.mark.parametrize("first", ["SpLIP", "frozen model"])
def test_a_copy_of_a_taken_clip_is_taken_too(tiny_clip, copied, first):
    """Whether it was trained by then, a copy does not say."""
    MAKE[first](tiny_clip)
    with pytest.raises(ValueError, match=REFUSED.format(first)):
        MAKE["SpLIP"](copied(tiny_clip))


def test_the_ways_out(tiny_clip):
    other = copy.deepcopy(tiny_clip)
    models = [MAKE["SpLIP"](clip) for clip in (tiny_clip, other, build_clip())]
    again = copy.deepcopy(models[0])  # a copy of a whole model is a model with a CLIP of its own
    assert again.clip is not tiny_clip
    for model in models[1:]:
        assert torch.equal(model.class_similarity, models[0].class_similarity)


def test_mu_of_a_second_model_is_that_of_the_untouched_clip(tiny_clip):
    """By its way out, a copy taken before; a trained text tower would give another."""
    untouched, batch = copy.deepcopy(tiny_clip), make_batch(6, 48, len(CLASSNAMES), 10)
    model = MAKE["SpLIP"](tiny_clip).train()
    optimiser = torch.optim.SGD(model.trainable.parameters(), lr=1.0)
    for _ in range(3):
        model(batch)[0].backward()
        optimiser.step()
    with torch.no_grad():
        moved = class_similarity(encode_text(tiny_clip, model.photo_class_tokens)[0])
    off = float((moved - model.class_similarity).abs().max())
    print(f"mu of the trained text tower differs by up to {off:.4f}")
    assert off > 1e-3 and torch.equal(MAKE["SpLIP"](untouched).class_similarity, model.class_similarity)


WRONG = {
    "a string": "cat",
    "none": [],
    "too long": ["cat " * 90],
    "a number": ["ok", 7],
    "no words": ["ok", " "],
    "two that read alike": ["wine_bottle", "cat", "Wine bottle"],
    "the same twice": ["cat", "cat"],
}


@pytest.mark.parametrize("names", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("make", [
    lambda clip, names: SpLIP(clip, names, CONFIG), lambda clip, names: ClipPromptModel(clip, names, NODE),
], ids=["SpLIP", "ClipPromptModel"])  # fmt: skip
def test_a_model_that_could_not_be_made_leaves_the_clip_free(tiny_clip, make, names):
    with pytest.raises(ValueError, match=r"classnames must be a list of at least one|too long|the same text") as said:
        make(tiny_clip, names)
    print(said.value)
    assert make(tiny_clip, CLASSNAMES).clip is tiny_clip
