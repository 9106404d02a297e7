"""Work that is killed half-way, done again, and compared with work that was not: `python tests/faults/kills.py`.

    python tests/faults/kills.py [--moments 30] [--seed 0] [--work training indexing unpacking export]

Each moment is a fork that is hit once, by SIGKILL and by SIGINT (Ctrl-C) in turn, anywhere between start and end, and
then begun again by the command that its user would type. What is left must be, bit for bit, what the unbroken one left:
weights, optimiser, history and metrics of a run; vectors of an index; files of an archive; a saved model, and what
exported encoders embed. Prints a table; the exit status says whether all was as it should be.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Tuple

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1])]

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # forks cannot use one that their parent has begun to use

import numpy as np  # noqa: E402
import torch  # noqa: E402

WAYS = (signal.SIGKILL, signal.SIGINT)
INTERRUPTED = 130  # exit status after Ctrl-C


class Work(NamedTuple):
    """Something that may be killed.

    Args:
        begin: does it, or goes on with it, below a folder -> exit status.
        left: what it leaves there, to be compared; raises where that is damaged.
        parts: what a killed one may have left, by its final name, with a reader that raises where that is not whole.
    """

    begin: Callable[[Path], int]
    left: Callable[[Path], Any]
    parts: Dict[str, Callable[[Path], Any]]


def fork(function: Callable[[], int]) -> int:
    """Run it in a child -> its process number. The parent runs no backward pass: its forks could have none then."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1), os.dup2(null, 2)
        status = function()
    except KeyboardInterrupt:
        status = INTERRUPTED
    finally:
        os._exit(status)


def finish(function: Callable[[], int]) -> int:
    """Run it in a child -> its exit status."""
    return os.waitstatus_to_exitcode(os.waitpid(fork(function), 0)[1])


# ------------------------------------------------------------------------- what is killed


def training(source: Path) -> Work:
    """Three epochs of SpLIP, tested; begun again as scripts/splip/runs.sh does."""
    from world import ROOT, load_train, make_original

    from splip.common.errors import guarded
    from splip.models import checkpoints

    train, world = load_train(), source / "world"
    if finish(lambda: make_original(world, train) or 0):
        raise RuntimeError("the data to begin with could not be made")

    def begin(folder: Path) -> int:
        out = folder / "run"
        resume = ["--resume", out] if (out / "splip/checkpoint").is_file() else []
        words = [
            "--trainer", "SpLIP", "--seed", 1, "--root", world / "data", "--backbone", world / "clip.pt",
            "--output-dir", out, "--dataset-config-file", ROOT / "configs/datasets/folder.yaml",
            "--config-file", world / "method.yaml", "--skip-finished", *resume, "DATASET.SPLIT", world / "unseen.txt",
            "OPTIM.MAX_EPOCH", 3,
        ]  # fmt: skip
        return guarded("train.py", lambda: train.main([str(word) for word in words]) and None)

    def left(folder: Path) -> Any:
        state = checkpoints.read(checkpoints.find(str(folder / "run")))
        metrics = json.loads((folder / "run/results.json").read_text())["metrics"]
        history = [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in state["history"]]
        return state["state_dict"], state["optimizer"], state["random"], history, metrics

    def read(path: Path) -> Any:
        return checkpoints.read(str(path))

    names = [f"run/splip/model.pth.tar-{epoch}" for epoch in (1, 2, 3)]
    texts = dict.fromkeys(["run/results.json", "run/history.json"], lambda path: json.loads(path.read_text()))
    return Work(begin, left, {**dict.fromkeys(names, read), **texts})


def indexing(source: Path) -> Work:
    """An index of 60 photos."""
    from pictures import colour_model, paint

    from splip.search.index import Index

    for i in range(60):
        paint(source / "photos" / f"{i:03}.png", ["red", "green", "blue", "yellow", "pink"][i % 5], mark=i)
    model = colour_model()
    slow = model.embed_pixels
    model.embed_pixels = lambda pixels, modality: (time.sleep(0.05), slow(pixels, modality))[1]

    def begin(folder: Path) -> int:
        Index.open(folder / "index", model).add([source / "photos"], quiet=True)
        return 0

    def left(folder: Path) -> Any:
        index = Index.open(folder / "index", model)
        try:
            return sorted((path, *known, vector.tobytes()) for path, known, vector in index.store.rows())
        finally:
            index.close()

    return Work(begin, left, {"index": lambda path: left(path.parent)})


def unpacking(source: Path) -> Work:
    """An archive in Sketchy's layout, with a large file so that it takes a while."""
    from tiny_benchmarks import make_sketchy, pack

    from splip import cli

    make_sketchy(source / "data", classes=["airplane", "ant"])
    noise = np.random.default_rng(0).integers(0, 256, 4_000_000, dtype=np.uint8).tobytes()
    some = next(path.parent for path in sorted((source / "data/Sketchy").rglob("*.jpg")))
    for i in range(20):
        (some / f"noise_{i}.jpg").write_bytes(noise)
    archive = pack(source / "data", "Sketchy", source / "Sketchy.tar.gz")

    def begin(folder: Path) -> int:
        return cli.main(["data", "download", "Sketchy", "--root", str(folder), "--archive", str(archive)])

    def left(folder: Path) -> Any:
        return files_below(folder / "Sketchy")

    def count(path: Path) -> None:
        if len(files_below(path)) != len(files_below(source / "data/Sketchy")):
            raise ValueError("a part of the archive")

    return Work(begin, left, {"Sketchy": count})


def exporting(source: Path) -> Work:
    """A saved model, both encoders of it, and an index as tables."""
    from conftest import CLASSNAMES, make_tiny_clip_file
    from pictures import colour_model, paint

    from splip import SpLIP, SpLIPConfig, cli, load_clip
    from splip.models.exported import read_encoder
    from splip.models.load import load_model
    from splip.search.index import Index

    clip = load_clip(make_tiny_clip_file(source / "clip.pt"))
    SpLIP(clip, CLASSNAMES, SpLIPConfig(permutations=10)).save_pretrained(source / "model")
    for i in range(9):
        paint(source / "photos" / f"{i}.png", ["red", "green", "blue"][i % 3], mark=i)
    index = Index.open(source / "index", colour_model())
    index.add([source / "photos"], quiet=True)
    index.close()

    def begin(folder: Path) -> int:
        words = ["export", "--model", str(source / "model"), "--output"]
        whole = cli.main([*words, str(folder / "saved"), "--format", "pretrained"])
        if not whole:
            index = Index.open(source / "index", colour_model())
            index.export(folder / "table")
            index.close()
        return whole or cli.main([*words, str(folder / "encoders"), "--format", "pt2"])

    def left(folder: Path) -> Any:
        os.environ["SPLIP_TRUST_TORCHSCRIPT"] = "1"
        encoders = load_model(folder / "encoders")
        images = torch.linspace(-1, 1, 2 * 3 * 48 * 48).view(2, 3, 48, 48)
        embedded = [encoders.encode(images, modality) for modality in ("sketch", "photo")]
        return files_below(folder / "saved"), files_below(folder / "table"), embedded

    read = {f"encoders/{modality}.pt2": read_encoder for modality in ("sketch", "photo")}
    return Work(begin, left, {"saved/splip.json": lambda path: load_model(path.parent), **read})


def files_below(folder: Path) -> Dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


WORKS: Dict[str, Callable[[Path], Work]] = {
    "training": training, "indexing": indexing, "unpacking": unpacking, "export": exporting,
}  # fmt: skip


# ------------------------------------------------------------------------- how it is judged


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, whatever is nested."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def kill(work: Work, folder: Path, after: float, way: signal.Signals) -> Tuple[bool, str]:
    """Hit it once and begin again -> whether it was still running, and what is wrong with what is left."""
    child = fork(lambda: work.begin(folder))
    time.sleep(after)
    hit = os.waitpid(child, os.WNOHANG) == (0, 0)
    if hit:
        os.kill(child, way)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status not in (-signal.SIGKILL if way == signal.SIGKILL else INTERRUPTED, 0):
            return hit, f"status {status} after {way.name}"
        for name, read in work.parts.items():
            if (folder / name).exists():
                try:
                    read(folder / name)
                except Exception as error:
                    return hit, f"{name} was left damaged: {error}"
    status = finish(lambda: work.begin(folder))
    return hit, f"status {status} when begun again" if status else ""


def try_work(name: str, moments: int, seed: int) -> Dict[str, Any]:
    """Kill one kind of work at so many moments -> a row of the table."""
    rng, faults, alive = random.Random(f"{seed}/{name}"), [], dict.fromkeys(WAYS, 0)
    with tempfile.TemporaryDirectory() as place:
        source, whole = Path(place, "source"), Path(place, "whole")
        source.mkdir(), whole.mkdir()
        work = WORKS[name](source)
        began = time.monotonic()
        if finish(lambda: work.begin(whole)):
            raise RuntimeError(f"{name} fails by itself")
        seconds, wanted = time.monotonic() - began, work.left(whole)
        for number in range(moments):
            folder, way, after = Path(place, "killed"), WAYS[number % 2], rng.uniform(0, seconds)
            folder.mkdir()
            hit, wrong = kill(work, folder, after, way)
            alive[way] += hit
            try:
                wrong = wrong or ("" if same(work.left(folder), wanted) else "another result")
            except Exception as error:
                wrong = wrong or f"damaged: {type(error).__name__}: {error}"
            if wrong:
                faults.append(f"{name}, {way.name} after {after:.2f} s: {wrong}")
            shutil.rmtree(folder)
    return {"work": name, "moments": moments, **{way.name: alive[way] for way in WAYS}, "wrong": faults}


def main(words: Any = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", nargs="+", choices=WORKS, default=list(WORKS))
    args = parser.parse_args(words)
    torch.set_num_threads(1)  # threads of the parent are not there in a fork
    print("| work | moments | killed by SIGKILL | by Ctrl-C | wrong afterwards |\n|---|--:|--:|--:|--:|", flush=True)
    faults: List[str] = []
    for name in args.work:
        row = try_work(name, args.moments, args.seed)
        faults += row["wrong"]
        print(f"| {name} | {row['moments']} | {row['SIGKILL']} | {row['SIGINT']} | {len(row['wrong'])} |", flush=True)
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
