"""Every fault is handled, or said in one or two lines with status 2; none is silent, none loses work.

`python tests/faults/table.py` prints them as a table.
"""

import re
from pathlib import Path

import cases_disk  # noqa: F401  (adds to CASES)
import cases_index  # noqa: F401  (likewise)
import cases_reports  # noqa: F401  (likewise)
import pytest
from cases import CASES
from elsewhere import ELSEWHERE
from world import World, load_train, make_original

pytest.importorskip("faiss")
# numbers that the list of faults leaves out
UNUSED = {8, 9, 17, 41, 45, 50, 51, 67, 68, 100, 117, 122, 124, 144, 156, 160, 165, 183, 189}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults") / "original"
    train = load_train()
    make_original(folder, train)
    return folder, train


def judge(outcome, says):
    """What is wrong with an outcome; "" = nothing."""
    if outcome.status == 0:
        wanted = next((part[4:] for part in [says] if part.startswith("OK: ")), None)
        if says != "OK" and wanted is None and not says.endswith("|OK"):
            return f"silent: nothing was said; out: {outcome.out[-500:]}"
        if wanted and not re.search(wanted, outcome.out):
            return f"it did not say {wanted!r}: {outcome.out[-800:]}"
        return ""
    lines = [line for line in outcome.err.splitlines() if line and not line.startswith("usage:")]
    lines = [line for line in lines if not line.startswith(" " * 10)]  # of argparse's usage
    if "Traceback" in outcome.err:
        return f"a traceback: {outcome.err[-1500:]}"
    if outcome.status != 2:
        return f"status {outcome.status}: {outcome.err[-800:]}"
    if not re.search(says, outcome.err, re.DOTALL):
        return f"it said {outcome.err[-800:]!r}, not {says!r}"
    if not 1 <= len(lines) <= 13:  # the list of commands is the longest
        return f"{len(lines)} lines: {outcome.err[-1500:]}"
    return ""


@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{c.number}-{c.what[:40]}" for i, c in enumerate(CASES)])
def test_fault(case, original, tmp_path):
    folder, train = original
    wrong = judge(case.do(World(tmp_path / "world", folder, train)), case.says)
    assert not wrong, f"{case.number} {case.what}: {wrong}"


def test_there_are_enough():
    assert sum(c.number == "new" for c in CASES) >= 40 and len({c.number for c in CASES}) > 80


def test_what_is_tried_elsewhere_is_there():
    """Every test that a row names exists; that it passes is its own file's matter."""
    tests = Path(__file__).resolve().parents[1]
    for row in ELSEWHERE:
        for test in row.tests:
            file, _, name = test.partition("::")
            assert f"def {name.partition('[')[0]}(" in (tests / file).read_text(), f"{row.number}: {test}"
    numbers = [case.number for case in CASES] + [row.number for row in ELSEWHERE]
    lacking = set(range(1, 194)) - set(numbers) - UNUSED
    assert not lacking, f"rows of the list that nothing tries: {sorted(lacking)}"
    assert numbers.count("new") >= 40
