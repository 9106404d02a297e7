import subprocess
import sys
from pathlib import Path
from typing import Tuple

import pytest
import torch
from conftest import build_clip, make_tiny_clip_file

from splip.backbone import backbone_fingerprint, clip_dims, load_clip, tokenize
from splip.backbone.weights import sha256
from splip.models import checkpoints
from splip.models.hosts import read_foreign


def test_sizes_come_from_the_weights(tiny_clip):
    dims = clip_dims(tiny_clip)
    assert (dims.embed_dim, dims.vision_width, dims.vision_layers) == (32, 128, 3)
    assert (dims.text_width, dims.text_layers, dims.patch_size, dims.resolution) == (64, 2, 16, 48)


def test_a_state_dict_file_loads_unrounded_and_in_eval(tmp_path, tiny_clip):
    clip = load_clip(make_tiny_clip_file(tmp_path / "clip.pt"))
    assert not clip.training and {p.dtype for p in clip.parameters()} == {torch.float32}
    images = torch.randn(2, 3, 48, 48)
    torch.testing.assert_close(clip.encode_image(images), tiny_clip.encode_image(images), rtol=0, atol=0)


def test_a_plain_state_dict_must_say_its_activation(tmp_path, tiny_clip):
    path = tmp_path / "plain.pt"
    torch.save(tiny_clip.state_dict(), path)
    with pytest.raises(ValueError, match=r"does not say which activation.*openai:.*plain.pt.*open_clip:ARCH"):
        load_clip(path)
    clip = load_clip(f"openai:{path}")
    assert clip.splip_info.fingerprint["activation"] == "quick_gelu"
    assert clip.splip_info.fingerprint["weights"] == backbone_fingerprint(tiny_clip)["weights"]


def test_safetensors_load(tmp_path, tiny_clip):
    save_file = pytest.importorskip("safetensors.torch").save_file
    save_file(tiny_clip.state_dict(), tmp_path / "clip.safetensors")
    clip = load_clip(f"openai:{tmp_path / 'clip.safetensors'}")
    assert backbone_fingerprint(clip) == backbone_fingerprint(tiny_clip)


class Holder(torch.nn.Module):
    """Weights of a module under their own names: OpenAI's files are TorchScript archives of that layout."""

    def __init__(self, module):
        super().__init__()
        for name, child in module.named_children():
            self.add_module(name, Holder(child))
        for name, parameter in module.named_parameters(recurse=False):
            self.register_parameter(name, parameter)
        if hasattr(module, "logit_scale"):
            self.register_buffer("input_resolution", torch.tensor(48))

    def forward(self, x):
        return x


@pytest.fixture
def archive(tmp_path, tiny_clip):
    torch.jit.trace(Holder(tiny_clip), torch.zeros(1)).save(str(tmp_path / "clip.pt"))
    return tmp_path / "clip.pt"


def test_a_torchscript_archive_of_openai_loads(archive, tiny_clip, monkeypatch):
    import clip.clip as module

    monkeypatch.setattr(module, "_MODELS", {"ViT-B/32": f"https://a.b/{sha256(archive)}/ViT-B-32.pt"})
    assert backbone_fingerprint(load_clip(archive)) == backbone_fingerprint(tiny_clip)


def test_a_torchscript_archive_of_somebody_needs_the_users_word(archive, tiny_clip, monkeypatch):
    with pytest.raises(ValueError, match=r"TorchScript archive, which can run code.*SPLIP_TRUST_TORCHSCRIPT=1"):
        load_clip(archive)
    monkeypatch.setenv("SPLIP_TRUST_TORCHSCRIPT", "1")
    assert clip_dims(load_clip(archive)) == clip_dims(tiny_clip)


class Evil(torch.nn.Module):
    """TorchScript calls `__setstate__` when an archive is opened; this one says so by raising."""

    def __init__(self):
        super().__init__()
        self.ran = False

    @torch.jit.export
    def __getstate__(self):
        return (True, self.training)

    @torch.jit.export
    def __setstate__(self, state: Tuple[bool, bool]):
        self.ran, self.training = state
        raise RuntimeError("code of the file was run")

    def forward(self, x):
        return x


def test_no_code_of_an_archive_runs(tmp_path):
    path = tmp_path / "model.pth.tar-1"
    torch.jit.script(Evil()).save(str(path))
    with pytest.raises(torch.jit.Error, match="code of the file was run"):
        torch.jit.load(str(path))  # else the rest would prove nothing
    for read in (load_clip, lambda p: read_foreign(str(p)), lambda p: checkpoints.read(str(p))):
        with pytest.raises(ValueError, match="TorchScript") as caught:
            read(path)
        assert "was run" not in str(caught.value)


def test_clip_needs_no_old_setuptools():
    """openai-clip imports pkg_resources, which setuptools has no more; here an import of it fails."""
    code = """
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name == "pkg_resources":
            raise ModuleNotFoundError("No module named 'pkg_resources'", name=name)
sys.meta_path.insert(0, Gone())
import splip
print(splip.load_clip().visual.input_resolution, "pkg_resources" in sys.modules)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert out.stdout.split() == ["160", "False"], out.stderr


def test_a_host_with_design_details_builds_the_plain_model(monkeypatch, tmp_path, tiny_clip):
    """MaPLe's and PromptSRC's ``CLIP`` takes one argument more; the plain model is asked for."""
    import clip.model as module

    plain, seen, path = module.CLIP, {}, make_tiny_clip_file(tmp_path / "clip.pt")

    class CLIP(plain):
        def __init__(self, *args, design_details, **kwargs):
            seen.update(design_details)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(module, "CLIP", CLIP)
    for name in (path, "splip-hybrid"):
        seen.clear()
        load_clip(name)
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


def test_a_dead_link_names_the_weights_and_other_ways(monkeypatch):
    import clip.clip as module

    def fail(*args):
        raise OSError("no route")

    monkeypatch.setattr(module, "_download", fail)
    with pytest.raises(ValueError, match=r"'ViT-B/16'.*no route.*\.cache/clip.*openai/clip-vit-base-patch16"):
        load_clip("ViT-B/16")


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
