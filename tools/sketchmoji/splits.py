"""Divides Sketchmoji's classes by name, blind to any result: a seeded shuffle, spread over the five groups."""
from __future__ import annotations

import random
from collections import defaultdict
from typing import Dict, Iterable, List, Mapping, Sequence

from names import EmojiClass

UNSEEN, PSEUDO_UNSEEN = 0.20, 0.15      # of all classes; of the seen ones
FG_CANDIDATES = 20                      # photos that a fine-grained query chooses from in its category, on average
FG_SMALLEST = 12                        # instances of the smallest category that is ever held out


def pick_spread(groups: Mapping[str, Sequence[str]], part: float, purpose: str) -> List[str]:
    """`part` of each group's names (rounded), drawn with a generator seeded by `purpose`; sorted."""
    chosen = []
    for group in sorted(groups):
        names = sorted(groups[group])
        random.Random(f"sketchmoji {purpose} {group}").shuffle(names)
        chosen += names[:round(part * len(names))]
    return sorted(chosen)


def pick_categories(sizes: Mapping[str, int], group_of: Mapping[str, str], part: float, average: float,
                    spread: int, purpose: str) -> List[str]:
    """Categories that hold about `part` of all instances, `average` each or more, from `spread` groups or more.

    The first shuffle (seeds 0, 1, ...) that gives such a list.
    """
    total = sum(sizes.values())
    for seed in range(10000):
        names = sorted(name for name, size in sizes.items() if size >= FG_SMALLEST)
        random.Random(f"sketchmoji {purpose} {seed}").shuffle(names)
        chosen: List[str] = []
        while names and sum(sizes[name] for name in chosen) < (part - 0.02) * total:
            chosen.append(names.pop())
        held = sum(sizes[name] for name in chosen)
        if (held <= (part + 0.02) * total and held >= average * len(chosen)
                and len({group_of[name] for name in chosen}) >= spread):
            return sorted(chosen)
    raise ValueError(f"no choice of categories for {purpose} holds {part:.0%} of the instances, {average} each")


def make_splits(classes: Iterable[EmojiClass]) -> Dict[str, str]:
    """{file name: text} of the split files. First line: what the list is; then one name a line, sorted."""
    classes = list(classes)
    by_group: Dict[str, List[str]] = defaultdict(list)
    sizes: Dict[str, int] = defaultdict(int)
    group_of: Dict[str, str] = {}
    for one in classes:
        by_group[one.group].append(one.slug)
        sizes[one.category] += 1
        group_of.setdefault(one.category, one.group)
    unseen = pick_spread(by_group, UNSEEN, "unseen")
    seen = {group: [name for name in names if name not in set(unseen)] for group, names in by_group.items()}
    pseudo = pick_spread(seen, PSEUDO_UNSEEN, "pseudo-unseen")
    fg_unseen = pick_categories(sizes, group_of, UNSEEN, FG_CANDIDATES, 5, "fine-grained unseen")
    fg_seen = {name: size for name, size in sizes.items() if name not in fg_unseen}
    fg_pseudo = pick_categories(fg_seen, group_of, PSEUDO_UNSEEN, FG_SMALLEST, 3, "fine-grained pseudo-unseen")
    lists = {
        "all": ("Sketchmoji, all classes", [one.slug for one in classes]),
        "unseen": ("Sketchmoji, unseen classes (zs, gzs)", unseen),
        "pseudo_unseen": ("Sketchmoji, seen classes that select a model when held out (zs, gzs)", pseudo),
        "fg_all": ("Sketchmoji fine-grained, all categories (classes.tsv says which class is in which)", list(sizes)),
        "fg_unseen": ("Sketchmoji fine-grained, unseen categories", fg_unseen),
        "fg_pseudo_unseen": ("Sketchmoji fine-grained, seen categories that select a model when held out", fg_pseudo),
    }
    return {f"{stem}.txt": "\n".join([f"# {title}: {len(names)}", *sorted(names)]) + "\n"
            for stem, (title, names) in lists.items()}
