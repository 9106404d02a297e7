"""A drawing's results by cosine minus crowding: against a slow reading of CSLS, in an index, and by the command."""

import json

import numpy as np
import pytest
import torch
from pictures import colour_model, drawing
from PIL import Image

from splip.cli import main as splip_command
from splip.search import scaling
from splip.search.engines import engine_class
from splip.search.index import Index
from splip.search.records import Hit

pytest.importorskip("faiss")
rng = np.random.default_rng(0)


def unit(*shape):
    x = rng.standard_normal(shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def slow_csls(query, photos, k):
    """2 cos(x, y) - r(y), halved: r is y's mean cosine to its k nearest of the other photos."""
    scores = []
    for i, photo in enumerate(photos):
        others = sorted((float(photo @ other) for j, other in enumerate(photos) if j != i), reverse=True)
        scores.append(float(query @ photo) - sum(others[:k]) / k / 2)
    return np.array(scores)


def test_it_is_csls():
    photos, query = unit(150, 16), unit(16)
    hits = [Hit(str(i), float(query @ photo), i) for i, photo in enumerate(photos)]
    found = scaling.reorder(hits, dict(enumerate(photos)), photos, 20)
    wanted = slow_csls(query, photos, scaling.NEIGHBOURS)
    assert [hit.id for hit in found] == np.argsort(-wanted)[:20].tolist()
    assert [hit.score for hit in found] == pytest.approx(np.sort(wanted)[::-1][:20].tolist(), abs=1e-5)


def test_a_photo_in_a_crowd_comes_later():
    crowd = unit(1, 16) + 0.3 * unit(30, 16)
    crowd /= np.linalg.norm(crowd, axis=1, keepdims=True)
    alone = unit(16)
    photos = np.concatenate([crowd, alone[None]])
    query = crowd.mean(axis=0) + 0.9 * alone
    hits = [Hit(str(i), float(query @ photo), i) for i, photo in enumerate(photos)]
    assert max(hits, key=lambda hit: hit.score).id < 30, "by cosine one of the crowd is first"
    assert scaling.reorder(hits, dict(enumerate(photos)), photos, 1)[0].id == 30


def test_copies_are_no_neighbours_and_lost_photos_no_result():
    photos = unit(30, 8)
    assert scaling.crowding(photos[:1], photos) == pytest.approx(scaling.crowding(photos[:1], photos[1:]), abs=1e-6)
    assert scaling.crowding(photos, photos[:1])[1:] == pytest.approx((photos @ photos[0])[1:], abs=1e-6)
    hits = [Hit("a", 0.5, 1), Hit("b", 0.4, 2)]
    assert [hit.path for hit in scaling.reorder(hits, {2: photos[0]}, photos, 5)] == ["b"]
    assert scaling.reorder(hits, {}, photos, 5) == []


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(120):
        Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((32, 32)).save(folder / f"{i}.png")
    index = Index.open(tmp_path_factory.mktemp("index"), colour_model())
    index.add([folder], quiet=True)
    drawing(folder.parent / "drawing.png")
    return index, folder.parent / "drawing.png"


def test_an_index_orders_drawings_so(home):
    index, path = home
    vectors = np.stack([vector for _, _, vector in index.store.rows()]).astype(np.float32)
    paths = [path for path, _, _ in index.store.rows()]
    query = np.asarray(index.question(path))
    wanted = slow_csls(query, vectors, scaling.NEIGHBOURS)
    found = index.search(path, 120, scaled=True)
    assert {hit.path: hit.score for hit in found} == pytest.approx(dict(zip(paths, wanted)), abs=2e-3)
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    plain = index.search(path, 120)
    assert {hit.path: hit.score for hit in plain} == pytest.approx(dict(zip(paths, vectors @ query)), abs=2e-3)
    assert [hit.path for hit in plain] != [hit.path for hit in found]
    assert index.search(path, 5, scaled=True) == found[:5]


def test_a_small_index_is_refused(home, monkeypatch):
    index, path = home
    monkeypatch.setattr("splip.search.index.LEAST", 121)
    with pytest.raises(ValueError, match="the scaled order needs an index of at least 121 photos, this one has 120"):
        index.search(path, 9, scaled=True)


def test_the_sample_follows_the_index(home, monkeypatch):
    index, path = home
    index.search(path, scaled=True)
    drawn = []
    monkeypatch.setattr(type(index.store), "sample", lambda self, count: drawn.append(count) or unit(50, 12))
    index.search(path, scaled=True)
    assert not drawn
    monkeypatch.setattr(type(index.store), "__len__", lambda self: 127)
    index.search(path, scaled=True)
    assert drawn == [scaling.SAMPLE]


def test_the_command_has_both(home, tmp_path, monkeypatch, capsys):
    index, path = home
    monkeypatch.setattr("splip.cli.search.open_index", lambda args: index)
    for words, scaled in (([], False), (["--scaled"], True)):
        assert splip_command(["search", str(path), "--json", "--all-copies", "--top", "7", *words]) == 0
        [answer] = json.loads(capsys.readouterr().out)
        wanted = index.search(path, 7, scaled=scaled)
        assert [hit["path"] for hit in answer["hits"]] == [hit.path for hit in wanted]


@pytest.mark.parametrize("engine", ["faiss", "milvus"])
def test_engines_give_vectors_and_a_sample(engine, tmp_path):
    if engine == "milvus":
        pytest.importorskip("milvus_lite")
    store = engine_class(engine)
    index = Index.open(tmp_path / "place", colour_model(), engine, str(tmp_path / "x.db") if engine == "milvus" else "")
    assert isinstance(index.store, store) and index.store.vectors_at([]) == {}
    for i, colour in enumerate(np.linspace(0, 255, 12).astype(np.uint8)):
        folder = tmp_path / "photos"
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (int(colour), 255 - int(colour), i)).save(folder / f"{i}.png")
    index.add([folder], quiet=True)
    ids = [hit.id for hit in index.search(folder / "3.png", 12, kind="photo")]
    vectors = index.store.vectors_at([*ids, 2**40])
    assert sorted(vectors) == sorted(ids)
    every = index.store.sample(100)
    assert every.shape == (12, 12) and every.dtype == np.float32 and index.store.sample(5).shape == (5, 12)
    rows = {tuple(np.round(np.asarray(v, dtype=np.float32), 3)) for v in vectors.values()}
    assert {tuple(np.round(row, 3)) for row in every} == rows
    assert torch.is_tensor(index.question(folder / "3.png", kind="photo"))
    index.close()
