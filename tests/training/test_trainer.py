"""The trainers: every accepted setting takes a step, every refusal says why, and what a run leaves."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from conftest import make_tiny_clip_file
from tiny_sbir import tiny_cfg, write_images

import splip
import splip.datasets
import splip.trainers  # registers them, whichever tests run first
from splip.backbone import TINYCLIP, clip_dims, load_clip
from splip.data.transforms import normalize, to_pixels, to_tensor
from splip.engine import (
    DATASET_REGISTRY,
    TRAINER_REGISTRY,
    build_trainer,
    get_cfg_default,
    set_random_seed,
)
from splip.training import progress, results
from splip.training import trainer as sbir

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
    "bf16": ["TRAINER.SPLIP.PREC", "bf16"],
    "grad_checkpointing": ["TRAINER.SPLIP.RECOMPUTE", True],
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
    "rates by part": ["TRAINER.SPLIP.LR_LAYERNORM", 0.1, "TRAINER.SPLIP.LR_SOLVER", 0.5],
    "staged rates": ["OPTIM.STAGED_LR", True, "OPTIM.NEW_LAYERS", ("b_t", "b_v", "b_vt", "jigsaw")],
    "LayerNorms apart": ["TRAINER.SPLIP.LAYERNORM_SHARED", False, "TRAINER.SPLIP.TRAIN_PROJ", True],
    "free prompts": ["TRAINER.SPLIP.FREE_PROMPTS", 2],
    "contrastive": ["TRAINER.SPLIP.CONTRASTIVE", 1.0],
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
    trainer = run(config("USE_CUDA", True, "TRAINER.SPLIP.PREC", precision, "OPTIM.MAX_EPOCH", 3))
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


@pytest.mark.parametrize(("slowdown", "warns"), [(25.0, True), (0.4, False)])
def test_bf16_on_a_cpu_that_is_slow_at_it_is_warned_of(config, monkeypatch, recwarn, slowdown, warns):
    monkeypatch.setattr(sbir, "_bf16_slowdown", lambda: slowdown)
    build(config("TRAINER.SPLIP.PREC", "bf16"))
    said = [str(w.message) for w in recwarn if "PREC bf16" in str(w.message)]
    assert len(said) == warns and all("25 times as slowly in bf16 as in fp32. Use fp32" in line for line in said), said


REFUSED = {
    "fp16 on a CPU": (["TRAINER.SPLIP.PREC", "fp16"], "fp16 needs a CUDA device"),
    "precision": (["TRAINER.SPLIP.PREC", "amp"], r"PREC must be one of .*'amp'"),
    "final model": (["TEST.FINAL_MODEL", "best_test"], r"FINAL_MODEL must be one of .*'best_test'"),
    "interpolation": (["INPUT.INTERPOLATION", "bilinear"], "INTERPOLATION must be 'bicubic'"),
    "mean": (["INPUT.PIXEL_MEAN", [0.5, 0.5, 0.5]], r"PIXEL_MEAN must be CLIP's .* got \(0.5"),
    "size": (["INPUT.SIZE", (224, 224)], r"INPUT.SIZE is \(224, 224\), but backbone .* takes 48 x 48"),
    "transform": (["INPUT.TRANSFORMS", ("cutout",)], r"TRANSFORMS must be of .*\['cutout'\]"),
    "crop scale": (["INPUT.RRCROP_SCALE", (0.0, 2.0)], "RRCROP_SCALE must be"),
    "batch": (["DATALOADER.TRAIN_X.BATCH_SIZE", 17], "BATCH_SIZE is 17, but there are only 16"),
    "backbone": (["MODEL.BACKBONE.NAME", "ViT-Z"], "'ViT-Z' is neither a file nor one of"),
    "nothing to train": (
        ["TRAINER.SPLIP.TRIPLET", False, "TRAINER.SPLIP.ALPHA", 0.0, "TRAINER.SPLIP.BETA", 0.0],
        "leaves nothing to train",
    ),
    "setting": (["DATASET.SETTING", "few"], "SETTING must be one of"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_run_is_refused_before_training(config, case):
    opts, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        build(config(*opts))


def test_a_loss_that_is_not_finite_names_its_terms(config):
    trainer = build(config())
    trainer.model.forward = lambda batch: (torch.tensor(math.nan), {"triplet": torch.tensor(0.5)})
    with pytest.raises(FloatingPointError, match=r"epoch 1, batch 1: .*'loss': nan, 'triplet': 0.5"):
        trainer.train()


# ------------------------------------------------------------- what a run leaves


def test_results_hold_what_tables_need(config, tmp_path):
    trainer = run(config("OPTIM.MAX_EPOCH", 2))
    left = saved(trainer)
    assert list(left) == [
        "trainer", "dataset", "setting", "split", "gallery", "backbone", "seed", "epoch", "num_queries",
        "num_gallery", "metrics", "selection", "versions", "config", "seconds",
        "swapped", "prompt_cosines",
    ]  # fmt: skip
    wanted = ("SpLIP", "TinySBIR", "zs", "unseen", 1, 2, 8, 8, "last")
    keys = ("trainer", "dataset", "setting", "gallery", "seed", "epoch", "num_queries", "num_gallery",
            "selection")  # fmt: skip
    assert tuple(left[key] for key in keys) == wanted
    assert set(left["split"]) == {"name", "sha256", "seen", "unseen"}
    assert left["versions"]["splip"] == splip.__version__ and left["versions"]["engine"]
    assert left["config"]["OPTIM"]["LR"] == 0.001 and left["seconds"]["train"] > 0
    shown = saved(trainer, "retrieval.json")
    assert len(shown["queries"]) == 2 == len({trainer.dataset.test_queries[i].label for i in shown["queries"]})
    assert all(sorted(row) == list(range(8)) for row in shown["hits"]), shown
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"history.json", "training_curve.png", "retrieval.png", "tensorboard", "splip"} <= names
    assert [entry["epoch"] for entry in saved(trainer, "history.json")] == [1, 2]


@pytest.mark.parametrize("setting", ["zs", "fg"])
def test_swapping_the_modality_is_measured(config, no_drawings, capsys, setting):
    trainer = run(config("DATASET.SETTING", setting, "OPTIM.LR", 0.01))
    left, out, model = saved(trainer), capsys.readouterr().out, trainer.model
    assert left["swapped"].keys() == left["metrics"].keys() and "modality swapped, percent:" in out
    assert left["prompt_cosines"] == model.prompt_cosines() and set(left["prompt_cosines"]) == {"V^tg", "V^ms"}
    assert "prompts of sketches and photos at the start: V^tg" in out and "photos after 1 epochs: V^tg" in out
    query, gallery = trainer.dataset.test_queries, trainer.dataset.test_gallery
    own, as_photos, as_sketches = trainer.encode(query), trainer.encode(query, None, "photo"), trainer.encode(
        gallery, None, "sketch"
    )
    again, _ = results.score(as_photos, as_sketches, query, gallery, setting == "fg")
    assert left["swapped"] == again
    assert (own * as_photos).sum(dim=1).max() < 0.9999, "the trained model does not know the modality"


@pytest.mark.parametrize("name", ["LayerNormCLIP", "FrozenCLIP"])
def test_what_knows_no_modality_is_not_swapped(config, no_drawings, capsys, name):
    left = saved(run(config("TRAINER.NAME", name)))
    assert "swapped" not in left and "swapped" not in capsys.readouterr().out


def test_test_never_repeats_or_drops_a_gallery_image(config, no_drawings, monkeypatch):
    seen = []
    score = results.score
    monkeypatch.setattr(results, "score", lambda *a, **k: seen.append(a) or score(*a, **k))
    trainer = build(config("DATALOADER.TEST.BATCH_SIZE", 3))
    trainer.test()
    query, gallery, query_items, gallery_items = seen[0]
    assert (len(query), len(gallery)) == (len(query_items), len(gallery_items)) == (8, 8)
    picture = trainer.dataset.load_image(gallery_items[4])
    pixels = to_tensor(to_pixels(picture, 48))
    alone = trainer.model.encode(normalize(pixels[None]), "photo")[0]
    torch.testing.assert_close(gallery[4], alone, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="holds no val images"):
        trainer.test(split="val")


def test_frozen_clip_is_plain_clip_and_trains_nothing(config, files, no_drawings):
    trainer = run(config("TRAINER.NAME", "FrozenCLIP"))
    assert list(trainer.model.trainable.parameters()) == [] and saved(trainer)["epoch"] == 0
    images = torch.randn(2, 3, 48, 48)
    plain = torch.nn.functional.normalize(load_clip(files[1]).encode_image(images), dim=-1)
    torch.testing.assert_close(trainer.model.encode(images, "sketch"), plain, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match="FrozenCLIP trains nothing"):
        trainer.load_model("somewhere")


def test_layernorm_clip_trains_layernorms_alone(config, files, no_drawings):
    trainer = run(config("TRAINER.NAME", "LayerNormCLIP"))
    before, after = load_clip(files[1]).state_dict(), trainer.clip.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
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
    if cfg.MODEL.BACKBONE.NAME == TINYCLIP:
        assert tuple(cfg.INPUT.SIZE) == (clip_dims(load_clip()).resolution,) * 2
