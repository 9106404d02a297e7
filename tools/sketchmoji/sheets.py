"""Contact sheets of Sketchmoji: docs/sketchmoji/examples.jpg, and with --all every drawing of every artist elsewhere.

    python tools/sketchmoji/sheets.py
    python tools/sketchmoji/sheets.py --all sheets/       # to look through what was built
"""
from __future__ import annotations

import argparse
from pathlib import Path
from typing import List, Sequence

from PIL import Image, ImageDraw

from splip.datasets.scenes import compose, read_drawing, read_scenes
from splip.datasets.sketchmoji import EMBEDDED, PHOTO_ARTISTS, SKETCH_ARTISTS

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "sketchmoji" / "examples.jpg"
SHOWN = ("anchor", "baby_bottle", "camel", "castle", "crocodile", "guitar", "locomotive", "octopus", "pineapple",
         "rocket", "snail", "violin")
CELL = 84


def grid(images: Sequence[Image.Image], labels: Sequence[str], columns: int) -> Image.Image:
    """Images (resized to CELL) in rows of `columns`, each with a label below it."""
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (CELL + 4), rows * (CELL + 16)), "white")
    ink = ImageDraw.Draw(sheet)
    for index, (image, label) in enumerate(zip(images, labels)):
        x, y = index % columns * (CELL + 4), index // columns * (CELL + 16)
        sheet.paste(image.convert("RGB").resize((CELL, CELL), Image.Resampling.LANCZOS), (x, y))
        ink.text((x + 2, y + CELL + 1), label[:14], fill="black")
    return sheet


def examples() -> Image.Image:
    """One class a row: its three sketches, then two photos of each photo artist."""
    scenes = read_scenes(EMBEDDED / "scenes.tsv")
    images: List[Image.Image] = []
    labels: List[str] = []
    for name in SHOWN:
        for artist in SKETCH_ARTISTS:
            images.append(Image.open(EMBEDDED / "sketch" / artist / f"{name}.png"))
            labels.append(f"{name}" if artist == SKETCH_ARTISTS[0] else artist)
        for artist in PHOTO_ARTISTS:
            drawing = read_drawing(EMBEDDED / "photo" / artist / f"{name}.png")
            images += [Image.fromarray(compose(drawing, scene)) for scene in scenes[artist, name][:2]]
            labels += [artist, artist]
    return grid(images, labels, 9)


def everything(folder: Path) -> None:
    """Every drawing, and the first scene of every photo drawing, 240 to a sheet."""
    folder.mkdir(parents=True, exist_ok=True)
    scenes = read_scenes(EMBEDDED / "scenes.tsv")
    kinds = {"sketch": SKETCH_ARTISTS, "photo": PHOTO_ARTISTS, "scene": PHOTO_ARTISTS}
    for kind, artist in ((kind, artist) for kind, artists in kinds.items() for artist in artists):
        paths = sorted((EMBEDDED / ("sketch" if kind == "sketch" else "photo") / artist).glob("*.png"))
        for start in range(0, len(paths), 240):
            part = paths[start:start + 240]
            if kind == "scene":
                shown = [Image.fromarray(compose(read_drawing(p), scenes[artist, p.stem][0])) for p in part]
            else:
                shown = [flat(Image.open(path)) for path in part]
            grid(shown, [path.stem for path in part], 20).save(folder / f"{kind}_{artist}_{start // 240}.png")


def flat(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="write sheets of everything there instead")
    args = parser.parse_args()
    if args.all:
        everything(args.all)
    else:
        EXAMPLES.parent.mkdir(parents=True, exist_ok=True)
        examples().save(EXAMPLES, quality=85)


if __name__ == "__main__":
    main()
