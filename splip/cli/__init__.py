"""The command ``splip``: each sub-command is a module with ``configure(parser)`` and ``run(args) -> int``.

A module is imported only when its command is used. It checks its arguments and the files that they name before it
imports anything slow (torch), so help and error messages appear at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from difflib import get_close_matches
from typing import Any, List, NoReturn, Optional, Sequence

import splip
from splip.common.errors import guarded
from splip.common.threads import wait_passively
from splip.search.engines import ENGINES

COMMANDS = {
    "app": ("splip.cli.app", "a page to draw on, that finds your photos"),
    "compare": ("splip.cli.compare", "one contact sheet for several runs"),
    "data check": ("splip.cli.data_check", "compare a data set on disk with the published counts"),
    "data download": ("splip.cli.data_download", "fetch a data set, or unpack an archive of it"),
    "doctor": ("splip.cli.doctor", "what is installed, what a run would use, what is missing"),
    "evaluate": ("splip.cli.evaluate", "test a run, or a model trained in CoOp, MaPLe, ..."),
    "export": ("splip.cli.export", "save a run's image encoders as ONNX or torch.export files"),
    "index": ("splip.cli.index", "keep an index of your photos"),
    "search": ("splip.cli.search", "search your own photos with drawings"),
    "table": ("splip.cli.table", "tables out of results.json files, also beside the paper's numbers"),
}

DEFAULT_MODEL = "splip-search"  # shipped with the package
IMPORT_HELP = "module or .py file with trainers or data sets of your own (docs/EXTEND.md)"


def import_module(name: str) -> None:
    """Call :func:`splip.common.plugins.import_module`, whose own import takes seconds."""
    importlib.import_module("splip.common.plugins").import_module(name)


def add_model(parser: argparse.ArgumentParser, required: bool = False, default: str = "") -> None:
    """Add the arguments that name a model. Every command that uses a model has them."""
    parser.add_argument(
        "--model",
        "--run",
        dest="model",
        required=required,
        default=default,
        metavar="MODEL",
        help="a run's output folder, a saved model (a folder, or owner/name on the hub), exported encoders, or a CLIP "
        "as it is (clip:ViT-B/32, clip:owner/name, open_clip:ARCHITECTURE:TAG)"
        + (f" (default: {default})" if default else ""),
    )
    parser.add_argument("--backbone", default="", help="its backbone's name or file, if that is elsewhere now")


def add_index(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name an index and its model."""
    add_model(parser, default=DEFAULT_MODEL)
    add = parser.add_argument
    add("--index", default="", metavar="FOLDER", help="where indexes are kept (default: $SPLIP_INDEX or your data)")
    add("--engine", choices=tuple(ENGINES), default="faiss", help="what holds the vectors (default: %(default)s)")
    add("--uri", default="", help="of milvus: a file, as photos.db, or http://host:19530")
    add("--device", default="cpu", help="where the model computes, as cuda (default: %(default)s)")


def index_words(args: argparse.Namespace) -> List[str]:
    """The arguments of :func:`add_index`, as they are given to another command."""
    named = {name: str(getattr(args, name)) for name in ("model", "backbone", "index", "engine", "uri", "device")}
    return [word for name, value in named.items() if value for word in (f"--{name}", value)]


def check_model(where: str) -> None:
    """Check quickly, before slow imports, that a model can exist at ``where``.

    Raises:
        ValueError: it is neither a folder nor a valid name on a hub.
    """
    folder = os.path.expanduser(where)
    named = folder == DEFAULT_MODEL or ":" in folder or (folder.count("/") == 1 and not folder.startswith("."))
    if not os.path.isdir(folder) and (os.path.exists(folder) or not named):
        raise ValueError(f"no model at {folder!r}: a run's folder, a saved model or exported encoders are wanted")


class Parser(argparse.ArgumentParser):
    """Arguments of a command. Its module docstring is the help: first line on top, the rest (examples) at the end."""

    def __init__(self, command: str, module: Any) -> None:
        first, _, rest = (module.__doc__ or "").partition("\n")
        super().__init__(f"splip {command}", description=first, epilog=rest.strip("\n"),
                         formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
        self.words: List[str] = []
        self.add_argument("--import", dest="imports", action="append", default=[], metavar="MODULE", help=IMPORT_HELP)
        self.add_argument("--debug", action="store_true", help="show tracebacks (so does SPLIP_DEBUG=1)")
        module.configure(self)

    def read(self, words: List[str]) -> argparse.Namespace:
        """Parse the arguments; a wrong one ends the program (status 2)."""
        self.words = words[: words.index("--")] if "--" in words else words
        return self.parse_intermixed_args(words)

    def error(self, message: str) -> NoReturn:
        """argparse's error, with the known options that are similar to the unknown ones."""
        known = [option for option in self._option_string_actions if option.startswith("--")]
        asked = [word.partition("=")[0] for word in self.words if word.startswith("--")]
        hints = [near(word, known) for word in asked if not any(option.startswith(word) for option in known)]
        super().error("; ".join([message, *filter(None, hints)]))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        try:
            super()._check_value(action, value)
        except argparse.ArgumentError as error:
            hint = near(str(value), [str(choice) for choice in action.choices or ()])
            error.message += f"; {hint}" if hint else ""
            raise


def near(word: str, known: Sequence[str]) -> str:
    """ "--tpo: did you mean --top?"; "" if no known word is similar."""
    found = get_close_matches(word, known, n=1)
    return f"{word}: did you mean {found[0]}?" if found else ""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command line -> exit status (:mod:`splip.common.errors`). An error is one line on stderr."""
    wait_passively()  # before a command loads torch
    words = list(sys.argv[1:] if argv is None else argv)
    command = next((c for c in COMMANDS if words[: len(c.split())] == c.split()), None)
    if command is None:
        return _without_command(words)
    module = importlib.import_module(COMMANDS[command][0])
    args = Parser(command, module).read(words[len(command.split()) :])

    def run() -> int:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="surrogateescape")  # file names may hold any bytes
        for name in args.imports:
            import_module(name)
        return module.run(args)

    return guarded(f"splip {command}", run, args.debug, getattr(module, "GO_ON", ""))


def _without_command(words: List[str]) -> int:
    """``splip`` without a command -> 0 if the user asked for help, the version or a completion, else 2."""
    lines = [f"  splip {command:<15}{line}" for command, (_, line) in COMMANDS.items()]
    others = ["", "  splip --version", "  splip --print-completion bash|zsh|tcsh     for the shell's start-up file"]
    text = "\n".join(["usage: splip COMMAND ...  (splip COMMAND --help says more)", "", *lines, *others])
    if words[:1] == ["--version"]:
        print(f"splip {splip.__version__}")
        return 0
    if words[:1] == ["--print-completion"]:
        from splip.cli.completion import script

        return guarded("splip", lambda: print(script("".join(words[1:2]))))
    if not words or "-h" in words or "--help" in words:
        print(text)
        return 0
    asked = " ".join(words)
    hint = near(" ".join(words[:2]), list(COMMANDS)) or near(words[0], list(COMMANDS))
    print("; ".join(filter(None, [f"splip: no command {asked!r}", hint])), text, sep="\n", file=sys.stderr)
    return 2
