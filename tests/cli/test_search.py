"""`splip index` and `splip search` as one types them, with the model that ships with the package."""

import json
import os

import numpy as np
import pytest
from pictures import drawing, gallery, paint
from PIL import Image
from tiny_strokes import write_strokes

from splip import cli
from splip.search.drawings import clean_drawing, open_drawing

pytest.importorskip("faiss")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return gallery(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("kept")


@pytest.fixture(scope="module")
def sketch(tmp_path_factory):
    path = tmp_path_factory.mktemp("sketch") / "drawing.png"
    drawing(path)
    return path


@pytest.fixture
def splip_(kept, tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder -> (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(command, *words):
        status = cli.main([command, *map(str, words), "--index", str(kept)])
        return (status, *capsys.readouterr())

    return run


def test_index_then_search(splip_, photos, sketch, tmp_path):
    status, out, _ = splip_("index", photos)
    assert status == 0 and out.startswith("6 new") and "6 vectors, exact" in out, out
    assert splip_("index")[1].startswith("6 unchanged")
    assert json.loads(splip_("index", "--list")[1])["images"] == 6
    status, out, _ = splip_("search", sketch, "--top", 3)
    lines = out.splitlines()
    assert status == 0 and lines[0] == str(sketch) and lines[-1] == "search.png"
    lines = [line for line in lines if " %  " in line or line == lines[0]]  # without the weak line
    assert len(lines) == 4
    scores = [float(line.split()[0]) for line in lines[1:4]]
    assert scores == sorted(scores, reverse=True) and all(
        os.path.isfile(line.split("%")[1].strip()) for line in lines[1:4]
    )
    assert Image.open(tmp_path / "search.png").width > 300
    assert splip_("search", sketch)[0] == 0, "a sheet of its own is replaced"


def test_other_ways_to_ask_and_to_answer(splip_, photos, sketch, tmp_path):
    _, out, _ = splip_("search", sketch, "-f", "--top", 4)
    assert len(out.splitlines()) == 4 and all(map(os.path.isfile, out.splitlines()))
    _, out, _ = splip_("search", "--photo", photos / "cold" / "blue.png", sketch, "--text", "sky", "--json", "--top", 2)
    rows = json.loads(out)
    assert [(row["kind"], row["text"], len(row["hits"])) for row in rows] == [("sketch", "sky", 2), ("photo", "sky", 2)]
    _, out, _ = splip_("search", "--photo", photos / "cold" / "blue.png", "--top", 1, "-f")
    assert out.strip() == str(photos / "cold" / "blue.png")
    status, out, _ = splip_("search", "--text", "a blue wall", "--copy-to", tmp_path / "found", "--top", 2, "-f")
    assert status == 0 and sorted(name[:4] for name in os.listdir(tmp_path / "found")) == ["001_", "002_"]
    assert not (tmp_path / "search.png").exists()
    status, _, err = splip_("search", "--text", "a blue wall", "--copy-to", tmp_path / "found", "--top", 2, "-f")
    assert status != 0 and "is there already" in err


def test_what_was_understood_is_shown(splip_, photos, sketch, tmp_path):
    splip_("index", photos)
    status, _, said = splip_("search", sketch, "-f", "--show-drawing", "seen.png")
    assert status == 0 and "understood as seen.png (" in said, said
    wanted = clean_drawing(open_drawing(sketch)).image
    assert np.array_equal(Image.open(tmp_path / "seen.png"), wanted)
    for words, message in (
        ([sketch, "--show-drawing", "seen.png"], "--show-drawing seen.png must be a new .png file"),
        ([sketch, "--show-drawing", "seen.jpg"], "--show-drawing seen.jpg must be a new .png file"),
        ([sketch, sketch, "--show-drawing", "two.png"], "--show-drawing is for one drawing, got 2"),
        (["--text", "cup", "--show-drawing", "none.png"], "--show-drawing is for one drawing, got 0"),
    ):
        status, _, said = splip_("search", "-f", *words)
        assert status == 2 and message in said, said


def test_a_drawing_of_strokes_asks_like_its_picture(splip_, photos, tmp_path):
    splip_("index", photos)
    path = write_strokes(tmp_path / "ant.ndjson", count=3)
    for number in (1, 2, 3):
        open_drawing(f"{path}:{number}").save(tmp_path / f"{number}.png")
        answers = [json.loads(splip_("search", asked, "--json")[1])[0]["hits"]
                   for asked in (f"{path}:{number}", tmp_path / f"{number}.png")]  # fmt: skip
        assert answers[0] == answers[1], number
    first, second = (json.loads(splip_("search", f"{path}{n}", "--json")[1])[0]["hits"] for n in ("", ":2"))
    assert first == json.loads(splip_("search", f"{path}:1", "--json")[1])[0]["hits"] != second
    status, out, _ = splip_("search", path, f"{path}:3")
    assert status == 0 and out.splitlines()[0] == str(path) and (tmp_path / "search.png").exists()
    for number in (0, 4):
        status, _, err = splip_("search", f"{path}:{number}")
        assert status != 0 and f"no drawing {number}; they are counted from 1" in err, err
    path.write_text("no drawing")
    assert "ant.ndjson:1: no line of JSON" in splip_("search", path)[2]


def test_a_folder_is_indexed_and_searched_alone(splip_, sketch, tmp_path):
    paint(tmp_path / "more" / "red.png", "red", mark=3)
    _, out, _ = splip_("search", sketch, "--photos", tmp_path / "more", "-f")
    assert out.splitlines() == [str(tmp_path / "more" / "red.png")]
    assert str(tmp_path / "more") not in splip_("index", "--list")[1], "it is not remembered"


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "what is to be searched for? Give a DRAWING, --photo or --text"),
        (["gone.png"], "no file 'gone.png' (words go with --text)"),
        (["gone.ndjson:3"], "no file 'gone.ndjson:3'"),
        (["{sketch}", "--top", "0"], "--top must be at least 1, got 0"),
        (["{sketch}", "--sheet", "{photo}"], "is there already, and no sheet of splip"),
        (["{sketch}", "--model", "nowhere"], "no model at 'nowhere'"),
        (["{sketch}", "--device", "banana"], "device 'banana' cannot be used here"),
        (["{sketch}", "--photos", "nowhere"], "no folder"),
        (["--text", "x " * 90], "too long for CLIP's text encoder"),
        (["{sketch}", "--text", "red", "--text-weight", "3"], "text_weight must lie in [0, 1]"),
        (["{sketch}", "--minus", "red", "--minus-weight", "3"], "minus_weight must lie in [0, 1]"),
        (["{sketch}", "--minus-weight", "0.3"], "--minus-weight is the weight of --minus, which is not given"),
        (["--minus", "red"], "what is to be searched for? Give a DRAWING, --photo or --text"),
        (["{sketch}", "--scaled"], "the scaled order needs an index of at least 100 photos, this one has"),
    ],
)
def test_mistakes_are_said_in_a_line(splip_, sketch, photos, words, message):
    photo = photos / "cold" / "blue.png"
    before = photo.read_bytes()
    status, out, err = splip_("search", *[word.format(sketch=sketch, photo=photo) for word in words])
    assert status != 0 and message in err and len(err.splitlines()) == 1 and not out, err
    assert photo.read_bytes() == before


def test_nothing_indexed_yet(tmp_path, sketch, capsys):
    assert cli.main(["search", str(sketch), "--index", str(tmp_path)]) != 0
    assert "there are no photos in the index: splip index FOLDER" in capsys.readouterr().err
    assert cli.main(["index", "--index", str(tmp_path)]) != 0
    assert "no folder was added yet" in capsys.readouterr().err
    assert cli.main(["index", "--exclude", "*.gif", "--index", str(tmp_path)]) != 0
    assert "--exclude belongs to the folders" in capsys.readouterr().err
