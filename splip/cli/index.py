"""Keep an index of your photos, for splip search and splip app.

    splip index ~/Pictures ~/Holidays --exclude '*.gif'    # add folders; once is enough
    splip index                                            # bring all of them up to date
    splip index --forget ~/Holidays | --list | --export FOLDER

What is new or changed is embedded, what is gone forgotten, what moved recognised by its content. It may be interrupted
at any time. Hidden files and folders, and links to folders, are left out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from splip.cli import add_index
from splip.common import distributed
from splip.search.index import Index

GO_ON = "what was embedded is kept, and the same command goes on"
SHOWN = 20  # unreadable files that are listed


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip index``."""
    add = parser.add_argument
    add("folders", nargs="*", metavar="FOLDER", help="to add, with all below it (default: those added before)")
    add("--exclude", action="append", default=[], metavar="PATTERN",
        help="names or paths left out below the folders given, as *.gif or backup/* (may be repeated)")
    add("--forget", default="", metavar="FOLDER", help="forget a folder that was added")
    add("--list", action="store_true", help="say what is in the index, as JSON")
    add("--export", type=Path, metavar="FOLDER", help="write vectors.npy and images.parquet")
    add_index(parser)


def run(args: argparse.Namespace) -> int:
    """Do what is asked for -> exit status 0; unreadable files are listed and stop nothing. Errors as `Index` has them.

    Raises:
        ValueError: --exclude without folders, --forget with folders, an empty --export, or several processes with an
            engine that one alone may write.
    """
    if args.forget and args.folders:
        raise ValueError("--forget FOLDER forgets one folder: give no others with it")
    if args.export == Path(""):
        raise ValueError("--export needs a folder")
    if args.exclude and not args.folders:
        raise ValueError("--exclude belongs to the folders that are added with it")
    with distributed.processes():
        return _run(args)


def _run(args: argparse.Namespace) -> int:
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
    for folder in report.away:
        print(f"  not there, or empty: {folder}; what is known of it is kept (--forget {folder} forgets it)")
    for path, reason in report.failed[:SHOWN]:
        print(f"  unreadable: {path}: {reason}")
    if len(report.failed) > SHOWN:
        print(f"  and {len(report.failed) - SHOWN:,} more")
    if args.export and args.folders:
        print(index.export(args.export))
    distributed.barrier()
    if distributed.is_main():
        done = report.added + report.changed
        speed = f", {done / report.seconds:.0f} images/s" if done and distributed.world() == 1 else ""
        print(f"{index.finish()}{speed}\n{index.store.place}")
    return 0


def open_index(args: argparse.Namespace) -> Index:
    """The index that :func:`splip.cli.add_index`'s arguments name."""
    return Index.open(args.index, args.model, args.engine, args.uri, args.device, args.backbone)
