"""Search your own photos with drawings, photos, text, or both.

    splip search drawing.png                               # in the index made by splip index
    splip search drawing.png --photos ~/Pictures           # in a folder (indexed first)
    splip search --text "a red car"        splip search drawing.png --text red        splip search --photo car.jpg
    splip search drawing.png -f | xargs -d '\\n' ls -l     # only paths
    splip search drawing.png --server http://127.0.0.1:7860      # asks a running splip app: at once

Prints the nearest photos and draws them into a contact sheet. A drawing may be light on dark, on coloured or
photographed paper, or transparent. It is converted to dark lines on white first.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional, Sequence, Union

from PIL import Image

from splip.cli import add_index, check_model
from splip.cli.index import describe, open_index
from splip.common.errors import shown
from splip.data.images import open_rgb
from splip.data.products import SHEET, product_of
from splip.models.scores import WEAK
from splip.search.answers import Answer, Question, count_of, draw
from splip.search.client import MOST, Server
from splip.search.copies import copy_out
from splip.search.drawings import clean_drawing, open_drawing, split_number
from splip.search.folding import MORE, Group, fold
from splip.search.walk import require_folder

if TYPE_CHECKING:  # it needs torch, which is slow to import
    from splip.search.index import Index

DEFAULT_SHEET = Path("search.png")
MINUS_WEIGHT = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip search``."""
    add = parser.add_argument
    add("drawings", nargs="*", metavar="DRAWING", help="picture of a drawing, or FILE.ndjson:N, strokes")
    add("--photo", action="append", default=[], help="search with a photo (may be repeated)")
    add("--text", default="", help="words; beside pictures they count as --text-weight")
    add("--text-weight", type=float, default=0.5, help="of the words, from 0 to 1 (default: %(default)s)")
    add("--scaled", action="store_true", help="photos that are near to everything come later (docs/SEARCH.md)")
    add("--minus", default="", metavar="WORDS", help="words that the photos should not match")
    add("--minus-weight", type=float, default=MINUS_WEIGHT, help="of these words, from 0 to 1 (default: %(default)s)")
    add("--photos", default="", metavar="FOLDER", help="search this folder alone; it is indexed first")
    add("--top", type=int, default=10, help="photos for each question (default: %(default)s)")
    add("--sheet", type=Path, help=f"picture of the results (default: {DEFAULT_SHEET})")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("-f", "--files", action="store_true", help="print paths alone, and draw no sheet")
    shown.add_argument("--json", action="store_true", help="print JSON, and draw no sheet")
    add("--show-drawing", type=Path, metavar="FILE", help="write there what is understood of the drawing (.png)")
    add("--copy-to", type=Path, metavar="FOLDER", help="copy the photos that are found there, numbered by rank")
    add("--all-copies", action="store_true", help="show near copies of a photo (resized, saved again), too")
    add("--server", default="", metavar="ADDRESS", help="ask a running splip app, with its model and its index")
    add_index(parser)


def run(args: argparse.Namespace) -> int:
    """Search, print and draw -> exit status 0. The results are printed even if a later step fails.

    Raises:
        ValueError: there is no query, or the index is empty; an image cannot be read; the sheet would overwrite a
            file that is not a sheet; a target of --copy-to or --show-drawing exists; or as `Index`.
    """
    questions = _questions(args)
    sheet = None if args.files or args.json else _sheet(args.sheet)
    check_model(args.model)
    asked: Union[Server, Index] = _server(args) if args.server else _index(args)
    if args.show_drawing:
        _show_drawing(questions, args.show_drawing)
    if not len(asked):
        raise ValueError("there are no photos in the index: splip index FOLDER, or --photos FOLDER")
    found, wrong = [], []
    for question in questions:
        try:
            found.append(_answer(question, asked, args))
        except ValueError as error:  # of one image: the other queries still run
            wrong.append(str(error))
    if found:
        _print(found, args)
    if args.copy_to and found:
        _copy(found, args.copy_to)
    if sheet and found:
        draw(found, sheet, asked=args.sheet is not None, note=_note)
    if wrong:
        raise ValueError("\n".join(dict.fromkeys(wrong)))
    return 0


def _answer(question: Question, asked: Union[Server, Index], args: argparse.Namespace) -> Answer:
    """The photos that are found, near copies together."""
    count = args.top if args.all_copies else args.top * MORE
    if isinstance(asked, Server):
        hits = asked.search(_picture(question), max(args.top, min(count, MOST)), question.kind, question.text)
    else:
        hits = asked.search(
            question.path or None, count, kind=question.kind, text=question.text, text_weight=args.text_weight,
            minus=question.minus, minus_weight=args.minus_weight, below=args.photos, scaled=args.scaled,
        )  # fmt: skip
    return Answer(question, [Group(hit, []) for hit in hits] if args.all_copies else fold(hits, args.top))


def _index(args: argparse.Namespace) -> Index:
    """The index on this machine, with the photos of --photos."""
    if args.photos:
        require_folder(os.path.abspath(os.path.expanduser(args.photos)))
    index = open_index(args)
    if args.photos:
        report = index.add([args.photos], quiet=args.files or args.json, remember=False)
        if not (args.files or args.json) and (report.failed or report.skipped):
            print(report)
        for line in describe(report):
            print(line, file=sys.stderr)
    return index


# which a server has chosen already
OWN = ("photos", "index", "engine", "uri", "device", "backbone", "text_weight", "minus", "minus_weight", "scaled")


def _server(args: argparse.Namespace) -> Server:
    """The server that is to be asked.

    Raises:
        ValueError: it does not answer, or an option asks for another model or index than it has.
    """
    parser = argparse.ArgumentParser()
    configure(parser)
    usual = parser.parse_args([])
    given = [f"--{name.replace('_', '-')}" for name in OWN if getattr(args, name) != getattr(usual, name)]
    if given:
        raise ValueError(
            f"--server searches its own index with its own model: leave out {', '.join(given)}, or --server"
        )
    server = Server(args.server)
    asked = os.path.basename(args.model.rstrip("/"))
    if args.model != usual.model and asked != server.about["model"]:
        raise ValueError(f"the server at {args.server} has the model {server.about['model']}, not {asked}")
    return server


def _picture(question: Question) -> Optional[Image.Image]:
    """What a server is sent: the picture as it is in its file."""
    if not question.path:
        return None
    if question.kind == "sketch":
        return open_drawing(question.path)
    return open_rgb(os.path.expanduser(question.path))


def _questions(args: argparse.Namespace) -> List[Question]:
    questions = [Question(path, "sketch", args.text, args.minus) for path in args.drawings]
    questions += [Question(path, "photo", args.text, args.minus) for path in args.photo]
    if not questions and args.text.strip():
        questions = [Question("", "sketch", args.text, args.minus)]
    if not questions:
        raise ValueError("what is to be searched for? Give a DRAWING, --photo or --text")
    for question in questions:
        if question.path and not os.path.isfile(split_number(question.path)[0]):
            raise ValueError(f"no file {question.path!r} (words go with --text)")
    if args.minus_weight != MINUS_WEIGHT and not args.minus.strip():
        raise ValueError("--minus-weight is the weight of --minus, which is not given")
    if args.top < 1:
        raise ValueError(f"--top must be at least 1, got {args.top}")
    return questions


def _sheet(asked: Optional[Path]) -> Optional[Path]:
    """Path of the sheet. If none was requested and the default path is taken: None, and a line says so."""
    path = asked or DEFAULT_SHEET
    if path.suffix.lower() != ".png":
        raise ValueError(f"--sheet must end in .png, got {path}")
    if not os.path.lexists(path) or product_of(path) == SHEET:
        return path
    taken = f"{shown(str(path))} is there already, and no sheet of splip"
    if asked:
        raise ValueError(f"--sheet {taken}: give another name")
    _note(f"no sheet is drawn: {taken} (--sheet NAME)")
    return None


def _note(line: str) -> None:
    print(f"splip search: {line}", file=sys.stderr)


def _print(found: Sequence[Answer], args: argparse.Namespace) -> None:
    if args.json:
        rows = [{"path": q.path, "kind": q.kind, "text": q.text, "minus": q.minus,
                 "hits": [{"path": hit.path, "score": hit.score, "right": hit.right,
                           "copies": [copy.path for copy in copies]} for hit, copies in groups]}
                for q, groups in found]  # fmt: skip
        print(json.dumps(rows, indent=2))
    elif args.files:
        paths = [hit.path for _, groups in found for hit, _ in groups]
        for path in paths:
            print(shown(path))
        changed = sum(shown(path) != path for path in paths)
        if changed:
            _note(f"{changed} names hold what would break a line, shown as an escape: --json has them as they are")
    else:
        for question, groups in found:
            print(question)
            _print_table(groups)
    folded = sum(len(copies) for _, groups in found for _, copies in groups)
    if folded and args.files:
        _note(f"near copies left out: {folded} (--all-copies prints them)")


WEAK_LINE = f"  ---- weak: fewer than {100 * WEAK:.0f} of 100 photos with such scores were right (docs/SEARCH.md)"


def _print_table(groups: Sequence[Group]) -> None:
    """A line for each result, and one above the weak ones."""
    was_weak = False
    for hit, copies in groups:
        weak = hit.right is not None and hit.right < WEAK
        if weak and not was_weak:
            print(WEAK_LINE if hit is not groups[0].hit else f"  nothing here looks much like it\n{WEAK_LINE}")
        was_weak = weak
        share = "" if hit.right is None else f"{100 * hit.right:3.0f} %  "
        print(f"  {hit.score:.3f}  {share}{shown(hit.path)}{count_of(copies)}")


def _copy(found: Sequence[Answer], folder: Path) -> None:
    """Copy the photos that were found and still exist; no existing file is overwritten."""
    try:
        _, lost = copy_out([[hit.path for hit, _ in groups] for _, groups in found], folder)
    except ValueError as error:
        raise ValueError(f"--copy-to: {error}") from error
    for line in lost:
        _note(line)


def _show_drawing(questions: Sequence[Question], path: Path) -> None:
    """Write the cleaned drawing, and say what was changed.

    Raises:
        ValueError: there is not exactly one drawing, or the file is there already or is no .png.
    """
    drawings = [question.path for question in questions if question.kind == "sketch" and question.path]
    if len(drawings) != 1:
        raise ValueError(f"--show-drawing is for one drawing, got {len(drawings)}")
    if path.suffix.lower() != ".png" or path.exists():
        raise ValueError(f"--show-drawing {path} must be a new .png file")
    found = clean_drawing(open_drawing(drawings[0]))
    found.image.save(path)
    _note(f"understood as {path} ({', '.join(found.mended) or 'as it is'})")
