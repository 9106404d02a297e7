"""A CLIP as it is, of any library, searches photos: one word of the command."""

import pytest
import torch
from conftest import make_tiny_clip_file
from pictures import gallery
from PIL import Image
from test_foreign import make_hugging_face, make_open_clip

import splip
from splip import cli

SOURCES = ("OpenAI's file", "Hugging Face's folder", "open_clip")


def plain(source, folder, monkeypatch):
    """A name for --model, and for load_clip."""
    if source == "open_clip":
        name = make_open_clip(folder, monkeypatch)[1]
        return name, name
    if source == "OpenAI's file":
        name = str(make_tiny_clip_file(folder / "clip.pt"))
    else:
        make_hugging_face(folder, "gelu")
        name = str(folder)
    return f"clip:{name}", name


@pytest.mark.parametrize("source", SOURCES)
def test_it_embeds_as_its_own_encoders_do(tmp_path, monkeypatch, source):
    where, name = plain(source, tmp_path, monkeypatch)
    model, clip = splip.load_model(where), splip.load_clip(name)
    photo = Image.effect_mandelbrot((90, 70), (-2, -1, 1, 1), 30).convert("RGB")
    images = splip.preprocess(clip)(photo)[None]
    for modality in ("sketch", "photo"):
        wanted = torch.nn.functional.normalize(clip.encode_image(images), dim=-1)
        torch.testing.assert_close(model.embed([photo], modality), wanted, rtol=0, atol=1e-5)
    assert model.knows_words and model.embed_text(["a red car"]).shape == wanted.shape and model.name == where
    assert model.classes == [] and model.identity != splip.load_model().identity


@pytest.mark.parametrize("source", SOURCES)
def test_it_searches_by_the_command(tmp_path, monkeypatch, capsys, source):
    pytest.importorskip("faiss")
    (tmp_path / "model").mkdir()
    where, _ = plain(source, tmp_path / "model", monkeypatch)
    photos = gallery(tmp_path / "photos")
    words = ["--model", where, "--index", str(tmp_path / "index")]
    assert cli.main(["index", *words, str(photos)]) == 0, capsys.readouterr().err
    asked = sorted(photos.rglob("*.png"))[0]
    assert cli.main(["search", *words, "--photo", str(asked), "--sheet", str(tmp_path / "s.png")]) == 0
    said = capsys.readouterr().out
    assert f"1.000  {asked}" in said, said
    assert cli.main(["search", *words, "--text", "red", "--sheet", str(tmp_path / "t.png")]) == 0


def test_a_backbones_name_alone_is_explained():
    with pytest.raises(ValueError, match="'splip-hybrid' is a backbone, not a trained model: clip:splip-hybrid embeds"):
        splip.load_model("splip-hybrid")
    assert splip.load_model("clip:splip-hybrid").embed_text(["cat"]).shape == (1, 512)
    with pytest.raises(ValueError, match="nothing"):
        splip.load_model("clip:nothing")
