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
        "modality": "sketch",
        "backbone": "tiny",
        "resolution": 48,
        "resize": "crop",
        "interpolation": "bicubic",
        "mean": list(CLIP_MEAN),
        "std": list(CLIP_STD),
        "embed_dim": 32,
        "classes": CLASSNAMES,
    }


ONNX = FORMATS[1]


@pytest.mark.parametrize("kind", [ONNX])
def test_an_onnx_file_names_its_input_its_output_and_the_batch(tmp_path, kind):
    import onnx

    export_encoder(make_model(), "photo", tmp_path / "photo.onnx")
    graph = onnx.load(tmp_path / "photo.onnx").graph
    shapes = {
        value.name: [size.dim_param or size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"images": ["batch", 3, 48, 48], "embeddings": ["batch", 32]}


@pytest.mark.parametrize("kind", [ONNX])
def test_weights_that_no_onnx_file_holds_lie_beside_it(tmp_path, monkeypatch, kind):
    models = {"small": make_model(), "large": make_model()}
    for name, model in models.items():
        monkeypatch.setattr(export, "LARGEST", 10_000 if name == "large" else 2**31)
        for modality in ("sketch", "photo"):
            (tmp_path / name).mkdir(exist_ok=True)
            export_encoder(model, modality, tmp_path / name / f"{modality}.onnx")
    assert not export.weights_beside(tmp_path / "small" / "photo.onnx")
    (data,) = export.weights_beside(tmp_path / "large" / "photo.onnx")
    whole, graph = (tmp_path / name / "photo.onnx" for name in models)
    assert data.stat().st_size > 4 * graph.stat().st_size and graph.stat().st_size < whole.stat().st_size / 4
    loaded, images = splip.load_model(tmp_path / "large"), torch.randn(3, 3, 48, 48)
    wanted = models["large"].encode(images, "photo")
    torch.testing.assert_close(loaded.encode(images, "photo"), wanted, rtol=0, atol=1e-5)

    changed = bytearray(data.read_bytes())
    changed[len(changed) // 2] ^= 64
    data.write_bytes(changed)
    assert splip.load_model(tmp_path / "large").identity != loaded.identity, "other weights, the same identity"

    export_encoder(models["small"], "photo", graph)  # again, in its place
    assert len(export.weights_beside(graph)) == 1 and export.weights_beside(graph) != [data]
    data = export.weights_beside(graph)[0]
    with monkeypatch.context() as patch:
        patch.setattr(export, "whole_file", lambda path: (_ for _ in ()).throw(OSError(28, "No space left", str(path))))
        with pytest.raises(OSError, match="No space left"):
            export_encoder(models["large"], "photo", graph)
    assert export.weights_beside(graph) == [data], "a part of a file was left, or the one before is gone"
    wanted = models["small"].encode(images, "photo")
    torch.testing.assert_close(read_encoder(graph)[0](images), wanted, rtol=0, atol=1e-5)

    data.unlink()
    with pytest.raises(ValueError, match=r"cannot read .*photo\.onnx .its weights may lie in a \.data file beside it"):
        splip.load_model(tmp_path / "large")


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
