"""What is tested only where the hosts are: the suite says that it was not, and a script does it."""

import os
import subprocess
import sys
from pathlib import Path

import conftest
import pytest

ROOT = Path(__file__).resolve().parents[2]
HOSTS = ("CoOp", "MaPLe", "PromptSRC", "Dassl")


class Reporter:
    def __init__(self):
        self.lines = []

    def write_line(self, line, **markup):
        self.lines.append(line)


@pytest.mark.parametrize(
    ("dassl", "hosts", "named"),
    [(False, False, ["Dassl (not installed)", "CoOp, MaPLe, PromptSRC (SPLIP_HOSTS is not set)"]),
     (True, False, ["CoOp, MaPLe, PromptSRC (SPLIP_HOSTS is not set)"]), (False, True, ["Dassl (not installed)"]),
     (True, True, [])],
)  # fmt: skip
def test_one_line_names_what_was_not_tested(monkeypatch, dassl, hosts, named):
    monkeypatch.setattr(conftest, "find_spec", lambda name: object() if dassl and name == "dassl" else None)
    monkeypatch.setenv("SPLIP_HOSTS", "somewhere" if hosts else "")
    reporter = Reporter()
    conftest.pytest_terminal_summary(reporter)
    wanted = [f"NOT TESTED: {'; '.join(named)}. bash scripts/hosts.sh FOLDER does it (docs/HOSTS.md)"]
    said = [line for line in reporter.lines if "real sketches" not in line]
    assert said == (wanted if named else [])


def test_it_is_among_the_last_lines_of_the_suite():
    env = {key: value for key, value in os.environ.items() if key not in ("SPLIP_HOSTS", "PYTEST_ADDOPTS")}
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/trainers/test_hosts.py", "-k", "the_page_names"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    assert done.returncode == 0 and "1 passed" in lines[-1], done.stdout + done.stderr
    assert lines[-2].startswith("NOT TESTED: ") and "CoOp, MaPLe, PromptSRC" in lines[-2], lines


@pytest.fixture
def stand_in(tmp_path):
    """A Python that records what it was called with; (environment that has it, the record)."""
    record, program = tmp_path / "record", tmp_path / "python"
    program.write_text(f'#!/usr/bin/env bash\necho "$SPLIP_HOSTS|$SPLIP_ENGINE|$PYTHONPATH|$*" >> {record}\n')
    program.chmod(0o755)
    env = {key: value for key, value in os.environ.items() if key not in ("SPLIP_HOSTS", "SPLIP_ENGINE", "PYTHONPATH")}
    return {**env, "PYTHON": str(program)}, record


def run(env, *words, cwd=ROOT):
    command = ["bash", str(ROOT / "scripts/hosts.sh"), *words]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)


def test_the_script_runs_what_needs_hosts_with_their_checkouts(stand_in, tmp_path):
    env, record = stand_in
    for name in HOSTS:
        (tmp_path / "hosts" / name).mkdir(parents=True)
    done = run(env, "hosts", "-k", "name", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    hosts = tmp_path / "hosts"
    *checks, tests = [line.split("|") for line in record.read_text().splitlines()]
    assert tests[:3] == [str(hosts), "", str(hosts / "Dassl")] and checks, "SPLIP_ENGINE would choose the other engine"
    words = tests[3].split()
    assert words[:2] == ["-m", "pytest"] and words[-2:] == ["-k", "name"]
    files = [word for word in words if word.startswith("tests/")]
    with_dassl = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")
                  if "@needs_dassl" in path.read_text() or "@needs_hosts" in path.read_text()}  # fmt: skip
    with_dassl.discard("tests/scripts/test_hosts_script.py")
    assert set(files) == with_dassl and all((ROOT / file).is_file() for file in files)


def test_the_script_says_what_is_missing(stand_in, tmp_path):
    env, record = stand_in
    (tmp_path / "CoOp").mkdir()
    for words, message in (
        ([], "usage: bash scripts/hosts.sh FOLDER"),
        (
            [str(tmp_path)],
            f"{tmp_path} has no checkout named MaPLe: git clone https://github.com/muzairkhattak/multimodal",
        ),
    ):
        done = run(env, *words)
        assert done.returncode == 2 and message in done.stderr, done.stderr
    assert not record.exists(), "something was run all the same"


def test_a_python_without_dassl_or_splip_is_not_taken(stand_in, tmp_path):
    """Its tests would be skipped, and the script would seem to pass."""
    env, _ = stand_in
    for name in HOSTS:
        (tmp_path / name).mkdir()
    Path(env["PYTHON"]).write_text("#!/usr/bin/env bash\nexit 1\n")
    done = run(env, str(tmp_path))
    assert done.returncode == 2 and "cannot import" in done.stderr, done.stderr
