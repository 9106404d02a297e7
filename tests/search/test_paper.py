"""Drawings on every kind of paper, screen and photograph embed as the same drawing from the page does."""

import pytest
from paper_cases import CASES, SHAPES, clean

import splip
from splip.search.drawings import SIDE, clean_drawing

TRIED = ("cup", "cat", "house")
# the sheet is turned, and so is the drawing
LEAST = {"on a table, turned": 0.88}


@pytest.fixture(scope="module")
def cosines():
    """{(case, shape): cosine}, embedded together."""
    model = splip.load_model()
    pages = {("", name): clean(SHAPES[name]) for name in TRIED}
    pages.update({(case, name): make(SHAPES[name]) for case, make in CASES.items() for name in TRIED})
    found = model.embed([clean_drawing(page).image for page in pages.values()], "sketch")
    vectors = dict(zip(pages, found))
    return {(case, name): float(vector @ vectors["", name]) for (case, name), vector in vectors.items()}


@pytest.mark.parametrize("case", CASES)
def test_the_paper_does_not_matter(case, cosines):
    own = {name: round(cosine, 3) for (one, name), cosine in cosines.items() if one == case}
    assert min(own.values()) >= LEAST.get(case, 0.9), own


def test_cleaning_again_changes_nothing_much():
    once = clean_drawing(clean(SHAPES["cat"])).image
    assert once.size == (SIDE, SIDE)
    model = splip.load_model()
    one, two = model.embed([once, clean_drawing(once).image], "sketch")
    assert float(one @ two) > 0.98
