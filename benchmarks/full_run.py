"""A complete run at the size of Sketchy-2, with a ViT-B/32 with random weights and generated images.

    python benchmarks/full_run.py [--small] [--device cuda] [--no-compile] [--json FILE]

57,587 sketches and 72,949 photos of 104 seen classes, 12,694 and 12,553 of 21 unseen ones (256 x 256, drawn; 2,000
files of each modality, the others are links to them), `configs/trainers/SpLIP/vit_b32.yaml`, batches of 192: 299
steps per epoch. The run stops after its first epoch, a new trainer resumes it for the second, and tests it. A second
run trains one epoch with TRAINER.COMPILE. *On one batch in memory*: the same step without a loader; the extra time of
a step in an epoch is waiting time. For a GPU: a CPU would need hours.
"""

from __future__ import annotations

import gc
import itertools
import os
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import torch
from common import measure, parser, random_clip, report
from counts import count
from loading import Watched, write_files

from splip.common.modalities import PHOTO, SKETCH
from splip.data.classes import read_shipped
from splip.datasets.folder import FOLDERS

ROOT = Path(__file__).resolve().parents[1]
COUNTS = {"seen": (57_587, 72_949), "unseen": (12_694, 12_553)}  # sketches, photos: Sketchy-2
SMALL = {"seen": (24, 30), "unseen": (9, 9)}


def make_tree(folder: Path, small: bool) -> None:
    """Write class folders of sketches and photos into ``folder``, and the unseen classes into ``unseen.txt``."""
    unseen = set(read_shipped("sketchy_21_yelamarthi"))
    seen = [name for name in read_shipped("sketchy_all") if name not in unseen]
    groups = {"seen": seen[:4] if small else seen, "unseen": sorted(unseen)[:3] if small else sorted(unseen)}
    (folder / "drawn").mkdir()
    drawn = write_files(folder / "drawn", 8 if small else 2_000)
    for domain, kind in ((SKETCH, "PNG"), (PHOTO, "JPEG")):
        sources = itertools.cycle([item.impath for item in drawn[kind]])
        for group, names in groups.items():
            for name in names:
                (folder / FOLDERS[domain] / name).mkdir(parents=True)
            for number in range((SMALL if small else COUNTS)[group][domain != SKETCH]):
                place = folder / FOLDERS[domain] / names[number % len(names)] / f"{number}.{kind.lower()}"
                os.link(next(sources), place)
    (folder / "unseen.txt").write_text("\n".join(groups["unseen"]) + "\n")


def save_backbone(path: Path, small: bool) -> None:
    clip = random_clip(small)
    sizes = {"input_resolution": clip.visual.input_resolution, "context_length": 77, "vocab_size": 49408}
    torch.save({**clip.state_dict(), **{name: torch.tensor(size) for name, size in sizes.items()}}, path)


def trainer_of(folder: Path, small: bool, device: str, compiled: bool, resume: bool = False) -> Any:
    """A trainer as train.py builds it, in ``folder``."""
    sys.path.insert(0, str(ROOT))
    import train

    output = str(folder / ("compiled" if compiled else "run"))
    return train.main([
        "--trainer", "SpLIP", "--seed", "1", "--output-dir", output, "--no-train", "--root", str(folder),
        *(["--resume", output] if resume else []),
        "--config-file", str(ROOT / "configs/trainers/SpLIP/vit_b32.yaml"),
        "DATASET.NAME", "SBIRFolder", "DATASET.SPLIT", str(folder / "unseen.txt"),
        "MODEL.BACKBONE.NAME", str(folder / "clip.pt"), "USE_CUDA", str(device != "cpu"), "TRAINER.PREC", "auto",
        "TRAINER.COMPILE", str(compiled), "OPTIM.MAX_EPOCH", "2",
        *(["INPUT.SIZE", "(48,48)", "DATALOADER.TRAIN_X.BATCH_SIZE", "8"] if small else []),
    ])  # fmt: skip


def one_epoch(trainer: Any, name: str, small: bool, device: str) -> Dict[str, Any]:
    """Train the trainer's next epoch and save it -> measurements."""
    trainer.max_epoch = trainer.start_epoch + 1
    watched = trainer.train_loader_x = Watched(trainer.train_loader_x, len(trainer.train_loader_x))
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    trainer.before_train()
    ready = time.perf_counter() - began
    trainer.epoch, trainer.batch_idx, trainer.num_batches = trainer.start_epoch, 0, len(watched)
    trainer.set_model_mode("train")
    batch = next(iter(watched))
    watched.waited.clear()
    began = time.perf_counter()
    trainer.forward_backward(batch)  # sets up libraries and compiles the loss: timed separately
    _wait(device)
    first = time.perf_counter() - began
    began = time.perf_counter()
    trainer.run_epoch()
    _wait(device)
    seconds = time.perf_counter() - began - watched.waited[0]
    memory = None if device == "cpu" else torch.cuda.max_memory_reserved() / 2**30
    trainer.max_epoch = 2
    trainer.after_epoch()
    trainer.start_epoch += 1
    trainer.batch_idx = 0
    step = partial(trainer.forward_backward, batch)
    many = 2 if small else 30  # consecutive steps: the host may run ahead, as in an epoch
    alone = measure({"steps": lambda: [step() for _ in range(many)]}, 1 if small else 3)["steps"] / many
    each = seconds / len(watched)
    # on a CPU the dispatcher would count Adam's step counters, which are always on the CPU
    launches = {"launches": None, "waits": None} if device == "cpu" else count(step, device)
    return {
        "run": name, "precision": trainer.precision, "steps": len(watched),
        "before the first s": ready, "first step s": first,
        "ms a step": 1000 * each, "on one batch in memory": 1000 * alone, "waited, share": max(0.0, 1 - alone / each),
        "median wait ms": 1000 * statistics.median(watched.waited), "workers": trainer.workers,
        "GiB": memory, **launches, "loss": trainer.history[-1]["loss"], "test s": None,
    }  # fmt: skip


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _forget() -> None:
    """Free the GPU memory of the previous trainer."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def main(argv: Optional[Sequence[str]] = None) -> None:
    arguments = parser(__doc__.split("\n")[0])
    arguments.add_argument("--no-compile", action="store_true", help="leave the compiled run out")
    args = arguments.parse_args(argv)
    torch.set_num_threads(args.threads)
    rows: List[Dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tree(folder, args.small)
        save_backbone(folder / "clip.pt", args.small)
        trainer = trainer_of(folder, args.small, args.device, False)
        rows.append(one_epoch(trainer, "first epoch", args.small, args.device))
        del trainer
        _forget()
        trainer = trainer_of(folder, args.small, args.device, False, resume=True)
        rows.append(one_epoch(trainer, "resumed, second epoch", args.small, args.device))
        began = time.perf_counter()
        trainer.test()
        rows[-1]["test s"] = time.perf_counter() - began
        if not args.no_compile:
            del trainer
            _forget()
            trainer = trainer_of(folder, args.small, args.device, True)
            rows.append(one_epoch(trainer, "compiled, first epoch", args.small, args.device))
    report(rows, f"A run of Sketchy-2's size, {'tiny CLIP' if args.small else 'ViT-B/32'}", args.json)


if __name__ == "__main__":
    main()
