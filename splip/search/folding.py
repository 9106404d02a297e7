"""Results that are nearly the same picture: resized, encoded again, or with a narrow rim cut off."""

from __future__ import annotations

from typing import Callable, List, NamedTuple, Optional, Sequence

import numpy as np

from splip.data.images import open_rgb
from splip.search.records import Hit

# Of 499,500 pairs of different photos (Sketchy25's) none reaches ALIKE; the highest has 0.94. Copies do in 95 to 100 %
# of cases (half the size, JPEG of quality 25, 2 % cut from each side), and in 14 % with 5 % cut off (docs/SEARCH.md).
ALIKE = 0.95  # correlation of two photos, made small and grey
SIDE = 16  # pixels
NEAR = 0.1  # of the cosine: copies have about the same score
FLAT = 4.0  # grey levels, and
PLAIN = 0.35  # share of a picture within FLAT of each other; made so small, icons and cut-outs are too much alike
MORE = 3  # results that are looked at for each one that is wanted


class Group(NamedTuple):
    """A result and its near copies, best first."""

    hit: Hit
    copies: List[Hit]


def small_grey(path: str) -> Optional[np.ndarray]:
    """A photo as (SIDE * SIDE,) grey values of mean 0 and length 1; None if it cannot be read, or is plain."""
    try:
        image = open_rgb(path, at_least=SIDE)
    except ValueError:
        return None
    grey = np.asarray(image.convert("L").resize((SIDE, SIDE)), dtype=np.float32).ravel()
    levels = np.sort(grey)
    alike = np.searchsorted(levels, levels + FLAT, side="right") - np.arange(len(levels))
    if alike.max() > PLAIN * len(levels):
        return None
    grey -= grey.mean()
    return grey / np.linalg.norm(grey)


def fold(hits: Sequence[Hit], k: int, look: Callable[[str], Optional[np.ndarray]] = small_grey) -> List[Group]:
    """The first k results, each with those of the others that are near copies of it.

    Args:
        hits: best first; MORE * k of them, so that k are left.
        look: as :func:`small_grey`. It is called for each result up to the first that would be number k + 1.
    """
    groups: List[Group] = []
    pictures: List[Optional[np.ndarray]] = []
    for hit in hits:
        own = look(hit.path)
        for group, picture in zip(groups, pictures):
            near = group.hit.score - hit.score <= NEAR
            if near and own is not None and picture is not None and float(own @ picture) >= ALIKE:
                group.copies.append(hit)
                break
        else:
            if len(groups) == k:
                break
            groups.append(Group(hit, []))
            pictures.append(own)
    return groups
