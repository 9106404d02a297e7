"""splip search --server: the same answer as without it, no torch, and nothing that would be ignored."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import colour_model, drawing, gallery
from test_server import serve

from splip.cli import main as splip_command
from splip.search import client
from splip.search.index import Index

pytest.importorskip("faiss")
pytest.importorskip("uvicorn")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    index = Index.open(tmp_path_factory.mktemp("index"), colour_model())
    index.add([gallery(tmp_path_factory.mktemp("photos"))], quiet=True)
    with serve(index) as address:
        yield index, address


def asked(capsys, *words, status=0):
    assert splip_command(["search", *map(str, words)]) == status
    out, err = capsys.readouterr()
    return err if status else out


def test_it_answers_as_the_index_does(home, tmp_path, capsys):
    index, address = home
    drawing(background="black", ink="white").save(tmp_path / "drawing.png")
    photo = index.search(text="blue")[0].path
    words = [tmp_path / "drawing.png", "--photo", photo, "--text", "red", "--top", 4, "--server", address]
    found = json.loads(asked(capsys, *words, "--json"))
    for question, kind in zip(found, ("sketch", "photo")):
        wanted = index.search(question["path"], 4, kind=kind, text="red")
        assert [hit["path"] for hit in question["hits"]] == [hit.path for hit in wanted]
        assert [hit["score"] for hit in question["hits"]] == pytest.approx([hit.score for hit in wanted], abs=1e-4)
    paths = asked(capsys, "--text", "red", "-f", "--server", f"{address}/").splitlines()
    assert paths == [hit.path for hit in index.search(text="red")]
    out = asked(
        capsys, "--text", "red", "--server", address, "--sheet", tmp_path / "a.png", "--copy-to", tmp_path / "b"
    )
    assert paths[0] in out and (tmp_path / "a.png").is_file() and len(list((tmp_path / "b").iterdir())) == 6


def test_no_torch_is_loaded(home, tmp_path):
    _, address = home
    drawing().save(tmp_path / "drawing.png")
    code = "import sys; from splip.cli import main; s = main(sys.argv[1:]); print('torch' in sys.modules); sys.exit(s)"
    words = ["search", str(tmp_path / "drawing.png"), "--server", address, "-f"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "False", done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 7


def test_what_a_server_has_chosen_already_is_refused(home, tmp_path, capsys):
    _, address = home
    for words, said in (
        (["--photos", tmp_path], "leave out --photos, or --server"),
        (["--index", tmp_path, "--device", "cuda"], "leave out --index, --device, or --server"),
        (["--text-weight", "0.2"], "leave out --text-weight, or --server"),
        (["--minus", "blue"], "leave out --minus, or --server"), (["--scaled"], "leave out --scaled, or --server"),
        (["--model", "clip:ViT-B/32"], "has the model colours, not"), (["--top", "500"], "k must be 1 to 200"),
    ):  # fmt: skip
        assert said in asked(capsys, "--text", "red", "--server", address, *words, status=2), words
    drawing(background="white", ink="white").save(tmp_path / "blank.png")
    assert "it is blank" in asked(capsys, tmp_path / "blank.png", "--server", address, status=2)


def test_what_is_no_server_is_said(home, capsys, monkeypatch):
    _, address = home
    for wrong, said in (
        ("http://127.0.0.1:1", "no splip app answers at http://127.0.0.1:1"), ("127.0.0.1:7860", "must be an address"),
        (f"{address}/index", "Not Found"),
    ):  # fmt: skip
        assert said in asked(capsys, "--text", "red", "--server", wrong, status=2), wrong
    monkeypatch.setattr(client.Server, "_ask", lambda self, what: {"version": "0.0.1", "local": True})
    assert "is version 0.0.1, this is" in asked(capsys, "--text", "red", "--server", address, status=2)


def test_a_server_for_other_machines_names_no_paths(tmp_path, capsys):
    with serve(Index.open(tmp_path, colour_model()), local=False) as address:
        assert "answers other machines, too" in asked(capsys, "--text", "red", "--server", address, status=2)
