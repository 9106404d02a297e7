"""A page to draw on, in your browser, that finds your photos while you draw.

    splip index ~/Pictures
    splip app --open

It listens on this machine alone (127.0.0.1) unless --host says otherwise; whoever can reach it then can see every
photo in the index.
"""

from __future__ import annotations

import argparse
import socket
import sys
import threading
import webbrowser

from splip.cli import add_index
from splip.cli.index import open_index


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip app``."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="0 = any that is free (default: %(default)s)")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    add_index(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until it is interrupted -> exit status 0.

    Raises:
        ValueError: starlette or uvicorn is not installed, or the port cannot be had.
    """
    try:
        import uvicorn

        from splip.search.server import LOCAL, make_app
    except ModuleNotFoundError as error:
        raise ValueError(f'splip app needs {error.name}: pip install -e ".[app]"') from error
    listening = _listen(args.host, args.port)  # first: a port that is taken is known at once
    index = open_index(args)
    if not len(index):
        print("There are no photos in the index yet: splip index FOLDER (the page finds them at once)", file=sys.stderr)
    local = args.host in LOCAL
    name = f"[{args.host}]" if ":" in args.host else args.host
    address = f"http://{name}:{listening.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(make_app(index, local), log_level="warning", lifespan="off"))
    if not local:
        print(f"Anyone who can reach {address} can see all {len(index):,} photos of the index.", file=sys.stderr)
    print(f"{len(index):,} photos, {index.store.place}\n{address}  (Ctrl-C ends it)", flush=True)
    if args.open:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    server.run(sockets=[listening])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise ValueError(f"cannot listen on {host}:{port} ({error}): another --port, or 0 for any") from error
    return listening
