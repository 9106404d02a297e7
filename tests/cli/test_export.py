"""Exported encoders embed as the model does, for any number of images, and say what they want."""

import importlib.util

import pytest
import torch
from conftest import CLASSNAMES, build_clip, make_tiny_clip_file
from tiny_sbir import tiny_cfg, write_images

import splip
from splip import SpLIP, SpLIPConfig, cli
from splip.backbone.layout import CLIP_MEAN, CLIP_STD
from splip.engine import build_trainer
from splip.models import exported as export
from splip.models.exported import export_encoder, read_encoder

missing = [name for name in export.ONNX_PACKAGES if importlib.util.find_spec(name) is None]
FORMATS = [
    "pt2",
    pytest.param("onnx", marks=pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")),
]


def make_model(**settings):
    model = SpLIP(build_clip(), CLASSNAMES, SpLIPConfig(permutations=10, **settings))
    for modality in ("sketch", "photo"):  # prompts that differ, and differ from none
        model.trainable["prototypes"].update(modality, torch.randn(64)) if "prototypes" in model.trainable else None
    with torch.no_grad():
        for parameter in model.trainable.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_embeds_as_the_model_does(tmp_path, kind):
    model, modality = make_model(), "sketch"
    export_encoder(model, modality, tmp_path / f"encoder.{kind}", backbone="tiny")
    encode, about = read_encoder(tmp_path / f"encoder.{kind}")
    for size in (1, 2, 5):
        images = torch.randn(size, 3, 48, 48)
        expected, other = model.encode(images, modality), model.encode(images, "photo")
        torch.testing.assert_close(encode(images), expected, rtol=0, atol=1e-5)
        assert (expected - other).abs().max() > 1e-3, "the two modalities embed alike: the test would prove nothing"
    assert about == {
        "modality": "sketch", "backbone": "tiny", "resolution": 48, "resize": "crop", "interpolation": "bicubic",
        "mean": list(CLIP_MEAN), "std": list(CLIP_STD), "embed_dim": 32,
    }


def test_the_shipped_model_is_exported_for_any_number_of_images(tmp_path):
    """Its backbone takes large batches in slices, which no exported graph may see."""
    from splip.backbone.hybrid import SLICE

    assert cli.main(["export", "--model", "splip-search", "--output", str(tmp_path), "--format", "pt2"]) == 0
    model, (encode, _) = splip.load_model(), read_encoder(tmp_path / "photo.pt2")
    images = torch.randn(SLICE + 2, 3, 160, 160)
    expected = model.encode(images, "photo")
    for some in (images, images[:1]):
        torch.testing.assert_close(encode(some), expected[: len(some)], rtol=0, atol=1e-5)


def test_the_command_exports_both_encoders_of_a_run(tmp_path, capsys):
    clip = make_tiny_clip_file(tmp_path / "clip.pt")
    (tmp_path / "images").mkdir()
    cfg = tiny_cfg(write_images(tmp_path / "images"), clip, tmp_path / "run", "OPTIM.MAX_EPOCH", 1)
    trainer = build_trainer(cfg)
    trainer.before_train()
    trainer.save_model(0, trainer.output_dir)
    (tmp_path / "run" / "config.yaml").write_text(cfg.dump())
    words = ["export", "--run", str(tmp_path / "run"), "--output", str(tmp_path / "encoders"), "--format", "pt2"]
    assert cli.main(words) == 0
    paths = [tmp_path / "encoders" / f"{modality}.pt2" for modality in ("sketch", "photo")]
    assert capsys.readouterr().out.splitlines()[-2:] == [str(path) for path in paths]
    for path in paths:
        _, about = read_encoder(path)
        assert (about["modality"], about["backbone"]) == (path.stem, str(clip))


def test_what_cannot_be_exported_is_named(tmp_path, monkeypatch):
    model = make_model(text_conditioning="instance")
    with pytest.raises(ValueError, match="TEXT_CONDITIONING instance runs the text encoder for every image"):
        export_encoder(model, "photo", tmp_path / "a.pt2")
    with pytest.raises(ValueError, match=r"one of \('onnx', 'pt2'\), got the file name 'a.pth'"):
        export_encoder(model, "photo", tmp_path / "a.pth")
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(ValueError, match=r'ONNX needs the packages onnxscript: pip install -e "\.\[export\]"'):
        export_encoder(model, "photo", tmp_path / "a.onnx")
