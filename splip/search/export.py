"""An index as files that other programs read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from splip.search.records import Store


def write(store: Store, folder: Path) -> Path:
    """``vectors.npy`` (n, d) float32, ``images.parquet`` in the same order, ``about.json`` -> the folder.

    Raises:
        ValueError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ModuleNotFoundError as error:
        raise ValueError('--export needs pyarrow: pip install -e ".[search]"') from error
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (folder / "about.json").is_file():
        raise ValueError(f"--export: {folder} holds other files: give a new folder")
    rows = list(store.rows())
    dim = store.about()["dim"]
    vectors = np.stack([vector for _, _, vector in rows]) if rows else np.empty((0, dim), dtype=np.float32)
    np.save(folder / "vectors.npy", vectors)
    table = pa.table({
        "path": [os.fsencode(path).decode("utf-8", "replace") for path, _, _ in rows],
        "size": pa.array([known.size for _, known, _ in rows], pa.int64()),
        "time": pa.array([known.time for _, known, _ in rows], pa.timestamp("ns")),
        "digest": [known.digest.hex() for _, known, _ in rows],
    })
    parquet.write_table(table, folder / "images.parquet")
    (folder / "about.json").write_text(json.dumps(store.about(), indent=2) + "\n")
    return folder
