"""The command ``splip``: each sub-command is a module with ``configure(parser)`` and ``run(args) -> int``.

A module is imported when its command is asked for, so that help comes at once.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import List, Optional, Sequence

from splip.common.errors import guarded
from splip.common.threads import wait_passively

COMMANDS = {
    "app": ("splip.cli.app", "a page to draw on, that finds your photos"),
    "compare": ("splip.cli.compare", "one contact sheet for several runs"),
    "data check": ("splip.cli.data_check", "compare a data set on disk with the published counts"),
    "data download": ("splip.cli.data_download", "fetch a data set, or unpack an archive of it"),
    "evaluate": ("splip.cli.evaluate", "test a run, or a model trained in CoOp, MaPLe, ..."),
    "export": ("splip.cli.export", "save a run's image encoders as ONNX or torch.export files"),
    "index": ("splip.cli.index", "keep an index of your photos"),
    "search": ("splip.cli.search", "search your own photos with drawings"),
    "table": ("splip.cli.table", "tables out of results.json files, also beside the paper's numbers"),
}


IMPORT_HELP = "module or .py file with trainers or data sets of your own (docs/EXTEND.md)"


def import_module(name: str) -> None:
    """As :func:`splip.common.plugins.import_module`, which takes seconds to import."""
    importlib.import_module("splip.common.plugins").import_module(name)


def add_model(parser: argparse.ArgumentParser, required: bool = False, default: str = "") -> None:
    """The arguments that name a model, of every command that uses one."""
    parser.add_argument(
        "--model", "--run", dest="model", required=required, default=default, metavar="MODEL",
        help="a run's output folder, a saved model (a folder, or owner/name on the hub), or exported encoders"
        + (f" (default: {default})" if default else ""),
    )
    parser.add_argument("--backbone", default="", help="its backbone's name or file, if that is elsewhere now")


def add_index(parser: argparse.ArgumentParser) -> None:
    """The arguments that name an index and its model."""
    add_model(parser, default="splip-hybrid")
    add = parser.add_argument
    add("--index", default="", metavar="FOLDER", help="where indexes are kept (default: $SPLIP_INDEX or your data)")
    add("--engine", choices=("faiss", "milvus"), default="faiss", help="what holds the vectors (default: %(default)s)")
    add("--uri", default="", help="of milvus: a file, as photos.db, or http://host:19530")
    add("--device", default="cpu", help="where the model computes, as cuda (default: %(default)s)")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run one command line -> exit status, as :mod:`splip.common.errors` has it; errors are one line on stderr."""
    wait_passively()  # before a command loads torch
    words = list(sys.argv[1:] if argv is None else argv)
    command = next((c for c in COMMANDS if words[: len(c.split())] == c.split()), None)
    if command is None:
        return _overview(words)
    module = importlib.import_module(COMMANDS[command][0])
    parser = argparse.ArgumentParser(prog=f"splip {command}", description=(module.__doc__ or "").splitlines()[0])
    parser.add_argument("--import", dest="imports", action="append", default=[], metavar="MODULE", help=IMPORT_HELP)
    parser.add_argument("--debug", action="store_true", help="show tracebacks (so does SPLIP_DEBUG=1)")
    module.configure(parser)
    args = parser.parse_intermixed_args(words[len(command.split()) :])

    def run() -> int:
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="surrogateescape")  # file names may hold any bytes
        for name in args.imports:
            import_module(name)
        return module.run(args)

    return guarded(f"splip {command}", run, args.debug, getattr(module, "GO_ON", ""))


def _overview(words: List[str]) -> int:
    """Print the commands -> 0 where help was asked for, else 2, as argparse has it."""
    lines = [f"  splip {command:<15}{line}" for command, (_, line) in COMMANDS.items()]
    text = "\n".join(["usage: splip COMMAND ...  (splip COMMAND --help says more)", "", *lines])
    if "-h" in words or "--help" in words:
        print(text)
        return 0
    print(f"splip: no command {' '.join(words)!r}\n{text}", file=sys.stderr)
    return 2
