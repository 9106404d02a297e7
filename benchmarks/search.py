"""How well a model finds photos by drawings of other people.

--drawings holds Quick, Draw!'s `<word>.ndjson`. --photos is any folder of pictures. A picture shows a word if its file
name has it as a word of its own, or the first line of a text file beside it (Tux Paint's stamps have one). Printed for
each word and in all: how often a right picture is among the first ten of all pictures, mAP, and what chance gives.

    apt-get download tuxpaint-stamps-default && dpkg-deb -x tuxpaint-stamps-default_*.deb stamps
    python benchmarks/search.py --photos stamps --drawings quickdraw [--model MODEL] [--csv FILE]
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from math import comb
from pathlib import Path
from typing import Dict, List, Set

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import splip
from splip.data.images import open_rgb
from splip.search.drawings import clean_drawing, open_drawing
from splip.search.scaling import crowding

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
FIRST = 10  # photos that a person looks at
OTHERS = {"drums": ("drum",), "mouse": ()}  # a word's other spellings; () = it means several things


def words_of(photo: Path) -> Set[str]:
    """The text that names a picture, as words without their plural s."""
    text = photo.stem
    beside = photo.with_suffix(".txt")
    if beside.is_file():
        text += " " + beside.read_text(encoding="utf-8", errors="replace").split("\n")[0]
    return set(re.findall(r"[a-z]+", text.lower()))


def labels(photos: List[Path], words: List[str]) -> Dict[str, np.ndarray]:
    """{word: (n,) bool, which photos show it}, of words that at least one shows."""
    named = [words_of(photo) for photo in photos]
    found = {}
    for word in words:
        spellings = [word, *OTHERS.get(word, ())] if OTHERS.get(word) != () else []
        parts = [set(re.findall(r"[a-z]+", spelling)) for spelling in spellings]
        shown = np.array([any(part <= names for part in parts) for names in named])
        if shown.any():
            found[word] = shown
    return found


def chance(right: int, count: int) -> float:
    """How often a random ten of ``count`` pictures hold one of ``right``."""
    return 1 - comb(count - right, FIRST) / comb(count, FIRST)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--drawings", type=Path, required=True)
    parser.add_argument("--model", default="splip-search", help="as splip search has it (default: %(default)s)")
    parser.add_argument("--each", type=int, default=20, help="drawings of each word (default: %(default)s)")
    parser.add_argument("--scaled", action="store_true", help="photos that are near to everything come later")
    parser.add_argument("--csv", type=Path, help="a row for each word goes there")
    args = parser.parse_args()
    model = splip.load_model(args.model)
    files = sorted(p for p in args.photos.rglob("*") if p.suffix.lower() in SUFFIXES and not p.is_symlink())
    pictures, photos = [], []
    for file in files:
        try:
            pictures.append(open_rgb(str(file)))
            photos.append(file)
        except ValueError as error:
            print(error, file=sys.stderr)
    gallery = np.asarray(model.embed(pictures, "photo"))
    less = crowding(gallery, gallery) / 2  # every photo is a candidate here
    shown = labels(photos, sorted(path.stem for path in args.drawings.glob("*.ndjson")))
    rows = []
    for word, right in shown.items():
        lines = sum(1 for _ in (args.drawings / f"{word}.ndjson").open())
        asked = [
            clean_drawing(open_drawing(f"{args.drawings / word}.ndjson:{n}")).image
            for n in range(1, min(args.each, lines) + 1)
        ]
        cosines = np.asarray(model.embed(asked, "sketch")) @ gallery.T
        order = np.argsort(less - cosines if args.scaled else -cosines, axis=1, kind="stable")
        hits = right[order]
        precision = hits.cumsum(1) / np.arange(1, len(photos) + 1)
        mean = 100 * ((precision * hits).sum(1) / right.sum()).mean()
        rows.append({
            "word": word, "pictures": int(right.sum()), "drawings": len(asked), "mAP": mean,
            "first ten": 100 * hits[:, :FIRST].any(1).mean(), "chance": 100 * chance(int(right.sum()), len(photos)),
        })  # fmt: skip
    line = "first ten {first ten:5.1f} (chance {chance:4.1f}), mAP {mAP:5.1f}"
    for row in sorted(rows, key=lambda row: -row["first ten"]):
        print(("{word:20} {pictures:3} pictures: " + line).format(**row))
    means = {name: np.mean([row[name] for row in rows]) for name in ("first ten", "chance", "mAP")}
    print(f"{len(rows)} words, {len(photos)} pictures: {line.format(**means)}")
    if args.csv:
        with args.csv.open("w", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
