"""`splip doctor`: what it says is what the code would do."""

import importlib.util
import os
import re
from pathlib import Path

import pytest
import torch

import splip
from splip.cli import doctor
from splip.cli import main as splip_command
from splip.engine import ENGINE


def hide(monkeypatch, name):
    """As if a package were not installed."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda asked, *rest: None if asked == name else find(asked, *rest))


def test_it_says_what_a_run_would_use(capsys, monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    assert splip_command(["doctor"]) == 0
    said = {line.split("  ")[1]: line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    assert splip.__version__ in said["splip"] and ENGINE in said["engine"], said
    assert torch.__version__.split("+")[0] in said["torch"], said
    assert f"{torch.get_num_threads()}; OMP_WAIT_POLICY=active" in said["threads"], said
    assert said["TRAINER.PREC auto"].split()[-1] in ("fp32", "bf16"), said
    assert "MiB" in said["splip-hybrid"], said


@pytest.mark.parametrize("name", ["faiss", "open_clip"])
def test_what_is_missing_comes_with_the_way_to_get_it(name, monkeypatch, capsys):
    hide(monkeypatch, name)
    splip_command(["doctor"])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.split()[:1] == [name])
    use, extra = next((use, extra) for package, use, extra in doctor.EXTRAS if package == name)
    assert line.endswith(f'not installed; for {use}: pip install -e ".[{extra}]"'), line


def test_without_torch_it_still_reports(monkeypatch, capsys):
    hide(monkeypatch, "torch")
    assert splip_command(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "MISSING: pip install -e" in said and "what a run would use" not in said, said


def test_every_extra_exists():
    setup = Path(__file__).parents[2].joinpath("setup.py").read_text(encoding="utf-8")
    extras = set(re.findall(r'^        "(\w+)":', setup, re.MULTILINE))
    assert {extra for *_, extra in doctor.EXTRAS} <= extras, extras


def test_the_caches_sizes(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", os.fspath(tmp_path))
    assert dict(doctor.caches())["hub"] == f"{tmp_path}: empty"
    with open(tmp_path / "weights", "wb") as file:
        file.truncate(3 * 2**29)
    assert dict(doctor.caches())["hub"] == f"{tmp_path}: 1.5 GiB"
