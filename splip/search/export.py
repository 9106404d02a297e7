"""Export an index to files for other programs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO, Callable, List

import numpy as np

from splip.common.files import whole_file
from splip.search.records import Store

NAMES = ("vectors.npy", "images.parquet", "about.json")


def write(store: Store, folder: Path) -> Path:
    """Write ``vectors.npy`` (n, d) float32, ``images.parquet`` in the same order, ``about.json`` -> the folder.

    Raises:
        ValueError: pyarrow is not installed, or the folder holds other files. OSError: the disk is full.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise ValueError('--export needs pyarrow: pip install -e ".[search]"') from error
    folder.mkdir(parents=True, exist_ok=True)
    others = {path.name for path in folder.iterdir()} - {*NAMES, *(f"{name}.part" for name in NAMES)}
    if others:
        raise ValueError(f"--export: {folder} holds other files: give a new folder")
    rows = list(store.rows())
    dim = store.about()["dim"]
    vectors = np.stack([vector for _, _, vector in rows]) if rows else np.empty((0, dim), dtype=np.float32)
    table = pa.table(
        {
            "path": [os.fsencode(path).decode("utf-8", "replace") for path, _, _ in rows],
            "size": pa.array([known.size for _, known, _ in rows], pa.int64()),
            "time": pa.array([known.time for _, known, _ in rows], pa.timestamp("ns")),
            "digest": [known.digest.hex() for _, known, _ in rows],
        }
    )
    about = (json.dumps(store.about(), indent=2) + "\n").encode()
    writers: List[Callable[[BinaryIO], Any]] = [
        lambda file: np.save(file, vectors),
        lambda file: parquet.write_table(table, file),
        lambda file: file.write(about),
    ]
    for name, write_to in zip(NAMES, writers):
        with whole_file(folder / name) as file:
            write_to(file)
    return folder
