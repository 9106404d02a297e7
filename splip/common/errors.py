"""One line for every error: what is wrong, where, and what to do. The traceback is shown on request."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import threading
import time
import traceback
import warnings
from contextlib import contextmanager
from types import FrameType
from typing import Any, Callable, Iterator, List, Optional

USER, OTHER, INTERRUPTED = 2, 1, 130  # exit statuses
DEBUG = "SPLIP_DEBUG"  # environment variable; 1 = show tracebacks
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def guarded(name: str, run: Callable[[], Optional[int]], debug: bool = False, go_on: str = "") -> int:
    """Run a command -> its exit status: USER for errors that the user can correct, OTHER for all others.

    Args:
        name: of the command, printed before its errors.
        debug: let exceptions pass, with their tracebacks.
        go_on: printed if it is interrupted: what is kept, and how to continue.
    """
    if debug or os.environ.get(DEBUG) == "1":
        return run() or 0
    with _plain_warnings(name), _remembered_interrupts() as interrupts:
        return _guarded(name, run, go_on, interrupts)


def _guarded(name: str, run: Callable[[], Optional[int]], go_on: str, interrupts: List[int]) -> int:
    interrupted = f"\n{name}: interrupted{go_on and f'; {go_on}'}"
    try:
        return run() or 0
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OTHER
    except Exception as error:
        if interrupts:
            print(interrupted, file=sys.stderr)
            return INTERRUPTED
        print(f"{name}: {one_line(error)}", file=sys.stderr)
        if is_users(error):
            return USER
        print(f"{name}: the traceback is in {_keep_traceback()} ({DEBUG}=1 or --debug shows it)", file=sys.stderr)
        return OTHER


@contextmanager
def _plain_warnings(name: str) -> Iterator[None]:
    """Warnings in one line, without the place in the source that gave them.

    None of Pillow's, which name no file: what it cannot read is named by what reads (:mod:`splip.data.decode`).
    """

    def plain(message: Any, *place: Any) -> str:
        return f"{name}: warning: {' '.join(str(message).split())}\n"

    before, warnings.formatwarning = warnings.formatwarning, plain  # type: ignore[assignment]  # of fewer arguments
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            yield
    finally:
        warnings.formatwarning = before


@contextmanager
def _remembered_interrupts() -> Iterator[List[int]]:
    """Ctrl-C as ever, and remembered: torch.export can turn it into a TypeError that says nothing of it."""
    seen: List[int] = []

    def handle(number: int, frame: Optional[FrameType]) -> None:
        seen.append(number)
        signal.default_int_handler(number, frame)

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # a host's own handler stays
        yield seen
        return
    signal.signal(signal.SIGINT, handle)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def one_line(error: BaseException) -> str:
    """An exception as text; a list of several differences keeps its lines."""
    if isinstance(error, OSError) and error.strerror and not isinstance(error, UnicodeError):
        where = f": {shown(str(error.filename))}" if error.filename is not None else ""
        return f"{error.strerror}{where}"
    text = str(error).strip() or "no reason was given"
    if isinstance(error, (ValueError, OSError, FloatingPointError, KeyboardInterrupt)):
        return text
    lines = text.splitlines()
    return f"{type(error).__name__}: {lines[0]}" + (" ..." if len(lines) > 1 else "")


def shown(name: str) -> str:
    """A file's name on one line: line breaks and control characters of terminals are written as escapes."""
    return re.sub("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", lambda sign: repr(sign[0])[1:-1], name)


def is_users(error: BaseException) -> bool:
    """Whether the user can correct it: a wrong value, a file that is missing or not permitted."""
    if isinstance(error, OSError):
        return error.errno not in (*FULL, errno.EIO, errno.ENOMEM, errno.EMFILE)
    return isinstance(error, (ValueError, FloatingPointError)) and not isinstance(error, UnicodeError)


def is_full(error: BaseException) -> bool:
    """Whether a write failed because the disk is full; torch wraps the system's error."""
    if isinstance(error, OSError):
        return error.errno in FULL
    text = str(error)
    return isinstance(error, RuntimeError) and ("unexpected pos" in text or "PytorchStreamWriter failed" in text)


def _keep_traceback() -> str:
    """Write the traceback of the current exception into a file -> its path."""
    import tempfile

    try:
        handle, path = tempfile.mkstemp(prefix=time.strftime("splip-error-%Y%m%d-%H%M%S-"), suffix=".txt")
        with open(handle, "w", encoding="utf-8") as file:
            traceback.print_exc(file=file)
    except OSError:
        traceback.print_exc()
        return "no file, but above"
    return path
