"""A few seconds of mutated files; by hand many more: `python tests/faults/fuzz.py --count 50000 --seconds 3600`."""

import pytest
from fuzz import HANG, fuzz

pytest.importorskip("faiss")


def test_mutated_files_are_read_or_refused():
    rows = fuzz(count=1500, seconds=20, seed=7)
    wrong = {row["kind"]: [said for said, _ in row["wrong"][:3]] for row in rows if row["wrong"]}
    assert not wrong, wrong
    assert len(rows) == 13 and all(row["mutations"] > 20 and row["slowest"] < HANG for row in rows), rows
    assert sum(row["read"] for row in rows) > 20, "nothing was read: the mutations would prove nothing"
