"""Check before a long training that every image can be read. The result is kept for later runs; images that another
version of Pillow or of this package has checked are checked again.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, Iterable, List, Optional

from tqdm import tqdm

from splip.data.images import describe_image, readers
from splip.data.listing import cache_folder
from splip.data.products import product_of
from splip.data.strokes import has_strokes, list_lines

SHOWN = 5  # unreadable images that an error names


def check_images(paths: Iterable[str], quiet: bool = False) -> int:
    """Check every image -> number of images read; images unchanged since an earlier check are not read again.

    Raises:
        ValueError: some cannot be read, or are pictures that this package drew; the message names the first few.
    """
    wanted = sorted(set(paths))
    if not wanted:
        return 0
    kept_in = _kept_in(wanted)
    kept, stamps = _read(kept_in), {}
    for path in wanted:
        try:
            status = os.stat(path)
            stamps[path] = [status.st_size, status.st_mtime_ns]
        except OSError:
            stamps[path] = []  # the error is reported below
    todo = [path for path in wanted if not stamps[path] or kept.get(path) != stamps[path]]
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        looks = pool.map(_reason, todo, chunksize=64)
        wrong = [reason for reason in tqdm(
            looks, total=len(todo), desc="Looking at every image", unit="", disable=quiet or len(todo) < 5000,
            file=sys.stderr,
        ) if reason]  # fmt: skip
    if wrong:
        more = f"\n  and {len(wrong) - SHOWN:,} more" if len(wrong) > SHOWN else ""
        raise ValueError("\n  ".join(wrong[:SHOWN]) + more)
    if todo:
        _write(kept_in, stamps)
    return len(todo)


def _reason(path: str) -> str:
    try:
        list_lines(path) if has_strokes(path) else describe_image(path)
    except ValueError as error:
        return str(error)
    product = product_of(path) if path.lower().endswith(".png") else ""
    return f"{path!r} is a {product}: take it out of the data" if product else ""


def _kept_in(paths: List[str]) -> Optional[Path]:
    root = cache_folder()
    if root is None:
        return None
    name = hashlib.sha256("\n".join([readers(), *paths]).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return root / "readable" / f"{name}.json"


def _read(path: Optional[Path]) -> Dict[str, List[int]]:
    try:
        found = json.loads(path.read_text(encoding="ascii")) if path else {}
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def _write(path: Optional[Path], stamps: Dict[str, List[int]]) -> None:
    """Write the file; if that is not possible, the next run checks again, but this run continues."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(stamps), encoding="ascii")
        os.replace(fresh, path)
    except OSError:
        return
