"""A saved model, in a folder or on the hub, gives bit-equal embeddings on another machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import CLASSNAMES, build_clip, make_tiny_clip_file, save_clip
from hub import hub  # noqa: F401  (a fixture)

import splip
from splip import SpLIP, SpLIPConfig
from splip.backbone import load_clip
from splip.models import pretrained

pytest.importorskip("safetensors")
FIXTURE = Path(__file__).parents[1] / "fixtures" / "saved"


@pytest.fixture
def clip_file(tmp_path):
    return make_tiny_clip_file(tmp_path / "clip.pt")


def make_model(clip_file, **settings):
    model = SpLIP(load_clip(clip_file), CLASSNAMES, SpLIPConfig(permutations=10, **settings))
    torch.manual_seed(3)
    with torch.no_grad():
        for value in model.trainable.state_dict().values():
            if value.is_floating_point():
                value.add_(0.05 * torch.randn_like(value))
    return model.eval()


def embeddings(model):
    images = torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    return torch.cat([model.encode(images, modality) for modality in ("sketch", "photo")])


@pytest.mark.parametrize("settings", [{}, {"layernorm_shared": False, "train_proj": True, "free_prompts": 2}])
def test_saved_and_loaded_bit_for_bit(tmp_path, clip_file, settings):
    model = make_model(clip_file, **settings)
    folder = model.save_pretrained(tmp_path / "saved")
    loaded = SpLIP.from_pretrained(folder)
    assert torch.equal(embeddings(loaded), embeddings(model))
    assert torch.equal(loaded.encode_text(["a cat"]), model.encode_text(["a cat"]))
    assert loaded.config == model.config and loaded.classnames == CLASSNAMES and not loaded.training
    assert {path.name for path in folder.iterdir()} == {"splip.json", "model.safetensors", "README.md"}
    again = loaded.save_pretrained(folder)  # over an earlier save
    assert torch.equal(embeddings(SpLIP.from_pretrained(again)), embeddings(model))


def test_another_machine(tmp_path, clip_file):
    """Another process, another folder, the backbone elsewhere; nothing but the saved folder and the backbone."""
    model = make_model(clip_file)
    model.save_pretrained(tmp_path / "saved")
    (tmp_path / "there").mkdir()
    (tmp_path / "saved").rename(tmp_path / "there" / "model")
    clip_file.rename(tmp_path / "there" / "backbone.pt")
    code = """
import sys, torch, splip
images = torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(0))
model = splip.load_model("model", backbone="backbone.pt").source
torch.save(torch.cat([model.encode(images, m) for m in ("sketch", "photo")]), "embeddings.pt")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "there", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert torch.equal(torch.load(tmp_path / "there" / "embeddings.pt"), embeddings(model))


def test_a_folder_of_schema_2_loads(tmp_path):
    """Later versions must read it, or say that they do not (its backbone: `build_clip(seed=5)`)."""
    clip = save_clip(build_clip(seed=5), tmp_path / "clip.pt")
    wanted = torch.load(FIXTURE.parent / "saved_embeddings.pt", weights_only=True)
    found = embeddings(SpLIP.from_pretrained(FIXTURE, backbone=str(clip)))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def change(folder, **about):
    path = folder / "splip.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **about}))


def test_what_does_not_fit_is_named(tmp_path, clip_file):
    folder = make_model(clip_file).save_pretrained(tmp_path / "saved")
    other = save_clip(build_clip(seed=9), tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"was trained on another backbone: .*weights "):
        SpLIP.from_pretrained(folder, backbone=str(other))
    clip_file.rename(tmp_path / "moved.pt")
    with pytest.raises(ValueError, match=r"needs its backbone: .*give that as backbone \(--backbone\)"):
        SpLIP.from_pretrained(folder)
    change(folder, settings={"NEW_KEY": 1})
    with pytest.raises(ValueError, match=r"settings that this splip does not know: NEW_KEY"):
        SpLIP.from_pretrained(folder, backbone=str(tmp_path / "moved.pt"))
    change(folder, method="Other")
    with pytest.raises(ValueError, match="holds a Other, not a SpLIP"):
        SpLIP.from_pretrained(folder)
    change(folder, schema=99)
    with pytest.raises(ValueError, match=r"another version of splip \(schema 99, here 2\)"):
        SpLIP.from_pretrained(folder)
    (folder / "splip.json").write_text("{}")
    with pytest.raises(ValueError, match=r"cannot read the model in .*: splip.json lacks 'schema'"):
        SpLIP.from_pretrained(folder)
    with pytest.raises(ValueError, match=r"is no folder of save_pretrained or of a run: there is no .*splip.json"):
        SpLIP.from_pretrained(tmp_path)


def test_damaged_weights_are_named(tmp_path, clip_file):
    folder = make_model(clip_file).save_pretrained(tmp_path / "saved")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cannot read the model in"):
        SpLIP.from_pretrained(folder)


def test_what_cannot_be_saved_is_named(tmp_path, clip_file):
    with pytest.raises(ValueError, match=r"did not come from splip.load_clip"):
        SpLIP(build_clip(), CLASSNAMES, SpLIPConfig(permutations=10)).save_pretrained(tmp_path / "a")
    with pytest.raises(ValueError, match="RetrievalModel has no recipe"):
        splip.RetrievalModel(load_clip(clip_file)).save_pretrained(tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "thesis.tex").write_text("")
    with pytest.raises(FileExistsError, match=r"holds other files \(thesis.tex\)"):
        make_model(clip_file).save_pretrained(tmp_path / "c")


def test_the_card_says_what_it_is(tmp_path, clip_file):
    results = {
        "dataset": "Sketchy", "setting": "zs", "num_queries": 1234, "num_gallery": 5678, "seed": 1, "epoch": 60,
        "metrics": {"min_r_k": {"mAP@all": 71.234, "P@100": 68.1}},
    }  # fmt: skip
    folder = make_model(clip_file).save_pretrained(tmp_path / "saved", results=results)
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: splip\n") and "# SpLIP on clip.pt" in card
    assert "| min_r_k | 71.23 | 68.10 |" in card and "1,234 queries, 5,678 photos" in card and "| 5 |" in card


def test_there_and_back_by_the_hub(hub, clip_file):  # noqa: F811
    model = make_model(clip_file)
    address = model.push_to_hub("somebody/splip-tiny")
    assert address.endswith("/somebody/splip-tiny")
    assert set(hub.files["somebody/splip-tiny"]) == {"splip.json", "model.safetensors", "README.md"}
    assert torch.equal(embeddings(SpLIP.from_pretrained("somebody/splip-tiny")), embeddings(model))
    assert torch.equal(embeddings(splip.load_model("somebody/splip-tiny").source), embeddings(model))
    with pytest.raises(ValueError, match="'somebody/else' is neither a folder nor a model of splip on the hub"):
        pretrained.read("somebody/else")


def test_a_save_that_finds_no_room_keeps_the_model_before(tmp_path, monkeypatch):
    from conftest import CLASSNAMES, make_tiny_clip_file

    from splip import SpLIP, SpLIPConfig, load_clip

    model = SpLIP(load_clip(make_tiny_clip_file(tmp_path / "clip.pt")), CLASSNAMES, SpLIPConfig(permutations=10))
    folder = model.save_pretrained(tmp_path / "saved")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="what was there before is kept"):
        model.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
