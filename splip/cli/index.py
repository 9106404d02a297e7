"""Keep an index of your photos, for splip search and splip app.

    splip index ~/Pictures ~/Holidays --exclude '*.gif' --exclude private/    # add folders (once)
    splip index                                            # update all folders
    splip index --forget ~/Holidays | --list | --export FOLDER

New and changed files are embedded, deleted files are removed, and moved files are recognised by their content. Files
that cannot be read now (unplugged disk, no permission) are listed and kept. You may interrupt it at any time. Skipped:
hidden files and folders, links to folders, and what --exclude matches (.gitignore syntax).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, List

from splip.cli import add_index, check_model
from splip.common.errors import shown
from splip.search.excludes import as_lines
from splip.search.walk import require_folder

if TYPE_CHECKING:  # they need torch, which is slow to import
    from splip.search.index import Index
    from splip.search.scan import Report

GO_ON = "what was embedded is kept, and the same command goes on"
SHOWN = 20  # at most so many files or folders are listed


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip index``."""
    add = parser.add_argument
    add("folders", nargs="*", metavar="FOLDER", help="to add, with all below it (default: those added before)")
    add(
        "--exclude",
        action="append",
        default=[],
        metavar="PATTERN",
        help="what is left out below the folders given, as *.gif, private/ or a path (may be repeated)",
    )
    add("--forget", default="", metavar="FOLDER", help="forget a folder, or what lies in one below it")
    add("--list", action="store_true", help="say what is in the index, as JSON")
    add("--export", type=Path, metavar="FOLDER", help="write vectors.npy and images.parquet")
    add_index(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command -> exit status 0. Unreadable files are listed and do not stop it. Raises as `Index` does.

    Raises:
        ValueError: --exclude without folders, --forget with folders, an empty --export, or several processes with an
            engine that allows only one writer.
    """
    if args.forget and args.folders:
        raise ValueError("--forget FOLDER forgets one folder: give no others with it")
    if args.export == Path(""):
        raise ValueError("--export needs a folder")
    if args.exclude and not args.folders:
        raise ValueError("--exclude belongs to the folders that are added with it")
    _look(args)
    from splip.common import distributed  # here: slow to import

    with distributed.processes():
        return _run(args)


def _look(args: argparse.Namespace) -> None:
    """Raise for wrong arguments before torch is imported, which takes seconds."""
    check_model(args.model)
    wrong = []
    for folder in (os.path.abspath(os.path.expanduser(folder)) for folder in args.folders):
        as_lines(args.exclude, folder)
        try:
            require_folder(folder)
        except ValueError as error:
            wrong.append(error)
    if wrong and len(wrong) == len(args.folders):  # else one may be a known folder on an unplugged disk
        raise wrong[0]


def _run(args: argparse.Namespace) -> int:
    from splip.common import distributed

    index = open_index(args)
    if distributed.world() > 1 and not index.store.shards:
        raise ValueError("several processes write to one index only with --engine milvus")
    if args.forget:
        print(f"{index.forget(args.forget):,} images forgotten")
    if args.list:
        print(json.dumps(index.describe(), indent=2))
    if args.export and not args.folders:
        print(index.export(args.export))
    if args.forget or ((args.list or args.export) and not args.folders):
        return 0
    report = index.add(args.folders, args.exclude or None) if args.folders else index.update()
    print(report if distributed.world() == 1 else f"of this process: {report}")
    for line in describe(report):
        print(line)
    if args.export and args.folders:
        print(index.export(args.export))
    distributed.barrier()
    if distributed.is_main():
        done = report.added + report.changed
        speed = f", {done / report.seconds:.0f} images/s" if done and distributed.world() == 1 else ""
        print(f"{index.finish()}{speed}\n{index.store.place}")
    return 0


def describe(report: Report) -> List[str]:
    """Lines about files and folders that could not be read."""
    away = [
        f"  {why}: {shown(folder)}; what is known of it is kept (--forget {shown(shlex.quote(folder))} forgets it)"
        for folder, why in report.reasons.items()
    ]
    failed = [f"  unreadable: {shown(path)}: {reason}" for path, reason in report.failed]
    lines = [f"  --exclude {shlex.quote(pattern)} excludes nothing" for pattern in report.unused]
    for part in (away, failed):
        lines += part[:SHOWN] + ([f"  and {len(part) - SHOWN:,} more"] if len(part) > SHOWN else [])
    return lines


def open_index(args: argparse.Namespace) -> Index:
    """The index that :func:`splip.cli.add_index`'s arguments name. It imports torch, which takes seconds."""
    from splip.search.index import Index

    return Index.open(args.index, args.model, args.engine, args.uri, args.device, args.backbone)
