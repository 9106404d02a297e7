"""The scripts from their first line to their last, on data and a backbone that differ in size only.

Python starts in seconds and there are many runs: most scripts are run with a stand-in for Python that records its
arguments, and the recorded runs are then done by train.py's own `main`.
"""

import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_tiny_clip_file
from pictures import drawing
from PIL import Image
from tiny_benchmarks import make_quickdraw, make_sketchy, make_tuberlin

from splip.cli import main as splip_command
from splip.cli import table
from splip.data.galleries import GALLERIES

ROOT = Path(__file__).resolve().parents[2]


UNSET = ("TRAINER", "CFG", "SPLIT", "LIST", "GALLERY", "ANYWAY", "DATASET", "ROWS", "VALUES", "PLUS", "PLAN")


@pytest.fixture
def small_run(tmp_path):
    """Environment that points zs_sketchmoji.sh at a small data set and a tiny CLIP."""
    rng = np.random.default_rng(0)
    for kind in ("sketch", "photo"):
        for name in ("ant", "bee", "cow", "dog"):
            folder = tmp_path / "data" / kind / name
            folder.mkdir(parents=True)
            for i in range(4):
                Image.fromarray(rng.integers(0, 256, (48, 48, 3), np.uint8)).save(folder / f"{i}.png")
    (tmp_path / "unseen.txt").write_text("cow\ndog\n")
    options = {
        "DATASET.NAME": "SBIRFolder",
        "DATASET.ROOT": tmp_path / "data",
        "DATASET.SPLIT": tmp_path / "unseen.txt",
        "MODEL.BACKBONE.NAME": make_tiny_clip_file(tmp_path / "clip.pt"),
        "INPUT.SIZE": "(48,48)",
        "DATALOADER.TRAIN_X.BATCH_SIZE": 4,
        "DATALOADER.NUM_WORKERS": 0,
        "OPTIM.MAX_EPOCH": 2,
    }
    words = " ".join(f"{key} {value}" for key, value in options.items())
    return {**os.environ, "PYTHON": sys.executable, "OUTPUT": str(tmp_path / "output"), "OPTS": words}


def run(env, *seeds):
    command = ["bash", "scripts/splip/zs_sketchmoji.sh", *seeds]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_demo_trains_compares_and_keeps_what_is_finished(small_run, capsys):
    out = run(small_run, "1")
    output = Path(small_run["OUTPUT"])
    for trainer in ("FrozenCLIP", "LayerNormCLIP", "SpLIP"):
        assert (output / trainer / "seed1" / "results.json").is_file()
        assert f"| {trainer}" in out, out[-2000:]
    assert Image.open(output / "compare.png").width > 500
    assert (output / "SpLIP" / "seed1" / "training_curve.png").is_file()

    photos = Path(small_run["OUTPUT"]).parent / "data" / "photo"
    sketch = Path(small_run["OUTPUT"]).parent / "drawing.png"
    drawing(sketch)
    splip_command(
        [
            "search",
            str(sketch),
            "--model",
            str(output / "SpLIP" / "seed1"),
            "--photos",
            str(photos),
            "--top",
            "3",
            "--sheet",
            str(output / "found.png"),
            "--index",
            str(output / "index"),
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == str(sketch) and len(lines) == 5 and Image.open(output / "found.png").width > 200
    cosines = [float(line.split()[0]) for line in lines[1:4]]
    assert cosines == sorted(cosines, reverse=True) and all(Path(line.split()[1]).is_file() for line in lines[1:4])

    again = run(small_run, "1", "2")
    assert again.count("Finished before") == 3
    row = next(line for line in again.splitlines() if line.startswith("| SpLIP"))
    assert "1 2" in row and "±" in row


# ------------------------------------------------------------- the published benchmarks

TABLE5 = ["class", "triplet", "class+triplet", "adaptive_margin", "clip_at_jigsaw"]
TABLE6 = ["no_layernorm", "no_bv", "no_bt", "no_bvt", "no_visual_prompts", "no_prompts"]
ZS = ["sketchy1", "sketchy1-zse", "sketchy2", "sketchy2-zse", "tuberlin", "quickdraw"]
GZS = ["sketchy2_gzs-all_seen", "tuberlin_gzs-all_seen"]
CROSS = ["sketchy_cross_tuberlin-unseen_minus_source", "sketchy_cross_quickdraw-unseen_minus_source"]
BOTH = ["sketchy2", "sketchy_fg"]
SCRIPTS = {  # script: (data that it checks, runs in their order, runs in its table)
    "zs_sketchy.sh": (["Sketchy2"], ZS[2:4], ZS[2:4]),
    "SPLIT=1 zs_sketchy.sh": (["Sketchy1"], ZS[:2], ZS[:2]),
    "zs_tuberlin.sh": (["TUBerlin"], ["tuberlin"], ["tuberlin"]),
    "LIST=b zs_tuberlin.sh": (["TUBerlin"], ["tuberlin_b"], ["tuberlin_b"]),
    "zs_quickdraw.sh": (["QuickDraw"], ["quickdraw"], ["quickdraw"]),
    "gzs_sketchy.sh": (["Sketchy2"], ["sketchy2", GZS[0]], GZS[:1]),
    "SPLIT=1 gzs_sketchy.sh": (["Sketchy1"], ["sketchy1", "sketchy1_gzs-all_seen"], ["sketchy1_gzs-all_seen"]),
    "GALLERY=held_out gzs_sketchy.sh": (["Sketchy2"], ["sketchy2_gzs-held_out"], ["sketchy2_gzs-held_out"]),
    "gzs_tuberlin.sh": (["TUBerlin"], ["tuberlin", GZS[1]], GZS[1:]),
    "fg_sketchy.sh": (["Sketchy2"], ["sketchy_fg"], ["sketchy_fg"]),
    "cross_sketchy.sh": (["Sketchy1", "TUBerlin", "QuickDraw"], ["sketchy1", *CROSS], CROSS),
    "table1.sh": (["Sketchy1", "Sketchy2", "TUBerlin", "QuickDraw"], ZS, ZS),
    "table2.sh": (["Sketchy2", "TUBerlin"], ["sketchy2", GZS[0], "tuberlin", GZS[1]], GZS),
    "table3.sh": (["Sketchy2"], ["sketchy_fg"], ["sketchy_fg"]),
    "table4.sh": (["Sketchy1", "TUBerlin", "QuickDraw"], ["sketchy1", *CROSS], CROSS),
    "table5.sh": (["Sketchy2"], *[[f"{name}-{row}" for row in TABLE5 for name in BOTH] + BOTH] * 2),
    "table6.sh": (["Sketchy2"], *[[f"{name}-{row}" for row in TABLE6 for name in BOTH] + BOTH] * 2),
}  # fmt: skip


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


train = load(ROOT / "train.py")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Every class of the three benchmarks with the fewest images, a tiny CLIP, and the environment of a script."""
    folder = tmp_path_factory.mktemp("benchmarks")
    make_sketchy(folder / "data", photos=2, sketches=1)
    make_tuberlin(folder / "data", photos=1, sketches=1)
    make_quickdraw(folder / "data", photos=1, sketches=1)
    python = folder / "python"  # records what it is asked to run
    python.write_text('#!/bin/sh\necho "$*" >> "$RECORD"\n[ "$2 $3" != "splip data" ] || exit "$CHECKED"\n')
    python.chmod(0o755)
    sizes = f"MODEL.BACKBONE.NAME {make_tiny_clip_file(folder / 'clip.pt')} INPUT.SIZE (48,48) DATALOADER.NUM_WORKERS 0"
    return {
        **{k: v for k, v in os.environ.items() if k not in UNSET},
        "PYTHON": str(python), "RECORD": str(folder / "record"), "CHECKED": "0", "SPLIP_CACHE": str(folder / "cache"),
        "DATA": str(folder / "data"), "OUTPUT": str(folder / "output"), "FAST": "1", "OPTS": f"{sizes} USE_CUDA False",
    }  # fmt: skip


def record(env, script, *seeds, status=0):
    """What a script would run, as lists of arguments; ``script`` may begin with variables. Also what it prints."""
    *variables, name = script.split()
    env = {**env, **dict(word.split("=", 1) for word in variables)}
    Path(env["RECORD"]).write_text("")
    command = ["bash", f"scripts/splip/{name}", *seeds]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == status, done.stdout[-2000:] + done.stderr[-2000:]
    return [line.split() for line in Path(env["RECORD"]).read_text().splitlines()], done.stdout + done.stderr


def value(arguments, option):
    return arguments[arguments.index(option) + 1]


def test_every_script_is_listed_here():
    found = {path.name for path in (ROOT / "scripts/splip").glob("*.sh")}
    found -= {"runs.sh", "benchmark.sh", "small.sh", "sweep.sh", "epochs.sh"}
    others = ("sketchmoji", "sketchy25")  # which are tested elsewhere, as are the tables in small
    assert {name for name in found if not any(word in name for word in others)} == {n.split()[-1] for n in SCRIPTS}


@pytest.mark.parametrize("script", ["gzs_sketchy.sh", "gzs_tuberlin.sh", "table2.sh", "cross_sketchy.sh", "table4.sh"])
def test_another_gallery_is_refused_before_anything_runs(small, script):
    ran, said = record(small, f"GALLERY=nope {script}", status=2)
    rules = GALLERIES["cross" if script in ("cross_sketchy.sh", "table4.sh") else "gzs"]
    assert not ran and f"GALLERY must be one of {' '.join(rules)} (docs/DATASETS.md), got 'nope'" in said, (ran, said)


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_a_script_checks_runs_and_shows(small, tmp_path, script):
    data, runs, shown = SCRIPTS[script]
    out = tmp_path / "output"
    calls, _ = record({**small, "OUTPUT": str(out)}, script, "7")
    checks, trained, (shows,) = calls[: len(data)], calls[len(data) : -1], calls[-1:]
    assert checks == [["-m", "splip", "data", "check", name, "--root", small["DATA"]] for name in data]
    assert [value(call, "--output-dir") for call in trained] == [f"{out}/{name}/SpLIP/vit_b32/seed7" for name in runs]
    for call in trained:
        assert call[0] == "train.py" and value(call, "--seed") == "7" and value(call, "--root") == small["DATA"]
    assert shows[:3] == ["-m", "splip", "table"]
    assert shows[3 : 3 + len(shown)] == [f"{out}/{name}/SpLIP/vit_b32" for name in shown]
    assert shows[3 + len(shown) :] == ["--paper", "--csv", f"{out}/{Path(shows[-1]).name}"]


@pytest.mark.parametrize("number", ["5", "6"])
def test_the_ablations_switch_off_what_the_paper_did(small, tmp_path, number):
    with (ROOT / "splip/assets/paper_results.csv").open() as file:
        printed = {(row["setting"], row["switches"]) for row in csv.DictReader(file) if row["table"] == number}
    calls, _ = record({**small, "OUTPUT": str(tmp_path)}, f"table{number}.sh", "1")
    asked = set()
    for call in calls[1:-1]:
        cfg = train.setup_cfg(train.make_parser().parse_intermixed_args(call[1:]))
        result = {"trainer": "SpLIP", "config": cfg}
        asked.add((cfg.DATASET.SETTING, table.switches(result)))
    assert asked == printed | {("zs", ""), ("fg", "")}


def test_seeds_baselines_kept_and_resumed_runs(small, tmp_path):
    env = {**small, "OUTPUT": str(tmp_path), "TRAINER": "FrozenCLIP SpLIP"}
    calls, _ = record(env, "zs_quickdraw.sh")
    assert [(value(call, "--trainer"), value(call, "--seed")) for call in calls[1:-1]] == [
        ("FrozenCLIP", "1"), ("SpLIP", "1"), ("SpLIP", "2"), ("SpLIP", "3")
    ]  # fmt: skip
    assert all("--skip-finished" in call for call in calls[1:-1]), "train.py keeps what is finished, if it is this run"
    second = tmp_path / "quickdraw/SpLIP/vit_b32/seed2"
    (second / "splip").mkdir(parents=True)
    (second / "splip" / "checkpoint").write_text("model.pth.tar-1\n")
    calls, _ = record({**env, "TRAINER": "SpLIP"}, "zs_quickdraw.sh")
    assert [call[call.index("--resume") + 1] if "--resume" in call else "" for call in calls[1:-1]] == [
        "", str(second), ""
    ]  # fmt: skip


@pytest.mark.parametrize("script", ["zs_sketchmoji.sh", "zs_quickdraw.sh", "table1.sh"])
def test_what_is_no_seed_is_refused_and_help_is_given(small, tmp_path, script):
    for seeds in (["-1"], ["one"], ["1,2"], ["1", "--help-me"]):
        calls, said = record({**small, "OUTPUT": str(tmp_path)}, script, *seeds, status=2)
        assert not calls and "seeds are whole numbers from 0, got" in said, said
    calls, said = record({**small, "OUTPUT": str(tmp_path)}, script, "--help")
    assert not calls and script in said and "SEED" in said.upper(), said


@pytest.mark.parametrize("trainer, cfg", [
    ("SpLIP", "vit_b32"), ("SpLIP", "vit_b32_note"), ("ClipPrompt", "vit_b32"), ("ClipPrompt", "vit_b32_sgspl"),
    ("ClipAT", "vit_b32"), ("ClipAT", "vit_b32_released"),
])  # fmt: skip
def test_fast_takes_the_precision_that_is_faster_here_unless_told(small, tmp_path, trainer, cfg):
    """The configs ask for bf16, in which a CPU without units for it takes a minute for a step."""
    for opts, wanted in (("", "auto"), ("TRAINER.PREC fp32", "fp32")):
        env = {**small, "OUTPUT": str(tmp_path), "TRAINER": trainer, "CFG": cfg, "OPTS": opts}
        calls, _ = record(env, "zs_quickdraw.sh", "1")
        asked = train.setup_cfg(train.make_parser().parse_intermixed_args(calls[1][1:]))
        assert asked.TRAINER.PREC == wanted, calls[1]


def test_a_baseline_that_trains_nothing_is_tested_anew_elsewhere(small, tmp_path):
    env = {**small, "OUTPUT": str(tmp_path), "TRAINER": "FrozenCLIP ClassNameCLIP LayerNormCLIP"}
    calls, _ = record(env, "gzs_tuberlin.sh", "4")
    frozen, named, layernorms = calls[4:7]
    assert "--eval-only" not in frozen and "--eval-only" not in named
    assert value(frozen, "--output-dir") == f"{tmp_path}/tuberlin_gzs-all_seen/FrozenCLIP/vit_b32/seed4"
    assert "--eval-only" in layernorms
    assert value(layernorms, "--model-dir") == f"{tmp_path}/tuberlin/LayerNormCLIP/vit_b32/seed4"


def test_without_the_data_nothing_is_trained(small, tmp_path):
    env = {**small, "FAST": "0", "CHECKED": "1", "OUTPUT": str(tmp_path)}
    calls, said = record(env, "table1.sh", status=1)
    assert [call[:4] for call in calls] == [["-m", "splip", "data", "check"]]
    assert f"-m splip data download Sketchy --root {small['DATA']}" in said and "REPRODUCE" in said
    calls, _ = record({**env, "ANYWAY": "1"}, "zs_quickdraw.sh", "1")
    assert [call[0] for call in calls] == ["-m", "train.py", "-m"]
    _, said = record(env, "LIST=c zs_tuberlin.sh", status=1)
    assert "LIST must be a or b, got 'c'" in said


def test_the_recorded_runs_run(small, monkeypatch, capsys):
    """Every yaml, every row and every table."""
    monkeypatch.setenv("SPLIP_CACHE", small["SPLIP_CACHE"])
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # train.py tees it
    for draw in ("draw_sheet", "draw_curve"):  # pictures have tests of their own
        monkeypatch.setattr(f"splip.training.results.{draw}", lambda *arguments: None)
    yamls = set()
    for script in SCRIPTS:
        *calls, call_of_table = record(small, script, "1")[0]
        for call in [call for call in calls if call[0] == "train.py"]:
            yamls.add(Path(value(call, "--dataset-config-file")))
            left = Path(value(call, "--output-dir"), "results.json")
            if not left.is_file():
                train.main(call[1:])
            result = json.loads(left.read_text())
            assert (result["seed"], result["epoch"]) == (1, 1) and result["num_queries"] > 0, result
        capsys.readouterr()
        assert splip_command(call_of_table[2:]) == 0
        shown, rows = capsys.readouterr().out, Path(call_of_table[-1]).read_text().splitlines()
        for row in csv.DictReader(rows):
            if script == "SPLIT=1 gzs_sketchy.sh":  # which the paper does not have
                assert (row["paper"], row["gap"]) == ("", ""), shown
            elif row["paper"] or script not in ("table5.sh", "table6.sh"):  # which have rows of ours, too
                assert abs(float(row["ours"]) - float(row["paper"]) - float(row["gap"])) < 0.02, (script, row)
        assert len(rows) > 2, shown
    published = {path.name for path in (ROOT / "configs/datasets").glob("*.yaml")}
    assert {path.name for path in yamls} == {
        name for name in published if not name.startswith(("sketchmoji", "sketchy25", "folder"))
    }


def test_a_benchmark_script_from_end_to_end(small, tmp_path):
    opts = "USE_CUDA False DATALOADER.NUM_WORKERS 0 TRAINER.PREC fp32"  # the sizes are FAST's own
    env = {**small, "PYTHON": sys.executable, "OUTPUT": str(tmp_path), "OPTS": opts}
    command = ["bash", "scripts/splip/zs_quickdraw.sh", "1"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "does not hold QuickDraw as it was published" in done.stderr  # FAST goes on all the same
    result = json.loads((tmp_path / "quickdraw/SpLIP/vit_b32/seed1/results.json").read_text())
    ours = result["metrics"]["voc"]["mAP@all"]
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "|"]
    row = next(dict(zip(lines[0], line)) for line in lines if line[1:3] == ["mAP@all", "voc"])
    assert (row["ours"], row["paper"], row["gap"]) == (f"{ours:.2f}", "34.2", f"{ours - 34.2:+.2f}"), row
    assert "The paper's backbone is ViT-B/32; these runs have splip-hybrid." in done.stdout
