"""Commands that take a model take a run, a saved model and exported encoders; `splip evaluate` also other encoders."""

import json
from pathlib import Path

import pytest
import torch
from conftest import make_tiny_clip_file
from hub import hub  # noqa: F401  (a fixture)
from tiny_sbir import tiny_cfg, write_images

import splip
from splip import cli, engine
from splip.cli.evaluate import default_device

DATA = 'DATASET:\n  NAME: "TinySBIR"\n  ROOT: "{root}"\n'


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """images, clip.pt, a run in out, data.yaml."""
    root = tmp_path_factory.mktemp("models")
    (root / "images").mkdir()
    files = write_images(root / "images"), make_tiny_clip_file(root / "clip.pt")
    cfg = tiny_cfg(*files, root / "out", "TRAINER.PREC", "fp32")
    engine.build_trainer(cfg).train()
    (root / "data.yaml").write_text(DATA.format(root=root / "images"))
    return root


def command(*words):
    return cli.main([str(word) for word in words])


def results(folder):
    return json.loads((Path(folder) / "results.json").read_text())


def test_a_run_saved_and_exported_embeds_and_tests_alike(root, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SPLIP_TRUST_TORCHSCRIPT", "1")  # a .pt2 file can run code
    run, saved, exported = root / "out", tmp_path / "saved", tmp_path / "pt2"
    assert command("export", "--model", run, "--output", saved, "--format", "pretrained") == 0
    assert command("export", "--model", saved, "--output", exported, "--format", "pt2") == 0
    images = torch.randn(2, 3, 48, 48)
    models = [splip.load_model(folder) for folder in (run, saved, exported)]
    assert models[0].identity == models[1].identity != models[2].identity
    for modality in ("sketch", "photo"):
        wanted = models[0].encode(images, modality)
        assert torch.equal(models[1].encode(images, modality), wanted)
        torch.testing.assert_close(models[2].encode(images, modality), wanted, rtol=0, atol=1e-5)
    trained = results(run)["metrics"]
    card = (saved / "README.md").read_text()
    assert f"{trained['min_r_k']['mAP@all']:.2f}" in card
    for model in (run, saved, exported):
        out = tmp_path / f"tested_{model.name}"
        words = ["--dataset-config-file", root / "data.yaml"] if model != run else []
        assert command("evaluate", "--model", model, "--output-dir", out, *words) == 0, capsys.readouterr().err
        found = results(out)["metrics"]["min_r_k"]["mAP@all"]
        assert found == pytest.approx(trained["min_r_k"]["mAP@all"], abs=1e-3), model
    with pytest.raises(ValueError, match="has no text encoder"):
        models[2].embed_text(["cat"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [default_device(str(folder)) for folder in (run, saved, exported)] == ["cuda", "cuda", "cpu"]


def test_a_baseline_is_saved_too(root, tmp_path):
    cfg = tiny_cfg(root / "images", root / "clip.pt", tmp_path / "out", "TRAINER.NAME", "LayerNormCLIP")
    engine.build_trainer(cfg).train()
    assert command("export", "--model", tmp_path / "out", "--output", tmp_path / "saved", "--format", "pretrained") == 0
    images = torch.randn(2, 3, 48, 48)
    first, second = (splip.load_model(tmp_path / name) for name in ("out", "saved"))
    assert torch.equal(first.encode(images, "photo"), second.encode(images, "photo"))


def test_a_model_is_shared_by_command(hub, root, capsys):  # noqa: F811
    assert command("export", "--model", root / "out", "--push-to-hub", "somebody/tiny") == 0
    assert capsys.readouterr().out.strip().endswith("/somebody/tiny")
    assert splip.load_model("somebody/tiny").identity == splip.load_model(root / "out").identity


def test_a_frozen_encoder_of_ones_own(root, tmp_path, monkeypatch):
    """Mean colours: photos are filled shapes, sketches outlines; what counts is that the numbers are its own."""
    (tmp_path / "mine.py").write_text("""
import torch
from torchvision.transforms import functional as F
def grey(device):
    return (lambda images: images.flatten(1)), (lambda image: F.pil_to_tensor(image.resize((6, 6))).float() / 255)
""")
    words = ["--dataset-config-file", root / "data.yaml", "--output-dir", tmp_path / "out"]
    assert command("evaluate", "--encoder", f"{tmp_path / 'mine.py'}:grey", *words) == 0
    left = results(tmp_path / "out")
    assert left["trainer"].endswith("mine.py:grey") and left["num_queries"] == 8
    assert left["preprocessing"] == {"transform": "the encoder's own"}
    assert 0 < left["metrics"]["min_r_k"]["mAP@all"] <= 100


def test_encoders_of_other_libraries(root, tmp_path, capsys):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    model = transformers.Dinov2Model(transformers.Dinov2Config(**sizes)).eval()
    model.save_pretrained(tmp_path / "dino")
    size = {"height": 28, "width": 28}
    processor = transformers.BitImageProcessor(size={"shortest_edge": 28}, crop_size=size, do_convert_rgb=True)
    processor.save_pretrained(tmp_path / "dino")
    words = ["--dataset-config-file", root / "data.yaml", "--output-dir"]
    assert command("evaluate", "--encoder", tmp_path / "dino", *words, tmp_path / "out") == 0, capsys.readouterr().err
    assert results(tmp_path / "out")["num_gallery"] == 8

    from PIL import Image

    from splip.models.encoders import load_encoder

    encoder = load_encoder(str(tmp_path / "dino"))
    picture = Image.open(next((root / "images").glob("*_photo.png"))).convert("RGB")
    with torch.no_grad():
        ours = encoder.encode(encoder.transform(picture)[None])
        theirs = model(**processor(picture, return_tensors="pt")).pooler_output
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--encoder", "hf:x"], "--dataset-config-file is needed"),
        (["--encoder", "nowhere.py:f", "--dataset-config-file", "{data}"], "no file at"),
        (["--encoder", "json:nothing", "--dataset-config-file", "{data}"], "json has no nothing"),
        (["--encoder", "json:dumps", "--dataset-config-file", "{data}"], "got str: FILE.py:f is"),
        (["--encoder", "open_clip:ViT-B-32", "--dataset-config-file", "{data}"], "ARCHITECTURE:TAG_OR_FILE is wanted"),
        (["--model", "nowhere", "--dataset-config-file", "{data}"], "no model at 'nowhere'"),
        (["--model", "x", "--dataset-config-file", "{data}", "--trainer", "y"], "belong to --host"),
    ],
)
def test_what_cannot_be_tested_is_said_in_a_line(root, tmp_path, capsys, words, message):
    words = [word.format(data=root / "data.yaml") for word in words]
    assert command("evaluate", *words, "--output-dir", tmp_path) != 0
    err = capsys.readouterr().err
    assert message in err and len(err.splitlines()) == 1, err


def test_an_export_needs_a_place_and_a_model(root, tmp_path, capsys):
    assert command("export", "--model", root / "out") != 0
    assert "--output FOLDER or --push-to-hub OWNER/NAME" in capsys.readouterr().err


def test_a_pt2_file_needs_the_users_word_and_never_stands_for_a_run(root, tmp_path):
    for name in ("sketch.pt2", "photo.pt2"):
        (tmp_path / name).write_bytes(b"it would be run")
    with pytest.raises(ValueError, match=r"sketch.pt2 can run code when it is read: set SPLIP_TRUST_TORCHSCRIPT=1"):
        splip.load_model(tmp_path)
    (tmp_path / "config.yaml").write_text("TRAINER:\n  NAME: SpLIP\n")
    with pytest.raises(ValueError, match=r"is no folder of save_pretrained or of a run: there is no .*splip.json"):
        splip.load_model(tmp_path)


PARTS = {  # body of f's file -> what is said of it
    "no arguments": ("def f(): return 1", "f cannot be called with a device (too many positional arguments)"),
    "two arguments": ("def f(device, size): return 1", "f cannot be called with a device (missing a required"),
    "no function": ("f = 3", "f cannot be called with a device"),
    "a model": ("def f(device): return torch.nn.Linear(3, 3)", "must return (encode, transform), got Linear"),
    "three parts": ("def f(device): return len, len, len", "must return (encode, transform), got tuple"),
    "a picture": ("def f(device): return flat, lambda p: p", "transform failed on a white and a red picture: it gave"),
    "an array": ("def f(device): return flat, lambda p: np.asarray(p.resize((6, 6)))", "it gave a ndarray (6, 6, 3)"),
    "bytes": ("def f(device): return flat, lambda p: tensor(p).byte()", "it gave a torch.uint8 tensor (3, 6, 6)"),
    "a batch": ("def f(device): return flat, lambda p: tensor(p)[None]", "a torch.float32 tensor (1, 3, 6, 6)"),
    "as it comes": ("def f(device): return flat, lambda p: F.pil_to_tensor(p).float()",
                    "it gave shapes (3, 48, 64) and (3, 72, 40)"),
    "a map": ("def f(device): return lambda i: i, tensor", "encode failed on a white and a red picture: it gave a"),
    "an output": ("def f(device): return lambda i: (flat(i),), tensor", "it gave a tuple"),
    "a mean": ("def f(device): return lambda i: flat(i).mean(0, keepdim=True), tensor", "of two images it gave a"),
    "no number": ("def f(device): return lambda i: flat(i) / 0, tensor", "what it gave is not finite"),
    "an error": ("def f(device): return torch.nn.Linear(7, 3), tensor", "encode failed on a white and a red picture"),
}  # fmt: skip
HEAD = """
import numpy as np
import torch
from torchvision.transforms import functional as F
flat = lambda images: images.flatten(1)
tensor = lambda picture: F.pil_to_tensor(picture.resize((6, 6))).float() / 255 - 0.5
"""


@pytest.mark.parametrize("case", PARTS)
def test_an_encoder_that_breaks_the_contract_is_told_which(root, tmp_path, capsys, case):
    body, said = PARTS[case]
    (tmp_path / f"broken_{abs(hash(case))}.py").write_text(HEAD + body)
    words = ["--dataset-config-file", root / "data.yaml", "--output-dir", tmp_path / "out"]
    assert command("evaluate", "--encoder", f"{tmp_path}/broken_{abs(hash(case))}.py:f", *words) == 2
    err = capsys.readouterr().err
    assert said in err and "FILE.py:f is a function f(device) that returns (encode, transform)" in err, err
    assert len(err.splitlines()) == 1, err


def test_the_contract_stands_in_the_docs():
    from splip.models.contract import CONTRACT

    page = " ".join((Path(__file__).parents[2] / "docs" / "EXTEND.md").read_text().split())
    assert "".join(CONTRACT.split()) in page.replace("`", "").replace(" ", ""), CONTRACT
