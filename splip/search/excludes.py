"""Exclude patterns of an index, in gitignore syntax (https://git-scm.com/docs/gitignore), matched by `pathspec`."""

from __future__ import annotations

import os
import re
from glob import iglob
from typing import Any, Dict, Sequence


def as_lines(patterns: Sequence[str], folder: str) -> Dict[str, str]:
    """Convert the user's patterns to lines of a .gitignore in ``folder`` -> {line: pattern as written}.

    gitignore's own forms do not change: ``*.gif`` and ``private/`` match at any depth, ``backup/raw`` and ``/raw``
    match one place, ``!x`` includes ``x`` again. Paths also work: ``./raw``, an absolute path in the folder, and an
    existing path relative to the working folder. So do names that gitignore reads as a comment or an invalid pattern,
    such as ``#recycle``.

    Args:
        folder: absolute.

    Raises:
        ValueError: a pattern is empty, or not valid in gitignore.
    """
    lines: Dict[str, str] = {}
    for pattern in patterns:
        if pattern.startswith("!") and lines:
            lines["!" + _line(pattern[1:], folder)] = pattern
        else:  # `!` in the first pattern cannot include again: it is part of a name
            lines[_line(re.sub("^!", r"\\!", pattern), folder)] = pattern
    return lines


def _line(pattern: str, folder: str) -> str:
    if not pattern.strip("/. "):
        raise ValueError(f"--exclude {pattern!r} names nothing that could be left out")
    body, end = os.path.expanduser(pattern).rstrip("/"), "/" if pattern.endswith("/") else ""
    body = re.sub(r"\*{3,}", "*", body)  # they mean the same as one, and matching many is very slow
    if "/" in body:
        body = _place(body, folder) + end
    else:
        body += end
    if body.endswith(" "):
        body = f"{body[:-1]}\\ "
    return body if _spec([body]).patterns[0].include is not None else _escaped(body)


def _place(body: str, folder: str) -> str:
    """Convert a pattern that has a slash to a path relative to the folder."""
    for base in dict.fromkeys((folder, os.getcwd())):
        place = os.path.normpath(os.path.join(base, body))
        pairs = (place, folder), (os.path.realpath(place), os.path.realpath(folder))
        inside = [os.path.relpath(*pair) for pair in pairs if pair[0].startswith(os.path.join(pair[1], ""))]
        below = f"/{inside[0]}" if inside else ""
        if below and os.path.lexists(place):
            return _escaped(below)
        if below and (os.path.isabs(body) or ("**" not in body and next(iglob(place), None))):
            return below
    body = re.sub("/+", "/", body)
    return body[1:] if body.startswith("./") else body


def _escaped(text: str) -> str:
    """Escape every special character of a name."""
    return re.sub(r"([\\*?\[\]!# ])", r"\\\1", text)


def _spec(lines: Sequence[str]) -> Any:
    try:
        from pathspec import GitIgnoreSpec
    except ModuleNotFoundError as error:
        raise ValueError('--exclude needs pathspec: pip install -e ".[search]"') from error
    try:
        return GitIgnoreSpec.from_lines(lines)
    except (ValueError, re.error) as error:
        raise ValueError(f"--exclude {lines[0]!r} is no pattern of gitignore: {error}") from error


class Excludes:
    """Tells whether a path in a folder is excluded.

    Args:
        lines: lines of a .gitignore in that folder.

    Attributes:
        unused: lines that have matched nothing yet.
    """

    def __init__(self, lines: Sequence[str]) -> None:
        self._all = _spec(lines) if lines else None
        self.unused: Dict[str, Any] = {line: _spec([line.lstrip("!")]) for line in lines}

    def __call__(self, below: str, is_folder: bool) -> bool:
        """
        Args:
            below: the path, relative to the folder.
        """
        if self._all is None:
            return False
        path = below + "/" if is_folder else below
        for line in [line for line, spec in self.unused.items() if spec.match_file(path)]:
            del self.unused[line]
        return bool(self._all.match_file(path))
