"""Train or test a retrieval model. CoOp's arguments; `python train.py --help` lists them.

An error is one line. The exit status is 2 for errors that you can correct and 1 for all others; `--debug` or
SPLIP_DEBUG=1 shows tracebacks.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Optional, Sequence

import splip
from splip.common.errors import guarded
from splip.common.threads import wait_passively

wait_passively()  # before torch is loaded: not before the arguments, and the files that they name, were looked at


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Train or test a sketch-based image retrieval model.")
    add = parser.add_argument
    add("--root", default="", help="folder of the data sets (Sketchmoji needs none)")
    add("--output-dir", default="", help="where checkpoints, results.json and log.txt go")
    add("--seed", type=int, default=-1, help="0 or more; otherwise the config's, else a new one in each run")
    add(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="module or .py file with trainers or data sets of your own (docs/EXTEND.md)",
    )
    add("--trainer", default="", help="SpLIP, another one of trainers/, or your own; a wrong name shows them all")
    add("--backbone", default="", help="splip-hybrid, a name like ViT-B/32, or a file with CLIP's weights")
    add("--dataset-config-file", default="", help="e.g. configs/datasets/sketchmoji.yaml")
    add("--config-file", default="", help="e.g. configs/trainers/SpLIP/hybrid.yaml")
    add("--resume", default="", help="output folder of the run to continue; without config files, its own settings")
    add("--eval-only", action="store_true", help="test the model in --model-dir")
    add("--model-dir", default="", help="output folder of a finished run")
    add("--load-epoch", type=int, help="epoch of the checkpoint to test (default: best or last)")
    add("--no-train", action="store_true", help="build everything, train nothing")
    add("--skip-finished", action="store_true", help="do nothing if --output-dir already holds this run's results")
    add("--debug", action="store_true", help="show tracebacks (so does SPLIP_DEBUG=1)")
    add("opts", nargs="*", metavar="KEY VALUE", help="settings, e.g. OPTIM.LR 0.001 (or OPTIM.LR=0.001)")
    return parser


def setup_cfg(args: argparse.Namespace):
    """The run's frozen config: defaults, then data set file, method file, arguments, key-value pairs.

    With --resume and neither file it starts from the config that the run was made with.
    """
    import splip.datasets
    import splip.trainers
    from splip.engine import get_cfg_default
    from splip.training.options import merge_file, merge_options, read_config

    if args.resume and not (args.dataset_config_file or args.config_file):
        cfg = read_config(args.resume)
    else:
        cfg = get_cfg_default()
        splip.extend_cfg(cfg)
    for path in (args.dataset_config_file, args.config_file):
        if path:
            merge_file(cfg, path)
    if args.root:
        cfg.DATASET.ROOT = args.root
    if args.output_dir or args.resume:
        cfg.OUTPUT_DIR = args.output_dir or args.resume
    if args.resume:
        cfg.RESUME = args.resume
    if args.seed >= 0:
        cfg.SEED = args.seed
    if args.trainer:
        cfg.TRAINER.NAME = args.trainer
    if args.backbone:
        cfg.MODEL.BACKBONE.NAME = args.backbone
    merge_options(cfg, args.opts)
    cfg.freeze()
    return cfg


def main(argv: Optional[Sequence[str]] = None):
    """Run one command line, alone or with the other processes that torchrun started; returns the trainer."""
    args = make_parser().parse_intermixed_args(argv)
    require_one_copy()
    try:
        require_files(args)
        from splip.common import distributed
    except ModuleNotFoundError as error:
        here = Path(__file__).resolve().parent
        raise ValueError(f"{error.name!r} is not installed in {sys.executable}: pip install -e {here}") from error
    with distributed.processes():
        return run(args, sys.argv if argv is None else ["train.py", *argv])


def run(args: argparse.Namespace, command: Sequence[str] = ()):
    """Do what the arguments ask for -> the trainer."""
    import torch

    from splip.common import distributed
    from splip.common.plugins import import_module
    from splip.engine import ENGINE, build_trainer, collect_env_info, set_random_seed, setup_logger

    for name in args.imports:
        import_module(name)
    cfg = setup_cfg(args)
    if cfg.SEED >= 0:
        set_random_seed(cfg.SEED)
    if torch.cuda.is_available() and cfg.USE_CUDA:
        torch.backends.cudnn.benchmark = True
    if distributed.is_main():
        setup_logger(cfg.OUTPUT_DIR)
    together = f", {distributed.world()} processes" if distributed.world() > 1 else ""
    print(f"{' '.join(map(str, command))}\n{collect_env_info()}, engine: {ENGINE}{together}\n{describe_code()}")

    trainer = build_trainer(cfg)
    if args.skip_finished and trainer.folder.is_finished():
        print(f"Finished before: {cfg.OUTPUT_DIR}")
    elif args.eval_only:
        trainer.folder.is_finished()  # refuses a folder with another run's results
        if trainer.trains or args.model_dir:
            trainer.load_model(args.model_dir, epoch=args.load_epoch)
        trainer.test()
    elif not args.no_train:
        trainer.train()
    return trainer


def describe_code() -> str:
    """Version, place and commit of the package."""
    folder = Path(splip.__file__).resolve().parent
    commit = ""
    if (folder.parent / ".git").exists():
        try:
            asked = ["git", "-C", str(folder.parent), "describe", "--always", "--dirty", "--abbrev=12"]
            commit = subprocess.run(asked, capture_output=True, text=True, timeout=10).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass  # no git here
    return f"splip {splip.__version__} in {folder}" + (f", commit {commit}" if commit else "")


def require_one_copy() -> None:
    """Refuse to run if the imported package is of another checkout than this file.

    Raises:
        ValueError: naming both places.
    """
    here, package = Path(__file__).resolve().parent, Path(splip.__file__).resolve().parent
    if (here / "splip").is_dir() and package != here / "splip":
        raise ValueError(f"train.py is of {here}, but the installed package is {package}: pip install -e {here}")


def require_files(args: argparse.Namespace) -> None:
    """Refuse config files and folders of runs that do not exist.

    Raises:
        ValueError: naming the first one.
    """
    from splip.training.options import require_file, require_run

    for path in filter(None, (args.dataset_config_file, args.config_file)):
        require_file(path)
    if args.resume and not (args.dataset_config_file or args.config_file):
        require_run(args.resume)


if __name__ == "__main__":
    words = sys.argv[1:]
    sys.exit(guarded("train.py", lambda: main() and None, "--debug" in words or "LOCAL_RANK" in os.environ,
                     "what is done is kept, and the same command goes on"))  # fmt: skip
