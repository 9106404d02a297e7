"""Files that are written whole or not at all, even if the process is killed or the disk is full."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import BinaryIO, Iterator, Union

from splip.common.errors import FULL, is_full


@contextmanager
def whole_file(path: Union[str, os.PathLike]) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` for writing. At the end it becomes ``path`` in one step, and is then on the
    disk under that name.

    If writing fails, the temporary file is removed and an earlier ``path`` is kept.

    Raises:
        OSError: the disk is full; the message names the path. Other errors pass.
    """
    path = os.fspath(path)
    folder, name = os.path.split(path)
    long = len(os.fsencode(name)) > 250  # of the 255 bytes that a name may have
    part = os.path.join(folder, (blake2b(os.fsencode(name), digest_size=16).hexdigest() if long else name) + ".part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_folder(folder or os.curdir)
    except BaseException as error:
        with suppress(OSError):
            os.remove(part)
        if is_full(error):
            kept = "; what was there before is kept" if os.path.exists(path) else ""
            raise OSError(errno.ENOSPC, f"No space left to write{kept}", path) from error
        raise


def _sync_folder(folder: str) -> None:
    """Write a folder's list of names to the disk: without this, a power failure may lose a new name."""
    try:
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        if error.errno in (errno.EIO, *FULL):  # others: the system or the file system does not support it
            raise
