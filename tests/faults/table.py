"""Try every fault and print what happens: `python tests/faults/table.py`. Those that other tests try are at the end."""

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import cases_disk  # noqa: E402, F401  (adds to CASES)
import cases_index  # noqa: E402, F401  (likewise)
import cases_reports  # noqa: E402, F401  (likewise)
from cases import CASES  # noqa: E402
from elsewhere import ELSEWHERE  # noqa: E402
from test_faults import judge  # noqa: E402
from world import World, load_train, make_original  # noqa: E402


def main() -> int:
    warnings.simplefilter("ignore")
    train, wrong = load_train(), 0
    print("| # | fault | what happens | |\n|--:|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        make_original(Path(folder, "original"), train)
        for number, case in enumerate(CASES):
            outcome = case.do(World(Path(folder, f"w{number}"), Path(folder, "original"), train))
            bad = judge(outcome, case.says)
            wrong += bool(bad)
            said = " ".join((outcome.err or "handled").replace(folder, "").split())[-160:].replace("|", "\\|")
            print(f"| {case.number} | {case.what} | {said} | {'**BAD**' if bad else 'OK'} |", flush=True)
    # in a process of its own: the tests' settings would be this one's
    names = sorted({f"tests/{test}" for row in ELSEWHERE for test in row.tests})
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--no-header", *names]
    said = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True).stdout
    passed = {line.split()[1].partition("[")[0] for line in said.splitlines() if line.startswith("PASSED")}
    failed = {line.split()[1].partition("[")[0] for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))}
    for row in ELSEWHERE:
        own = {f"tests/{test}".partition("[")[0] for test in row.tests}
        bad = bool(own & failed) or not own <= passed
        wrong += bad
        where = ", ".join(row.tests)
        print(f"| {row.number} | {row.what} | {where} | {'**BAD**' if bad else 'OK'} |")
    print(f"\n{len(CASES) + len(ELSEWHERE)} faults, {wrong} not as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
