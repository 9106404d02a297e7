"""Test a run, a saved model, a frozen encoder, or a model that CoOp, MaPLe, ... trained in its own repository.

    splip evaluate --run output/mine --output-dir output/mine_gzs DATASET.SETTING gzs
    splip evaluate --model owner/name --dataset-config-file configs/datasets/sketchmoji.yaml --output-dir output/shared
    splip evaluate --encoder facebook/dinov2-small --dataset-config-file ... --output-dir output/dinov2
    splip evaluate --host ~/MaPLe --trainer MaPLe --model-dir ~/MaPLe/output/sketchy --root ~/data \\
        --dataset-config-file configs/datasets/sketchy2.yaml --output-dir output/maple \\
        --config-file ~/MaPLe/configs/trainers/MaPLe/vit_b16_c2_ep5_batch4_2ctx.yaml
    splip evaluate --features embeddings.npz

All but the last write results.json, per_query.npz, retrieval.json and retrieval.png to the output folder
(docs/HOSTS.md). The last prints the metrics of your own embeddings (docs/METRICS.md).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, NamedTuple, Sequence

from splip.cli import check_model

if TYPE_CHECKING:  # slow imports are made where they are needed, so errors appear at once
    import torch

    from splip.data.base import SBIRDataset
    from splip.models import pretrained


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--run", type=Path, help="output folder of a run of this project")
    what.add_argument("--model", default="", help="a saved model, exported encoders or a run, as splip search has it")
    what.add_argument("--encoder", default="", help="a frozen encoder: of open_clip, Hugging Face or your own (docs)")
    what.add_argument(
        "--features",
        default="",
        metavar="FILE",
        help="embeddings of your own: an .npz with query, gallery and their labels (docs/METRICS.md)",
    )
    what.add_argument("--host", type=Path, help="checkout of CoOp, MaPLe, ..., beside --trainer and --model-dir")
    add = parser.add_argument
    add("--backbone", default="", help="of --model, if it is elsewhere now")
    add("--device", default="", help="of --model and --encoder (default: cuda where there is one)")
    add("--trainer", default="", help="the host's trainer, e.g. MaPLe")
    add("--model-dir", default="", help="where the host's train.py left its model (its --output-dir)")
    add("--load-epoch", type=int, help="epoch of the checkpoint (default: as train.py's, or a host's newest)")
    add("--output-dir", default="", help="where results.json goes (--features prints alone, without)")
    add("--root", default="", help="folder of the data sets")
    add("--seed", type=int, default=-1, help="the seed that results.json should name for a host's run")
    add("--dataset-config-file", default="", help="e.g. configs/datasets/sketchy2.yaml (default: the run's own)")
    add("--config-file", default="", help="the configuration that the host trained with")
    add(
        "--allow-seen",
        action="store_true",
        help="test also on classes that the model was trained on (results.json names them)",
    )
    add("opts", nargs="*", metavar="KEY VALUE", help="settings, e.g. DATASET.SETTING gzs (or KEY=VALUE)")


class Tested(NamedTuple):
    """The model that is tested, the data set, and what the results record about the model."""

    cfg: Any
    model: Any
    preprocessing: Any
    dataset: SBIRDataset
    device: torch.device
    precision: str = "fp32"
    clip: Any = None  # the backbone, if this package built it
    method: Dict[str, Any] = {}  # the model's config
    epoch: int = 0
    seed: int = 0
    trained: bool = False
    history: Sequence[Dict[str, float]] = ()


def run(args: argparse.Namespace) -> int:
    """Test, and write the results; returns the exit code.

    Raises:
        ValueError: a folder or an argument is wrong or missing; Dassl is not installed (for --host); or the model
            would be tested on classes that it was trained on, without --allow-seen.
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
    _check_paths(args)
    import splip.datasets  # noqa: F401  (registers them)
    from splip.data.capacity import choose_workers
    from splip.training.evaluator import Evaluator
    from splip.training.run_folder import RunFolder

    tested = _host(args) if args.host else _run(args) if args.run else _model(args)
    cfg, data = tested.cfg, tested.dataset
    how = tested.clip, tested.precision, tested.seed, tested.trained
    folder = RunFolder(args.output_dir, cfg, tested.method, data, *how)
    folder.is_finished()  # refuses a folder with another run's results
    workers = choose_workers(cfg.DATALOADER.NUM_WORKERS, tested.device.type == "cuda")
    evaluator = Evaluator.from_cfg(
        cfg, tested.model, data, tested.preprocessing, tested.device, tested.precision, workers
    )
    evaluator.allow_seen = args.allow_seen
    with folder.locked():
        outcome = evaluator.evaluate(swapped=cfg.TEST.SWAPPED)
        folder.write_start(tested.model)  # only after the evaluator accepted the test
        folder.write_results(outcome, tested.preprocessing, tested.epoch, tested.history)
    return 0


def _check_paths(args: argparse.Namespace) -> None:
    """Raise for missing paths and conflicting arguments before torch is imported."""
    if args.run and not os.path.isfile(args.run / "config.yaml"):
        raise ValueError(f"{str(args.run)!r} is no run's output folder: there is no {args.run / 'config.yaml'}")
    if not args.host and (args.trainer or args.model_dir or args.config_file):
        own = ": a run has its own" if args.run else ""
        raise ValueError(f"--trainer, --model-dir and --config-file belong to --host{own}")
    if not (args.host or args.run or args.dataset_config_file):
        raise ValueError("--dataset-config-file is needed: which data set is it to be tested on?")
    if args.model and not args.run:
        check_model(args.model)
    code = args.encoder.rpartition(":")[0]
    if code.endswith(".py") and not os.path.isfile(os.path.expanduser(code)):
        raise ValueError(f"--encoder: no file at {code!r}")
    if args.host and not args.host.is_dir():
        raise ValueError(f"--host: no folder {str(args.host)!r}")
    for path in filter(None, (args.dataset_config_file, args.config_file)):
        if not os.path.isfile(path):
            raise ValueError(f"no config file {path!r}")


def _run(args: argparse.Namespace) -> Tested:
    """For --run: tested on its own data set, with the given settings."""
    from splip.models import pretrained
    from splip.training.options import read_config

    cfg = _merged(read_config(args.run), args)
    saved = pretrained.read(args.run, args.load_epoch)
    return _of_saved(args, cfg, saved, args.backbone or cfg.MODEL.BACKBONE.NAME)


def default_device(model: str) -> str:
    """Where ``--model`` is tested: a GPU if there is one, but exported encoders run on the CPU."""
    import torch

    from splip.models.load import is_exported

    return "cuda" if torch.cuda.is_available() and not (model and is_exported(model)) else "cpu"


def _model(args: argparse.Namespace) -> Tested:
    """For --model or --encoder: tested on the data set that the arguments name."""
    import torch

    from splip.engine import build_dataset, get_cfg_default
    from splip.models.encoders import EncoderModel, Prepared, load_encoder
    from splip.models.load import load_model
    from splip.training.config import extend_cfg

    where = args.device or default_device(args.model)
    device = torch.device(where)
    cfg = get_cfg_default()
    extend_cfg(cfg)
    cfg.USE_CUDA = device.type == "cuda"
    cfg.SEED, cfg.TRAINER.NAME = args.seed, args.encoder or args.model
    cfg = _merged(cfg, args)
    if args.encoder:
        encoder = load_encoder(args.encoder, where)
        return Tested(cfg, EncoderModel(encoder.encode), Prepared(encoder.transform), build_dataset(cfg), device)
    found = load_model(args.model, where, args.backbone)
    model = found.source or EncoderModel(found.encode, True, found.classes)
    return Tested(cfg, model, found.preprocessing, build_dataset(cfg), device, seed=max(args.seed, 0))


def _of_saved(args: argparse.Namespace, cfg: Any, saved: pretrained.Saved, backbone: str) -> Tested:
    import torch

    from splip.data.transforms import Preprocessing
    from splip.engine import build_dataset
    from splip.models.load import of_saved
    from splip.training.precision import precision

    cuda = torch.cuda.is_available() and cfg.USE_CUDA
    device = torch.device("cuda" if cuda else "cpu")
    model = of_saved(saved, saved.where, str(device), backbone)
    assert model.source is not None  # set for a saved model
    clip = model.source.clip
    asked = Preprocessing.from_cfg(cfg, clip)
    if asked != model.preprocessing:
        raise ValueError(f"the run's images were made as {model.preprocessing.describe()}, not {asked.describe()}")
    seed, trained = (max(cfg.SEED, 0), False) if saved.seed is None else (saved.seed, True)
    return Tested(
        cfg, model.source, model.preprocessing, build_dataset(cfg), device, precision(cfg, device), clip, _keys(saved),
        saved.epoch, seed, trained, saved.history,
    )  # fmt: skip


def _keys(saved: pretrained.Saved) -> Dict[str, Any]:
    """How a model was built, as keys of a config."""
    return {f"TRAINER.{saved.recipe.method.upper()}.{key}": value for key, value in saved.recipe.settings.items()}


def _host(args: argparse.Namespace) -> Tested:
    """For --host: its trainer builds the model and the data set."""
    from splip import engine
    from splip.data.transforms import Preprocessing
    from splip.models import hosts
    from splip.training.config import extend_cfg

    if engine.ENGINE == "builtin":
        raise ValueError("--host needs Dassl, for which its trainers are written: see docs/HOSTS.md")
    if not (args.trainer and args.model_dir):
        raise ValueError("--host needs --trainer and --model-dir")
    module = _import_host(args.host)
    cfg = engine.get_cfg_default()
    module.extend_cfg(cfg)
    extend_cfg(cfg)
    cfg.TRAINER.NAME, cfg.SEED = args.trainer, args.seed
    # Dassl's warm-up fails since torch 2.7, and nothing is trained here
    cfg = _merged(cfg, args, "OPTIM.WARMUP_EPOCH", -1)
    preprocessing = Preprocessing.from_cfg(cfg)
    host = engine.build_trainer(cfg)
    model = hosts.host_images(host, args.trainer)
    backbone = cfg.MODEL.BACKBONE.NAME
    epoch, model.classes = hosts.load_host_weights(host, args.model_dir, backbone, args.load_epoch)
    data, seed = host.dm.dataset, max(cfg.SEED, 0)
    return Tested(cfg, model, preprocessing, data, host.device, epoch=epoch, seed=seed, trained=True)


def _merged(cfg, args: argparse.Namespace, *last):
    """`cfg` with the files, arguments and key-value pairs merged into it, then `last`; frozen."""
    from splip.training.options import merge_file, merge_options

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
    """The checkout's train.py, with its packages `clip`, `trainers` and `datasets` before any others of these names."""
    path = folder / "train.py"
    if not path.is_file():
        raise ValueError(f"--host {folder} is no checkout of CoOp, MaPLe or the like: there is no {path}")
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("host_train", path)
    assert spec is not None and spec.loader is not None  # the file exists
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
