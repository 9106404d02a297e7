"""From the pen to a tile on the page, in a browser: `python benchmarks/page.py --photos FOLDER`.

    python benchmarks/page.py --count 10000        # scenes of Sketchmoji; indexed first, two minutes on two cores
    python benchmarks/page.py --animation docs/images/app.gif        # scissors are drawn, and found; measures nothing

Draws with the mouse, and measures in the page: from a movement of the pen until the answer's first tile is shown, its
photo decoded. Thumbnails are cold at first, so the first question after the start and later ones are printed apart.
Needs playwright and Chromium (CHROMIUM names another browser).
"""

from __future__ import annotations

import argparse
import io
import math
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import List

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

WATCH = """() => new Promise((done) => {
  const began = performance.now();
  const status = document.querySelector("#status");
  const before = status.textContent;
  const seen = new MutationObserver(async () => {
    if (!/ ms/.test(status.textContent)) return;
    seen.disconnect();
    const answered = performance.now() - began;
    const image = document.querySelector("#photos img");
    await image.decode();
    done([answered, performance.now() - began]);
  });
  status.textContent = "";
  seen.observe(status, { childList: true, characterData: true, subtree: true });
})"""


SCISSORS = (  # strokes, as shares of the canvas
    [(0.22, 0.10), (0.66, 0.66)], [(0.78, 0.10), (0.34, 0.66)],
    [(0.27 + 0.13 * math.cos(t / 8), 0.77 + 0.13 * math.sin(t / 8)) for t in range(52)],
    [(0.73 + 0.13 * math.cos(t / 8), 0.77 + 0.13 * math.sin(t / 8)) for t in range(52)],
)  # fmt: skip


def animate(address: str, target: Path) -> None:
    """The page while scissors are drawn with the mouse: a frame for each stroke."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    frames = []
    with sync_playwright() as started:
        program = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1080, "height": 675})
        page.goto(address)
        page.wait_for_function("() => document.querySelector('#newest img')?.complete")
        for stroke in ((), *SCISSORS):
            box = page.locator("#canvas").bounding_box()
            for number, (x, y) in enumerate(stroke):
                page.mouse.move(
                    box["x"] + x * box["width"], box["y"] + y * box["height"], steps=1 if number == 0 else 5
                )
                if number == 0:
                    page.mouse.down()
            page.mouse.up()
            page.wait_for_timeout(1500)
            frames.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB").resize((800, 500)))
    frames = [frame.quantize(128, dither=Image.Dither.NONE) for frame in frames]
    frames[0].save(target, save_all=True, append_images=frames[1:], duration=[1200] * len(SCISSORS) + [4000], loop=0)


def make_photos(folder: Path, count: int, some: bool = False) -> None:
    """Scenes of Sketchmoji as JPEG files; some: of every twentieth class, and of scissors."""
    import splip
    import splip.datasets
    from splip.common.modalities import PHOTO
    from splip.engine import build_dataset, get_cfg_default

    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    cfg.DATASET.NAME = "Sketchmoji"
    data = build_dataset(cfg)
    items = [item for item in [*data.train_x, *data.test_gallery] if item.domain == PHOTO]
    if some:
        chosen = {"scissors", *sorted({item.classname for item in items})[::20]}
        items = [item for item in items if item.classname in chosen]
    for number in range(count):
        item = items[number % len(items)]
        image = data.load_image(item).copy()
        image.putpixel((0, 0), tuple(number >> shift & 255 for shift in (0, 8, 16)))  # no two files are equal
        image.save(folder / f"{item.classname.replace(' ', '_')}_{number}.jpg", quality=90)


def measure(address: str, strokes: int, seed: int) -> List[List[float]]:
    """Milliseconds from a movement of the pen to the answer, and to its first tile, for each movement."""
    from playwright.sync_api import sync_playwright

    rng, found = np.random.default_rng(seed), []
    with sync_playwright() as started:
        program = os.environ.get("CHROMIUM") or shutil.which("chromium")
        page = started.chromium.launch(executable_path=program, args=["--no-sandbox"]).new_page()
        page.goto(address)
        page.wait_for_function("() => / photos/.test(document.querySelector('#about').textContent)")
        box = page.locator("#canvas").bounding_box()
        for _ in range(strokes):
            x, y = box["x"] + rng.uniform(0.2, 0.8) * box["width"], box["y"] + rng.uniform(0.2, 0.8) * box["height"]
            page.mouse.move(x, y)
            page.mouse.down()
            watching = page.evaluate_handle(f"() => {{ window.seen = ({WATCH})(); }}")
            page.mouse.move(x + rng.uniform(-60, 60), y + rng.uniform(-60, 60), steps=3)
            found.append(page.evaluate("() => window.seen"))
            watching.dispose()
            page.mouse.up()
            page.wait_for_timeout(400)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--photos", type=Path, help="a folder of photos (default: scenes of Sketchmoji)")
    parser.add_argument("--count", type=int, default=10_000, help="of these scenes (default: %(default)s)")
    parser.add_argument("--strokes", type=int, default=30, help="movements that are measured (default: %(default)s)")
    parser.add_argument("--animation", type=Path, help="write this GIF in place of measuring, with 250 scenes")
    args = parser.parse_args()
    import uvicorn

    from splip.cli.app import _listen
    from splip.search.index import Index
    from splip.search.server import make_app

    with tempfile.TemporaryDirectory() as place:
        os.environ["SPLIP_CACHE"] = f"{place}/cache"
        photos = args.photos or Path(place, "photos")
        if not args.photos:
            photos.mkdir()
            make_photos(photos, 250 if args.animation else args.count, some=bool(args.animation))
        index = Index.open(f"{place}/index")
        index.add([photos])
        listening = _listen("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(make_app(index), log_level="error"))
        threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        if args.animation:
            animate(address, args.animation)
            return
        found = np.array(measure(address, args.strokes, 0))
        print(f"{len(index):,} photos, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors; ms from the pen")
        for name, rows in (("first", found[:1]), ("later", found[1:])):
            answer, tile = np.median(rows, axis=0)
            print(f"{name}: answer {answer:.0f}, first tile {tile:.0f} (95 %: {np.quantile(rows[:, 1], 0.95):.0f})")
        server.should_exit = True


if __name__ == "__main__":
    main()
