"""Questions with the photos that were found, and their contact sheet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, List, NamedTuple, Sequence

from PIL import Image

from splip.common.errors import one_line, shown
from splip.data.classes import some
from splip.data.images import open_rgb
from splip.search.drawings import clean_drawing, open_drawing
from splip.search.folding import Group
from splip.search.records import Hit

DRAWN = 40  # largest number of photos per query in the contact sheet


class Question(NamedTuple):
    """A query."""

    path: str  # of an image; "" = only text
    kind: str
    text: str
    minus: str = ""

    def __str__(self) -> str:
        asked = " + ".join(filter(None, [shown(self.path), self.text and repr(self.text)]))
        return f"{asked} - {self.minus!r}" if self.minus else asked


class Answer(NamedTuple):
    """A query and the photos that it found, best first; near copies are together."""

    question: Question
    groups: List[Group]


def count_of(copies: Sequence[Hit]) -> str:
    """What stands behind a photo's name."""
    return f" (+{len(copies)} near {'copy' if len(copies) == 1 else 'copies'})" if copies else ""


def draw(found: Sequence[Answer], path: Path, asked: bool, note: Callable[[str], None]) -> None:
    """Draw the sheet of photos that can still be read, and print its path; a line names what cannot be drawn.

    Args:
        asked: whether the user requested it; then a failed write is an error.
        note: says a line to the user.
    """
    from splip.retrieval.sheets import contact_sheet

    rows, lost = [], []
    for question, groups in found:
        drawn = [(group, _thumbnail(group.hit.path)) for group in groups[:DRAWN]]
        lost += [shown(group.hit.path) for group, image in drawn if image is None]
        shots = [(image, None, _caption(group)) for group, image in drawn if image is not None]
        if shots:
            rows.append((_asked(question), shots, question.text or Path(question.path).stem))
    if lost:
        note(f"not drawn, for they cannot be read now (splip index looks again): {', '.join(some(lost))}")
    if not rows:
        return
    try:
        print(shown(str(contact_sheet(rows, path))))
    except OSError as error:
        if asked:
            raise
        note(f"no sheet is drawn: {one_line(error)} (--sheet NAME)")


def _caption(group: Group) -> str:
    """Score, folder, file name and number of copies; the sheet cuts a long one and keeps its front and its end."""
    path, copies = group.hit.path, f" (+{len(group.copies)})" if group.copies else ""
    return (
        f"{group.hit.score:.2f} {os.path.join(os.path.basename(os.path.dirname(path)), os.path.basename(path))}{copies}"
    )


def _asked(question: Question) -> Image.Image:
    """The query as the model saw it."""
    if not question.path:
        return Image.new("RGB", (224, 224), "white")
    if question.kind == "sketch":
        image = clean_drawing(open_drawing(question.path)).image
    else:
        image = open_rgb(os.path.expanduser(question.path))
    image.thumbnail((224, 224))
    return image


def _thumbnail(path: str, side: int = 224):
    """A small version of a photo; None if it was deleted after indexing."""
    try:
        image = open_rgb(path, at_least=side)
    except ValueError:
        return None
    image.thumbnail((side, side))
    return image
