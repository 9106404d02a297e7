"""SQLite whose errors say in words what is wrong with the file."""

from __future__ import annotations

import errno
import sqlite3
from typing import Any, Callable


class _Cursor(sqlite3.Cursor):
    """Says in words what is wrong with the file."""

    def _said(self, call: Callable[..., Any], *args: Any) -> Any:
        try:
            return call(*args)
        except sqlite3.OperationalError as error:
            if "full" in str(error):
                raise OSError(errno.ENOSPC, "No space left to write the index; what was committed is kept") from error
            raise ValueError(f"the index cannot be used now: {error}") from error
        except (sqlite3.DatabaseError, OverflowError) as error:
            raise ValueError(f"the index is damaged: {error}") from error

    def execute(self, *args: Any) -> Any:
        return self._said(super().execute, *args)

    def executemany(self, *args: Any) -> Any:
        return self._said(super().executemany, *args)

    def fetchone(self) -> Any:
        return self._said(super().fetchone)

    def fetchall(self) -> Any:
        return self._said(super().fetchall)

    def __next__(self) -> Any:
        return self._said(super().__next__)


class Connection(sqlite3.Connection):
    """A connection whose statements raise ValueError for a damaged or locked file, OSError for a full disk."""

    def execute(self, *args: Any) -> Any:
        return self.cursor(_Cursor).execute(*args)

    def executemany(self, *args: Any) -> Any:
        return self.cursor(_Cursor).executemany(*args)
