"""Mutated files of every kind that may come from a stranger: `python tests/faults/fuzz.py [--count N] [--seconds S]`.

Each must be read, or refused with an error of ours (ValueError, OSError): nothing else, no hang over HANG seconds, no
memory over MEMORY. Prints a table; the exit status says whether all was as it should be.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import resource
import signal
import sys
import tempfile
import time
import zipfile
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Callable, Dict, List, NamedTuple

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from odd_pictures import SHOWN  # noqa: E402
from PIL import Image  # noqa: E402

HANG, MEMORY = 10.0, 2 * 2**30
OURS = (ValueError, OSError)


class Kind(NamedTuple):
    """Whole files to begin with, and what reads one."""

    seeds: List[bytes]
    suffix: str
    read: Callable[[Path], object]


class TooLong(Exception):
    pass


def mutate(content: bytes, rng: random.Random) -> bytes:
    """One to eight changes: bits, bytes, runs of a value, cuts, doubled or moved parts, large numbers."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        if not data:
            return bytes(data)
        at = rng.randrange(len(data))
        way = rng.randrange(8)
        if way == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            data[at] = rng.choice((0, 1, 127, 128, 255))
        elif way == 2:
            data[at : at + rng.randint(1, 64)] = bytes([rng.randrange(256)]) * rng.randint(0, 64)
        elif way == 3:
            del data[at:]
        elif way == 4:
            del data[at : at + rng.randint(1, 200)]
        elif way == 5:
            data[at:at] = data[at : at + rng.randint(1, 200)]
        elif way == 6:
            data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\0\xff\xff"))
        else:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 16)))
    return bytes(data)


def pictures() -> List[bytes]:
    found, rng = [], np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 255, (40, 60, 3), dtype=np.uint8))
    clear = colour.convert("RGBA")
    grey = Image.fromarray(rng.integers(0, 65535, (30, 30), dtype=np.uint16))
    for image, kind, options in (
        (colour, "JPEG", {}), (colour, "PNG", {}), (clear, "PNG", {}), (grey, "PNG", {}), (colour, "GIF", {}),
        (colour, "WEBP", {}), (clear, "WEBP", {"lossless": True}), (colour, "BMP", {}), (colour, "TIFF", {}),
        (grey, "TIFF", {}), (colour, "TIFF", {"compression": "tiff_lzw"}), (colour, "PPM", {}),
        (colour.convert("P"), "PNG", {"transparency": 0}), (colour.convert("CMYK"), "JPEG", {}),
    ):  # fmt: skip
        out = io.BytesIO()
        image.save(out, kind, **options)
        found.append(out.getvalue())
    return found


def embeddings() -> List[bytes]:
    rng, found = np.random.default_rng(0), []
    names = np.array(["cat", "dog", "ice cream"])[np.arange(12) % 3]
    for query, labels in ((np.float32, np.arange(12) % 3), (np.float16, names), (np.float64, names.astype("S"))):
        out, arrays = io.BytesIO(), {"query": rng.standard_normal((12, 6)).astype(query)}
        arrays["gallery"] = rng.standard_normal((12, 6)).astype(query)
        (np.savez if query != np.float64 else np.savez_compressed)(
            out, **arrays, query_labels=labels, gallery_labels=labels, query_instances=np.arange(12),
            gallery_instances=np.arange(12),
        )  # fmt: skip
        found.append(out.getvalue())
    return found


def saved(value: object) -> bytes:
    out = io.BytesIO()
    torch.save(value, out)
    return out.getvalue()


def packed(files: Dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def kinds(folder: Path) -> Dict[str, Kind]:
    from splip.backbone.weights import read_weights
    from splip.cli import data_download
    from splip.data.classes import read_split
    from splip.data.images import describe_image, open_rgb
    from splip.engine import get_cfg_default
    from splip.models import checkpoints
    from splip.models.hosts import read_foreign
    from splip.models.pretrained import read
    from splip.retrieval.features import read_features, score_features
    from splip.search.drawings import clean_drawing
    from splip.search.engines.store import LocalStore
    from splip.search.excludes import Excludes, as_lines
    from splip.training.options import merge_file

    def look(path: Path) -> None:
        said = []
        for reading in (describe_image, open_rgb, partial(open_rgb, at_least=16), partial(open_rgb, keep_alpha=True)):
            try:
                reading(path)
                said.append("")
            except ValueError as error:
                said.append(str(error))
        if len(set(map(bool, said))) > 1:
            raise AssertionError(f"some ways of reading refuse it, some do not: {said}")
        if said[0]:
            raise ValueError(said[0])
        clean_drawing(open_rgb(path, at_least=16, keep_alpha=True))

    def model(path: Path) -> None:
        (folder / "model").mkdir(exist_ok=True)
        for name in ("splip.json", "model.safetensors"):
            source = HERE.parent / "fixtures" / "saved" / name
            (folder / "model" / name).write_bytes(source.read_bytes())
        name = "splip.json" if path.suffix == ".json" else "model.safetensors"
        (folder / "model" / name).write_bytes(path.read_bytes())
        read(folder / "model")

    def store(path: Path) -> None:
        place = Path(tempfile.mkdtemp(dir=folder))
        (place / "images.sqlite").write_bytes(path.read_bytes())
        opened = LocalStore(place, {"identity": "a", "dim": 4, "model": "m"})
        try:
            opened.known(), opened.search(np.ones((1, 4), dtype=np.float32), 3), len(opened)
            opened.failed("other readers"), opened.mounts(), opened.folders()
        finally:
            opened.close()

    def exclude(path: Path) -> None:
        patterns = os.fsdecode(path.read_bytes().replace(b"\0", b"")).splitlines()  # no word has that
        left_out = Excludes(list(as_lines(patterns, str(folder))))
        for name in ("private", "a/b.png", "#x", *patterns):
            left_out(name, False)

    def unpack(path: Path) -> None:
        data_download.unpack(path, "TUBerlin", Path(tempfile.mkdtemp(dir=folder)))

    place = folder / "store"
    made = LocalStore(place, {"identity": "a", "dim": 4, "model": "m"})
    from splip.search.records import Entry, Known

    made.put([Entry(f"/p/{i}.png", Known(1, 2, b"d" * 16), np.ones(4, dtype=np.float32) / 2) for i in range(9)])
    made.set_mounts({"/p/disk"})
    made.set_folders({"/p": ["*.gif", "private/"]})
    made.fail("/p/broken.png", 1, 2, "broken")
    made._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    made.close()
    state = {"schema": 3, "model": {"method": "SpLIP"}, "state_dict": {"a": torch.zeros(3)}, "epoch": 1}
    fixture = HERE.parent / "fixtures" / "saved"
    tree = {f"TUBerlin/{p}/{c}/1.png": b"x" * 99 for p in ("png_ready", "ImageResized_ready") for c in ("ant", "bed")}
    config = (HERE.parents[1] / "configs/trainers/SpLIP/hybrid.yaml").read_bytes()
    return {
        "image": Kind(pictures(), ".img", look),
        "odd image": Kind([content for content in SHOWN.values() if len(content) < 20_000], ".img", look),
        "embeddings": Kind(embeddings(), ".npz", lambda path: score_features(read_features(path))),
        "split file": Kind([b"wheel\ntree # x\npseudo: cat\n", "r\u00e4der\n".encode("utf-16")], ".txt", read_split),
        "config": Kind([config], ".yaml", lambda path: merge_file(get_cfg_default(), str(path))),
        "checkpoint": Kind([saved(state)], ".pt", lambda path: checkpoints.read(str(path))),
        "host's checkpoint": Kind([saved({**state, "scheduler": object})], ".pt", lambda path: read_foreign(str(path))),
        "weights": Kind([saved({"visual.conv1.weight": torch.zeros(4)})], ".pt", read_weights),
        "safetensors": Kind([(fixture / "model.safetensors").read_bytes()[:60_000]], ".safetensors", model),
        "splip.json": Kind([(fixture / "splip.json").read_bytes()], ".json", model),
        "archive": Kind([packed(tree)], ".zip", unpack),
        "excludes": Kind([b"private/\n./x\n**/@eaDir/**\n[a-z]*.gif\n!keep\n#recycle\nend \n"], ".txt", exclude),
        "index": Kind([(place / "images.sqlite").read_bytes()], ".sqlite", store),
    }


def fuzz(count: int, seconds: float, seed: int = 0, chosen: List[str] = ()) -> List[dict]:
    """``count`` mutations shared by the kinds, at most ``seconds`` in all -> a row of figures for each kind."""

    def stop(*_):
        raise TooLong(f"longer than {HANG:.0f} s")

    before, rows = signal.signal(signal.SIGALRM, stop), []
    with tempfile.TemporaryDirectory() as folder:
        every = {name: kind for name, kind in kinds(Path(folder)).items() if not chosen or name in chosen}
        for name, kind in every.items():
            rng, wrong, done, slowest, read = random.Random(f"{seed} {name}"), [], 0, 0.0, 0
            path, until = Path(folder, f"mutated{kind.suffix}"), time.monotonic() + seconds / len(every)
            while done < -(-count // len(every)) and time.monotonic() < until:
                content = mutate(rng.choice(kind.seeds), rng)
                path.write_bytes(content)
                began = time.monotonic()
                signal.setitimer(signal.ITIMER_REAL, HANG)
                try:
                    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                        kind.read(path)
                    read += 1
                except OURS:
                    pass
                except BaseException as error:
                    wrong.append((f"{type(error).__name__}: {error}"[:200], content))
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                done, slowest = done + 1, max(slowest, time.monotonic() - began)
            rows.append({"kind": name, "mutations": done, "read": read, "wrong": wrong, "slowest": slowest})
    signal.signal(signal.SIGALRM, before)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that were handled wrongly")
    args = parser.parse_args()
    import warnings

    warnings.simplefilter("ignore")
    rows, bad = fuzz(args.count, args.seconds, args.seed), 0
    print("| kind | mutations | read all the same | slowest, s | handled wrongly |\n|---|--:|--:|--:|--:|")
    for row in rows:
        bad += len(row["wrong"])
        figures = f"{row['mutations']:,} | {row['read']:,} | {row['slowest']:.2f} | {len(row['wrong'])}"
        print(f"| {row['kind']} | {figures} |")
        for number, (said, content) in enumerate(row["wrong"][:3]):
            print(f"    {said}")
            if args.keep:
                args.keep.mkdir(parents=True, exist_ok=True)
                (args.keep / f"{row['kind'].replace(' ', '_')}_{number}").write_bytes(content)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"\nmost memory {peak / 2**30:.2f} GB")
    return int(bad > 0 or peak > MEMORY)


if __name__ == "__main__":
    sys.exit(main())
