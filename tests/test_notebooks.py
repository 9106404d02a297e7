"""The notebooks run from the first cell to the last, and show pictures."""

from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, monkeypatch, tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    book = nbformat.read(path, as_version=4)
    stored = sum("outputs" in cell and bool(cell.outputs) for cell in book.cells)
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert stored, f"{path.name} is stored without what it shows: GitHub's readers see no picture"
    pictures = [output for output in shown if "image/png" in output.get("data", {})]
    assert len(pictures) >= 2, [output.output_type for output in shown]
    said = [output.text for output in shown if output.get("name") == "stderr"]  # matplotlib's font cache, once
    assert not [text for text in said if "Warning" in text], said
