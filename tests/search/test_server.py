"""The page's server answers what it should, and nothing that is not in the index."""

import base64
import json
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from subprocess import PIPE
from urllib.request import urlopen

import numpy as np
import pytest
from pictures import colour_model, drawing, gallery, paint
from PIL import Image

import splip
from splip.cli import main as splip_command
from splip.search.drawings import clean_drawing
from splip.search.index import Index

pytest.importorskip("faiss")
testclient = pytest.importorskip("starlette.testclient")
uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("httpx")


@contextmanager
def serve(index, **options):
    """The page's address."""
    from splip.cli.app import _listen
    from splip.search.server import make_app

    listening = _listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(make_app(index, **options), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return gallery(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def client(folder, tmp_path_factory):
    from splip.search.server import make_app

    index = Index.open(tmp_path_factory.mktemp("index"), colour_model())
    index.add([folder], quiet=True)
    address = "http://127.0.0.1:7860"
    with testclient.TestClient(make_app(index), base_url=address, raise_server_exceptions=False) as client:
        yield client


def png(image):
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def test_about_and_page(client):
    about = {
        "version": splip.__version__,
        "images": 6,
        "model": "colours",
        "words": True,
        "local": True,
        "opens": False,
        "indexing": {},
    }
    assert {**client.get("/about").json(), "opens": False} == about
    scripts = [(f"/{name}.js", "text/javascript") for name in ("app", "paper", "photos", "samples")]
    for path, kind in (("/", "text/html"), ("/style.css", "text/css"), *scripts):
        answer = client.get(path)
        assert answer.status_code == 200 and kind in answer.headers["content-type"], path
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_questions(client, folder):
    photo = (folder / "cold" / "blue.png").read_bytes()
    hits = client.post("/search?kind=photo&k=2", content=photo).json()["hits"]
    assert len(hits) == 2 and hits[0]["name"] == "blue.png" and hits[0]["folder"] == "cold"
    assert client.post("/search?text=red&k=1").json()["hits"][0]["name"] == "red.png"
    answer = client.post("/search?k=3", content=png(drawing(background="black", ink="white"))).json()
    assert len(answer["hits"]) == 3 and answer["mended"] == ["inverted: light lines on dark"]
    seen = Image.open(BytesIO(base64.b64decode(answer["understood"].partition(",")[2])))
    wanted = clean_drawing(drawing(background="black", ink="white")).image.resize((192, 192))
    assert np.abs(np.asarray(seen, dtype=float) - np.asarray(wanted, dtype=float)).mean() < 3
    plain = client.post("/search?k=3", content=png(drawing())).json()
    assert plain["mended"] == [] and "understood" not in plain, "only what was changed is shown"
    like = client.get(f"/similar/{hits[0]['id']}?k=4").json()["hits"]
    assert len(like) == 4 and like[0] == {**hits[0], "score": like[0]["score"]}


def test_pictures_by_number_alone(client):
    id = client.post("/search?text=red&k=1").json()["hits"][0]["id"]
    answer = client.get(f"/image/{id}")
    image = Image.open(BytesIO(answer.content))
    assert answer.headers["content-type"] == "image/webp" and max(image.size) <= 256
    large = client.get(f"/image/{id}?side=1600")
    assert large.headers["content-type"] == "image/jpeg" and Image.open(BytesIO(large.content)).size >= image.size
    red, green, _ = image.resize((1, 1)).getpixel((0, 0))
    assert red > 150 > green
    for path in ("/image/999999", "/image/../../etc/passwd", "/image//etc/passwd", "/image/1?side=9999",
                 "/app.js/../../../setup.py", "/%2e%2e/setup.py", "/style.css%00"):  # fmt: skip
        assert client.get(path).status_code in (400, 404), path


@pytest.mark.parametrize(
    "query, body, status, message",
    [
        ("", b"", 422, "a picture or words are needed"),
        ("", png(Image.new("RGB", (64, 64), "white")), 422, "blank"),
        ("", b"no picture", 422, "cannot read image"),
        ("kind=film", b"", 400, "kind must be one of"),
        ("text=" + "x" * 301, b"", 400, "at most 300 characters"),
        ("text=red&k=0", b"", 400, "k must be 1 to 200"),
        ("text=red&k=1e9", b"", 400, "k must be 1 to 200"),
        ("", b"x" * (20 * 2**20 + 1), 413, "larger than 20 MB"),
    ],
)
def test_what_cannot_be_answered_is_said(client, query, body, status, message):
    answer = client.post(f"/search?{query}", content=body)
    assert answer.status_code == status and message in answer.json()["error"], answer.text


def test_other_sites_get_nothing(client):
    assert client.get("/about", headers={"host": "evil.example"}).status_code == 400
    for method, path in (("GET", "/about"), ("GET", "/image/1"), ("POST", "/search?text=red")):
        answer = client.request(method, path, headers={"sec-fetch-site": "cross-site"})
        assert answer.status_code == 403 and answer.json() == {"error": "asked by another site"}
        for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "same-site"}):
            assert client.request(method, path, headers=headers).status_code == 403, headers
    assert client.get("/about", headers={"origin": "http://127.0.0.1:7860"}).status_code == 200
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200  # a link to the page


OURS = {"x-splip": "1"}


def test_what_acts_on_the_machine_is_for_the_page_on_it_alone(client, folder, tmp_path, monkeypatch):
    from splip.search import folders
    from splip.search.server import make_app

    opened = []
    monkeypatch.setattr(folders, "open_folder", opened.append)
    hit = client.post("/search?text=red&k=1").json()["hits"][0]
    body = json.dumps({"ids": [hit["id"]], "folder": str(tmp_path / "found")})
    for path in ("/copy", f"/folder/{hit['id']}"):
        for headers in ({}, {**OURS, "origin": "http://evil.example"}, {**OURS, "sec-fetch-site": "cross-site"}):
            assert client.post(path, content=body, headers=headers).status_code == 403, (path, headers)
        assert client.get(path, headers=OURS).status_code == 405
    assert not opened and not (tmp_path / "found").exists()
    assert client.post(f"/folder/{hit['id']}", headers=OURS).status_code == 200
    assert opened == [str(folder / "warm")]
    answer = client.post("/copy", content=body, headers=OURS).json()
    assert answer == {"folder": str(tmp_path / "found"), "copied": 1, "lost": []}
    assert (tmp_path / "found/001_red.png").read_bytes() == (folder / "warm/red.png").read_bytes()
    again = client.post("/copy", content=body, headers=OURS)
    assert again.status_code == 422 and "is there already" in again.json()["error"]
    for wrong, said in (
        ({"ids": []}, "which photos"), ({"ids": ["x"], "folder": "/"}, "which photos"),
        ({"ids": [hit["id"]], "folder": "here"}, "give a whole path"), ({"ids": [], "folder": "/x"}, "a whole path"),
    ):  # fmt: skip
        answer = client.post("/copy", content=json.dumps(wrong), headers=OURS)
        assert answer.status_code == 400 and said in answer.json()["error"], (wrong, answer.text)
    assert client.post("/copy", content=json.dumps({"ids": [999999], "folder": "/x"}), headers=OURS).status_code == 404
    index = Index.open(tmp_path / "index", colour_model())
    index.add([folder], quiet=True)
    extra = gallery(tmp_path / "more") / "warm/red.png"
    index.add([extra.parent], quiet=True)
    extra.unlink()
    with testclient.TestClient(make_app(index), base_url="http://127.0.0.1") as local:
        ids = [row["id"] for row in local.post("/search?text=red&k=20").json()["hits"]]
        body = json.dumps({"ids": ids, "folder": str(tmp_path / "some")})
        answer = local.post("/copy", content=body, headers=OURS).json()
        assert answer["copied"] == len(ids) - 1 and "it is not there any more" in answer["lost"][0], answer
    with testclient.TestClient(make_app(index, local=False), base_url="http://photos.example") as public:
        about, (shown,) = public.get("/about").json(), public.post("/search?text=red&k=1").json()["hits"]
        assert about["local"] is about["opens"] is False and "path" not in shown and shown["name"] == "red.png"
        for path in ("/copy", f"/folder/{shown['id']}"):
            answer = public.post(path, content=body, headers=OURS)
            assert answer.status_code == 403 and "only the machine" in answer.json()["error"]


def test_a_download_is_the_file_itself(client, folder):
    hit = client.post("/search?text=red&k=1").json()["hits"][0]
    answer = client.get(f"/file/{hit['id']}")
    assert answer.content == (folder / "warm/red.png").read_bytes()
    assert answer.headers["content-disposition"] == 'attachment; filename="red.png"'
    assert client.get("/file/999999").status_code == 404


def test_the_newest_photos_come_first(client, folder):
    names = [hit["name"] for hit in client.get("/newest?k=6").json()["hits"]]
    assert sorted(names) == sorted(path.name for path in folder.rglob("*.png"))
    assert client.get("/newest?k=0").status_code == 400


def test_thumbnails_are_kept_by_content_and_bounded(folder, tmp_path):
    from splip.search.thumbnails import Thumbnails

    index = Index.open(tmp_path / "index", colour_model())
    index.add([folder], quiet=True)
    kept, known = Thumbnails(tmp_path / "kept"), index.store.known()
    red, blue = str(folder / "warm/red.png"), str(folder / "cold/blue.png")
    shown = kept.get(red, known[red])
    (file,) = (tmp_path / "kept").rglob("*.webp")
    assert file.read_bytes() == shown and known[red].digest.hex() == file.stem
    file.write_bytes(b"what was kept")
    assert kept.get(red, known[red]) == b"what was kept"
    assert kept.get(blue, known[red]) != b"what was kept", "another photo under the name of an indexed one"
    assert kept.get(str(tmp_path / "gone.png"), known[red]) is None
    assert len(list((tmp_path / "kept").rglob("*.webp"))) == 1, "of a changed file nothing is kept"
    small = Thumbnails(tmp_path / "small", most=1)
    for path in (red, blue):
        small.made = 0  # a look at what is kept each time
        assert small.get(path, known[path])
        assert not list((tmp_path / "small").rglob("*.webp"))
    assert Thumbnails(None).get(red, known[red])


def test_photos_are_indexed_while_the_page_is_open(folder, tmp_path):
    command = [sys.executable, "-W", "ignore", "-m", "splip", "app", str(folder), "--port", "0"]
    with subprocess.Popen([*command, "--index", str(tmp_path)], stdout=PIPE, stderr=PIPE, text=True) as program:
        address = program.stdout.readline().split()[0]
        for _ in range(120):
            about = json.load(urlopen(f"{address}/about", timeout=60))
            if about["images"] == 6 and not about["indexing"]["running"]:
                break
            time.sleep(0.5)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=30)
    assert about["images"] == 6 and about["indexing"]["error"] == "", (about, said)
    assert "6 new" in said and "Traceback" not in said, said


def test_a_photo_that_went_is_a_404_and_comes_back(client, folder):
    id = client.post("/search?text=pink&k=1").json()["hits"][0]["id"]
    (folder / "warm" / "pink.png").unlink()
    assert client.get(f"/image/{id}?side=1600").status_code == 404
    paint(folder / "warm" / "pink.png", "pink")
    assert client.get(f"/image/{id}?side=1600").status_code == 200


def test_the_page_is_there_before_the_index_is(client, folder, tmp_path):
    from splip.search.server import make_app

    opening = Future()
    with testclient.TestClient(make_app(opening), base_url="http://127.0.0.1") as early, ThreadPoolExecutor(52) as pool:
        assert early.get("/").status_code == 200
        about = pool.submit(early.get, "/about")
        asked = [pool.submit(early.get, "/about") for _ in range(50)]  # more than the server has threads
        question = pool.submit(early.post, "/search?text=red&k=1")
        assert early.get("/app.js").status_code == 200 and not about.done() and not question.done()
        index = Index.open(tmp_path, colour_model())
        index.add([folder], quiet=True)
        opening.set_result(index)
        assert about.result(10).json() == client.get("/about").json()
        assert all(other.result(10).status_code == 200 for other in asked)
        assert question.result(10).json()["hits"][0]["name"] == "red.png"


def test_an_index_that_cannot_be_opened_is_said_on_the_page():
    from splip.search.server import make_app

    opening = Future()
    opening.set_exception(ValueError("the index is damaged"))
    with testclient.TestClient(make_app(opening), base_url="http://127.0.0.1") as client:
        answers = [client.get(path) for path in ("/about", "/similar/1", "/image/1")]
        for answer in [*answers, client.post("/search?text=red")]:
            assert (answer.status_code, answer.json()) == (422, {"error": "the index is damaged"})


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_ended(tmp_path, sent):
    command = [sys.executable, "-W", "ignore", "-m", "splip", "app", "--port", "0", "--index", str(tmp_path)]
    with subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True) as program:
        address = program.stdout.readline().split()[0]
        assert b"Draw" in urlopen(f"{address}/", timeout=30).read()
        about = json.load(urlopen(f"{address}/about", timeout=60))  # waits for the model
        assert (about["images"], about["model"], about["words"]) == (0, "splip-search", True), about
        program.send_signal(sent)
        _, said = program.communicate(timeout=30)
    assert program.returncode == 128 + sent and "no photos in the index yet" in said and "Traceback" not in said, said


def test_the_command_ends_where_there_is_no_index(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert splip_command(["app", "--port", "0", "--index", str(tmp_path / "file")]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1 and "file" in said, said
