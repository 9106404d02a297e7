"""CLIPs of Hugging Face and open_clip equal their own library's forward pass, and bring what belongs to them."""

import json

import pytest
import torch
import torch.nn.functional as F
from conftest import CLASSNAMES, make_batch
from PIL import Image

import splip
from splip.backbone import clip_dims, tokenize
from splip.backbone.encoders import encode_patches, encode_text, patch_embeddings
from splip.backbone.foreign import route

SIDE, TEXTS = 64, ["a photo of a cat", "dog"]
MEAN, STD = [0.5, 0.4, 0.3], [0.25, 0.5, 0.3]  # nobody's, so that no mix-up can pass


def towers(activation):
    """Widths, heads and hidden widths that OpenAI's class does not have by itself."""
    return (
        {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 192,
         "hidden_act": activation},
        {"hidden_size": 128, "num_attention_heads": 4, "num_hidden_layers": 3, "intermediate_size": 320,
         "hidden_act": activation, "image_size": SIDE, "patch_size": 16},
    )  # fmt: skip


def randomise(model):
    """Fresh LayerNorms and zero biases would hide mistakes."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.float().eval()


def make_hugging_face(folder, activation="gelu", **processor):
    transformers = pytest.importorskip("transformers")
    text, vision = towers(activation)
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=32)
    model = randomise(transformers.CLIPModel(config))
    model.save_pretrained(folder)
    settings = {
        "size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}, "image_mean": MEAN,
        "image_std": STD, **processor,
    }  # fmt: skip
    transformers.CLIPImageProcessor(**settings).save_pretrained(folder)
    return model


def pooled(output):
    return getattr(output, "pooler_output", output)  # since version 5


def hugging_face_features(model, images, tokens):
    image, text = model.get_image_features(pixel_values=images), model.get_text_features(input_ids=tokens)
    return pooled(image), pooled(text)


def make_open_clip(folder, monkeypatch, quick=False, **vision):
    """A checkpoint of a small architecture that open_clip is told about; -> (model, name for load_clip)."""
    open_clip = pytest.importorskip("open_clip")
    config = {
        "embed_dim": 32,
        "quick_gelu": quick,
        "vision_cfg": {"image_size": SIDE, "layers": 3, "width": 128, "head_width": 32, "patch_size": 16,
                       "mlp_ratio": 2.5, **vision},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
    }  # fmt: skip
    (folder / "tiny-splip.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "tiny-splip.json")
    model = randomise(open_clip.create_model("tiny-splip", precision="fp32"))
    torch.save({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, folder / "epoch_1.pt")
    return model, f"open_clip:tiny-splip:{folder / 'epoch_1.pt'}"


@torch.no_grad()
def assert_same(clip, images, tokens, expected_image, expected_text):
    """CLIP's own methods, and the encoders that training runs."""
    ours = clip.encode_image(images), clip.encode_text(tokens)
    trained = encode_patches(clip.visual, patch_embeddings(clip.visual, images)), encode_text(clip, tokens)[0]
    for name, got, want in zip(("image", "text") * 2, (*ours, *trained), (expected_image, expected_text) * 2):
        torch.testing.assert_close(got, want, rtol=0, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


def inputs():
    tokens = tokenize(TEXTS)
    return torch.randn(3, 3, SIDE, SIDE), F.pad(tokens, (0, 77 - tokens.shape[1]))


@pytest.mark.parametrize("activation", ["gelu", "quick_gelu"])
def test_hugging_face_parity(tmp_path, activation):
    model, (images, tokens) = make_hugging_face(tmp_path, activation), inputs()
    clip = splip.load_clip(tmp_path)
    with torch.no_grad():
        expected = hugging_face_features(model, images, tokens)
    assert_same(clip, images, tokens, *expected)
    assert clip.splip_info.fingerprint["activation"] == activation


@pytest.mark.parametrize("quick", [False, True])
def test_open_clip_parity(tmp_path, monkeypatch, quick):
    model, name = make_open_clip(tmp_path, monkeypatch, quick)
    clip, (images, tokens) = splip.load_clip(name), inputs()
    with torch.no_grad():
        expected = model.encode_image(images), model.encode_text(tokens)
    assert_same(clip, images, tokens, *expected)
    assert clip.splip_info.fingerprint["activation"] == ("quick_gelu" if quick else "gelu")


def test_weights_with_gelu_differ_under_quick_gelu_by_what_they_should(tmp_path, monkeypatch):
    """What a LAION checkpoint would silently have lost: the same weights, the other activation."""
    model, name = make_open_clip(tmp_path, monkeypatch)
    images, _ = inputs()
    right = splip.load_clip(name)
    wrong = splip.load_clip(name)
    for block in (*wrong.visual.transformer.resblocks, *wrong.transformer.resblocks):
        block.mlp.gelu.forward = lambda x: x * torch.sigmoid(1.702 * x)
    with torch.no_grad():
        other = right.encode_image(images)
        gap = (F.normalize(wrong.encode_image(images), dim=-1) - F.normalize(other, dim=-1)).norm(dim=-1)
        library = model.encode_image(images)
    assert (other - library).abs().max() < 1e-5 < 1e-3 < gap.min() and gap.max() < 0.5, (other - library, gap)


def test_colours_go_with_the_backbone_and_the_image_is_the_librarys(tmp_path):
    transformers = pytest.importorskip("transformers")
    make_hugging_face(tmp_path)
    picture = Image.effect_noise((150, 90), 80).convert("RGB")
    ours = splip.preprocess(splip.load_clip(tmp_path))(picture)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    theirs = processor(picture, return_tensors="pt")["pixel_values"][0]
    assert ours.shape == theirs.shape == (3, SIDE, SIDE)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_a_step_and_an_embedding_on_either(tmp_path):
    make_hugging_face(tmp_path)
    clip = splip.load_clip(tmp_path)
    model = splip.SpLIP(clip, CLASSNAMES, splip.SpLIPConfig(permutations=10))
    loss, _ = model(make_batch(4, SIDE, len(CLASSNAMES), 10))
    loss.backward()
    assert model.eval().encode(torch.randn(2, 3, SIDE, SIDE), "sketch").shape == (2, clip_dims(clip).embed_dim)


def test_names():
    assert [route(name) for name in ("ViT-B/32", "splip-hybrid", "clip.pt", "models/clip.pt", "ViT-Z/9", "RN50")] == [
        "openai"
    ] * 6
    assert [route(name) for name in ("hf:x", "openai/clip-vit-base-patch32")] == ["hf"] * 2
    assert [route(name) for name in ("hf-hub:a/b", "open_clip:ViT-B-32:x", "local-dir:/x")] == ["open_clip"] * 3


def test_what_does_not_fit_is_named(tmp_path, monkeypatch):
    transformers = pytest.importorskip("transformers")
    make_hugging_face(tmp_path, resample=2)
    with pytest.raises(ValueError, match=r"prepared in another way than CLIP's: .*'bicubic': False"):
        splip.load_clip(tmp_path)
    (tmp_path / "dino").mkdir()
    transformers.Dinov2Config().save_pretrained(tmp_path / "dino")
    with pytest.raises(ValueError, match="it is a 'dinov2' model; a 'clip' model"):
        splip.load_clip(tmp_path / "dino")
    _, name = make_open_clip(tmp_path, monkeypatch, pool_type="avg")
    with pytest.raises(ValueError, match="what OpenAI's layout lacks: pooling 'avg'"):
        splip.load_clip(name)
    with pytest.raises(ValueError, match="there is no architecture 'ViT-B-33'"):
        splip.load_clip("open_clip:ViT-B-33:laion2b")
    wanted = r"'laion9' is neither a file nor one of ViT-B-32's weights: .*laion2b_s34b_b79k"
    with pytest.raises(ValueError, match=wanted):
        splip.load_clip("open_clip:ViT-B-32:laion9")


def test_without_a_network_the_error_says_how_to_do(monkeypatch, tmp_path):
    pytest.importorskip("transformers")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # read when it was imported
    wanted = r"backbone 'nobody/nothing': it could not be loaded.*give a folder.*HF_ENDPOINT"
    with pytest.raises(ValueError, match=wanted):
        splip.load_clip("nobody/nothing")


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "open_clip", None)
    with pytest.raises(ValueError, match=r'needs open_clip: pip install -e "\.\[open_clip\]"'):
        splip.load_clip("hf-hub:a/b")
