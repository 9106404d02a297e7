"""What drawings become, case by case: `python benchmarks/drawings.py [--sheet FILE.png] [--retrieval FOLDER]`.

For each kind of paper, screen or photograph (`tests/paper_cases.py`): the cosine between the embedding of the cleaned
picture and that of the same drawing as the page sends it, for the model that ships; least and median over the shapes.
*Raw*: the picture as it is, not cleaned. --retrieval: what cleaning does to clean drawings, with `sketch/<class>/` and
`photo/<class>/` of a folder (sketchy25): how many of the first 4 sketches of a class find a photo of their class among
the first ten, out of the first 5 photos of each class.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "tests")]

from paper_cases import CASES, SHAPES, clean  # noqa: E402

import splip  # noqa: E402
from splip.search.drawings import clean_drawing  # noqa: E402

TILE = 128


def retrieval(model: Any, folder: Path) -> str:
    """The line of --retrieval."""
    found = {}
    for kind, count in (("sketch", 4), ("photo", 5)):
        files = [path for room in sorted((folder / kind).iterdir()) for path in sorted(room.iterdir())[:count]]
        images = [Image.open(path) for path in files]
        ready = [clean_drawing(image).image if kind == "sketch" else image.convert("RGB") for image in images]
        found[kind] = model.embed(ready, kind), np.array([path.parent.name for path in files])
    (queries, wanted), (photos, classes) = found["sketch"], found["photo"]
    nearest = classes[(queries @ photos.T).topk(10).indices.numpy()]
    share = (nearest == wanted[:, None]).any(axis=1).mean()
    return f"{share:.1%} of {len(wanted)} sketches find a photo of their class among the first ten of {len(classes)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", choices=tuple(SHAPES), default=list(SHAPES))
    parser.add_argument("--sheet", type=Path, help="picture of each case and of what it becomes")
    parser.add_argument("--retrieval", type=Path, help="sketches and photos by class, and nothing else")
    args = parser.parse_args()
    if args.retrieval:
        print(retrieval(splip.load_model(), args.retrieval))
        return
    model, shapes = splip.load_model(), {name: SHAPES[name] for name in args.shapes}
    wanted = {name: model.embed([clean_drawing(clean(strokes)).image], "sketch")[0] for name, strokes in shapes.items()}
    sheet = Image.new("RGB", (TILE * 2 * len(shapes), (TILE + 16) * len(CASES)), "white")
    print("| case | raw, least | cleaned, least | median | worst shape | ms |\n|---|--:|--:|--:|---|--:|")
    for row, (case, make) in enumerate(CASES.items()):
        raw, found, took = {}, {}, []
        for column, (name, strokes) in enumerate(shapes.items()):
            picture = make(strokes)
            picture.load()
            began = time.perf_counter()
            try:
                image = clean_drawing(picture).image
            except ValueError:
                image = Image.new("RGB", (64, 64), "red")
            took.append(time.perf_counter() - began)
            both = model.embed([picture.convert("RGB"), image], "sketch") @ wanted[name]
            raw[name], found[name] = both.tolist()
            for i, shown in enumerate((picture.convert("RGBA"), image)):
                tile = Image.new("RGB", shown.size, (200, 220, 255))
                tile.paste(shown, (0, 0), shown if shown.mode == "RGBA" else None)
                tile.thumbnail((TILE - 4, TILE - 4))
                sheet.paste(tile, ((2 * column + i) * TILE, row * (TILE + 16) + 16))
        ImageDraw.Draw(sheet).text((2, row * (TILE + 16)), case, fill="black")
        worst = min(found, key=found.get)
        print(f"| {case} | {min(raw.values()):.2f} | {found[worst]:.2f} | {statistics.median(found.values()):.2f} "
              f"| {worst} | {1000 * max(took):.0f} |", flush=True)  # fmt: skip
    if args.sheet:
        sheet.save(args.sheet)


if __name__ == "__main__":
    main()
