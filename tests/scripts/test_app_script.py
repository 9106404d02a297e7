"""scripts/app.sh: the index that it makes is the one that the page opens."""

import argparse
import os
import subprocess
from pathlib import Path

import pytest

from splip.cli import add_index, index_words

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("app", ["", "--port 8000", "--model clip:ViT-B/32 --port 8000", "--index somewhere"])
def test_folders_and_options_go_to_the_page_which_indexes(tmp_path, app):
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$*" >> "$RECORD"\n')
    python.chmod(0o755)
    env = {**os.environ, "PYTHON": str(python), "RECORD": str(tmp_path / "record"), "APP": app}
    subprocess.run(["bash", "scripts/app.sh", "photos", "more"], cwd=ROOT, env=env, check=True)
    (line,) = (tmp_path / "record").read_text().splitlines()
    assert line.split() == ["-m", "splip", "app", "--open", "photos", "more", *app.split()], line


def test_the_index_that_is_filled_is_the_one_that_is_opened():
    parser = argparse.ArgumentParser()
    add_index(parser)
    asked = parser.parse_args("--model clip:ViT-B/32 --index here --device cuda --engine milvus --uri x.db".split())
    assert parser.parse_args(index_words(asked)) == asked
    assert parser.parse_args(index_words(parser.parse_args([]))) == parser.parse_args([])
