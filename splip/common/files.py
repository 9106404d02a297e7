"""Files that are whole or not there, whatever kills their writer or fills the disk."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import BinaryIO, Iterator, Union

from splip.common.errors import is_full


@contextmanager
def whole_file(path: Union[str, os.PathLike]) -> Iterator[BinaryIO]:
    """A file to write ``path``'s content into, beside it; it becomes ``path`` at the end, in one step.

    If the writing fails nothing half-written stays and what was there before is kept.

    Raises:
        OSError: the disk is full, naming the path; others pass.
    """
    path = os.fspath(path)
    part = path + ".part"
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        with suppress(OSError):
            os.remove(part)
        if is_full(error):
            kept = "; what was there before is kept" if os.path.exists(path) else ""
            raise OSError(errno.ENOSPC, f"No space left to write{kept}", path) from error
        raise
