"""Test a run, a saved model, a frozen encoder, or a model that CoOp, MaPLe, ... trained in its own repository.

    splip evaluate --run output/mine --output-dir output/mine_gzs DATASET.SETTING gzs
    splip evaluate --model owner/name --dataset-config-file configs/datasets/sketchmoji.yaml --output-dir output/shared
    splip evaluate --encoder facebook/dinov2-small --dataset-config-file ... --output-dir output/dinov2
    splip evaluate --host ~/MaPLe --trainer MaPLe --model-dir ~/MaPLe/output/sketchy --root ~/data \\
        --dataset-config-file configs/datasets/sketchy2.yaml --output-dir output/maple \\
        --config-file ~/MaPLe/configs/trainers/MaPLe/vit_b16_c2_ep5_batch4_2ctx.yaml
    splip evaluate --features embeddings.npz

All but the last leave results.json, retrieval.json and retrieval.png in the output folder (docs/HOSTS.md); the last
prints the metrics of embeddings of your own (docs/METRICS.md).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path

import torch

from splip.training.config import extend_cfg
from splip.training.options import merge_file, merge_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", type=Path, help="output folder of a run of this project")
    what.add_argument("--model", default="", help="a saved model, exported encoders or a run, as splip search has it")
    what.add_argument("--encoder", default="", help="a frozen encoder: of open_clip, Hugging Face or your own (docs)")
    what.add_argument("--features", default="", metavar="FILE",
                      help="embeddings of your own: an .npz with query, gallery and their labels (docs/METRICS.md)")
    what.add_argument("--host", type=Path, help="checkout of CoOp, MaPLe, ..., beside --trainer and --model-dir")
    add = parser.add_argument
    add("--backbone", default="", help="of --model, if it is elsewhere now")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="of --model and --encoder")
    add("--trainer", default="", help="the host's trainer, e.g. MaPLe")
    add("--model-dir", default="", help="where the host's train.py left its model (its --output-dir)")
    add("--load-epoch", type=int, help="epoch of the checkpoint (default: as train.py's, or a host's newest)")
    add("--output-dir", default="", help="where results.json goes (--features prints alone, without)")
    add("--root", default="", help="folder of the data sets")
    add("--seed", type=int, default=-1, help="the seed that results.json should name for a host's run")
    add("--dataset-config-file", default="", help="e.g. configs/datasets/sketchy2.yaml (default: the run's own)")
    add("--config-file", default="", help="the configuration that the host trained with")
    add("--allow-seen", action="store_true", help="test also on classes that the model was trained on (results.json "
        "names them)")
    add("opts", nargs="*", metavar="KEY VALUE", help="settings, e.g. DATASET.SETTING gzs (or KEY=VALUE)")


def run(args: argparse.Namespace) -> int:
    """Test, and write the results; returns the exit code.

    Raises:
        ValueError: a folder is not what it should be, an argument is missing, or Dassl is (where a host is tested).
    """
    if args.features:
        from splip.cli import features

        return features.run(args)
    if not args.output_dir:
        raise ValueError("--output-dir is needed: where are the results to go?")
    if args.model and os.path.isfile(os.path.join(args.model, "config.yaml")):
        args.run = Path(args.model)  # tested with its own settings
    if args.run and os.path.realpath(args.run) == os.path.realpath(args.output_dir):
        raise ValueError(f"--output-dir {args.output_dir} is the run's own folder: its results would be overwritten")
    if args.host:
        trainer = _host_trainer(args)
    else:
        trainer = _own_trainer(args) if args.run else _tester(args)
    trainer.allow_seen = args.allow_seen
    trainer.is_finished()  # refuses a folder with another run's results
    if args.host or trainer.trains:
        trainer.load_model(args.model_dir if args.host else str(args.run), epoch=args.load_epoch)
    trainer.test()
    return 0


def _own_trainer(args: argparse.Namespace):
    import splip.datasets
    import splip.trainers  # noqa: F401  (both register)
    from splip.engine import build_trainer
    from splip.training import checkpoints
    from splip.training.runs import read_config, take_settings, trainer_class

    if args.trainer or args.model_dir or args.config_file:
        raise ValueError("--trainer, --model-dir and --config-file belong to --host: a run has its own")
    cfg = read_config(args.run)
    trainer = trainer_class(cfg.TRAINER.NAME)
    if trainer.trains:
        path = checkpoints.find(str(args.run), cfg.TEST.FINAL_MODEL == "best_val", args.load_epoch)
        take_settings(cfg, trainer, checkpoints.read(path)["fingerprint"], path)
    return build_trainer(_merged(cfg, args))


def _tester(args: argparse.Namespace):
    """Of --model or --encoder, on the data set that is named."""
    import splip.datasets
    import splip.trainers  # noqa: F401  (both register)
    from splip.engine import get_cfg_default
    from splip.models.encoders import ModelTester, load_encoder
    from splip.models.load import load_model

    if not args.dataset_config_file:
        raise ValueError("--dataset-config-file is needed: which data set is it to be tested on?")
    if args.config_file or args.trainer or args.model_dir:
        raise ValueError("--trainer, --model-dir and --config-file belong to --host")
    cfg = get_cfg_default()
    extend_cfg(cfg)
    cfg.USE_CUDA = torch.device(args.device).type == "cuda"
    cfg.SEED, cfg.TRAINER.NAME = args.seed, args.encoder or args.model
    if args.encoder:
        return ModelTester(_merged(cfg, args), load_encoder(args.encoder, args.device))
    return ModelTester(_merged(cfg, args), load_model(args.model, args.device, args.backbone))


def _host_trainer(args: argparse.Namespace):
    import splip.datasets
    import splip.trainers  # noqa: F401  (both register)
    from splip.engine import ENGINE, get_cfg_default
    from splip.models.hosts import HostTrainer

    if ENGINE == "builtin":
        raise ValueError("--host needs Dassl, for which its trainers are written: see docs/HOSTS.md")
    if not (args.trainer and args.model_dir):
        raise ValueError("--host needs --trainer and --model-dir")
    host = _import_host(args.host)
    cfg = get_cfg_default()
    host.extend_cfg(cfg)
    extend_cfg(cfg)
    cfg.TRAINER.NAME, cfg.SEED = args.trainer, args.seed
    # Dassl's warm-up fails since torch 2.7, and nothing is trained here
    return HostTrainer(_merged(cfg, args, "OPTIM.WARMUP_EPOCH", -1))


def _merged(cfg, args: argparse.Namespace, *last):
    """`cfg` with the files, arguments and key-value pairs merged into it, then `last`; frozen."""
    for path in filter(None, (args.dataset_config_file, args.config_file)):
        merge_file(cfg, path)
    if args.root:
        cfg.DATASET.ROOT = args.root
    cfg.OUTPUT_DIR = args.output_dir
    merge_options(cfg, args.opts)
    cfg.merge_from_list(list(last))
    cfg.freeze()
    return cfg


def _import_host(folder: Path):
    """The checkout's train.py, with its packages `clip`, `trainers` and `datasets` in front of any others."""
    path = folder / "train.py"
    if not path.is_file():
        raise ValueError(f"--host {folder} is no checkout of CoOp, MaPLe or the like: there is no {path}")
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("host_train", path)
    assert spec is not None and spec.loader is not None  # of a file that is there
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
