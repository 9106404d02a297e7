"""An index knows what is there, whatever happened to the files and whichever engine holds it."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from pictures import COLOURS, colour_model, gallery, names, paint
from PIL import Image

import splip
from splip.search.engines.store import LocalStore
from splip.search.index import Index

pytest.importorskip("faiss")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Milvus Lite behind its own gRPC port: what a remote Milvus is to the client."""
    pytest.importorskip("milvus_lite")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("milvus")
    command = [sys.executable, "-m", "milvus_lite", "server", "--data-dir", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


@pytest.fixture(params=["faiss", "milvus", "milvus server"])
def make(request, tmp_path):
    """Opens the index of a model (again) with each engine."""
    if request.param != "faiss":
        pytest.importorskip("pymilvus")
        pytest.importorskip("milvus_lite")
    uri = {"faiss": "", "milvus": str(tmp_path / "photos.db")}.get(request.param)
    if uri is None:
        uri = request.getfixturevalue("server")
    opened = []

    own = hashlib.sha256(str(tmp_path).encode()).hexdigest()[:20]  # the server outlives a test

    def make(identity=own):
        for index in opened:
            index.close()
        opened[:] = [Index.open(tmp_path / "index", colour_model(identity), request.param.split()[0], uri)]
        return opened[0]

    yield make
    for index in opened:
        index.close()


def test_what_is_there_is_found_by_picture_words_and_both(make, tmp_path):
    index, folder = make(), gallery(tmp_path / "photos")
    report = index.add([folder], quiet=True)
    assert (report.added, len(index)) == (6, 6), report
    assert names(index.search(folder / "cold" / "blue.png", 1, kind="photo")) == ["blue"]
    assert names(index.search(text="red", k=2))[0] == "red"
    mixed = index.search(folder / "warm" / "red.png", 6, kind="photo", text="blue", text_weight=0.95)
    assert names(mixed)[0] == "blue", mixed
    red, blue = (np.asarray(index.model.embed_text([word])[0]) for word in ("red", "blue"))
    wanted = (red - 0.3 * blue) / np.linalg.norm(red - 0.3 * blue)
    assert np.allclose(index.question(None, text="red", minus="blue", minus_weight=0.3), wanted, atol=1e-6)
    less = {hit.path: hit.score for hit in index.search(text="red", minus="blue", minus_weight=0.3, k=6)}
    assert less == pytest.approx({hit.path: hit.score for hit in index.nearest(wanted, 6)}, abs=1e-4)
    hits = index.search(text="green", k=6)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert abs(hits[0].score - 1) < 0.02, hits[0]
    assert names(index.search(text="green", k=6, below=folder / "warm")) and not any(
        "cold" in hit.path for hit in index.search(text="green", k=6, below=folder / "warm")
    )
    assert names(index.similar(hits[0].id, 1)) == ["green"]
    path, known = index.store.known_of(hits[0].id)
    assert path == hits[0].path and index.store.known()[path] == known
    assert index.store.known_of(5) is None or index.store.known_of(5)[0] in index.store.known()
    newest = index.store.newest(2)
    assert [index.store.known_of(hit.id)[0] for hit in newest] == [hit.path for hit in newest]


def test_it_is_kept(make, tmp_path):
    folder = gallery(tmp_path / "photos")
    make().add([folder], excludes=["grey*"], quiet=True)
    index = make()
    assert len(index) == 5 and list(index.store.folders().values()) == [["grey*"]]
    report = index.update(quiet=True)
    assert (report.unchanged, report.added, report.skipped["excluded"]) == (5, 0, 1), report


def test_changes_moves_copies_and_losses(make, tmp_path):
    index, folder = make(), gallery(tmp_path / "photos")
    index.add([folder], quiet=True)
    embedded = []
    plain = index.model.embed_pixels
    index.model.embed_pixels = lambda pixels, modality: embedded.extend(pixels) or plain(pixels, modality)
    os.rename(folder / "warm", folder / "hot")  # three moved
    paint(folder / "cold" / "blue.png", "yellow", mark=77)  # changed
    os.remove(folder / "cold" / "green.png")  # gone
    shutil.copy(folder / "hot" / "red.png", folder / "twin.png")  # copied
    os.utime(folder / "cold" / "grey.png", (1, 1))  # only touched
    report = index.update(quiet=True)
    found = (report.added, report.changed, report.moved, report.unchanged, report.removed)
    assert found == (0, 1, 4, 1, 1), report
    assert len(embedded) == 1, "only what changed is embedded"
    assert sorted(os.path.relpath(p, folder) for p in index.store.known()) == [
        "cold/blue.png", "cold/grey.png", "hot/pink.png", "hot/red.png", "hot/yellow.png", "twin.png"
    ]  # fmt: skip
    assert len(index) == 6 and set(names(index.search(text="red", k=2))) == {"red", "twin"}
    assert set(names(index.search(text="yellow", k=2))) == {"yellow", "blue"}
    assert "green" not in names(index.search(text="green", k=6))


def test_what_cannot_be_read_is_listed_and_stops_nothing(make, tmp_path):
    index, folder = make(), gallery(tmp_path / "photos")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (folder / "empty.png").write_bytes(b"")
    (folder / "notes.pdf").write_bytes(b"%PDF")
    paint(folder / ".thumbnails" / "red.png", "red")
    (folder / "._red.png").write_bytes(b"mac")
    for _ in range(2):
        report = index.add([folder], quiet=True)
        reasons = {os.path.basename(path): reason for path, reason in report.failed}
        assert set(reasons) == {"broken.jpg", "empty.png"} and reasons["empty.png"] == "the file is empty", reasons
        assert report.skipped == {".pdf": 1, "hidden": 1}, report.skipped
        assert len(index) == 6
    paint(folder / "empty.png", "red", mark=9)
    assert index.update(quiet=True).added == 1


@pytest.mark.parametrize("mount_point", [False, True])
def test_a_folder_that_is_away_is_not_forgotten_and_holds_up_no_other(make, tmp_path, mount_point):
    index, folder = make(), gallery(tmp_path / "photos")
    paint(tmp_path / "others" / "red.png", "red", mark=50)
    index.add([folder, tmp_path / "others"], quiet=True)
    os.rename(folder, tmp_path / "unplugged")
    if mount_point:
        folder.mkdir()
    paint(tmp_path / "others" / "blue.png", "blue", mark=51)
    report = index.update(quiet=True)
    assert (report.away, report.added, report.removed) == ([str(folder)], 1, 0) and len(index) == 8, report
    assert index.forget(folder) == 6 and len(index) == 2
    with pytest.raises(ValueError, match="none of the folders that were added"):
        index.forget(folder)


def test_what_a_folder_leaves_out_is_remembered(make, tmp_path):
    index, folder = make(), gallery(tmp_path / "photos")
    index.add([folder], excludes=["grey*"], quiet=True)
    for report in (index.add([folder], quiet=True), index.add([folder], quiet=True, remember=False)):
        assert (report.unchanged, report.added) == (5, 0), report
    assert list(index.store.folders().values()) == [["grey*"]]
    assert index.add([folder], excludes=[], quiet=True).added == 1
    paint(tmp_path / "once" / "red.png", "red", mark=9)
    assert index.add([tmp_path / "once"], quiet=True, remember=False).added == 1
    assert list(index.store.folders()) == [str(folder)] and len(index) == 7


def test_models_never_mix(make, tmp_path):
    folder = gallery(tmp_path / "photos")
    make().add([folder], quiet=True)
    assert len(make("anothermodel0123")) == 0
    assert len(make()) == 6


def test_it_is_exported(make, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    index = make()
    index.add([gallery(tmp_path / "photos")], quiet=True)
    folder = index.export(tmp_path / "out")
    table, vectors = parquet.read_table(folder / "images.parquet"), np.load(folder / "vectors.npy")
    assert table.num_rows == len(vectors) == 6 and set(table.column_names) == {"path", "size", "time", "digest"}
    for path, vector in zip(table["path"].to_pylist(), vectors):
        expected = index.model.embed([Image.open(path)], "photo")[0].numpy()
        np.testing.assert_allclose(vector, expected, rtol=0, atol=1e-6, err_msg=path)
    assert json.loads((folder / "about.json").read_text())["model"] == "colours"


def test_what_cannot_be_asked_is_named(make, tmp_path):
    index = make()
    index.add([gallery(tmp_path / "photos")], quiet=True)
    blank = tmp_path / "blank.png"
    Image.new("RGB", (50, 50), "white").save(blank)
    for arguments, message in (
        (((blank,), {}), r"blank.png: nothing is drawn on it: it is blank"),
        (((None,), {}), "a picture or words are needed"),
        (((tmp_path / "gone.png",), {}), "cannot read image .*gone.png"),
        (((blank, 0), {"kind": "photo"}), "k must be at least 1, got 0"),
        (((blank,), {"kind": "film"}), r"kind must be one of \('sketch', 'photo'\), got 'film'"),
        (((blank,), {"text": "red", "text_weight": 2}), r"text_weight must lie in \[0, 1\], got 2"),
        (((blank,), {"minus": "red", "minus_weight": -1}), r"minus_weight must lie in \[0, 1\], got -1"),
        (((None,), {"minus": "red"}), "a picture or words are needed"),
        (((None,), {"text": "red", "minus": "red", "minus_weight": 1}), "nothing is left of the question minus 'red'"),
    ):
        with pytest.raises(ValueError, match=message):
            index.search(*arguments[0], **arguments[1])
    with pytest.raises(ValueError, match="there is no image 12345 in the index"):
        index.similar(12345)


def test_renumbered_files_keep_their_own_vectors(make, tmp_path):
    """Every file becomes the next one: a content is overwritten in the index before the next batch asks for it."""
    index, folder, count = make(), tmp_path / "photos", 70
    colours = list(COLOURS)
    for i in range(count):
        paint(folder / f"{i:03}.png", colours[i % 6], mark=i)
    index.add([folder], quiet=True)
    for i in reversed(range(count)):
        os.rename(folder / f"{i:03}.png", folder / f"{i + 1:03}.png")
    paint(folder / "000.png", "grey", mark=999)
    index.update(quiet=True)
    assert len(index) == count + 1
    for path, _, vector in index.store.rows():
        wanted = index.model.embed([Image.open(path)], "photo")[0].numpy()
        np.testing.assert_allclose(vector, wanted, rtol=0, atol=1e-6, err_msg=path)


def test_a_folder_within_a_folder(make, tmp_path):
    index, folder = make(), gallery(tmp_path / "photos")
    index.add([folder / "warm"], quiet=True)
    report = index.add([folder], excludes=["warm"], quiet=True)
    assert (report.added, report.removed, len(index)) == (3, 0, 6), report
    assert index.search(text="red", k=9, below=folder / "warm") and index.add(str(folder), quiet=True).unchanged == 3


def test_an_unreadable_folder_loses_nothing(make, tmp_path, monkeypatch):
    index, folder = make(), gallery(tmp_path / "photos")
    index.add([folder], quiet=True)
    plain = os.scandir

    def scandir(path):
        if str(path).endswith("warm"):
            raise OSError(5, "Input/output error", str(path))
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    report = index.update(quiet=True)
    assert report.away == [str(folder / "warm")] and len(index) == 6 and report.removed == 0, report


def test_a_passing_failure_is_tried_again(make, tmp_path, monkeypatch):
    from splip.search import scan

    index, folder = make(), gallery(tmp_path / "photos")
    with monkeypatch.context() as patch:
        patch.setattr(scan, "open_rgb", lambda *args, **kwargs: (_ for _ in ()).throw(MemoryError()))
        assert len(index.add([folder], quiet=True).failed) == 6
    assert index.update(quiet=True).added == 6


def test_what_another_file_system_held_is_kept_while_it_is_away(make, tmp_path, monkeypatch):
    """Also where its mount point is gone with it, or shows what lies below it; what is in it and deleted goes."""
    index, folder, mounted = make(), gallery(tmp_path / "photos"), {"warm"}
    monkeypatch.setattr(os.path, "ismount", lambda path: os.path.basename(path) in mounted)
    index.add([folder], quiet=True)
    os.rename(folder / "warm", tmp_path / "unplugged")
    mounted.clear()
    for own_files in (False, True):
        if own_files:
            paint(folder / "warm" / "below.png", "grey", mark=70)
        index = make()
        report = index.update(quiet=True)
        assert report.away == [str(folder / "warm")] and (report.removed, report.added) == (0, own_files), report
        assert {"red", "yellow"} <= set(names(index.search(text="red", k=6)))
    shutil.rmtree(folder / "warm")
    os.rename(tmp_path / "unplugged", folder / "warm")
    os.remove(folder / "warm" / "red.png")
    mounted.add("warm")
    report = make().update(quiet=True)
    assert (report.unchanged, report.added, report.removed, report.away) == (5, 0, 2, []), report


def test_a_part_of_a_folder_is_forgotten(make, tmp_path):
    index, folder = make(), gallery(tmp_path / "photos")
    index.add([folder], quiet=True)
    for path in (folder / "warm").iterdir():
        path.unlink()
    report = index.update(quiet=True)
    assert report.away == [str(folder / "warm")] and report.reasons[report.away[0]] == "not there, or empty"
    assert index.forget(folder / "warm") == 3 and len(index) == 3
    assert index.update(quiet=True).away == [] and index.forget(folder / "cold" / "blue.png") == 1
    with pytest.raises(ValueError, match=r"none of the folders that were added.*nothing below it is known"):
        index.forget(folder / "warm")
    assert list(index.store.folders()) == [str(folder)]


def test_what_was_moved_out_of_a_folder_does_not_hide_in_it(make, tmp_path):
    index, folder = make(), gallery(tmp_path / "photos")
    index.add([folder], quiet=True)
    for path in (folder / "warm").iterdir():
        os.rename(path, folder / "cold" / path.name)
    report = index.update(quiet=True)
    assert (report.moved, report.removed, report.away, len(index)) == (3, 0, [], 6), report


def test_a_photo_that_is_empty_now_is_kept(make, tmp_path):
    """Online storage that has put a file away may show it with 0 bytes."""
    index, folder = make(), gallery(tmp_path / "photos")
    index.add([folder], quiet=True)
    content = (folder / "cold" / "blue.png").read_bytes()
    (folder / "cold" / "blue.png").write_bytes(b"")
    report = index.update(quiet=True)
    assert report.failed == [(str(folder / "cold" / "blue.png"), "now: the file is empty")] and len(index) == 6, report
    (folder / "cold" / "blue.png").write_bytes(content)
    assert index.update(quiet=True).unchanged == 6


def test_numbers_that_are_none_are_not_remembered(make, tmp_path):
    index, folder = make(), gallery(tmp_path / "photos")
    plain = index.model.embed_pixels
    index.model.embed_pixels = lambda pixels, modality: plain(pixels, modality) * float("nan")
    report = index.add([folder], quiet=True)
    assert len(report.failed) == 6 and len(index) == 0 and "no finite numbers" in report.failed[0][1], report
    index.model.embed_pixels = plain
    assert index.update(quiet=True).added == 6


def test_a_file_that_is_being_written_is_tried_again(make, tmp_path, monkeypatch):
    from splip.search import walk

    index, whole = make(), paint(tmp_path / "whole.png", "red", size=(400, 300)).read_bytes()
    path = tmp_path / "photos" / "red.png"
    path.parent.mkdir()
    path.write_bytes(whole[: len(whole) // 2])
    stat = os.stat(path)
    plain = walk.File
    with monkeypatch.context() as patch:  # listed when it was longer, read when it was cut
        patch.setattr(walk, "File", lambda path, size, time: plain(path, len(whole), stat.st_mtime_ns))
        report = index.add([path.parent], quiet=True)
        assert report.failed[0][1].startswith("now: "), report.failed
    path.write_bytes(whole)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert index.update(quiet=True).added == 1


def test_failures_are_remembered_until_something_else_reads_images(tmp_path, monkeypatch):
    """They are not tried again by the same versions, and are by others; of the folder alone: Milvus keeps none."""
    from splip.search import scan

    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "broken.png").write_bytes(b"x")
    index = Index.open(tmp_path / "index", colour_model())
    tried, plain = [], scan.open_rgb
    monkeypatch.setattr(scan, "open_rgb", lambda *args, **kwargs: tried.append(1) or plain(*args, **kwargs))
    for version, count in (("1", 1), ("1", 1), ("2", 2), ("2", 2), ("1", 3)):
        monkeypatch.setattr("PIL.__version__", version)
        assert len(index.add([folder], quiet=True).failed) == 1 and len(tried) == count, (version, tried)
    index.close()


@pytest.mark.parametrize("name", ["a_b", "Bücher", "50%", "back\\slash"])
def test_folders_with_odd_names_are_searched_alone(make, tmp_path, name):
    index = make()
    paint(tmp_path / name / "red.png", "red")
    paint(tmp_path / name.replace("_", "x") / "more" / "red.png", "red", mark=3)
    paint(tmp_path / "other" / "red.png", "red", mark=4)
    index.add([tmp_path], excludes=["index", "photos.db*"], quiet=True)
    found = {hit.path for hit in index.search(text="red", k=9, below=tmp_path / name)}
    assert str(tmp_path / name / "red.png") in found and str(tmp_path / "other" / "red.png") not in found
    assert all(path.startswith(str(tmp_path / name) + os.sep) for path in found)


# --------------------------------------------------------------------- of the folder alone


def test_a_search_while_it_is_written_sees_one_moment(tmp_path):
    """A commit between the two questions that a reader asks must not shift its vectors."""
    from splip.search.records import Entry, Known

    writer, reader = local(tmp_path), local(tmp_path)
    vectors = np.eye(12, dtype=np.float32)
    writer.put([Entry(f"/{i}.png", Known(1, 1, bytes([i]) * 16), vectors[i]) for i in range(10)])
    plain = reader._read

    def read(*args):
        writer.put([Entry("/0.png", Known(2, 2, b"n" * 16), vectors[11])])
        return plain(*args)

    reader._read = read
    assert [hits[0].path for hits in reader.search(vectors[1:10], 1)] == [f"/{i}.png" for i in range(1, 10)]
    reader._read = plain
    assert reader.search(vectors[11:12], 1)[0][0].path == "/0.png"


def test_an_index_that_shrinks_is_exact_again(tmp_path):
    from splip.search.records import Entry, Known

    rng, store = np.random.default_rng(0), local(tmp_path, exact=300)
    vectors = rng.standard_normal((500, 12)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store.put([Entry(f"/{i}.png", Known(1, i, i.to_bytes(16, "big")), v) for i, v in enumerate(vectors)])
    assert "inverted" in store.finish() and len(store.search(vectors[:1], 450)[0]) == 450, "as many as are asked for"
    store.remove([f"/{i}.png" for i in range(400)])
    assert "exact" in store.finish() and len(store.search(vectors[:1], 450)[0]) == 100


def local(tmp_path, **settings):
    return LocalStore(tmp_path / "store", {"identity": "a", "dim": 12, "model": "m"}, **settings)


def test_two_writers_exclude_each_other(tmp_path):
    first, second = local(tmp_path), local(tmp_path)
    with first.writing(), pytest.raises(ValueError, match="is being updated by another process"):
        with second.writing():
            pass


def test_a_reader_sees_what_a_writer_adds(tmp_path):
    index = Index.open(tmp_path / "index", colour_model())
    index.add([gallery(tmp_path / "photos")], quiet=True)
    reader = Index.open(tmp_path / "index", colour_model())
    assert len(reader.search(text="red", k=99)) == 6
    paint(tmp_path / "photos" / "new.png", "red", mark=5)
    index.update(quiet=True)
    assert set(names(reader.search(text="red", k=2))) == {"red", "new"}


def test_a_damaged_or_foreign_store_is_named(tmp_path):
    local(tmp_path).close()
    with pytest.raises(ValueError, match=r"is the index of another model \(m\)"):
        LocalStore(tmp_path / "store", {"identity": "b", "dim": 12, "model": "n"})
    (tmp_path / "store" / "images.sqlite").write_bytes(b"no database" * 1000)
    for leftover in (tmp_path / "store").glob("images.sqlite-*"):
        leftover.unlink()
    with pytest.raises(ValueError, match=r"images.sqlite is damaged or no index: .*delete the folder"):
        local(tmp_path)


def test_many_vectors_go_into_an_inverted_file_that_is_kept(tmp_path):
    from splip.search.records import Entry, Known

    rng = np.random.default_rng(0)
    centres = rng.standard_normal((30, 12))
    vectors = (centres[rng.integers(30, size=3000)] + 0.3 * rng.standard_normal((3000, 12))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    store = local(tmp_path, exact=1000)
    entries = [Entry(f"/p/{i}.png", Known(1, i, i.to_bytes(16, "big")), v) for i, v in enumerate(vectors)]
    store.put(entries)
    said = store.finish()
    assert "inverted file, recall@10 0.9" in said or "recall@10 1.0" in said, said
    hits = store.search(vectors[:50], 1)
    assert [hit[0].path for hit in hits] == [f"/p/{i}.png" for i in range(50)]
    store.put([Entry("/p/new.png", Known(1, 1, b"n" * 16), -vectors[0])])
    store.remove(["/p/7.png"])
    again = local(tmp_path, exact=1000)  # from the file, then what has changed since
    assert again.search(-vectors[:1], 1)[0][0].path == "/p/new.png"
    assert again.search(vectors[7:8], 1)[0][0].path != "/p/7.png"
    assert len(again.search(vectors[:1], 5, below="/p")[0]) == 5
    (tmp_path / "store" / "vectors.faiss").write_bytes(b"damaged")
    assert local(tmp_path, exact=1000).search(vectors[:1], 1)[0][0].path == "/p/0.png"  # made anew


def test_the_engine_and_its_place_go_together(tmp_path):
    with pytest.raises(ValueError, match=r"engine must be one of \('faiss', 'milvus'\), got 'annoy'"):
        Index.open(tmp_path, colour_model(), "annoy")
    with pytest.raises(ValueError, match="--engine milvus and --uri go together"):
        Index.open(tmp_path, colour_model(), "milvus")


def test_a_server_that_does_not_answer_is_named(tmp_path):
    pytest.importorskip("pymilvus")
    with pytest.raises(ValueError, match=r"Milvus at 'http://127.0.0.1:1' cannot be used"):
        Index.open(tmp_path, colour_model(), "milvus", "http://127.0.0.1:1")


def test_the_public_name():
    assert splip.Index is Index and set(COLOURS) == {"red", "green", "blue", "yellow", "pink", "grey"}
