"""Class names and class lists: one spelling for each class, however an archive spells its folder."""

from __future__ import annotations

import re
import unicodedata
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Collection, Iterable, List, Sequence, Tuple

import splip

SPLITS = Path(splip.__file__).parent / "assets" / "splits"

# Spellings that differ in more than case and separators: misspelt folders in some copies of the archives,
# and names that have a qualifier in one data set and none in another.
ALIASES = {
    "effiel tower": "eiffel tower",
    "griaffe": "giraffe",
    "chandeler": "chandelier",
    "spidar": "spider",
    "tromobone": "trombone",
    "diamod": "diamond",
    "hotdog": "hot dog",
    "bear animal": "bear",
    "mouse animal": "mouse",
    "car sedan": "car",
}


def normalise(name: str) -> str:
    """The normalised class name: lower case, words separated by one space, one name for known variants.

    >>> normalise("Teddy-Bear"), normalise("car_(sedan)"), normalise("effiel_tower")
    ('teddy bear', 'car', 'eiffel tower')
    """
    words = spelling(name)
    return ALIASES.get(words, words)


def spelling(name: str) -> str:
    """The normalised spelling of a name: lower case, words separated by one space, accents as in NFC."""
    return " ".join(re.split(r"[\s_()-]+", unicodedata.normalize("NFC", name).lower())).strip()


def read_shipped(name: str) -> List[str]:
    """The classes of a list in splip/assets/splits, normalised and sorted.

    Raises:
        ValueError: there is no such list; the message names the existing lists.
    """
    path = SPLITS / f"{name}.txt"
    if not path.is_file():
        shipped = sorted(path.stem for path in SPLITS.glob("*.txt"))
        raise ValueError(f"no class list {name!r}; there are {', '.join(shipped)}")
    unseen, _ = read_split(path)
    return sorted(map(normalise, unseen))


def read_split(path: Path) -> Tuple[List[str], List[str]]:
    """A user's split file -> (unseen classes, pseudo-unseen classes), as spelt there.

    Each line has one unseen class. ``#`` at the start of a word begins a comment. ``pseudo: <class>`` names a seen
    class that ``TEST.FINAL_MODEL best_val`` may hold out.

    Raises:
        ValueError: the file is missing, is not text, or names no unseen class.
    """
    if not path.is_file():
        raise ValueError(f"DATASET.SPLIT must be a text file with the unseen classes, one a line; no file at {path}")
    lines = [re.split(r"(?:^|\s)#", line)[0].strip() for line in _text(path).splitlines()]
    pseudo = [line.split(":", 1)[1].strip() for line in lines if line.startswith("pseudo:")]
    unseen = sorted({line for line in lines if line and not line.startswith("pseudo:")})
    if not unseen:
        raise ValueError(f"{path} names no unseen class")
    return unseen, pseudo


def _text(path: Path) -> str:
    """The content of a text file in UTF-8, or in UTF-16 with a byte order mark, as editors write."""
    content = path.read_bytes()
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}") from error


def seen_test_classes(trained: Iterable[str], tested: Iterable[str], others: Iterable[str] = ()) -> List[str]:
    """The classes in ``tested`` that are also in ``trained``, in any spelling, sorted.

    Args:
        others: further classes of the test data set. A trained name that is spelt like one of these is that
            class: "mouse (animal)" is not "mouse" if the data set has both.

    >>> seen_test_classes(["Teddy-Bear", "car_(sedan)"], ["cat", "teddy bear", "car"])
    ['car', 'teddy bear']
    """
    tested = set(tested)
    apart = {spelling(name) for name in others} - {spelling(name) for name in tested}
    known = {normalise(name) for name in trained if spelling(name) not in apart}
    return sorted(name for name in tested if normalise(name) in known)


def near(lost: Iterable[str], there: Collection[str]) -> str:
    """ " (near: wheel)": the existing names that are most similar to the missing names; "" if there are none."""
    spelt = {spelling(name): name for name in sorted(there)}
    found = [spelt[match] for name in lost for match in get_close_matches(spelling(name), spelt, n=1)]
    return f" (near: {', '.join(some(list(dict.fromkeys(found))))})" if found else ""


def some(names: Sequence[Any], shown: int = 5) -> List[str]:
    """The first few items of a list and the number of the others, for a message."""
    return [*map(str, names[:shown]), *([f"and {len(names) - shown} more"] if len(names) > shown else [])]
