"""Files that are whole or not there, whatever kills their writer or fills the disk."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import BinaryIO, Iterator, Union

from splip.common.errors import FULL, is_full


@contextmanager
def whole_file(path: Union[str, os.PathLike]) -> Iterator[BinaryIO]:
    """A file to write ``path``'s content into, beside it; it becomes ``path`` at the end, in one step, and is on the
    disk under that name afterwards.

    If the writing fails nothing half-written stays and what was there before is kept.

    Raises:
        OSError: the disk is full, naming the path; others pass.
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
    """Bring a folder's list of names to the disk: a new name may be lost with the power else."""
    try:
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        if error.errno in (errno.EIO, *FULL):  # others: the system or the file system cannot do it
            raise
