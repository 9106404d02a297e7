"""Mirrors of the data sets: small files in each layout, from a stand-in for the hub, become the archives' trees."""

import hashlib
import io
import json
import shutil
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hub import COMMIT, hub  # noqa: F401  (a fixture)
from PIL import Image
from tiny_benchmarks import SKETCHY_PHOTOS, SKETCHY_SKETCHES, make_sketchy
from tiny_strokes import REAL, line

from splip import cli
from splip.cli import data_download
from splip.cli.data_check import check
from splip.data import mirrors, parquet, sources
from splip.data.classes import normalise, read_shipped
from splip.data.parquet import read_synsets
from splip.data.sources import SOURCES, find_source, quickdraw_words

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("huggingface_hub")
DOCS = Path(__file__).parents[2] / "docs" / "DATASETS.md"
MTEB, ORIGINAL, BERLIN, DRAWINGS = "mteb/sketchy", "DrRORAL/sketchy-dataset", "sdiaeyu6n/tu-berlin", "google/quickdraw"


def encoded(shade, kind="JPEG", side=8):
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), (shade, 0, 0)).save(buffer, kind)
    return buffer.getvalue()


def parquet_of(columns, metadata=None, structs=True):
    """Columns -> a file's bytes; images as the hub's library stores them, or as bytes alone."""
    columns = {
        name: [{"bytes": value, "path": None} if structs and isinstance(value, bytes) else value for value in values]
        for name, values in columns.items()
    }
    table = pa.table(columns)
    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata or {}), buffer, row_group_size=3)
    return buffer.getvalue()


PHOTO_IDS = ["n02691156_10", "n02691156_7", "n01440764_3"]
SKETCH_IDS = ["n02691156_10-1", "n02691156_10-2", "n02691156_7-1", "n01440764_3-5"]
CORPUS = "corpus-00000-of-00002.parquet"
CLASS = {"n02691156": "airplane", "n01440764": "fish"}


def sketchy_files(photos=PHOTO_IDS, sketches=SKETCH_IDS, structs=True):
    """Photographs in two versions, sketches in six, one version after the other, in two files; as the mirror has it."""
    rows = {
        "corpus": [(name, encoded(10 * k + v)) for v in range(2) for k, name in enumerate(photos)],
        "query": [(name, encoded(10 * k + v, "PNG")) for v in range(6) for k, name in enumerate(sketches)],
    }
    files = {"README.md": b"x", "qrels-00000-of-00001.parquet": b"never fetched"}
    for name, pairs in rows.items():
        half = len(pairs) // 2
        for number, part in enumerate((pairs[:half], pairs[half:])):
            ids, images = zip(*part) if part else ((), ())
            columns = {"id": list(ids), "modality": ["image"] * len(ids), "image": list(images)}
            files[f"{name}-{number:05d}-of-00002.parquet"] = parquet_of(columns, structs=structs)
    return files


def below(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def download(root, name, source, *more):
    return cli.main(["data", "download", name, "--root", str(root), "--from", source, *map(str, more)])


SKETCHY_TREE = {
    f"{SKETCHY_PHOTOS}/{CLASS[name[:9]]}/{name}.jpg": encoded(10 * k) for k, name in enumerate(PHOTO_IDS)
} | {f"{SKETCHY_SKETCHES}/{CLASS[name[:9]]}/{name}.png": encoded(10 * k, "PNG") for k, name in enumerate(SKETCH_IDS)}


def sketchy_tree(root):
    found = {f"Sketchy/{name}": content for name, content in below(root / "Sketchy").items()}
    record = json.loads(found.pop("Sketchy/source.json"))
    return found, record


# ------------------------------------------------------------------------------- Sketchy


@pytest.mark.parametrize("structs", [True, False])
@pytest.mark.parametrize("folders", [True, False])
def test_sketchys_parquet_becomes_its_tree(hub, tmp_path, capsys, structs, folders):  # noqa: F811
    files = sketchy_files(structs=structs)
    if folders:  # as mteb's own uploads
        files = {name.replace("corpus-", "corpus/test-").replace("query-", "queries/test-"): content
                 for name, content in files.items()}  # fmt: skip
    hub.files[f"datasets/{MTEB}"] = files
    assert download(tmp_path, "Sketchy", MTEB) == 0
    out = capsys.readouterr().out
    found, record = sketchy_tree(tmp_path)
    assert found == SKETCHY_TREE, "the first version of each image, byte for byte"
    said = [out.index(words) for words in (
        "licence: unspecified", "unverified: counts and sizes are mteb's statistics", "SHA-256",
        "unverified: there is no published checksum", "3 images, NOT the 12,500 of the archive",
        "first version of each (3 of 2 versions)", "4 images, NOT the 75,481", "data check Sketchy --photos original",
    )]  # fmt: skip
    assert said == sorted(said), "said in this order: the licence before anything is fetched"
    assert (record["source"], record["revision"]) == (MTEB, COMMIT) and len(record["sha256"]) == 4
    for name, content in files.items():
        digest = hashlib.sha256(content).hexdigest()
        assert (digest in out) == (digest in record["sha256"].values()) == name.endswith("2.parquet"), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Sketchy", "Sketchy.mteb_sketchy", "hub"][:2]


def test_the_files_may_be_there_already(tmp_path, capsys):
    for name, content in sketchy_files().items():
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / name).write_bytes(content)
    assert download(tmp_path / "data", "Sketchy", MTEB, "--archive", tmp_path / "mine") == 0
    assert sketchy_tree(tmp_path / "data")[0] == SKETCHY_TREE
    assert download(tmp_path / "data", "Sketchy", MTEB) == 0 and "is there already" in capsys.readouterr().out
    assert download(tmp_path / "data", "Sketchy", "drive") == 2
    assert "without EXTEND_image_sketchy_ready: move it away" in capsys.readouterr().err


def test_what_is_read_of_it(tmp_path):
    """The tree of a mirror with all classes: fine-grained, and with PHOTOS original zero-shot; elsewhere refused."""
    from test_benchmarks import build

    synsets = {normalise(name): synset for synset, name in read_synsets().items()}
    photos = [f"{synset}_{k}" for synset in synsets.values() for k in range(2)]
    files = sketchy_files(photos, [f"{name}-1" for name in photos])
    (tmp_path / "mine").mkdir()
    for name, content in files.items():
        (tmp_path / "mine" / name).write_bytes(content)
    assert download(tmp_path, "Sketchy", MTEB, "--archive", tmp_path / "mine") == 0
    data = build(tmp_path, "Sketchy2", "SETTING", "fg")
    pairs = {item.instance for item in data.test_gallery}
    assert pairs == {item.instance for item in data.test_queries} and len(pairs) == 42
    data = build(tmp_path, "Sketchy2", "PHOTOS", "original")
    assert data.gallery_name == "unseen, original photos" and len(data.test_gallery) == 42 == len(data.test_queries)
    with pytest.raises(ValueError, match=r"EXTEND_image_sketchy_ready.*MISSING\nDATASET\.PHOTOS original"):
        build(tmp_path, "Sketchy2")
    report, complete = check("Sketchy", str(tmp_path), "sketchy_21_yelamarthi", photos="original")
    rows = [line.split() for line in report.splitlines()]
    assert not complete and ["train", "photos", "208", "10,400", "72,949"] in rows, report
    assert ["test", "photos", "42", "2,100", "12,553"] in rows and "EXTEND" not in report, report
    report, complete = check("TUBerlin", str(tmp_path), photos="original")
    assert not complete and report == "--photos original is of Sketchy, not of TUBerlin"


@pytest.mark.parametrize(
    ("photos", "sketches", "message"),
    [
        (["n02691156_10", "02691156_7"], SKETCH_IDS, "id '02691156_7' is not of the form"),
        (["../n02691156_10"], SKETCH_IDS, "is not of the form"),
        (["n02691156_10/.."], SKETCH_IDS, "is not of the form"),
        (["n99999999_1"], SKETCH_IDS, "synset n99999999 is of none of Sketchy's classes"),
        (PHOTO_IDS, ["n02691156_10"], "id 'n02691156_10' is not of the form"),
        (PHOTO_IDS, ["n02691156_10-1-2"], "is not of the form"),
    ],
)
def test_ids_that_are_not_sketchys(tmp_path, capsys, photos, sketches, message):
    refused(tmp_path, capsys, sketchy_files(photos, sketches), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({CORPUS: b"no parquet"}, "cannot be read as parquet"),
        ({CORPUS: parquet_of({"id": ["n02691156_1"], "picture": [b"x"]})}, "lacks the columns"),
        ({CORPUS: parquet_of({"id": ["n02691156_1"], "image": [b"GIF89a"]})}, "neither PNG"),
        ({CORPUS: parquet_of({"id": ["n02691156_1"], "image": ["x"]})}, "no image in it"),
        ({"query-00000-of-00002.parquet": None, "query-00001-of-00002.parquet": None}, "no parquet file called quer"),
    ],
)
def test_parquet_of_another_kind(tmp_path, capsys, change, message):
    refused(tmp_path, capsys, {**sketchy_files(), **change}, message)


def refused(tmp_path, capsys, files, message):
    (tmp_path / "mine").mkdir()
    for name, content in files.items():
        if content is not None:
            (tmp_path / "mine" / name).write_bytes(content)
    assert download(tmp_path / "data", "Sketchy", MTEB, "--archive", tmp_path / "mine") == 2
    said = capsys.readouterr().err
    assert message in said, said
    assert not (tmp_path / "data").exists() or list((tmp_path / "data").iterdir()) == []


def test_a_conversion_that_broke_off_goes_on(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    for name, content in sketchy_files().items():
        (tmp_path / "mine" / name).write_bytes(content)
    write, written = Path.write_bytes, []

    def stop_in_the_third(path, content):
        written.append(path)
        write(path, content[:20] if len(written) == 3 else content)
        if len(written) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", stop_in_the_third)
    root = tmp_path / "data"
    assert download(root, "Sketchy", MTEB, "--archive", tmp_path / "mine") == 130
    assert not (root / "Sketchy").exists() and len(written) == 3
    stale = root / ".Sketchy.mteb_sketchy" / "256x256" / "photo" / "left of another.jpg"
    monkeypatch.setattr(Path, "write_bytes", lambda path, content: written.append(path) or write(path, content))
    stale.write_bytes(b"x")
    written.clear()
    assert download(root, "Sketchy", MTEB, "--archive", tmp_path / "mine") == 0
    assert sketchy_tree(root)[0] == SKETCHY_TREE
    assert len(written) == len(SKETCHY_TREE) - 2, "what was whole is not written again, what was half is"
    assert [path.name for path in root.iterdir()] == ["Sketchy"]


def original_archive(source, top="256x256", transforms=("tx_000000000000", "tx_000100000000")):
    """DrRORAL's layout as its readers describe it: a tar of the authors' tree, with other versions and stray files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for place in (SKETCHY_PHOTOS, SKETCHY_SKETCHES):
            kind = place.split("/")[2]
            for path in sorted((source / place).rglob("*.*g")):
                for transform in transforms:
                    file.add(path, f"{top}/{kind}/{transform}/{path.parent.name}/{path.name}")
            first = f"{kind}/{transforms[0]}"
            strays = f"{first}/ant/.ipynb_checkpoints/a.jpg", f"{first}/ant/._a.jpg", f"{first}/.DS_Store"
            for name in strays:
                file.addfile(tarfile.TarInfo(f"{top}/{name}"))
        file.addfile(tarfile.TarInfo(f"{top}/README.txt"))
    return buffer.getvalue()


def test_the_authors_tree_is_renamed(hub, tmp_path, capsys, monkeypatch):  # noqa: F811
    source = make_sketchy(tmp_path / "source", classes=["airplane", "ant"])
    archive = original_archive(source, "sketchy/256x256")
    hub.files[f"datasets/{ORIGINAL}"] = {"sketchy.tar": archive, ".gitattributes": b""}
    root = tmp_path / "data"
    assert download(root, "Sketchy", ORIGINAL) == 2
    err = capsys.readouterr().err
    assert "this is not the one file of SHA-256 6a746a91" in err and "--sha256 with the checksum above" in err
    assert not (root / "Sketchy").exists()
    assert download(root, "Sketchy", ORIGINAL, "--sha256", "0" * 64) == 2
    assert download(root, "Sketchy", ORIGINAL, "--sha256", hashlib.sha256(archive).hexdigest().upper()) == 0
    assert "as you expect" in capsys.readouterr().out
    wanted = {name: content for name, content in below(source).items() if "EXTEND" not in name}
    found, record = sketchy_tree(root)
    assert found == wanted and record["source"] == ORIGINAL

    shutil.rmtree(root / "Sketchy")
    reported = [s if s.name != ORIGINAL else replace_sha(s, hashlib.sha256(archive).hexdigest()) for s in SOURCES]
    monkeypatch.setattr(sources, "SOURCES", reported)
    assert download(root, "Sketchy", ORIGINAL) == 0
    assert "as one user of this mirror reported; its makers published none" in capsys.readouterr().out


def replace_sha(source, digest):
    from dataclasses import replace

    return replace(source, sha256=digest)


def test_a_tree_without_the_originals_is_refused(tmp_path, capsys):
    source = make_sketchy(tmp_path / "source", classes=["ant"])
    (tmp_path / "a.tar").write_bytes(original_archive(source, transforms=("tx_000100000000",)))
    digest = hashlib.sha256((tmp_path / "a.tar").read_bytes()).hexdigest()
    more = "--archive", tmp_path / "a.tar", "--sha256", digest
    assert download(tmp_path / "data", "Sketchy", ORIGINAL, *more) == 2
    said = capsys.readouterr().err
    assert "expected the folders sketch/tx_000000000000, photo/tx_000000000000 side by side" in said, said
    assert not (tmp_path / "data" / "Sketchy").exists()


# ------------------------------------------------------------------------- TU-Berlin


def berlin_file(labels, names, paths=True, label=None):
    images = [{"bytes": encoded(k, "PNG"), "path": f"{k}.png" if paths else None} for k in range(len(labels))]
    features = {"label": {"names": names, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    metadata = {"huggingface": json.dumps({"info": {"features": label if label is not None else features}})}
    return parquet_of({"image": images, "label": labels}, metadata)


@pytest.mark.parametrize("paths", [True, False])
def test_tu_berlins_parquet_becomes_its_tree(hub, tmp_path, capsys, paths):  # noqa: F811
    names = ["airplane", "alarm clock", "mouse (animal)"]
    parts = {"train": [0, 2, 0], "validation": [1], "test": [2]}
    hub.files[f"datasets/{BERLIN}"] = {
        f"data/{part}-00000-of-00001.parquet": berlin_file(labels, names, paths) for part, labels in parts.items()
    }
    if paths:  # one name twice, in different classes
        assert download(tmp_path, "TUBerlin", BERLIN) == 0
        wanted = {"airplane": ["0", "2"], "alarm clock": ["0"], "mouse (animal)": ["0", "1"]}
    else:
        assert download(tmp_path, "TUBerlin", BERLIN) == 0
        stem = "{}-00000-of-00001_{}".format
        wanted = {"airplane": [stem("train", 0), stem("train", 2)], "alarm clock": [stem("validation", 0)],
                  "mouse (animal)": [stem("test", 0), stem("train", 1)]}  # fmt: skip
    found = {path.name: sorted(file.stem for file in path.iterdir())
             for path in (tmp_path / "TUBerlin" / "png_ready").iterdir()}  # fmt: skip
    assert found == wanted
    out = capsys.readouterr().out
    assert "licence: CC BY 4.0" in out and "5 images of 3 classes" in out
    assert f"DATASET.EXTRA_SKETCHES {tmp_path}/TUBerlin/png_ready" in out
    assert "lacks: all photographs" in out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (berlin_file([0], ["zeppelin of lead"]), "classes that TU-Berlin has not: ['zeppelin of lead']"),
        (berlin_file([0], ["../airplane"]), "classes that TU-Berlin has not"),
        (berlin_file([3], ["airplane"]), "row 0 has label 3, of 1 classes"),
        (berlin_file([0], [], label={}), "does not say which classes its labels are"),
        (berlin_file([], ["airplane"]), "lacks|not one image|no image"),
    ],
)
def test_labels_that_are_not_tu_berlins(tmp_path, capsys, content, message):
    (tmp_path / "a.parquet").write_bytes(content)
    assert download(tmp_path / "data", "TUBerlin", BERLIN, "--archive", tmp_path / "a.parquet") == 2
    said = capsys.readouterr().err
    assert any(part in said for part in message.split("|")), said
    assert not (tmp_path / "data" / "TUBerlin").exists()


# ------------------------------------------------------------------------- the transfer


def test_a_transfer_that_broke_off_goes_on(hub, tmp_path, capsys, monkeypatch):  # noqa: F811
    """While the command runs, at the byte where it stopped; afterwards, with the files that had not come whole."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between its own tries
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    parts = {f"data/{part}.parquet": berlin_file([0] * 200, ["airplane"], paths=False) for part in ("test", "train")}
    hub.files[f"datasets/{BERLIN}"] = parts
    size = len(parts["data/test.parquet"])
    hub.comes = [size // 3, size, 0]
    assert download(tmp_path, "TUBerlin", BERLIN) == 2
    said = capsys.readouterr().err
    assert f"cannot download {BERLIN}" in said and "files that came whole are kept" in said, said
    assert hub.asked[0] == 0 and size // 4 < hub.asked[1] <= size // 3 and set(hub.asked[2:]) == {0}, (size, hub.asked)
    assert not (tmp_path / "TUBerlin").exists()
    hub.comes, hub.asked = [], []
    assert download(tmp_path, "TUBerlin", BERLIN) == 0
    assert hub.asked == [0], "the one that had not come whole"
    assert len(list((tmp_path / "TUBerlin" / "png_ready" / "airplane").iterdir())) == 400


def test_what_did_not_arrive_whole_is_not_used(hub, tmp_path, capsys, monkeypatch):  # noqa: F811
    hub.files[f"datasets/{BERLIN}"] = {"data/train-00000-of-00001.parquet": berlin_file([0], ["airplane"])}
    real = mirrors.sha256_of
    monkeypatch.setattr(mirrors, "sha256_of", lambda path: "f" * 64)
    assert download(tmp_path, "TUBerlin", BERLIN) == 2
    assert "did not arrive as it is on the hub, and was removed" in capsys.readouterr().err
    monkeypatch.setattr(mirrors, "sha256_of", real)
    assert download(tmp_path, "TUBerlin", BERLIN) == 0


@pytest.mark.parametrize(
    ("files", "message"),
    [(None, f"cannot download {BERLIN}"), ({"README.md": b""}, f"{BERLIN} has no files like data/*.parquet")],
)
def test_a_repository_that_is_gone_or_another_one(hub, tmp_path, capsys, files, message):  # noqa: F811
    if files is not None:
        hub.files[f"datasets/{BERLIN}"] = files
    assert download(tmp_path, "TUBerlin", BERLIN) == 2
    said = capsys.readouterr()
    assert message in said.err, said.err
    assert "licence: CC BY 4.0" in said.out, "said before"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("Sketchy", BERLIN), "--from is one of drive, DrRORAL/sketchy-dataset, mteb/sketchy for Sketchy, got"),
        (("QuickDraw", "drive", "--drawings", 5), "--drawings is a number of drawings from 0 on, of --from google"),
        (("QuickDraw", DRAWINGS, "--drawings", -1), "--drawings is a number"),
        (("QuickDraw", DRAWINGS, "--archive", "x"), "--archive and --sha256 are not for --from google/quickdraw"),
        (("Sketchy", MTEB, "--archive", "nowhere"), "no file 'nowhere', and no folder with files like corpus*.parquet"),
    ],
)
def test_arguments_that_do_not_fit(tmp_path, capsys, words, message):
    assert download(tmp_path, *words) == 2
    assert message in capsys.readouterr().err


# ---------------------------------------------------------------------------- QuickDraw


class Bucket(BaseHTTPRequestHandler):
    """Google's files: `files` of the server, name -> (content, bytes that come)."""

    def log_message(self, *args):
        pass

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        self.server.asked.append(name)
        content, come = self.server.files.get(name, (None, 0))
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write((content or b"")[:come])


@pytest.fixture
def bucket(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    server.files, server.asked = {}, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/simplified/{{}}.ndjson"
    changed = [replace_place(s, url) if s.layout == "strokes" else s for s in SOURCES]
    monkeypatch.setattr(sources, "SOURCES", changed)
    yield server
    server.shutdown()


def replace_place(source, url):
    from dataclasses import replace

    return replace(source, place=(url,))


def test_strokes_are_read_from_their_makers_files(bucket, tmp_path, capsys, monkeypatch):
    words = ["ant", "The Eiffel Tower", "t-shirt"]
    monkeypatch.setattr(mirrors, "quickdraw_words", lambda: words)
    lines = [line([[[k, 9], [0, 9]]], "x") for k in range(5)]
    content = ("\n".join(lines) + "\n").encode()
    for name in ("ant", "The%20Eiffel%20Tower"):
        bucket.files[f"{name}.ndjson"] = content, len(content)
    bucket.files["t-shirt.ndjson"] = content, len(content) - 10  # breaks off
    root = tmp_path / "data"
    assert download(root, "QuickDraw", DRAWINGS, "--drawings", 0) == 2
    said = capsys.readouterr()
    assert "t-shirt.ndjson broke off after" in said.err and "goes on where it stopped" in said.err, said.err
    assert "licence: CC BY 4.0; name its maker: Google" in said.out
    assert not (root / "QuickDraw_strokes").exists()
    bucket.files["t-shirt.ndjson"] = b"<html>\n", 7
    assert download(root, "QuickDraw", DRAWINGS, "--drawings", 0) == 2
    assert "t-shirt.ndjson:1: no line of JSON" in capsys.readouterr().err
    bucket.files["t-shirt.ndjson"] = content, len(content)
    bucket.asked.clear()
    assert download(root, "QuickDraw", DRAWINGS, "--drawings", 0) == 0
    assert bucket.asked == ["t-shirt.ndjson"], "the others are there already"
    found = below(root / "QuickDraw_strokes")
    record = json.loads(found.pop("source.json"))
    assert found == {f"{word}.ndjson": content for word in words}
    assert record["sha256"] == {f"{word}.ndjson": hashlib.sha256(content).hexdigest() for word in words}
    out = capsys.readouterr().out
    assert "3 files; unverified" in out and f"DATASET.EXTRA_SKETCHES {root}/QuickDraw_strokes" in out

    shutil.rmtree(root)
    assert download(root, "QuickDraw", DRAWINGS, "--drawings", 2) == 0
    found = below(root / "QuickDraw_strokes")
    assert found["ant.ndjson"].decode().splitlines() == lines[:2]


def test_a_word_that_is_gone(bucket, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(mirrors, "quickdraw_words", lambda: ["ant"])
    assert download(tmp_path, "QuickDraw", DRAWINGS) == 2
    assert "cannot read http" in capsys.readouterr().err


# ------------------------------------------------------------------------------ the table


def test_every_synset_is_of_one_class():
    synsets = read_synsets()
    lines = [text for text in parquet.SYNSETS.read_text().splitlines() if not text.startswith("#")]
    assert len(synsets) == sum(len(text.split(":")[1].split()) for text in lines) == 310, "one is named twice"
    assert {normalise(name) for name in synsets.values()} == set(read_shipped("sketchy_all"))
    assert all(parquet.PHOTO_ID.fullmatch(f"{synset}_1") for synset in synsets)


@pytest.mark.skipif(not (REAL.parent / "sketchy25").is_dir(), reason=f"no real sketches: there is no {REAL.parent}")
def test_the_synsets_of_real_files():
    synsets = read_synsets()
    names = [(path.parent.name, path.stem) for path in (REAL.parent / "sketchy25").glob("*/*/*.*g")]
    assert len(names) == 125 * 50
    wrong = [(name, stem) for name, stem in names if synsets[stem[:9]] != name]
    assert not wrong, wrong[:5]
    forms = [parquet.PHOTO_ID.fullmatch(stem) or parquet.SKETCH_ID.fullmatch(stem) for _, stem in names]
    assert all(forms), "ids in the mirror are these names"


def test_quickdraws_words():
    words = quickdraw_words()
    assert len(words) == len(set(words)) == 345 and {"The Eiffel Tower", "t-shirt", "teddy-bear"} <= set(words)
    if REAL.is_dir():
        assert words == sorted(path.stem for path in REAL.glob("*.ndjson"))


def test_the_docs_name_every_source():
    text = DOCS.read_text(encoding="utf-8")
    for source in SOURCES:
        assert f"`{source.name}`" in text, f"docs/DATASETS.md does not name {source.name}"
        assert find_source(source.data, source.name) is source
        assert source.known, "what is verified, and by whom?"
    assert data_download.FOLDERS["Sketchy"][-1] == "EXTEND_image_sketchy_ready"
