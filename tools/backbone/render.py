"""Renders the corpus once, and drops what is a near-copy of a drawing that Sketchmoji is made from."""

from __future__ import annotations

import io
import json
import re
from multiprocessing import Pool
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np
from corpus import SIZE, icon_svg, list_clipart, list_icons
from hash import nearest, perceptual_hash
from PIL import Image
from scipy import ndimage

# A corpus drawing whose hash differs from that of a Sketchmoji source drawing in at most so many of 256 bits is
# dropped. Pairs looked at: to 40 bits the same shape; to 60 the same composition redrawn (a gem, a hand, a brush) or
# a plain geometric form; beyond 64 mostly different things. Corpus drawings are plentiful, so the bound is generous.
COPY_BITS = 64
MAX_PIXELS = 8_000_000  # larger clip art takes seconds each to decode

SKETCHMOJI_SETS = ("noto", "twemoji", "fxemoji", "fluent-emoji-high-contrast", "emojione-monotone", "openmoji")


def regions(alpha: np.ndarray) -> np.ndarray:
    """Closed regions of a line drawing: (H, W) uint8, 0 = outside or ink, 1 to 15 = regions that the ink encloses."""
    free = np.pad(alpha < 96, 1, constant_values=True)
    label, _ = ndimage.label(free)
    label = label[1:-1, 1:-1] - (label[1:-1, 1:-1] > 0)  # the padding makes the outside region 1
    return np.where(label > 0, (label - 1) % 15 + 1, 0).astype(np.uint8)


def render(row: Dict) -> Optional[Tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Drawing (SIZE, SIZE, 4), its regions (SIZE, SIZE), its hash (32,), uint8; None if empty, full or unreadable."""
    import resvg_py

    try:
        if "svg" in row:
            image = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=row["svg"])))).convert("RGBA")
        else:
            image = Image.open(row["png"])
            if image.width * image.height > MAX_PIXELS:
                return None
            image = image.convert("RGBA")
            image.thumbnail((SIZE, SIZE), Image.LANCZOS)
    except (ValueError, OSError, Image.DecompressionBombError):
        return None
    if image.size != (SIZE, SIZE):
        canvas = Image.new("RGBA", (SIZE, SIZE), (255, 255, 255, 0))
        canvas.paste(image, ((SIZE - image.width) // 2, (SIZE - image.height) // 2))
        image = canvas
    rgba = np.array(image)
    ink = (rgba[..., 3] > 96).mean()
    if ink < 0.015 or (ink > 0.97 and rgba[..., :3].std() < 8):
        return None
    return rgba, regions(rgba[..., 3]), perceptual_hash(rgba)


def sketchmoji_sources(packages: Path) -> List[Dict]:
    """Every drawing of the packages that Sketchmoji draws from, but flags and skin tones, as rows for `render`."""
    rows = []
    for prefix in SKETCHMOJI_SETS:
        data = json.loads((packages / "@iconify-json" / prefix / "icons.json").read_text("utf-8"))
        for key, icon in data["icons"].items():
            if "skin-tone" not in key and not key.startswith("flag-"):
                rows.append({"set": prefix, "name": key, "svg": icon_svg(icon, data)})
    for entry in json.loads((packages / "openmoji" / "data" / "openmoji.json").read_text("utf-8")):
        path = packages / "openmoji" / "black" / "svg" / f"{entry['hexcode']}.svg"
        if path.exists() and not entry.get("skintone") and entry["group"] not in ("flags", "extras-openmoji-flags"):
            svg = re.sub(r'(<svg[^>]*?)\s(width|height)="[^"]*"', r"\1", path.read_text("utf-8"))
            svg = svg.replace("<svg", f'<svg width="{SIZE}" height="{SIZE}"', 1)
            rows.append({"set": "openmoji-black", "name": entry["annotation"], "svg": svg})
    return rows


def prepare_corpus(packages: Path, clipart: Path, work: Path, processes: int = 2) -> None:
    """Render everything into `work`: mono.npy (n, 2, H, W: coverage, regions), colour.npy (m, 4, H, W: RGBA),
    hashes.npy (n + m, 32), all uint8, and rows.json with each drawing's set, name and kind, one-colour ones first."""
    rows = list_icons(packages / "@iconify-json") + list_clipart(clipart)
    with Pool(processes) as pool:
        drawn = pool.map(render, rows, chunksize=256)
        sources = [out for out in pool.map(render, sketchmoji_sources(packages), chunksize=256) if out is not None]
    drawn = [(row, *out) for row, out in zip(rows, drawn) if out is not None]
    bits, _ = nearest(np.stack([d[3] for d in drawn]), np.stack([s[2] for s in sources]))
    kept = [d for d, b in zip(drawn, bits) if b > COPY_BITS]
    print(f"{len(rows)} listed, {len(drawn)} drawn, {len(drawn) - len(kept)} near-copies dropped", flush=True)
    kept.sort(key=lambda d: d[0]["colour"])  # stable: one-colour drawings first
    mono, colour = [d for d in kept if not d[0]["colour"]], [d for d in kept if d[0]["colour"]]
    work.mkdir(parents=True, exist_ok=True)
    np.save(work / "mono.npy", np.stack([np.stack([d[1][..., 3], d[2]]) for d in mono]))
    np.save(work / "colour.npy", np.stack([d[1].transpose(2, 0, 1) for d in colour]))
    np.save(work / "hashes.npy", np.stack([d[3] for d in kept]))
    fields = ("set", "name", "key", "colour")
    (work / "rows.json").write_text(json.dumps([{f: d[0][f] for f in fields} for d in kept]), "utf-8")
