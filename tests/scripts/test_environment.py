"""scripts/env.sh: which torch is installed, with stand-ins for Python, pip and nvidia-smi."""

import os
import platform
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = """#!/bin/sh
echo "$*" >> "$RECORD"
case "$*" in
    "-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
    "-c import torch") exit "${TORCH:-1}" ;;
    "-c from urllib"*) exit "${REACHED:-0}" ;;
    "-m pip config list") echo "${CONFIG:-}" ;;
esac
"""
INDEX = "--index-url https://download.pytorch.org/whl/cpu"
CPU = f"-m pip install --disable-pip-version-check --quiet {INDEX} torch>=2.6 torchvision"


def installs(tmp_path, gpu=False, status=0, **variables):
    """What pip is asked to install, and what the script says."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in (("python3", PYTHON), ("nvidia-smi", f"#!/bin/sh\nexit {0 if gpu else 9}\n")):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    record = tmp_path / "record"
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHON", "SPLIP_TORCH")}
    env.update(PATH=f"{tools}:{env['PATH']}", RECORD=str(record), SPLIP_ENV=str(tmp_path / "env"), **variables)
    command = ["bash", "-euc", "source scripts/env.sh; use_environment app"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    lines = record.read_text().splitlines()
    return [line for line in lines if line.startswith("-m pip install")], done.stderr


linux = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="elsewhere the ordinary torch has no CUDA"
)


@linux
def test_without_a_gpu_torch_is_the_cpu_build(tmp_path):
    (first, second), said = installs(tmp_path)
    assert first == CPU and second.endswith(f"-e {ROOT}[app]") and "SPLIP_TORCH=any" in said


@linux
@pytest.mark.parametrize("why", ["gpu", "asked", "installed", "own index"])
def test_the_ordinary_torch_where_it_is_of_use_or_was_chosen(tmp_path, why):
    options = {"gpu": {"gpu": True}, "asked": {"SPLIP_TORCH": "any"}, "installed": {"TORCH": "0"},
               "own index": {"CONFIG": "global.index-url='https://pypi.example/simple'"}}[why]  # fmt: skip
    (only,), _ = installs(tmp_path, **options)
    assert only.endswith(f"-e {ROOT}[app]")


@linux
def test_where_the_cpu_builds_cannot_be_reached_it_says_so_and_goes_on(tmp_path):
    (only,), said = installs(tmp_path, REACHED="1")
    assert only.endswith(f"-e {ROOT}[app]") and "cannot be reached: the ordinary torch is installed" in said


@linux
def test_a_gpu_that_is_not_to_be_used(tmp_path):
    (first, _), _ = installs(tmp_path, gpu=True, SPLIP_TORCH="cpu")
    assert first == CPU


def test_a_wrong_choice_is_refused(tmp_path):
    found, said = installs(tmp_path, status=2, SPLIP_TORCH="gpu")
    assert not found and "SPLIP_TORCH must be auto, cpu or any, got 'gpu'" in said
