"""The SQLite tables of an index, with clear error messages about the file."""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import Any, Callable

import numpy as np

SCHEMA = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS images (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path BLOB UNIQUE, size INTEGER, time INTEGER, digest BLOB, vector BLOB,
    change INTEGER
);
CREATE INDEX IF NOT EXISTS by_digest ON images (digest);
CREATE INDEX IF NOT EXISTS by_change ON images (change);
CREATE TABLE IF NOT EXISTS gone (id INTEGER, change INTEGER);
CREATE INDEX IF NOT EXISTS gone_by_change ON gone (change);
CREATE TABLE IF NOT EXISTS failed (path BLOB PRIMARY KEY, size INTEGER, time INTEGER, reason TEXT);
CREATE TABLE IF NOT EXISTS folders (path BLOB PRIMARY KEY, excludes TEXT);
"""
VERSION = 1  # of the tables


class _Cursor(sqlite3.Cursor):
    """Raises clear errors about the file."""

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
    """A connection that raises ValueError for a damaged or locked file, OSError for a full disk."""

    def execute(self, *args: Any) -> Any:
        return self.cursor(_Cursor).execute(*args)

    def executemany(self, *args: Any) -> Any:
        return self.cursor(_Cursor).executemany(*args)


def read_path(stored: Any) -> str:
    """Decode a path from the database."""
    if not isinstance(stored, bytes):
        raise ValueError(f"the index is damaged: {stored!r} is no path")
    return os.fsdecode(stored)


def read_vector(stored: Any) -> np.ndarray:
    """Decode a vector from the database."""
    if not isinstance(stored, bytes) or len(stored) % 4:
        raise ValueError("the index is damaged: a vector is none. Remove its folder and index again")
    return np.frombuffer(stored, dtype=np.float32)
