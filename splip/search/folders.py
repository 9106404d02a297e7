"""Show a folder in the file manager of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

OPENERS = {"darwin": "open", "win32": "explorer"}  # elsewhere: xdg-open


def _opener() -> str:
    return OPENERS.get(sys.platform, "xdg-open")


def can_open() -> bool:
    """Whether there is a file manager that can be asked, and a screen to show it on."""
    screen = sys.platform in OPENERS or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return screen and shutil.which(_opener()) is not None


def open_folder(folder: str) -> None:
    """Ask the file manager to show a folder, and do not wait for it.

    Raises:
        ValueError: there is none.
    """
    if not can_open():
        raise ValueError("there is no file manager here that could open a folder")
    quiet = subprocess.DEVNULL
    subprocess.Popen([_opener(), folder], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
