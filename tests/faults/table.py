"""Try every fault and print what happens: `python tests/faults/table.py`."""

import sys
import tempfile
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

from cases import CASES  # noqa: E402
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
    print(f"\n{len(CASES)} faults, {wrong} not as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
