"""The embedded backbone: its layout, what its features mean, and that no image of Sketchmoji took part in it."""

from __future__ import annotations

import sys
from pathlib import Path

import clip
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import splip
from splip.backbone import clip_dims, load_clip
from splip.backbone.layout import CLIP_MEAN, CLIP_STD
from splip.datasets.scenes import compose, read_drawing, read_scenes
from splip.retrieval import retrieval_metrics

ASSETS = Path(splip.__file__).parent / "assets"
WEIGHTS = ASSETS / "hybrid" / "splip-hybrid.pt"
SKETCHMOJI = ASSETS / "sketchmoji"
# Bits of 256. The nearest pair differs in 44; the 96 nearest were looked at: all are drawn by another hand.
NEAR_COPY_BITS, ALIKE_BITS = 40, 64

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tools" / "backbone"))
import augment  # noqa: E402
import corpus  # noqa: E402
import hash as hashing  # noqa: E402
import towers  # noqa: E402


@pytest.fixture(scope="module")
def model():
    return load_clip("splip-hybrid")


def text_features(model, texts):
    with torch.no_grad():
        return F.normalize(model.encode_text(clip.tokenize(texts)), dim=1)


# ----------------------------------------------------------------------------------------------- the weight file
def test_the_file_is_a_state_dict_in_half_precision_of_the_sizes_that_the_tools_have():
    state = torch.load(WEIGHTS, weights_only=True)
    want = towers.build_clip().state_dict()
    shapes = [{name: tuple(value.shape) for name, value in held.items()} for held in (state, want)]
    assert shapes[0] == shapes[1]
    assert {value.dtype for value in state.values()} == {torch.float16}
    assert all(value.isfinite().all() for value in state.values())
    assert WEIGHTS.stat().st_size <= 45e6, f"{WEIGHTS.stat().st_size / 1e6:.2f} MB"


def test_sizes(model):
    dims = clip_dims(model)
    assert (dims.embed_dim, dims.vision_width, dims.vision_layers) == (512, 256, 4)
    assert (dims.text_width, dims.text_layers, dims.context_length) == (128, 4, 77)
    assert (dims.resolution, dims.patch_size) == (160, 32)
    assert model.token_embedding.num_embeddings == 49408
    assert 5 <= model.logit_scale.exp().item() <= 100, model.logit_scale.exp().item()
    assert model.visual.conv1.weight.dtype == torch.float32 and not model.training


def test_behind_the_trunk_it_is_openais_vision_transformer(model):
    """A plain `VisionTransformer` with the hybrid's tokens handed to it gives the same features."""
    from clip.model import VisionTransformer

    plain, state = VisionTransformer(160, 32, 256, 4, 4, 512), model.visual.state_dict()
    plain.load_state_dict({n: v for n, v in state.items() if not n.startswith("conv1")}, strict=False)
    images = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        tokens = model.visual.conv1(images)
        assert tokens.shape == (2, 256, 5, 5)
        plain.conv1 = torch.nn.Identity()
        torch.testing.assert_close(plain(tokens), model.encode_image(images), rtol=0, atol=1e-6)


def test_the_trunk_reads_images_as_imagenet_has_them(model):
    """CLIP-normalised in, ImageNet-normalised to the first convolution; folded into it, padding is another grey."""
    conv1, pixels = model.visual.conv1, torch.rand(1, 3, 160, 160)
    imagenet = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    clip_mean, clip_std, mean, std = (torch.tensor(v).view(3, 1, 1) for v in (CLIP_MEAN, CLIP_STD, *imagenet))
    seen = []
    handle = conv1.stem.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        conv1((pixels - clip_mean) / clip_std)
    handle.remove()
    torch.testing.assert_close(seen[0], (pixels - mean) / std, rtol=0, atol=5e-3)  # constants in half precision


# ---------------------------------------------------------------------------------------- what its features mean
@pytest.mark.parametrize(
    "word, alike, other",
    [
        ("dog", "puppy", "screwdriver"),
        ("car", "automobile", "banana"),
        ("ship", "boat", "guitar"),
        ("guitar", "violin", "cow"),
        ("apple", "pear", "train"),
        ("hammer", "wrench", "horse"),
        ("house", "building", "fish"),
    ],
)
def test_alike_words_have_closer_text_features(model, word, alike, other):
    near, far = (
        text_features(model, [f"a photo of a {w}" for w in (word, alike, other)])[0]
        @ text_features(model, [f"a photo of a {w}" for w in (alike, other)]).T
    )
    assert near > far, f"{word}: {alike} {near:.3f}, {other} {far:.3f}"


def test_photo_and_sketch_templates_mean_the_same(model):
    names = ["dog", "castle", "pineapple", "umbrella", "truck", "violin"]
    photo, sketch = (text_features(model, [f"a {kind} of a {n}" for n in names]) for kind in ("photo", "sketch"))
    similarity = photo @ sketch.T
    assert similarity.argmax(1).tolist() == list(range(len(names))), similarity
    assert similarity.diagonal().min() > 0.8, similarity.diagonal()


def test_retrieves_seen_classes_of_sketchmoji_well_above_chance(model):
    """A frozen backbone that cannot do this is broken; what it reaches on unseen classes is in the model card."""
    unseen = set((SKETCHMOJI / "splits" / "unseen.txt").read_text().split("\n"))
    scenes = read_scenes(SKETCHMOJI / "scenes.tsv")
    lines, colours = SKETCHMOJI / "sketch" / "openmoji", SKETCHMOJI / "photo" / "noto"
    names = [path.stem for path in sorted(lines.glob("*.png")) if path.stem not in unseen]
    names = [name for name in names if (colours / f"{name}.png").exists()][::14]
    sketches = [Image.open(lines / f"{name}.png").convert("RGB") for name in names]
    drawn = {name: read_drawing(colours / f"{name}.png") for name in names}
    photos = [Image.fromarray(compose(drawn[name], scenes["noto", name][0])) for name in names]
    with torch.no_grad():
        query, gallery = (F.normalize(model.encode_image(to_batch(images)), dim=1) for images in (sketches, photos))
    labels = torch.arange(len(names))
    mean = retrieval_metrics(query, gallery, labels, labels, conventions=("prefix",))["prefix"]["mAP@all"]
    chance = sum(1 / rank for rank in labels.add(1).tolist()) / len(names)
    assert mean > 3 * chance, f"mAP@all {mean:.3f} of {len(names)} classes, chance {chance:.3f}"


def to_batch(images):
    pixels = torch.stack([torch.from_numpy(np.array(image.resize((160, 160), Image.BILINEAR))) for image in images])
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std


# -------------------------------------------------------------------------------- apart from Sketchmoji's images
def rgba_of(path):
    """A drawing of Sketchmoji as RGBA: photos' drawings are, a sketch's ink becomes its alpha."""
    if path.parents[1].name == "photo":
        return np.asarray(Image.open(path).convert("RGBA"))
    ink = 255 - np.asarray(Image.open(path).convert("L"))
    return np.stack([np.zeros_like(ink)] * 3 + [ink], -1)


@pytest.fixture(scope="module")
def drawings():
    return sorted(SKETCHMOJI.glob("photo/*/*.png")) + sorted(SKETCHMOJI.glob("sketch/*/*.png"))


def test_no_corpus_image_is_a_near_copy_of_a_sketchmoji_image(drawings):
    """Every drawing of both, by a 256-bit perceptual hash; two unrelated ones differ in about 128 bits.

    None is within `NEAR_COPY_BITS`, and few within `ALIKE_BITS`: conventional shapes (an anchor, a padlock, a star)
    that somebody else drew as well. The next test says how many copies these bounds would catch.
    """
    hashes = np.load(ROOT / "tools" / "backbone" / "corpus_hashes.npz")["hashes"]
    assert hashes.dtype == np.uint8 and hashes.shape[1] == hashing.BYTES and len(hashes) > 50_000, hashes.shape
    bits, _ = hashing.nearest(np.stack([hashing.perceptual_hash(rgba_of(path)) for path in drawings]), hashes)
    close = [f"{path.parent.name}/{path.name}: {b} bits" for path, b in zip(drawings, bits) if b <= NEAR_COPY_BITS]
    assert not close, f"{len(close)} of {len(drawings)}: {close[:10]}"
    alike = (bits <= ALIKE_BITS).mean()
    assert alike < 0.025, f"{alike:.1%} of Sketchmoji's drawings have a corpus drawing within {ALIKE_BITS} bits"


def test_the_hash_would_notice_copies(drawings):
    """At another size, with other margins, a little darker: most within the one bound, nearly all within the other."""
    noticed = []
    for path in drawings[::40]:
        image = Image.fromarray(rgba_of(path))
        canvas = Image.new("RGBA", (150, 130))
        canvas.paste(image.resize((96, 96), Image.LANCZOS), (40, 10))
        copy = np.asarray(canvas).copy()
        copy[..., :3] = copy[..., :3] * 0.85 + 10
        noticed.append(hashing.nearest(*(hashing.perceptual_hash(x)[None] for x in (copy, np.asarray(image))))[0][0])
    near, alike = (np.mean(np.array(noticed) <= bound) for bound in (NEAR_COPY_BITS, ALIKE_BITS))
    assert near > 0.7 and alike > 0.85, f"within {NEAR_COPY_BITS} bits {near:.0%}, within {ALIKE_BITS} {alike:.0%}"


def test_hash_of_nothing_says_so():
    with pytest.raises(ValueError, match="empty drawing"):
        hashing.perceptual_hash(np.zeros((8, 8, 4), np.uint8))


def test_nearest_equals_a_bit_by_bit_count():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (n, hashing.BYTES), dtype=np.uint8) for n in (7, 11))
    count = [[sum(bin(x ^ y).count("1") for x, y in zip(i.tolist(), j.tolist())) for j in b] for i in a]
    bits, index = hashing.nearest(a, b)
    assert bits.tolist() == [min(row) for row in count]
    assert index.tolist() == [row.index(min(row)) for row in count]


def test_no_set_of_sketchmojis_artists_nor_any_emoji_set_is_in_the_corpus():
    sets = corpus.COLOUR_SETS + corpus.MONO_SETS
    assert not [name for name in sets if any(bad in name for bad in ("moji", "noto", "fluent"))]
    assert len(set(sets)) == len(sets) and set(corpus.PALETTE_SETS) <= set(corpus.COLOUR_SETS)


def test_names_are_words_without_styles_and_sizes():
    assert corpus.words_of("bear-face-24-bold") == ["bear", "face"]
    assert corpus.words_of("animal-donkey-outline-24px") == ["animal", "donkey"]
    assert corpus.clipart_name(Path("animals/mammals/dogs/brown_bear_some_author_01.png")) == "brown bear dog"


# --------------------------------------------------------------------------------------------- the training code
def test_fast_passes_equal_clips_own(model):
    images, tokens = torch.randn(3, 3, 160, 160), clip.tokenize(["a cat", "a drawing of a green bus", "x"])
    conv1 = model.visual.conv1
    with torch.no_grad():
        x = images * conv1.scale.view(3, 1, 1) + conv1.shift.view(3, 1, 1)
        maps = conv1.blocks(F.relu6(conv1.stem(x)))
        fast = towers.encode_tokens(model.visual, towers.head_tokens(conv1, maps))
        own = model.encode_image(images)
        texts, own_texts = towers.encode_text(model, tokens[:, :12]), model.encode_text(tokens)
    assert (fast - own).abs().max() < 1e-4, (fast - own).abs().max()
    assert (texts - own_texts).abs().max() < 1e-4, (texts - own_texts).abs().max()


def test_views_are_seeded_and_in_range():
    ink = torch.zeros(4, 96, 96)
    ink[:2, 20:76, 20:76] = 1  # solid squares
    ink[2:, 46:49] = 1  # thin lines
    views = []
    for _ in range(2):
        g = torch.Generator().manual_seed(3)
        rgba = augment.colourise(ink, torch.zeros(4, 96, 96, dtype=torch.uint8), g)
        views.append([augment.sketch_view(ink, 96, g)[0], augment.photo_view(rgba, 96, g)[0]])
    for first, second in zip(*views):
        assert first.shape == (4, 3, 96, 96) and torch.equal(first, second)
        assert 0 <= first.min() and first.max() <= 1, (first.min(), first.max())


def test_lines_are_redrawn_thin_and_solids_hollow():
    ink = torch.zeros(64, 96, 96)
    ink[:32, 20:76, 20:76] = 1
    ink[32:, 40:48] = 1
    out = augment.redraw_lines(ink, torch.Generator().manual_seed(0))
    hollow = (out[:32, 48, 48] == 0).float().mean()
    assert 0.5 < hollow < 0.9, hollow  # three in ten stay as they are
    assert out[:32, 20:76, 20:76].amax((1, 2)).min() == 1  # the contour stays
    assert (out[32:, 44] == 1).all()  # no line vanishes
    assert (out <= ink).all()
