"""Programs tell OpenMP to let waiting threads sleep, before torch loads it; what the user set stays."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from splip.common.threads import POLICIES, SLEEPING, wait_passively

ROOT = Path(__file__).resolve().parents[2]
SPACE = f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); runpy.run_path({str(ROOT / 'space/app.py')!r})"
PROGRAMS = {
    "splip": ["-m", "splip", "export", "--model", "splip-search", "--output", "setup.py/nowhere"],
    "the installed command": ["-c", "import sys; from splip.cli import main; main(['table', 'nowhere']); import torch"],
    "train.py": ["train.py", "--trainer", "nobody"],
    "the Space": ["-c", SPACE],
}


def environment(**own):
    kept = {key: value for key, value in os.environ.items() if key not in POLICIES}
    return {**kept, "OMP_DISPLAY_ENV": "verbose", **own}


def said(words, **own):
    """What OpenMP read when the program loaded it: {variable: value}."""
    env = environment(**own, SPLIP_MODEL="nowhere")
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True)
    return dict(re.findall(r"(OMP_WAIT_POLICY|GOMP_SPINCOUNT) = '(\w+)'", done.stderr))


@pytest.fixture(scope="module")
def default():
    found = said(["-c", "import torch"])
    if "GOMP_SPINCOUNT" not in found:
        pytest.skip("this torch has no OpenMP of GNU's")
    assert int(found["GOMP_SPINCOUNT"]) > 10000, "nothing spins long here: the tests would prove nothing"
    return found


@pytest.mark.parametrize("program", PROGRAMS)
def test_threads_of_every_program_sleep_while_they_wait(default, program):
    if program == "the Space":
        pytest.importorskip("uvicorn")
    assert said(PROGRAMS[program]) == {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}


@pytest.mark.parametrize("program", ["splip", "train.py"])
def test_what_the_user_set_stays(default, program):
    assert said(PROGRAMS[program], GOMP_SPINCOUNT="77")["GOMP_SPINCOUNT"] == "77"
    active = said(PROGRAMS[program], OMP_WAIT_POLICY="active")
    assert active["OMP_WAIT_POLICY"] == "ACTIVE" and active["GOMP_SPINCOUNT"] != "10000", active


@pytest.mark.parametrize("own", [{}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "9"}, {"KMP_BLOCKTIME": "0"}])
def test_scripts_and_the_function_say_the_same(own, monkeypatch):
    script = "source scripts/env.sh; for name in " + " ".join(POLICIES) + '; do echo "$name=${!name-}"; done'
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment(**own), capture_output=True, text=True)
    of_script = dict(line.split("=") for line in done.stdout.splitlines())
    for name in POLICIES:
        monkeypatch.delenv(name, raising=False)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    wait_passively()
    wanted = own or SLEEPING
    assert {name: value for name, value in of_script.items() if value} == wanted
    assert {name: os.environ[name] for name in POLICIES if name in os.environ} == wanted
