"""A web page where you draw, and see the photos that match while you draw.

    splip app ~/Pictures --open      # indexes them meanwhile; later  splip app --open  is enough

The page opens at once. It answers as soon as the model is loaded, from the photos that are indexed by then. It listens
on this machine only (127.0.0.1) unless --host gives another address. Everyone who can reach that address can see every
photo in the index.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
import webbrowser
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

from splip.cli import add_index, check_model, index_words
from splip.common.errors import one_line
from splip.search.walk import require_folder

if TYPE_CHECKING:
    from splip.search.index import Index


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``splip app``."""
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="to index, while the page is open")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="0 = any that is free (default: %(default)s)")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    add_index(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until it is interrupted -> exit status 0.

    Raises:
        ValueError: starlette or uvicorn is not installed, or the port cannot be opened.
    """
    check_model(args.model)
    for folder in args.folders:
        require_folder(os.path.abspath(os.path.expanduser(folder)))
    try:
        import uvicorn

        from splip.search.background import Indexing
        from splip.search.server import LOCAL, make_app, warm_up
    except ModuleNotFoundError as error:
        raise ValueError(f'splip app needs {error.name}: pip install -e ".[app]"') from error
    listening = _listen(args.host, args.port)
    local = args.host in LOCAL
    name = f"[{args.host}]" if ":" in args.host else args.host
    address = f"http://{name}:{listening.getsockname()[1]}"
    opening: Future[Index] = Future()
    _end_by_signals()
    indexing = Indexing([*args.folders, *index_words(args)]) if args.folders else None
    app = make_app(opening, local, indexing=indexing.progress if indexing else dict)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=3))
    served = ThreadPoolExecutor(1).submit(server.run, sockets=[listening])
    print(f"{address}  (Ctrl-C ends it)", flush=True)
    if args.open:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    try:
        from splip.cli.index import open_index  # slow to import

        index = open_index(args)
        warm_up(index)
        print(f"{len(index):,} photos, {index.store.place}", file=sys.stderr)
        if not len(index) and not indexing:
            print("There are no photos in the index yet: splip index FOLDER (the page finds them)", file=sys.stderr)
        if not local:
            print(f"Anyone who can reach {address} can see all {len(index):,} photos of the index.", file=sys.stderr)
        opening.set_result(index)
        while not served.done():
            wait([served], timeout=1)
    except BaseException as error:
        if not opening.done():  # requests that still wait get this error
            reason = one_line(error) if isinstance(error, Exception) else "the program was ended"
            opening.set_exception(ValueError(reason))
        raise
    finally:
        server.should_exit = True
        if indexing:
            indexing.stop()
        wait([served], timeout=5)
    served.result()
    return 0


def _end_by_signals() -> None:
    """Make Ctrl-C and SIGTERM end the program cleanly, also in a container or behind ``&``, where they are ignored."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        raise ValueError(
            f"cannot listen on {host}:{port} ({error}): is a page open already? Another --port, or 0 for any"
        ) from error
    return listening
