"""A stand-in for the Hugging Face hub: as much of its HTTP API as an upload and a download need."""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import pytest

COMMIT = "a" * 40


class Hub(ThreadingHTTPServer):
    """``files``: repository -> name -> bytes; one of data is called ``datasets/<owner>/<name>``.

    ``comes``: bytes that come of each transfer of a file before it breaks off, the last for all further ones; none =
    all. ``asked``: where each transfer began.
    """

    def __init__(self):
        self.files, self.comes, self.asked = {}, [], []
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self):
        size = self.headers.get("Content-Length")
        body = self.rfile.read(int(size)) if size else self.read_chunks()
        path = self.path.split("?")[0]
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
            self.server.files.setdefault(name, {})
            return self.answer(200, {"url": f"{self.server.endpoint}/{name}", "id": "1"})
        repo = "/".join(path.split("/")[3:5])
        if "/preupload/" in path:
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                     for file in json.loads(body)["files"]]  # fmt: skip
            return self.answer(200, {"files": files})
        if "/commit/" in path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[repo][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return self.answer(200, {"commitUrl": f"{self.server.endpoint}/{repo}/commit/{COMMIT}",
                                     "commitOid": COMMIT, "pullRequestUrl": None, "success": True})  # fmt: skip
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        return self.answer(404, {"error": "not found"})

    def read_chunks(self):
        parts = []
        while True:
            count = int(self.rfile.readline(), 16)
            parts.append(self.rfile.read(count))
            self.rfile.readline()
            if not count:
                return b"".join(parts)

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/api/whoami-v2":
            return self.answer(200, {"type": "user", "name": "somebody", "orgs": []})
        if path.startswith(("/api/models/", "/api/datasets/")):
            repo = "/".join(path.split("/")[3:5])
            repo = f"datasets/{repo}" if path.startswith("/api/datasets/") else repo
            if repo in self.server.files:
                siblings = [{"rfilename": name, "size": len(content), "blobId": "b" * 40,
                             "lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content),
                                     "pointerSize": 130}}
                            for name, content in self.server.files[repo].items()]  # fmt: skip
                return self.answer(200, {"id": repo, "sha": COMMIT, "siblings": siblings})
        elif "/resolve/" in path:
            repo, _, rest = path[1:].partition("/resolve/")
            content = self.server.files.get(repo, {}).get(rest.partition("/")[2])
            if content is not None:
                return self.send_file(content)
        return self.answer(404, {"error": "not found"}, X_Error_Code="RepoNotFound")

    def send_file(self, content):
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X_Repo_Commit": COMMIT, "Accept_Ranges": "bytes"}
        wanted, start, status = self.headers.get("Range"), 0, 200
        if wanted and self.command == "GET":
            start, status = int(wanted.split("=")[1].split("-")[0]), 206
            headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if self.command == "GET":
            self.server.asked.append(start)
        if self.server.comes and self.command == "GET":
            comes = self.server.comes.pop(0) if len(self.server.comes) > 1 else self.server.comes[0]
            self.answer_half(status, content[start:], comes, **headers)
        else:
            self.answer(status, content[start:], **headers)

    def answer_half(self, status, body, end, **headers):
        """Says that all of it comes, sends the beginning, and hangs up."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body[:end])
        self.close_connection = True

    do_HEAD = do_GET


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine, in place of the real one."""
    constants = pytest.importorskip("huggingface_hub.constants")
    if int(version("huggingface_hub").split(".")[0]) < 1:
        pytest.skip("huggingface_hub 0 keeps the real address in places of its own: it was not tested")
    server = Hub()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "ENDPOINT": server.endpoint, "HF_HUB_OFFLINE": False, "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HUGGINGFACE_CO_URL_TEMPLATE": server.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    }.items():  # fmt: skip
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setenv("HF_ENDPOINT", server.endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_" + "x" * 34)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setattr("huggingface_hub.hf_api.HfApi.endpoint", server.endpoint, raising=False)
    yield server
    server.shutdown()
