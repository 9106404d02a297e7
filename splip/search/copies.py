"""Copy photos that were found to a folder, numbered by rank."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import List, Sequence, Tuple, Union

from splip.common.errors import is_full, shown
from splip.common.files import whole_file
from splip.data.images import is_file
from splip.data.products import copy_name


def copy_out(found: Sequence[Sequence[str]], folder: Union[str, os.PathLike]) -> Tuple[Path, List[str]]:
    """Copy photos, and overwrite nothing -> (the folder, a line for each photo that could not be copied).

    Args:
        found: paths, best first, of each question.
        folder: created if necessary.

    Raises:
        ValueError: the folder has one of the names already; then nothing is copied.
        OSError: the folder cannot be made, or the disk is full.
    """
    folder = Path(folder).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        most = os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        most = 255
    targets, lost = [], []
    for number, paths in enumerate(found, 1):
        for rank, path in enumerate(paths, 1):
            question = number if len(found) > 1 else 0
            targets.append((path, folder / copy_name(os.path.basename(path), question, rank, most)))
    for _, target in targets:
        if os.path.lexists(target):
            raise ValueError(f"{shown(str(target))} is there already")
    for path, target in targets:
        try:
            _copy_one(path, target)
        except OSError as error:
            if is_full(error):
                raise
            lost.append(f"not copied: {shown(path)}: {error.strerror or error}")
    return folder, lost


def _copy_one(path: str, target: Path) -> None:
    if not is_file(path):  # reading a pipe would block
        raise OSError("it is not there any more")
    with open(path, "rb") as source, whole_file(target) as file:
        shutil.copyfileobj(source, file)
    with suppress(OSError):  # not every file system stores times and permissions
        shutil.copystat(path, target)
