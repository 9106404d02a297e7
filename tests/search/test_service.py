"""The program of docs/SERVICE.md runs as it is printed, and its ways give the same vectors."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import COLOURS, drawing
from PIL import Image

PAGE = Path(__file__).resolve().parents[2] / "docs" / "SERVICE.md"


def blocks():
    """Heading -> its Python code."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = {head: re.findall(r"```python\n(.*?)```", text, re.DOTALL) for head, text in zip(parts[::2], parts[1::2])}
    return {head: code[0] for head, code in found.items() if code}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """The variables of the first part, in a folder with its pictures."""
    folder, patch = tmp_path_factory.mktemp("service"), pytest.MonkeyPatch()
    patch.chdir(folder)
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (300, 200), COLOURS[colour]).save(folder / f"{name}.jpg")
    drawing(folder / "drawing.png")
    variables = {}
    exec(blocks()["With PyTorch"], variables)
    yield variables
    patch.undo()


def test_the_page_has_these_parts():
    assert list(blocks()) == ["With PyTorch", "With FAISS", "With Milvus", "Without PyTorch: ONNX"]


def test_faiss_and_milvus_give_the_cosines(service):
    pytest.importorskip("faiss")
    wanted = np.sort((service["query"] @ service["gallery"].T)[0])[::-1]
    exec(blocks()["With FAISS"], service)
    assert service["scores"][0] == pytest.approx(wanted, abs=1e-5)
    if sys.version_info < (3, 10):
        return
    pytest.importorskip("milvus_lite")
    exec(blocks()["With Milvus"], service)
    assert [hit["distance"] for hit in service["hits"]] == pytest.approx(wanted.tolist(), abs=1e-4)
    assert {hit["entity"]["name"] for hit in service["hits"]} == {"a.jpg", "b.jpg"}


def test_onnx_gives_the_same_vectors(service):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    command = re.search(r"^splip (export .+?)\s*#", PAGE.read_text(encoding="utf-8"), re.MULTILINE)[1].split()
    subprocess.run([sys.executable, "-m", "splip", *command], check=True, capture_output=True)
    exec(blocks()["Without PyTorch: ONNX"], service)
    assert np.allclose(service["same_query"], service["query"], atol=1e-4)
    photos = [Image.open(name) for name in service["names"]]
    assert np.allclose(service["photo"](photos), service["gallery"], atol=1e-4)


def test_cleaning_imports_no_torch():
    code = "import sys, splip.search.drawings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PAGE.parents[1]).returncode == 0
