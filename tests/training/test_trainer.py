"""The trainers: every accepted setting takes a step, every refusal says why, and what a run leaves."""

import json
import math
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import make_tiny_clip_file
from tiny_sbir import ON_CPU, ON_GPU, ROUNDING, tiny_cfg, write_images

import splip
import splip.datasets
import splip.trainers  # registers them, whichever tests run first
from splip.backbone import EMBEDDED, clip_dims, load_clip
from splip.data.transforms import normalize, to_pixels, to_tensor
from splip.data.triplets import ImageDataset
from splip.engine import (
    DATASET_REGISTRY,
    TRAINER_REGISTRY,
    build_trainer,
    get_cfg_default,
    set_random_seed,
)
from splip.training import precision as precisions
from splip.training import progress, results
from splip.training import trainer as trainer_file

METRICS = {"mAP@all", "mAP@100", "mAP@200", "P@100", "P@200"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(folder of images, file of a tiny CLIP)."""
    root = write_images(tmp_path_factory.mktemp("tiny"))
    return root, make_tiny_clip_file(tmp_path_factory.mktemp("clip") / "clip.pt")


@pytest.fixture
def config(files, tmp_path):
    """A function of config pairs (and an output folder) -> frozen config of one epoch."""
    return lambda *opts, out="run": tiny_cfg(*files, tmp_path / out, "OPTIM.MAX_EPOCH", 1, *opts)


@pytest.fixture
def no_drawings(monkeypatch):
    """Pictures take longer than the training they show."""
    for name in ("draw_sheet", "draw_curve"):
        monkeypatch.setattr(results, name, lambda *args, **kwargs: None)


def build(cfg):
    set_random_seed(cfg.SEED)
    return build_trainer(cfg)


def run(cfg):
    trainer = build(cfg)
    trainer.train()
    return trainer


def saved(trainer, name="results.json"):
    with open(f"{trainer.output_dir}/{name}", encoding="utf-8") as file:
        return json.load(file)


# ------------------------------------------------------------- every accepted setting

STEPS = {
    "bf16": ["TRAINER.PREC", "bf16"],
    "grad_checkpointing": ["TRAINER.GRAD_CHECKPOINTING", True],
    "adamw": ["OPTIM.NAME", "adamw"],
    "sgd": ["OPTIM.NAME", "sgd"],
    "single_step": ["OPTIM.LR_SCHEDULER", "single_step"],
    "multi_step": ["OPTIM.LR_SCHEDULER", "multi_step", "OPTIM.STEPSIZE", (1,)],
    "constant warm-up": ["OPTIM.WARMUP_EPOCH", 1, "OPTIM.WARMUP_TYPE", "constant"],
    "linear warm-up": ["OPTIM.WARMUP_EPOCH", 1, "OPTIM.WARMUP_TYPE", "linear"],
    "best_val": ["TEST.FINAL_MODEL", "best_val"],
    "best_val, cached": ["TEST.FINAL_MODEL", "best_val", "DATASET.CACHE", True],
    "gzs": ["DATASET.SETTING", "gzs"],
    "fg": ["DATASET.SETTING", "fg"],
    "no augmentation": ["INPUT.TRANSFORMS", ()],
    "random_crop": ["INPUT.TRANSFORMS", ("random_crop", "normalize")],
    "no jigsaw": ["TRAINER.SPLIP.BETA", 0.0],
    "LayerNormCLIP": ["TRAINER.NAME", "LayerNormCLIP"],
    "micro batch": ["TRAINER.MICRO_BATCH", 2],
    "precision by the machine": ["TRAINER.PREC", "auto"],
    "rates by step": ["OPTIM.BY_STEP", True, "OPTIM.WARMUP_STEPS", 2],
    "clipped gradients": ["OPTIM.GRAD_CLIP", 0.1],
    "averaged weights": ["OPTIM.AVERAGE_EPOCHS", 1],
    "negatives of the batch": ["TRAINER.SPLIP.NEGATIVES", "semi_hard"],
    "fg, negatives of the batch": ["DATASET.SETTING", "fg", "TRAINER.SPLIP.NEGATIVES", "batch_all"],
    "squashed": ["INPUT.RESIZE", "squash"],
    "padded, other means": [
        "INPUT.RESIZE",
        "pad",
        "INPUT.OWN_STATISTICS",
        True,
        "INPUT.PIXEL_MEAN",
        [0.5, 0.5, 0.5],
    ],
    "redrawn": ["INPUT.TRANSFORMS", ("sketch_redraw", "sketch_elastic", "sketch_erase", "photo_colour")],
    "ClipPrompt": ["TRAINER.NAME", "ClipPrompt"],
    "rates by part": ["TRAINER.SPLIP.LR_LAYERNORM", 0.1, "TRAINER.SPLIP.LR_SOLVER", 0.5],
    "staged rates": ["OPTIM.STAGED_LR", True, "OPTIM.NEW_LAYERS", ("b_t", "b_v", "b_vt", "jigsaw")],
    "LayerNorms apart": ["TRAINER.SPLIP.LAYERNORM_SHARED", False, "TRAINER.SPLIP.TRAIN_PROJ", True],
    "free prompts": ["TRAINER.SPLIP.FREE_PROMPTS", 2],
    "contrastive": ["TRAINER.SPLIP.CONTRASTIVE", 1.0],
    "a small grid, no jigsaw": ["TRAINER.SPLIP.GRID", 2, "TRAINER.SPLIP.PERMUTATIONS", 2000, "TRAINER.SPLIP.BETA", 0.0],
    "tiles resized": ["TRAINER.SPLIP.GRID", 5, "TRAINER.SPLIP.TILES", "resize"],
    "tiles cropped": ["TRAINER.SPLIP.GRID", 5, "TRAINER.SPLIP.TILES", "crop"],
}


@pytest.mark.parametrize("case", STEPS)
def test_each_setting_trains_and_leaves_results(config, no_drawings, case):
    trainer = run(config(*STEPS[case]))
    left = saved(trainer)
    fine = left["setting"] == "fg"
    assert set(left["metrics"]) == ({"all", "category"} if fine else {"prefix", "min_r_k", "voc"})
    for named in left["metrics"].values():
        assert set(named) == ({"Acc@1", "Acc@5"} if fine else METRICS)
        assert all(0 <= value <= 100 for value in named.values()), named
    loss = saved(trainer, "history.json")[0]["loss"]
    assert math.isfinite(loss) and left["epoch"] == 1


@pytest.mark.parametrize("setting", ["zs", "fg"])
def test_a_sheet_marks_what_is_right(config, setting):
    data = build(config("DATASET.SETTING", setting)).dataset
    asked = data.test_queries[0]
    _, hits, title = results.sheet_row(data, 0, range(len(data.test_gallery)))
    right = [photo for photo, (_, mark, _) in zip(data.test_gallery, hits) if mark]
    assert len(right) == (1 if setting == "fg" else 4), right
    assert all(photo.classname == asked.classname and photo.instance == asked.instance for photo in right)
    assert title == (asked.instance if setting == "fg" else asked.classname)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_each_precision_trains_on_a_gpu(config, no_drawings, precision):
    trainer = run(config("USE_CUDA", True, "TRAINER.PREC", precision, "OPTIM.MAX_EPOCH", 3))
    assert trainer.device.type == "cuda" and math.isfinite(trainer.history[-1]["loss"])


@pytest.mark.skipif(not hasattr(torch.amp, "GradScaler"), reason="torch before 2.3 scales on CUDA only")
def test_gradient_scaling_changes_no_step_and_is_resumed(config, no_drawings):
    plain, scaled = build(config(out="plain")), build(config(out="scaled"))
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    plain.train()
    scaled.train()
    for (name, a), b in zip(plain.clip.named_parameters(), scaled.clip.parameters()):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    again = build(config(out="scaled"))
    again.scaler = torch.amp.GradScaler("cpu")
    again.train()
    assert again.scaler.get_scale() == 1024.0


@ON_CPU
def test_bf16_on_a_cpu_without_units_for_it_is_warned_of(config, monkeypatch, recwarn):
    for has, asked in ((True, "bf16"), (False, "bf16"), (False, "auto"), (False, "fp32")):
        monkeypatch.setattr(precisions, "has_bf16_units", lambda has=has: has)
        recwarn.clear()
        build(config("TRAINER.PREC", asked))
        said = [str(w.message) for w in recwarn if "PREC bf16" in str(w.message)]
        assert len(said) == (not has and asked == "bf16"), (has, asked, said)
        assert all("has no units for bf16 (AVX512_BF16, AMX" in line and "Use fp32 or auto" in line for line in said)


REFUSED = {
    "fp16 on a CPU": (["TRAINER.PREC", "fp16"], "fp16 needs a CUDA device"),
    "precision": (["TRAINER.PREC", "amp"], r"PREC must be one of .*'amp'"),
    "final model": (["TEST.FINAL_MODEL", "best_test"], r"FINAL_MODEL must be one of .*'best_test'"),
    "interpolation": (["INPUT.INTERPOLATION", "bilinear"], "INTERPOLATION must be 'bicubic'"),
    "mean": (["INPUT.PIXEL_MEAN", [0.5, 0.5, 0.5]], r"PIXEL_MEAN must be CLIP's .* got \(0.5.*OWN_STATISTICS True"),
    "resize": (["INPUT.RESIZE", "stretch"], r"RESIZE must be one of .*'stretch'"),
    "sides": (["INPUT.SIZE", (48, 64)], r"INPUT.SIZE must be two equal sides, got \(48, 64\)"),
    "no batch": (["DATALOADER.TRAIN_X.BATCH_SIZE", 0], "DATALOADER.TRAIN_X.BATCH_SIZE must be at least 1, got 0"),
    "no test batch": (["DATALOADER.TEST.BATCH_SIZE", 0], "DATALOADER.TEST.BATCH_SIZE must be at least 1, got 0"),
    "no epoch": (["OPTIM.MAX_EPOCH", -3], "OPTIM.MAX_EPOCH must be at least 1, got -3"),
    "clip": (["OPTIM.GRAD_CLIP", -1.0], "OPTIM.GRAD_CLIP must be at least 0, got -1.0"),
    "average": (["OPTIM.AVERAGE_EPOCHS", 2], "AVERAGE_EPOCHS must be 0 to 1, got 2"),
    "average of the best": (
        ["OPTIM.AVERAGE_EPOCHS", 1, "TEST.FINAL_MODEL", "best_val"],
        "AVERAGE_EPOCHS means the last epochs",
    ),
    "a mean without a width": (["OPTIM.AVERAGE_EPOCHS", 1, "OPTIM.AVERAGE_MEAN", 1.0], "MEAN needs AVERAGE_STD"),
    "a width without epochs": (["OPTIM.AVERAGE_STD", 1.0], "AVERAGE_STD above 0, and that AVERAGE_EPOCHS"),
    "a negative width": (["OPTIM.AVERAGE_EPOCHS", 1, "OPTIM.AVERAGE_STD", -1.0], "AVERAGE_STD must be at least 0"),
    "steps by epoch": (["OPTIM.WARMUP_STEPS", 3], "WARMUP_STEPS needs OPTIM.BY_STEP True"),
    "memory of another method": (
        ["TRAINER.NAME", "ClipPrompt", "TRAINER.MICRO_BATCH", 2],
        "MICRO_BATCH 2: ClipPrompt does not support it",
    ),
    "one permutation": (["TRAINER.SPLIP.PERMUTATIONS", 1], "PERMUTATIONS 1 gives the jigsaw nothing to solve"),
    "negatives": (["TRAINER.SPLIP.NEGATIVES", "hardest"], "NEGATIVES must be one of"),
    "size": (["INPUT.SIZE", (224, 224)], r"INPUT.SIZE is \(224, 224\), but backbone .* takes 48 x 48"),
    "transform": (["INPUT.TRANSFORMS", ("cutout",)], r"TRANSFORMS must be of .*\['cutout'\]"),
    "crop scale": (["INPUT.RRCROP_SCALE", (0.0, 2.0)], "RRCROP_SCALE must be"),
    "batch": (["DATALOADER.TRAIN_X.BATCH_SIZE", 17], "BATCH_SIZE is 17, but there are only 16"),
    "backbone": (["MODEL.BACKBONE.NAME", "ViT-Z"], "'ViT-Z' is neither a file nor one of"),
    "nothing to train": (
        ["TRAINER.SPLIP.LAYERNORM", "none", "TRAINER.SPLIP.VISION_DEPTH", 0, "TRAINER.SPLIP.TEXT_DEPTH", 0],
        "leaves nothing to train",
    ),
    "no loss": (
        ["TRAINER.SPLIP.TRIPLET", False, "TRAINER.SPLIP.ALPHA", 0.0, "TRAINER.SPLIP.BETA", 0.0],
        "TRAINER.SPLIP has no loss",
    ),
    "setting": (["DATASET.SETTING", "few"], "SETTING must be one of"),
    "shuffled patches of a cache": (
        ["TRAINER.SPLIP.PATCH_SHUFFLE", 1.0, "TRAINER.PATCH_CACHE", "memory"],
        "PATCH_CACHE keeps no images, and SpLIP's PATCH_SHUFFLE reads them",
    ),
    "prompts after the end": (["TRAINER.SPLIP.PROMPTS_AFTER", 1000], r"PROMPTS_AFTER must be less than the \d+ steps"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_run_is_refused_before_training(config, case):
    opts, message = REFUSED[case]
    opts = [*opts, "USE_CUDA", ON_GPU and "CPU" not in case]
    with pytest.raises(ValueError, match=message):
        build(config(*opts))


@ON_CPU
@pytest.mark.parametrize(
    ("machine", "units", "chosen"),
    [("x86_64", (), "fp32"), ("x86_64", ("avx512_bf16",), "bf16"), ("AMD64", ("amx_tile",), "bf16"),
     ("aarch64", ("arm",), "bf16"), ("aarch64", (), "fp32"), ("x86_64", ("arm",), "fp32")],
)  # fmt: skip
def test_auto_is_bf16_where_the_processor_has_units_for_it(config, monkeypatch, machine, units, chosen):
    monkeypatch.setattr(precisions.platform, "machine", lambda: machine)
    for name in ("avx512_bf16", "amx_tile"):
        monkeypatch.setattr(torch.cpu, f"_is_{name}_supported", lambda name=name: name in units, raising=False)
    # torch's own answer for ARM; on x86 it is True wherever there is AVX512, which is no reason to use bf16
    monkeypatch.setattr(precisions, "mkldnn_has_bf16", lambda: "arm" in units)
    monkeypatch.setattr(torch, "mm", lambda *args: pytest.fail("a product is timed"))
    assert build(config("TRAINER.PREC", "auto")).precision == chosen


def test_torchs_answer_about_arm_can_be_asked_for():
    assert precisions.mkldnn_has_bf16() in (True, False)
    assert precisions.has_bf16_units() in (True, False)


def test_auto_on_a_gpu_is_bf16_where_it_is_not_emulated(config, monkeypatch):
    for has in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True, has=has:
                            has or including_emulation)  # fmt: skip
        chosen = precisions.precision(config("TRAINER.PREC", "auto"), torch.device("cuda"))
        assert chosen == ("bf16" if has else "fp32")


@ON_CPU
@pytest.mark.parametrize(("first", "then"), [(True, False), (False, True)])
@pytest.mark.parametrize("name", ["SpLIP", "FrozenCLIP"])
def test_auto_is_what_the_runs_folder_says(config, monkeypatch, no_drawings, first, then, name):
    """Another processor, or another load of the same one, makes no other run of it."""
    opts = ["TRAINER.PREC", "auto", "TRAINER.NAME", name, "OPTIM.MAX_EPOCH", 2]
    monkeypatch.setattr(precisions, "has_bf16_units", lambda: first)
    trainer = build(config(*opts))
    if trainer.trains:
        monkeypatch.setattr(trainer, "before_epoch", lambda: trainer.epoch and pytest.fail("killed"))
        with pytest.raises(pytest.fail.Exception, match="killed"):
            trainer.train()
    else:
        trainer.train()
    monkeypatch.setattr(precisions, "has_bf16_units", lambda: then)
    resumed = run(config(*opts))
    left = saved(resumed)
    assert left["precision"] == resumed.precision == trainer.precision == ("bf16" if first else "fp32")
    assert left["epoch"] == 2 * resumed.trains and build(config(*opts)).folder.is_finished()
    assert build(config(*opts, out="new")).precision != resumed.precision, "a new folder has no say"
    if trainer.trains:
        moved = build(config(*opts, "RESUME", resumed.output_dir, out="moved"))
        assert moved.precision == resumed.precision, "the folder that is resumed"
        (Path(resumed.output_dir) / "results.json").write_text("{")
        assert build(config(*opts)).precision == resumed.precision, "damaged results are made again, as they were"


def test_settings_of_a_trainer_are_its_models():
    with pytest.raises(TypeError, match=r"Mine: settings belong to the model's class \(model_class\)"):
        type("Mine", (TRAINER_REGISTRY.get("SpLIP"),), {"settings": {"X": 1}})


def test_a_config_that_dassl_has_cleaned_says_so(config):
    cfg = config().clone()
    cfg.defrost()
    del cfg.TRAINER["PREC"]
    with pytest.raises(ValueError, match=r"TRAINER.PREC is missing: call splip.extend_cfg.*clean_cfg"):
        build(cfg)


def test_rates_by_step_warm_up_and_decay(config, no_drawings):
    trainer = build(config("OPTIM.BY_STEP", True, "OPTIM.WARMUP_STEPS", 4, "OPTIM.MAX_EPOCH", 4))
    rates, step = [], trainer.forward_backward
    trainer.forward_backward = lambda batch: rates.append(trainer.get_current_lr()) or step(batch)
    trainer.train()
    batches = len(rates) // 4
    assert batches == 3
    wanted = [0.001 * (i + 1) / 4 for i in range(4)]
    wanted += [0.001 * (1 + math.cos(math.pi * i / 8)) / 2 for i in range(8)]  # of the 12 steps, 8 are left
    assert rates == pytest.approx(wanted), (rates, wanted)


def test_clipping_shortens_gradients(config, no_drawings):
    lengths = {}
    for limit in (0.0, 0.01):
        plain = ["OPTIM.NAME", "sgd", "OPTIM.MOMENTUM", 0.0, "OPTIM.WEIGHT_DECAY", 0.0]
        trainer = build(config(*plain, "OPTIM.GRAD_CLIP", limit))
        before = [p.detach().clone() for p in trainer.model.trainable.parameters()]
        trainer.epoch, trainer.num_batches = 0, 9
        trainer.batch_idx = 0
        trainer.set_model_mode("train")
        trainer.forward_backward(next(iter(trainer.train_loader_x)))
        moved = [p.detach() - old for p, old in zip(trainer.model.trainable.parameters(), before)]
        lengths[limit] = float(torch.stack([m.norm() for m in moved]).norm()) / 0.001
    assert lengths[0.01] == pytest.approx(0.01, rel=1e-3) and lengths[0.0] > 0.02, lengths


def test_the_mean_of_the_last_epochs_is_tested_saved_and_resumed(config, no_drawings):
    opts = ["OPTIM.MAX_EPOCH", 4, "OPTIM.AVERAGE_EPOCHS", 2, "TRAIN.CHECKPOINT_FREQ", 1, "OPTIM.LR", 0.01]
    trainer = run(config(*opts))
    states = [torch.load(f"{trainer.output_dir}/splip/model.pth.tar-{e}", weights_only=True) for e in (3, 4)]
    first, last = (state["state_dict"] for state in states)
    wanted = {n: (first[n] + v) / 2 if v.is_floating_point() else v for n, v in last.items()}
    here = trainer.model.trainable.state_dict()
    for name, value in wanted.items():
        torch.testing.assert_close(here[name], value, rtol=1e-5, atol=1e-7)
    assert any(not torch.equal(here[name], value) for name, value in states[1]["state_dict"].items())
    again = build(config(*opts, out="again"))
    again.load_model(trainer.output_dir)
    read = {name: value for name, value in here.items() if not name.startswith("jigsaw")}  # what embeds
    assert all(torch.equal(value, again.model.trainable.state_dict()[name]) for name, value in read.items())
    os.remove(f"{trainer.output_dir}/splip/model.pth.tar-4")
    Path(trainer.output_dir, "splip/checkpoint").write_text("model.pth.tar-3\n")
    resumed = run(config(*opts))
    assert all(torch.equal(value, resumed.model.trainable.state_dict()[name]) for name, value in here.items())


@pytest.mark.parametrize("mean, std", [(2.0, 1.0), (3.0, 0.01), (90.0, 0.1)])
def test_epochs_are_averaged_as_a_gaussian_weighs_them(config, no_drawings, mean, std):
    """Against the weighted sum of all checkpoints; a narrow Gaussian takes the nearest epoch alone."""
    opts = ["OPTIM.MAX_EPOCH", 4, "OPTIM.AVERAGE_EPOCHS", 4, "OPTIM.AVERAGE_MEAN", mean, "OPTIM.AVERAGE_STD", std]
    trainer = run(config(*opts, "TRAIN.CHECKPOINT_FREQ", 1, "OPTIM.LR", 0.01))
    states = [torch.load(f"{trainer.output_dir}/splip/model.pth.tar-{e}", weights_only=True) for e in (1, 2, 3, 4)]
    heights = [-((e - mean) ** 2) / (2 * std**2) for e in (1, 2, 3, 4)]
    weights = [math.exp(height - max(heights)) for height in heights]
    print(f"weights {[round(weight / sum(weights), 4) for weight in weights]}")
    for name, value in trainer.model.trainable.state_dict().items():
        if value.is_floating_point():
            wanted = sum(w * state["state_dict"][name] for w, state in zip(weights, states)) / sum(weights)
            torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


def test_clip_prompt_trains_its_own_copies_and_reads_the_first_prompt(config, files, no_drawings):
    trainer = build(config("TRAINER.NAME", "ClipPrompt", "OPTIM.LR", 0.001))
    model, images = trainer.model, torch.randn(2, 3, 48, 48, device=trainer.device)
    assert {round(group["lr"], 6) for group in trainer.optim.param_groups} == {0.001, 0.0001}
    visual = model.towers["sketch"]
    x = visual.conv1(images).flatten(2).transpose(1, 2)
    x = torch.cat([visual.class_embedding.expand(2, 1, -1), x], 1) + visual.positional_embedding
    x = visual.ln_pre(torch.cat([model.trainable["prompts_sketch"]["tokens"].expand(2, -1, -1), x], 1))
    for block in visual.transformer.resblocks:
        x = block(x.transpose(0, 1)).transpose(0, 1)
    slow = visual.ln_post(x[:, 0]) @ visual.proj
    torch.testing.assert_close(model.features(images, "sketch"), slow, rtol=0, atol=1e-5)
    trainer.train()
    plain, photo = load_clip(files[1]).visual.state_dict(), model.towers["photo"].state_dict()
    moved = {name for name, value in plain.items() if not torch.equal(value, photo[name].cpu())}
    assert moved and all("ln_" in name or name == "proj" for name in moved) and "proj" in moved
    own = model.towers["sketch"].state_dict()
    assert any(not torch.equal(own[name], photo[name]) for name in moved), "the modalities share what they train"
    assert saved(trainer)["swapped"] == "off", "it knows the modality"


def test_a_loss_that_is_not_finite_names_its_terms(config):
    trainer = build(config())
    weight = next(trainer.model.trainable.parameters())
    trainer.model.forward = lambda batch: (weight.sum() * math.nan, {"triplet": weight.new_tensor(0.5)})
    with pytest.raises(FloatingPointError, match=r"epoch 1, batch 1: .*'loss': nan, 'triplet': 0.5"):
        trainer.train()
    assert not list(Path(trainer.output_dir, "splip").glob("*")), "no checkpoint of it is written"


def test_fp16_survives_an_overflow_and_no_more(config):
    """GradScaler skips such a step: the loss may be infinite, if the last of those fetched together is not."""
    from splip.training.progress import Losses

    trainer = build(config())
    trainer.precision, trainer.num_batches, trainer.epoch = "fp16", 9, 0

    def fetch(*losses):
        waiting = Losses(trainer)
        for trainer.batch_idx, loss in enumerate(losses):
            waiting.add({"loss": torch.tensor(loss)}, 0.1)
        return waiting.fetch()

    assert fetch(1.0, math.inf, 3.0) == {"loss": 2.0}
    with pytest.raises(FloatingPointError, match="epoch 1, batch 2"):
        fetch(1.0, math.inf)


def test_other_launchers_are_refused(config, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(ValueError, match="SLURM_STEP_NUM_TASKS is 4: srun or mpirun would run the same training"):
        build(config())


# ------------------------------------------------------------- what a run leaves


def test_results_hold_what_tables_need(config, tmp_path):
    trainer = run(config("OPTIM.MAX_EPOCH", 2))
    left = saved(trainer)
    assert list(left) == [
        "trainer", "dataset", "setting", "split", "gallery", "backbone", "seed", "epoch", "num_queries",
        "num_gallery", "num_test_classes", "metrics", "selection", "precision", "preprocessing", "method", "versions",
        "identity", "config", "seconds", "prompt_cosines", "seen_test_classes", "swapped",
    ]  # fmt: skip
    wanted = ("SpLIP", "TinySBIR", "zs", "unseen", 1, 2, 8, 8, "last")
    keys = ("trainer", "dataset", "setting", "gallery", "seed", "epoch", "num_queries", "num_gallery",
            "selection")  # fmt: skip
    assert tuple(left[key] for key in keys) == wanted
    assert (left["num_test_classes"], left["seen_test_classes"]) == (2, [])
    assert set(left["split"]) == {"name", "sha256", "seen", "unseen"}
    assert left["versions"]["splip"] == splip.__version__ and left["versions"]["engine"]
    assert left["config"]["OPTIM"]["LR"] == 0.001 and left["seconds"]["train"] > 0
    shown = saved(trainer, "retrieval.json")
    assert len(shown["queries"]) == 2 == len({trainer.dataset.test_queries[i].label for i in shown["queries"]})
    assert all(sorted(row) == list(range(8)) for row in shown["hits"]), shown
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"history.json", "training_curve.png", "retrieval.png", "tensorboard", "splip"} <= names
    assert [entry["epoch"] for entry in saved(trainer, "history.json")] == [1, 2]


def test_training_seconds_are_all_that_was_waited_for_before_the_test(config, no_drawings, monkeypatch):
    """Images that are looked at and read, steps, validation, checkpoints but for the last; resumed, too."""
    clock = [0]
    monkeypatch.setattr(trainer_file, "time", SimpleNamespace(time=lambda: clock[0]))

    def takes(seconds, plain):
        def slow(*args, **options):
            clock[0] += seconds
            return plain(*args, **options)

        return slow

    for where, name, seconds in ((trainer_file, "check_images", 1), (ImageDataset, "preload", 10)):
        monkeypatch.setattr(where, name, takes(seconds, getattr(where, name)))

    def build_slow(out):
        cfg = config("OPTIM.MAX_EPOCH", 3, "TEST.FINAL_MODEL", "best_val", "DATASET.CACHE", True, out=out)
        trainer = build(cfg)
        trainer.save_model = takes(100, trainer.save_model)
        trainer.tester.encode = takes(1000, trainer.tester.encode)
        trainer.run_epoch = takes(10_000, trainer.run_epoch)
        return trainer

    trainer = build_slow("whole")
    trainer.train()
    epochs = [epoch["seconds"] for epoch in saved(trainer, "history.json")]
    assert epochs == [1 + 10 + 20 + 12_000, 12_100, 12_100]  # validation is two sets, read in the first epoch
    assert saved(trainer)["seconds"]["train"] == sum(epochs), "the best model may be of an earlier epoch"

    broken = build_slow("broken")
    monkeypatch.setattr(broken, "before_epoch", lambda: broken.epoch == 2 and pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception, match="killed"):
        broken.train()
    clock[0] += 10**9
    resumed = build_slow("broken")
    resumed.train()
    epochs = [epoch["seconds"] for epoch in saved(resumed, "history.json")]
    assert epochs == [12_031, 12_100, 12_031]
    assert saved(resumed)["seconds"]["train"] == sum(epochs)


@pytest.mark.parametrize("setting", ["zs", "fg"])
def test_swapping_the_modality_is_measured(config, no_drawings, capsys, setting):
    trainer = run(config("DATASET.SETTING", setting, "OPTIM.LR", 0.01, "TEST.SWAPPED", True))
    left, out, model = saved(trainer), capsys.readouterr().out, trainer.model
    assert left["swapped"].keys() == left["metrics"].keys() and "modality swapped, percent:" in out
    assert left["prompt_cosines"] == model.prompt_cosines() and set(left["prompt_cosines"]) == {"V^tg", "V^ms"}
    assert "prompts of sketches and photos at the start: V^tg" in out and "photos after 1 epochs: V^tg" in out
    query, gallery = trainer.dataset.test_queries, trainer.dataset.test_gallery
    encode = trainer.tester.encode
    own, as_photos, as_sketches = encode(query), encode(query, None, "photo"), encode(gallery, None, "sketch")
    again = results.score(as_photos, as_sketches, query, gallery, setting)
    assert left["swapped"] == again.metrics
    assert (own * as_photos).sum(dim=1).max() < 0.9999, "the trained model does not know the modality"


@pytest.mark.parametrize(("swapped", "test", "said"), [(False, 2, "off"), (True, 4, "min_r_k")])
def test_swapping_is_asked_for_and_never_of_validation(config, no_drawings, capsys, swapped, test, said):
    trainer, encoded = build(config("TEST.FINAL_MODEL", "best_val", "TEST.SWAPPED", swapped)), []
    plain = trainer.tester.encode
    trainer.tester.encode = lambda items, *rest: encoded.append(len(items)) or plain(items, *rest)
    trainer.train()
    data = trainer.dataset
    validated = [len(data.val_queries), len(data.val_gallery)]
    assert encoded == validated + [len(data.test_queries), len(data.test_gallery)] * (test // 2), encoded
    assert said in saved(trainer)["swapped"]
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("modality swapped")]
    assert lines == ["modality swapped, percent:" if swapped else "modality swapped: off (TEST.SWAPPED False)"]


def test_a_finished_run_that_was_not_swapped_is_tested_again_and_not_trained(config, no_drawings):
    first = saved(run(config()))
    assert first["swapped"] == "off" and build(config()).folder.is_finished()
    asked = build(config("TEST.SWAPPED", True))
    assert not asked.folder.is_finished(), "what was asked for is not there"
    asked.run_epoch = lambda: pytest.fail("trained again")
    asked.train()
    then = saved(asked)
    assert then["swapped"].keys() == first["metrics"].keys() and then["metrics"] == first["metrics"]
    assert build(config("TEST.SWAPPED", True)).folder.is_finished() and build(config()).folder.is_finished()
    frozen = ["TRAINER.NAME", "FrozenCLIP"]
    run(config(*frozen, out="frozen"))
    assert build(config(*frozen, "TEST.SWAPPED", True, out="frozen")).folder.is_finished(), "it has nothing to swap"


@pytest.mark.parametrize("name", ["LayerNormCLIP", "FrozenCLIP"])
def test_what_knows_no_modality_is_not_swapped(config, no_drawings, capsys, name):
    left = saved(run(config("TRAINER.NAME", name, "TEST.SWAPPED", True)))
    assert "swapped" not in left and "swapped" not in capsys.readouterr().out


def test_test_never_repeats_or_drops_a_gallery_image(config, no_drawings, monkeypatch):
    seen = []
    score = results.score
    monkeypatch.setattr(results, "score", lambda *a, **k: seen.append(a) or score(*a, **k))
    trainer = build(config("DATALOADER.TEST.BATCH_SIZE", 3, "TRAINER.PREC", "fp32"))
    trainer.test()
    query, gallery, query_items, gallery_items, setting, device = seen[0]
    assert (setting, device) == ("zs", trainer.device)  # ranked where it was embedded
    assert (len(query), len(gallery)) == (len(query_items), len(gallery_items)) == (8, 8)
    picture = trainer.dataset.load_image(gallery_items[4])
    pixels = to_tensor(to_pixels(picture, 48))
    alone = trainer.model.encode(normalize(pixels[None].to(trainer.device)), "photo")[0]
    torch.testing.assert_close(gallery[4], alone, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="holds no val images"):
        trainer.test(split="val")


def test_frozen_clip_is_plain_clip_and_trains_nothing(config, files, no_drawings):
    trainer = run(config("TRAINER.NAME", "FrozenCLIP"))
    assert list(trainer.model.trainable.parameters()) == [] and saved(trainer)["epoch"] == 0
    images = torch.randn(2, 3, 48, 48)
    plain = torch.nn.functional.normalize(load_clip(files[1]).encode_image(images), dim=-1)
    found = trainer.model.encode(images.to(trainer.device), "sketch").cpu()
    torch.testing.assert_close(found, plain, rtol=0, atol=ROUNDING)
    with pytest.raises(ValueError, match="FrozenCLIP trains nothing"):
        trainer.load_model("somewhere")


def test_layernorm_clip_trains_layernorms_alone(config, files, no_drawings):
    trainer = run(config("TRAINER.NAME", "LayerNormCLIP"))
    before, after = load_clip(files[1]).state_dict(), trainer.clip.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name].cpu())}
    assert moved and all("ln_" in name for name in moved), moved
    assert set(trainer.model.trainable) == {"layernorms"}


class Terminal:
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_and_a_log_gets_lines(capsys, monkeypatch):
    from splip.engine import MetricMeter

    losses = MetricMeter()
    losses.update({"loss": 1.5})
    plain = progress.Progress(0, 2, 4, every=2)
    for epoch in range(2):
        for batch in range(4):
            plain.step(epoch, batch, losses, 0.1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "epoch [2/2] batch [4/4]" in lines[-1] and "eta 0:00:00" in lines[-1]

    bars = []
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "tqdm", lambda **options: bars.append(FakeBar(options)) or bars[0])
    shown = progress.Progress(1, 2, 4, every=2)
    shown.step(1, 0, losses, 0.1)
    shown.say("one line")
    shown.close()
    assert bars[0].options["total"] == 8 and bars[0].options["initial"] == 4
    assert bars[0].calls == ["set_description", "set_postfix_str", "update", "clear", "refresh", "close"]
    assert capsys.readouterr().out == "one line\n"


class FakeBar:
    def __init__(self, options):
        self.options, self.calls = options, []

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.calls.append(name)


CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("trainers/*/*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_every_shipped_config_is_accepted(path):
    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    for file in (*sorted(CONFIGS.glob("datasets/*.yaml")), path):
        cfg.merge_from_file(str(file))
    trainer_class = TRAINER_REGISTRY.get(path.parent.name)
    trainer_class.check_cfg(trainer_class.__new__(trainer_class), cfg)
    assert cfg.DATASET.NAME in DATASET_REGISTRY.registered_names()
    if cfg.MODEL.BACKBONE.NAME == EMBEDDED:
        assert tuple(cfg.INPUT.SIZE) == (clip_dims(load_clip()).resolution,) * 2


# ------------------------------------------------------------- numbers of different runs never mix


def test_a_finished_run_is_known_again_and_another_refused(config, tmp_path):
    trainer = run(config("OPTIM.MAX_EPOCH", 1))
    assert trainer.folder.is_finished() and build_trainer(config("OPTIM.MAX_EPOCH", 1)).folder.is_finished()
    another_way = build_trainer(config("OPTIM.MAX_EPOCH", 1, "DATALOADER.NUM_WORKERS", 1))
    assert another_way.folder.is_finished(), "how, not what"
    for opts, message in (
        (["OPTIM.MAX_EPOCH", 2], "OPTIM.MAX_EPOCH 1 then, 2 now"),
        (["OPTIM.MAX_EPOCH", 1, "SEED", 7], "seed 1 then, 7 now"),
        (["OPTIM.MAX_EPOCH", 1, "TRAINER.SPLIP.ALPHA", 0.25], r"TRAINER.SPLIP.ALPHA 1.0 then, 0.25 now"),
    ):
        with pytest.raises(ValueError, match=rf"holds the results of another run \({message}"):
            build_trainer(config(*opts)).folder.is_finished()
    (tmp_path / "run" / "results.json").write_text("")
    assert not build_trainer(config("OPTIM.MAX_EPOCH", 1)).folder.is_finished(), "it was cut short: to be made again"


def test_images_that_changed_make_another_run(config, tmp_path):
    trainer = run(config("OPTIM.MAX_EPOCH", 1))
    extra = Path(trainer.dataset.train_x[0].impath)
    shutil.copy(extra, extra.with_name(extra.name.replace("_0_", "_9_")))
    try:
        with pytest.raises(ValueError, match=r"another run \(data [0-9a-f]+ then, [0-9a-f]+ now"):
            build_trainer(config("OPTIM.MAX_EPOCH", 1)).folder.is_finished()
        with pytest.raises(ValueError, match=r"data: checkpoint [0-9a-f]+, here [0-9a-f]+"):
            build_trainer(config("OPTIM.MAX_EPOCH", 1)).train()
    finally:
        extra.with_name(extra.name.replace("_0_", "_9_")).unlink()


def test_one_run_at_a_time_writes_a_folder(config):
    first, second = build_trainer(config("OPTIM.MAX_EPOCH", 1)), build_trainer(config("OPTIM.MAX_EPOCH", 1))
    with first.folder.locked(), pytest.raises(ValueError, match="another run is writing into"):
        second.train()


def test_an_unreadable_test_image_is_found_before_training(config, tmp_path):
    trainer = build_trainer(config("OPTIM.MAX_EPOCH", 1))
    path = Path(trainer.dataset.test_gallery[0].impath)
    content = path.read_bytes()
    path.write_bytes(b"")
    try:
        with pytest.raises(ValueError, match=rf"cannot read image '{path}': the file is empty"):
            trainer.train()
        assert not trainer.history, "before training"
    finally:
        path.write_bytes(content)
