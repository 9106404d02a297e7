"""The engine behind splip.engine: both engines' names, config, schedules; parity with the real Dassl."""

import importlib.util
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import make_tiny_clip_file
from tiny_sbir import write_images
from yacs.config import CfgNode

from splip import engine
from splip.engine import config as builtin_config
from splip.engine import optim as builtin_optim
from splip.engine.registry import Registry, build_trainer
from splip.engine.trainer import TrainerX
from splip.engine.utils import MetricMeter, Tee, setup_logger

TESTS = Path(__file__).parents[1]
HAS_DASSL = importlib.util.find_spec("dassl") is not None
needs_dassl = pytest.mark.skipif(not HAS_DASSL, reason="Dassl is not installed")


def optim_cfg(*opts):
    cfg = engine.get_cfg_default()
    cfg.merge_from_list(["OPTIM.LR", 0.1, "OPTIM.MAX_EPOCH", 6, *opts])
    return cfg.OPTIM


def rates(cfg, count=6, batches=()):
    """The rate in each epoch (with ``batches``, so many an epoch, in each step), stepping as a trainer does."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=cfg.LR)
    scheduler = engine.build_lr_scheduler(optimizer, cfg, *batches)
    seen = []
    for _ in range(count):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


# ---------------------------------------------------------------- registry, config


def test_registry_takes_a_name_once():
    registry = Registry("THING")

    @registry.register()
    class Thing:
        pass

    assert registry.get("Thing") is Thing and registry.registered_names() == ["Thing"]
    with pytest.raises(KeyError, match="THING 'Thing' is already registered"):
        registry.register(Thing)
    registry.register(Thing, force=True)
    with pytest.raises(KeyError, match="no THING 'Other'"):
        registry.get("Other")


@pytest.mark.skipif(engine.ENGINE != "builtin", reason="Dassl has its own message")
def test_unknown_trainer_is_refused_with_the_nearest_name():
    import splip.trainers  # noqa: F401  (registers)

    cfg = builtin_config.get_cfg_default()
    cfg.TRAINER.NAME = "SPLIP"
    with pytest.raises(ValueError, match=r"TRAINER.NAME must be one of .*'SPLIP' \(did you mean 'SpLIP'"):
        build_trainer(cfg)


def test_a_coop_style_file_merges_and_an_unknown_key_does_not(tmp_path):
    cfg = engine.get_cfg_default()
    text = """
DATALOADER: {TRAIN_X: {BATCH_SIZE: 32}, TEST: {BATCH_SIZE: 100}, NUM_WORKERS: 8}
INPUT: {SIZE: "(224, 224)", INTERPOLATION: "bicubic", TRANSFORMS: ["random_flip", "normalize"],
        PIXEL_MEAN: [0.5, 0.5, 0.5], PIXEL_STD: [0.2, 0.2, 0.2]}
OPTIM: {NAME: "sgd", LR: 0.002, MAX_EPOCH: 50, LR_SCHEDULER: "cosine", WARMUP_EPOCH: 1,
        WARMUP_TYPE: "constant", WARMUP_CONS_LR: 1e-5}
TRAIN: {PRINT_FREQ: 5}
MODEL: {BACKBONE: {NAME: "ViT-B/32"}}
"""
    (tmp_path / "coop.yaml").write_text(text)
    cfg.merge_from_file(str(tmp_path / "coop.yaml"))
    assert (cfg.OPTIM.LR, cfg.DATALOADER.TEST.BATCH_SIZE) == (0.002, 100)
    with pytest.raises(AssertionError, match=r"Non-existent key: OPTIM\.LEARNING_RATE"):
        cfg.merge_from_list(["OPTIM.LEARNING_RATE", 1])


def test_default_configs_are_independent():
    engine.get_cfg_default().OPTIM.LR = 9.0
    assert engine.get_cfg_default().OPTIM.LR == 0.0003


@needs_dassl
def test_builtin_defaults_are_dassls():
    from dassl.config import get_cfg_default

    def compare(ours, theirs, prefix=""):
        for key, value in ours.items():
            assert key in theirs, f"{prefix}{key} is no key of Dassl's"
            if isinstance(value, CfgNode):
                compare(value, theirs[key], f"{prefix}{key}.")
            else:
                assert value == theirs[key], f"{prefix}{key}: {value} here, {theirs[key]} in Dassl"

    compare(builtin_config.get_cfg_default(), get_cfg_default())


# ---------------------------------------------------------------- optimisers, schedules


@pytest.mark.parametrize("name", builtin_optim.OPTIMIZERS)
def test_each_optimizer_takes_a_step(name):
    parameter = torch.nn.Parameter(torch.ones(3))
    for build in (builtin_optim.build_optimizer, engine.build_optimizer):
        optimizer = build([parameter], optim_cfg("OPTIM.NAME", name))
        before = parameter.detach().clone()
        parameter.square().sum().backward()
        optimizer.step()
        assert not torch.equal(parameter, before)
        assert optimizer.defaults["lr"] == 0.1 and optimizer.defaults["weight_decay"] == 5e-4


def test_staged_rates():
    model = torch.nn.ModuleDict({"old": torch.nn.Linear(2, 1), "new": torch.nn.Linear(2, 1)})
    staged = ["OPTIM.STAGED_LR", True, "OPTIM.BASE_LR_MULT", 0.2, "OPTIM.NEW_LAYERS"]
    optimizer = engine.build_optimizer(model, optim_cfg(*staged, ("new",)))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert [rates[id(model[name].weight)] for name in ("old", "new")] == pytest.approx([0.02, 0.1])
    for names in ((), ("head",)):
        with pytest.raises(ValueError, match=r"OPTIM\.NEW_LAYERS must name children of the model with STAGED_LR"):
            builtin_optim.build_optimizer(model, optim_cfg(*staged, names))


def test_warm_up_scales_with_the_rate_of_a_group():
    parameters = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    cfg = optim_cfg("OPTIM.WARMUP_EPOCH", 2, "OPTIM.WARMUP_CONS_LR", 0.01, "OPTIM.WARMUP_MIN_LR", 0.01)
    for kind, wanted in (("constant", [0.01, 0.01, 0.1]), ("linear", [0.01, 0.05, 0.1])):
        cfg.WARMUP_TYPE = kind
        optimizer = torch.optim.SGD([{"params": [p], "lr": r} for p, r in zip(parameters, (0.1, 0.001))])
        schedule, seen = engine.build_lr_scheduler(optimizer, cfg), []
        for _ in range(3):
            seen.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step(), schedule.step()
        assert seen == [pytest.approx([rate, rate / 100]) for rate in wanted], kind


def test_unknown_optimizer_schedule_warmup_and_rate_are_refused():
    with pytest.raises(ValueError, match=r"OPTIM\.NAME must be one of .*'lion'"):
        builtin_optim.build_optimizer([torch.nn.Parameter(torch.ones(1))], optim_cfg("OPTIM.NAME", "lion"))
    for opts, message in (
        (("OPTIM.LR_SCHEDULER", "poly"), "OPTIM.LR_SCHEDULER must be one of .*'poly'"),
        (("OPTIM.WARMUP_EPOCH", 1, "OPTIM.WARMUP_TYPE", "slow"), "OPTIM.WARMUP_TYPE must be one of .*'slow'"),
        (("OPTIM.LR", 0.0), "OPTIM.LR must be above 0"),
        (("OPTIM.STEPSIZE", (1.5,)), "must be a whole number, got 1.5"),
    ):
        with pytest.raises(ValueError, match=message):
            rates(optim_cfg(*opts))


COSINE = [0.1, 0.0933013, 0.075, 0.05, 0.025, 0.0066987]
STEP, MULTI = ["OPTIM.STEPSIZE", (2,)], ["OPTIM.LR_SCHEDULER", "multi_step", "OPTIM.STEPSIZE", (1, 3)]
COS = ["OPTIM.LR_SCHEDULER", "cosine"]
CONSTANT = ["OPTIM.WARMUP_EPOCH", 2, "OPTIM.WARMUP_TYPE", "constant", "OPTIM.WARMUP_CONS_LR", 0.01]
LINEAR = ["OPTIM.WARMUP_EPOCH", 3, "OPTIM.WARMUP_TYPE", "linear", "OPTIM.WARMUP_MIN_LR", 0.001]
CONTINUE = ["OPTIM.WARMUP_RECOUNT", False]
SCHEDULES = {
    "cosine": (COS, COSINE),
    "step": (STEP, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]),
    "step never": ([], [0.1] * 6),
    "multi": (MULTI, [0.1, 0.01, 0.01, 0.001, 0.001, 0.001]),
    "cosine after constant": (COS + CONSTANT, [0.01, 0.01, 0.1, 0.0853553, 0.05, 0.0146447]),
    "cosine after linear": (COS + LINEAR, [0.001, 0.1 / 3, 0.2 / 3, 0.1, 0.075, 0.025]),
    "step after constant": (STEP + CONSTANT, [0.01, 0.01, 0.1, 0.1, 0.01, 0.01]),
    "multi, count goes on": (MULTI + CONSTANT + CONTINUE, [0.01, 0.01, 0.1, 0.01, 0.01, 0.01]),
    "cosine, count goes on": (
        COS + CONSTANT + CONTINUE, [0.01, 0.01, 0.1, 0.1 * 0.05 / 0.075, 0.1 * 0.025 / 0.075, 0.0089316]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SCHEDULES)
def test_rates_by_epoch(case):
    opts, wanted = SCHEDULES[case]
    assert rates(optim_cfg(*opts)) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("recount", [True, False])
def test_a_cosine_ends_near_zero_whatever_its_warm_up(recount):
    """Warm-up steps belong to the schedule: they shorten what follows, and do not cut its end off."""
    cfg = optim_cfg(*COS, "OPTIM.MAX_EPOCH", 10, "OPTIM.WARMUP_RECOUNT", recount)
    cfg.BY_STEP, cfg.WARMUP_STEPS = True, 20
    by_step = rates(cfg, 100, (10,))
    print(f"100 steps, 20 of warm-up, recount {recount}: peak {max(by_step):.3g}, end {by_step[-1]:.2e}")
    assert by_step[19] == 0.1 and all(a > b for a, b in zip(by_step[20:], by_step[21:]))
    assert 0 < by_step[-1] < 0.002 * max(by_step)
    for warmup, kind in ((0, "linear"), (2, "linear"), (4, "constant")):
        opts = "OPTIM.WARMUP_EPOCH", warmup, "OPTIM.WARMUP_TYPE", kind, "OPTIM.WARMUP_RECOUNT", recount
        by_epoch = rates(optim_cfg(*COS, "OPTIM.MAX_EPOCH", 20, *opts), 20)
        print(f"20 epochs, {warmup} of {kind} warm-up: end {by_epoch[-1]:.2e}")
        assert 0 < by_epoch[-1] < 0.011 * 0.1, "the last of n epochs has the rate of the last of n without a warm-up"


def test_a_warm_up_as_long_as_the_run_divides_by_nothing_and_is_said(capsys):
    opts = "OPTIM.WARMUP_EPOCH", 2, "OPTIM.WARMUP_MIN_LR", 0.01
    assert rates(optim_cfg(*COS, "OPTIM.MAX_EPOCH", 2, *opts), 2) == pytest.approx([0.01, 0.05])
    assert "The warm-up has 2 epochs, the run 2: the rate only rises" in capsys.readouterr().out


CUT_BY_DASSL = ("cosine after constant", "cosine after linear")


@needs_dassl
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", SCHEDULES)
def test_rates_are_dassls(case, monkeypatch):
    """But for one: with WARMUP_RECOUNT, Dassl's cosine is as long as the run, and its end is missing."""
    from dassl.optim import lr_scheduler as theirs

    plain = torch.optim.lr_scheduler.LRScheduler.__init__
    # Dassl passes `verbose`, which torch dropped; without it its warm-up runs
    monkeypatch.setattr(theirs._LRScheduler, "__init__", lambda s, o, last=-1, verbose=False: plain(s, o, last))
    cfg = optim_cfg(*SCHEDULES[case][0])
    ours = rates(cfg)
    monkeypatch.setattr(engine, "build_lr_scheduler", theirs.build_lr_scheduler)
    dassls = rates(cfg)
    if case in CUT_BY_DASSL:
        warmup = cfg.WARMUP_EPOCH
        assert ours[: warmup + 1] == pytest.approx(dassls[: warmup + 1], rel=1e-9)
        assert dassls[warmup:] == pytest.approx(COSINE[: 6 - warmup], rel=1e-4) and ours[-1] < dassls[-1]
    else:
        assert ours == pytest.approx(dassls, rel=1e-9)


# ---------------------------------------------------------------- the built-in skeleton


def test_models_register_once_and_unknown_names_are_refused():
    trainer = TrainerX.__new__(TrainerX)
    super(TrainerX.__mro__[1], trainer).__init__()  # TrainerBase: tables only
    trainer.register_model("net", torch.nn.Linear(1, 1))
    with pytest.raises(ValueError, match="'net' is already registered"):
        trainer.register_model("net")
    with pytest.raises(ValueError, match=r"no registered model \['other'\]"):
        trainer.get_model_names("other")
    trainer.set_model_mode("eval")
    assert not trainer._models["net"].training
    trainer.write_scalar("x", 1.0)  # without a writer: nothing


def test_meter_prints_latest_and_mean():
    meter = MetricMeter()
    meter.update({"loss": 1.0})
    meter.update({"loss": 2.0})
    assert str(meter) == "loss 2.0000 (1.5000)"


def test_log_file_copies_output_and_keeps_the_old_one(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    setup_logger(str(tmp_path))
    print("first")
    assert isinstance(sys.stdout, Tee) and sys.stdout.isatty() in (True, False)
    setup_logger(str(tmp_path))
    print("second")
    assert not isinstance(sys.stdout.stream, Tee), "a second log must not nest in the first"
    sys.stdout.close()
    texts = sorted(path.read_text() for path in tmp_path.glob("log.txt*"))
    assert texts == ["first\n", "second\n"]


def test_seeds_repeat():
    draws = []
    for _ in range(2):
        engine.set_random_seed(3)
        draws.append((torch.rand(1).item(), __import__("random").random(), __import__("numpy").random.rand()))
    assert draws[0] == draws[1]


# ---------------------------------------------------------------- which engine


def run_python(code, engine="", **env):
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))  # Dassl may be found there
    env = {**os.environ, "SPLIP_ENGINE": engine, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **env}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


def test_an_unknown_engine_is_refused():
    result = run_python("import splip.engine", "jax")
    assert "SPLIP_ENGINE must be one of ('dassl', 'builtin'), got 'jax'" in result.stderr


def test_a_broken_dassl_is_reported_and_replaced(tmp_path):
    (tmp_path / "dassl").mkdir()
    (tmp_path / "dassl" / "__init__.py").write_text("import a_package_that_is_not_there")
    code = "import splip.engine as api; print(api.ENGINE)"
    path = os.pathsep.join([str(tmp_path), str(TESTS)])
    result = run_python(code, PYTHONPATH=path)
    assert result.stdout.strip() == "builtin", result.stderr
    assert "Dassl is installed but cannot be imported (No module named 'a_package" in result.stderr


def test_logging_is_not_muted():
    assert logging.root.manager.disable < logging.WARNING


@needs_dassl
def test_logging_is_not_muted_where_dassl_came_first():
    code = "import dassl.engine, logging, splip.engine; print(logging.root.manager.disable)"
    assert run_python(code).stdout.split()[-1] == "0"


RUN = """
import torch
torch.set_num_threads(1)
from tiny_sbir import tiny_cfg
from splip.engine import ENGINE, build_trainer, set_random_seed
cfg = tiny_cfg(*sys.argv[1:4], "OPTIM.WARMUP_EPOCH", 1, "OPTIM.MAX_EPOCH", 3)
set_random_seed(cfg.SEED)
build_trainer(cfg).train()
print("ENGINE", ENGINE)
"""


@needs_dassl
def test_same_losses_and_metrics_with_either_engine(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    write_images(root)
    backbone = make_tiny_clip_file(tmp_path / "clip.pt")
    curves, scores = [], []
    for name in engine.ENGINES:
        out = tmp_path / name
        code = RUN.replace("*sys.argv[1:4]", repr([str(root), str(backbone), str(out)])[1:-1])
        result = run_python(code, name)
        assert f"ENGINE {name}" in result.stdout, result.stderr
        history = json.loads((out / "history.json").read_text())
        curves.append([[e[k] for k in ("loss", "triplet", "class", "jigsaw", "lr")] for e in history])
        scores.append(json.loads((out / "results.json").read_text())["metrics"])
    gap = (torch.tensor(curves[0], dtype=torch.float64) - torch.tensor(curves[1], dtype=torch.float64)).abs().max()
    print(f"largest difference between the engines' loss curves: {gap:.2e}")
    assert gap <= 1e-6 and scores[0] == scores[1], f"{gap:.2e}\n{scores}"
