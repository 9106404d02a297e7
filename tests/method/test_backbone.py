from pathlib import Path

import pytest
import torch
from conftest import build_clip, make_tiny_clip_file

from splip.backbone import backbone_fingerprint, clip_dims, load_clip, tokenize


def test_sizes_come_from_the_weights(tiny_clip):
    dims = clip_dims(tiny_clip)
    assert (dims.embed_dim, dims.vision_width, dims.vision_layers) == (32, 128, 3)
    assert (dims.text_width, dims.text_layers, dims.patch_size, dims.resolution) == (64, 2, 16, 48)


def test_a_state_dict_file_loads_in_float32_and_eval(tmp_path, tiny_clip):
    clip = load_clip(make_tiny_clip_file(tmp_path / "clip.pt"))
    assert not clip.training and {p.dtype for p in clip.parameters()} == {torch.float32}
    images = torch.randn(2, 3, 48, 48)
    # OpenAI's build_model rounds weights to half precision
    torch.testing.assert_close(clip.encode_image(images), tiny_clip.encode_image(images), rtol=0, atol=2e-2)


class Holder(torch.nn.Module):
    """Weights of a module under their own names: OpenAI's files are TorchScript archives of that layout."""

    def __init__(self, module):
        super().__init__()
        for name, child in module.named_children():
            self.add_module(name, Holder(child))
        for name, parameter in module.named_parameters(recurse=False):
            self.register_parameter(name, parameter)

    def forward(self, x):
        return x


def test_a_torchscript_archive_loads(tmp_path, tiny_clip):
    torch.jit.trace(Holder(tiny_clip), torch.zeros(1)).save(str(tmp_path / "clip.pt"))
    assert backbone_fingerprint(load_clip(tmp_path / "clip.pt"))["resolution"] == 48
    assert clip_dims(load_clip(tmp_path / "clip.pt")) == clip_dims(tiny_clip)


def test_a_host_with_design_details_builds_the_plain_model(monkeypatch, tmp_path, tiny_clip):
    """MaPLe's and PromptSRC's ``build_model`` take a second argument; the plain CLIP is asked for."""
    import clip.clip as module

    plain, seen = module.build_model, {}

    def build_model(state_dict, design_details):
        seen.update(design_details)
        return plain(state_dict)

    monkeypatch.setattr(module, "build_model", build_model)
    load_clip(make_tiny_clip_file(tmp_path / "clip.pt"))
    assert seen["trainer"] == "CoOp" and seen["vision_depth"] == seen["language_ctx"] == 0


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(ValueError, match=r"'ViT-Z/9' is neither a file nor one of \['splip-hybrid', .*'ViT-B/32'"):
        load_clip("ViT-Z/9")
    with pytest.raises(ValueError, match=r"version 0.2 has 'splip-hybrid' in its place"):
        load_clip("TinyCLIP")


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "broken.pt").write_bytes(b"PK\x03\x04 truncated")
    with pytest.raises(ValueError, match=r"broken.pt is damaged or no weight file"):
        load_clip(tmp_path / "broken.pt")


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="holds no CLIP state dict"):
        load_clip(tmp_path / "other.pt")


def test_a_resnet_is_refused_with_the_reason(tmp_path):
    from clip.model import CLIP

    resnet = CLIP(32, 64, (1, 1, 1, 1), 64, None, 77, 49408, 64, 1, 1)
    torch.save(resnet.state_dict(), tmp_path / "rn.pt")
    with pytest.raises(ValueError, match=r"ResNet vision tower.*visual prompts"):
        load_clip(tmp_path / "rn.pt")


def test_a_name_is_downloaded_once_as_openai_does(monkeypatch, tmp_path):
    import clip.clip as module

    asked, file = [], str(make_tiny_clip_file(tmp_path / "clip.pt"))
    monkeypatch.setattr(module, "_download", lambda url, root: asked.append((url.split("/")[-1], root)) or file)
    assert clip_dims(load_clip("ViT-B/32")).resolution == 48
    assert asked == [("ViT-B-32.pt", str(Path("~/.cache/clip").expanduser()))]


def test_a_resnet_by_name_is_refused_before_it_is_downloaded(monkeypatch):
    import clip.clip as module

    monkeypatch.setattr(module, "_download", lambda *args: pytest.fail("downloaded"))
    with pytest.raises(ValueError, match=r"RN50 has a ResNet vision tower.*visual prompts.*'ViT-B/32'"):
        load_clip("RN50")


def test_tokens_are_cut_to_the_longest_text():
    assert tokenize(["a sketch of a"]).shape == (1, 6)  # start, 4 words, end


def test_fingerprint_tells_backbones_apart(tiny_clip):
    same, other = backbone_fingerprint(build_clip()), backbone_fingerprint(build_clip(seed=1))
    assert backbone_fingerprint(tiny_clip) == same != other
