"""What a score says: the curve, where it is kept, and what is shown of it."""

import json
import subprocess
import sys
from math import log
from pathlib import Path

import numpy as np
import pytest
from pictures import COLOURS, colour_model, drawing, gallery
from PIL import Image

import splip
from splip.cli import main as splip_command
from splip.models.scores import WEAK, Scores, read_scores
from splip.search.index import Index

pytest.importorskip("faiss")
ROOT = Path(__file__).resolve().parents[2]


def test_the_curve():
    scores = Scores(4.0, -3.0)
    assert scores.share(0.75) == 0.5 and scores.share(0.2) < scores.share(0.3)
    assert log(scores.share(0.3) / (1 - scores.share(0.3))) == pytest.approx(4 * 0.3 - 3)
    assert read_scores({}) is None and read_scores({"scores": {"slope": 2, "offset": -1}}) == Scores(2, -1)


@pytest.mark.parametrize("said, message", [
    ({"slope": 2}, "scores must be slope and offset"), ({"slope": "x", "offset": 1}, "scores must be slope and offset"),
    ([1, 2], "scores must be slope and offset"), ({"slope": -1, "offset": 0}, r"must lie in \(0, 100\), got -1"),
    ({"slope": float("nan"), "offset": 0}, r"must lie in \(0, 100\), got nan"),
])  # fmt: skip
def test_scores_that_say_nothing_are_refused(said, message):
    with pytest.raises(ValueError, match=message):
        read_scores({"scores": said})


def test_the_fit_finds_the_curve_that_made_the_data():
    sys.path.insert(0, str(ROOT / "tools"))
    from calibrate import fit

    rng = np.random.default_rng(0)
    cosines = rng.uniform(0.1, 0.8, 20_000)
    made = Scores(6.0, -4.0)
    right = rng.random(20_000) < np.array([made.share(cosine) for cosine in cosines])
    found = fit(cosines, right)
    assert found.slope == pytest.approx(6, abs=0.4) and found.offset == pytest.approx(-4, abs=0.2), found
    for wrong, message in ((np.zeros(20_000, bool), "some photos must be right"), (cosines < 0.3, "say nothing")):
        with pytest.raises(ValueError, match=message):
            fit(cosines, wrong)


def class_folders(folder):
    """A folder for each of two classes, with photos and with drawings."""
    for name in ("red", "airplane"):
        for kind in ("photo", "sketch"):
            (folder / kind / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), COLOURS["red"]).save(folder / "photo" / name / "1.png")
        drawing(folder / "sketch" / name / "1.png")


def calibrate(folder, *words):
    command = [sys.executable, "tools/calibrate.py", "--sketches", folder / "sketch", "--photos", folder / "photo"]
    return subprocess.run([*map(str, command), *words], capture_output=True, text=True, cwd=ROOT)


def test_calibration_refuses_what_the_model_has_seen(tmp_path):
    class_folders(tmp_path)
    done = calibrate(tmp_path, "--model", "splip-search", "--classes", "red", "airplane")
    assert done.returncode == 1 and "the model was trained on airplane: the scores would be too high" in done.stderr


def test_they_travel_with_the_model(tmp_path):
    assert splip.load_model().scores == read_scores(json.loads(
        (ROOT / "splip" / "assets" / "search" / "splip.json").read_text()
    ))  # fmt: skip
    assert splip.load_model("clip:splip-hybrid").scores is None


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    model = colour_model()
    index = Index.open(tmp_path_factory.mktemp("index"), model)
    folder = tmp_path_factory.mktemp("photos")
    index.add([gallery(folder)], quiet=True)
    drawing(folder.parent / "drawing.png")
    return index, str(folder.parent / "drawing.png")


def rated(index, path, between):
    """Scores by which the first ``between`` hits are no weak matches."""
    cosines = [hit.score for hit in index.search(path)]
    edge = (cosines[between - 1] + cosines[between]) / 2 if between else cosines[0] + 1e-4
    return Scores(50.0, log(WEAK / (1 - WEAK)) - 50 * edge)


@pytest.mark.parametrize("between", [2, 0])
def test_the_command_draws_a_line(home, between, monkeypatch, capsys, tmp_path):
    index, path = home
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("splip.cli.search.open_index", lambda args: index)
    monkeypatch.setattr(index.model, "scores", rated(index, path, between))

    def search(*words):
        assert splip_command(["search", *words]) == 0
        return capsys.readouterr().out

    lines = search(path, "--top", "6").splitlines()[1:-1]
    line = next(i for i, text in enumerate(lines) if text.startswith("  ---- weak: fewer than 7 of 100 photos"))
    assert line == (between or 1) and len(lines) == (7 if between else 8), lines
    assert ("  nothing here looks much like it" in lines) == (between == 0)
    assert all(" %  " in text for text in lines[line + 1 :])
    [answer] = json.loads(search(path, "--json"))
    rights = [hit["right"] for hit in answer["hits"]]
    assert [right < WEAK for right in rights] == [False] * between + [True] * (6 - between)
    for words in (["--photo", path], ["--text", "red"], [path, "--text", "red"]):  # not what was measured
        [answer] = json.loads(search(*words, "--json"))
        assert "%" not in search(*words) and {hit["right"] for hit in answer["hits"]} == {None}


def test_the_server_says_it_too(home, monkeypatch):
    testclient = pytest.importorskip("starlette.testclient")
    from splip.search.server import make_app

    index, path = home
    monkeypatch.setattr(index.model, "scores", rated(index, path, 2))
    with testclient.TestClient(make_app(index), base_url="http://127.0.0.1:7860") as client:
        body = Path(path).read_bytes()
        rows = client.post("/search?kind=sketch", content=body).json()["hits"]
        assert [row["weak"] for row in rows] == [False] * 2 + [True] * 4
        assert [row["right"] for row in rows] == pytest.approx([hit.right for hit in index.search(path)], abs=1e-3)
        for words, content in (("kind=photo", body), ("kind=sketch&text=red", body), ("text=red", b"")):
            assert "right" not in client.post(f"/search?{words}", content=content).json()["hits"][0], words
