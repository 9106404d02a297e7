"""Search your own photos with drawings, photos, words, or both.

    splip search drawing.png                               # in the index that splip index keeps
    splip search drawing.png --photos ~/Pictures           # in a folder, which is indexed first
    splip search --text "a red car"        splip search drawing.png --text red        splip search --photo car.jpg
    splip search drawing.png -f | xargs -d '\\n' ls -l     # paths alone

Prints the nearest photos and draws them into a contact sheet. A drawing may be light on dark, on coloured or
photographed paper, or transparent: it is brought to dark lines on white first.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from pathlib import Path
from typing import List, NamedTuple

from PIL import Image

from splip.cli import add_index
from splip.cli.index import open_index
from splip.data.images import open_rgb
from splip.retrieval import contact_sheet
from splip.retrieval.sheets import is_sheet
from splip.search.drawings import clean_drawing, open_drawing, split_number
from splip.search.records import Hit

DRAWN = 40  # photos of a question in the contact sheet, at most


class Question(NamedTuple):
    """What is searched for."""

    path: str  # of a picture; "" = words alone
    kind: str
    text: str

    def __str__(self) -> str:
        return " + ".join(filter(None, [self.path, self.text and repr(self.text)]))


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip search``."""
    add = parser.add_argument
    add("drawings", nargs="*", metavar="DRAWING", help="picture of a drawing, or FILE.ndjson:N, strokes")
    add("--photo", action="append", default=[], help="search with a photo (may be repeated)")
    add("--text", default="", help="words; beside pictures they count as --text-weight")
    add("--text-weight", type=float, default=0.5, help="of the words, from 0 to 1 (default: %(default)s)")
    add("--photos", default="", metavar="FOLDER", help="search this folder alone; it is indexed first")
    add("--top", type=int, default=10, help="photos for each question (default: %(default)s)")
    add("--sheet", type=Path, default=Path("search.png"), help="picture of the results (default: %(default)s)")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("-f", "--files", action="store_true", help="print paths alone, and draw no sheet")
    shown.add_argument("--json", action="store_true", help="print JSON, and draw no sheet")
    add("--copy-to", type=Path, metavar="FOLDER", help="copy the photos that are found there, numbered by rank")
    add_index(parser)


def run(args: argparse.Namespace) -> int:
    """Search, print and draw -> exit status 0.

    Raises:
        ValueError: there is no question, or nothing in the index; a file cannot be read; the sheet would overwrite a
            file that is none; or as `Index` has it.
    """
    questions = [Question(path, "sketch", args.text) for path in args.drawings]
    questions += [Question(path, "photo", args.text) for path in args.photo]
    if not questions and args.text.strip():
        questions = [Question("", "sketch", args.text)]
    if not questions:
        raise ValueError("what is to be searched for? Give a DRAWING, --photo or --text")
    for question in questions:
        if question.path and not os.path.isfile(split_number(question.path)[0]):
            raise ValueError(f"no file {question.path!r} (words go with --text)")
    if args.top < 1:
        raise ValueError(f"--top must be at least 1, got {args.top}")
    if args.sheet.suffix.lower() != ".png":
        raise ValueError(f"--sheet must end in .png, got {args.sheet}")
    draws = not (args.files or args.json)
    if draws and args.sheet.exists() and not is_sheet(args.sheet):
        raise ValueError(f"--sheet {args.sheet} is there already, and no sheet of splip: give another name")
    index = open_index(args)
    if args.photos:
        report = index.add([args.photos], quiet=not draws, remember=False)
        if draws and (report.failed or report.skipped):
            print(report)
    if not len(index):
        raise ValueError("there are no photos in the index: splip index FOLDER, or --photos FOLDER")
    found = [
        index.search(
            q.path or None, args.top, kind=q.kind, text=q.text, text_weight=args.text_weight, below=args.photos
        )
        for q in questions
    ]
    if args.copy_to:
        _copy(found, args.copy_to)
    if args.json:
        rows = [{"path": q.path, "kind": q.kind, "text": q.text,
                 "hits": [{"path": hit.path, "score": hit.score} for hit in hits]}
                for q, hits in zip(questions, found)]  # fmt: skip
        print(json.dumps(rows, indent=2))
    elif args.files:
        print("\n".join(hit.path for hits in found for hit in hits))
    else:
        for question, hits in zip(questions, found):
            print(question)
            for hit in hits:
                print(f"  {hit.score:.3f}  {hit.path}")
        print(_draw(questions, found, args.sheet))
    return 0


def _copy(found: List[List[Hit]], folder: Path) -> None:
    """Copy what was found; nothing that is there is overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, hits in enumerate(found, 1):
        for rank, hit in enumerate(hits, 1):
            prefix = f"{number:02}_{rank:03}" if len(found) > 1 else f"{rank:03}"
            target = folder / f"{prefix}_{os.path.basename(hit.path)}"
            if target.exists():
                raise ValueError(f"--copy-to: {target} is there already")
            shutil.copy2(hit.path, target)


def _draw(questions: List[Question], found: List[List[Hit]], path: Path) -> Path:
    rows = []
    for question, hits in zip(questions, found):
        shown = [(_thumbnail(hit.path), None, f"{hit.score:.2f} {_caption(hit.path)}") for hit in hits[:DRAWN]]
        shown = [hit for hit in shown if hit[0] is not None]
        if shown:
            rows.append((_asked(question), shown, question.text or Path(question.path).stem))
    if not rows:
        raise ValueError("none of the photos that were found can be read any more: splip index brings it up to date")
    return contact_sheet(rows, path)


def _caption(path: str) -> str:
    """Folder and name, as much as fits."""
    return os.path.join(os.path.basename(os.path.dirname(path)), os.path.basename(path))


def _asked(question: Question) -> Image.Image:
    """The question as the model saw it."""
    if not question.path:
        return Image.new("RGB", (224, 224), "white")
    if question.kind == "sketch":
        image = clean_drawing(open_drawing(question.path)).image
    else:
        image = open_rgb(os.path.expanduser(question.path))
    image.thumbnail((224, 224))
    return image


def _thumbnail(path: str, side: int = 224):
    """A photo in small; None if it is gone since it was indexed."""
    try:
        image = open_rgb(path, at_least=side)
    except ValueError:
        return None
    image.thumbnail((side, side))
    return image
