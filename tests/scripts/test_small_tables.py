"""The paper's tables in small, and sweeps: which models they train, with which recipes, and what they show."""

from pathlib import Path

import pytest
from test_scripts import ROOT, record, small, train, value  # noqa: F401  (a fixture among them)

TRAINED = (
    "CenteredCLIP LayerNormCLIP VPTSBIR IVLPSBIR MaPLeSBIR PromptSRCSBIR ClipAT ClipAT/sketchy25_released ClipPrompt "
    "ClipPrompt/sketchy25_sgspl ProjectionCLIP CLIPFitLike SeCoLike SpLIP"
).split()
SWITCHES = ("TRIPLET", "ALPHA", "BETA", "MARGIN", "LAYERNORM", "USE_BT", "USE_BV", "USE_BVT", "PATCH_SHUFFLE")
LOSSES = ["class", "triplet", "class+triplet", "adaptive_margin", "clip_at_jigsaw", ""]
MODULES = ["no_layernorm", "no_bv", "no_bt", "no_bvt", "no_visual_prompts", "no_prompts", ""]
GZS, HERE, THERE = "gzs-all_seen", "cross_sketchmoji-unseen_minus_source", "cross_sketchy25-unseen_minus_source"
TABLES = {  # table, data set: names of runs, those that test models of other runs; tables that are shown
    (1, "sketchy25"): (["sketchy25", "sketchy25_sake"], [], ["table1-sketchy25", "table1-sketchy25_sake"]),
    (1, "sketchmoji"): (["sketchmoji"], [], ["table1-sketchmoji"]),
    (2, "sketchy25"): (["sketchy25"], [f"sketchy25_{GZS}"], [f"sketchy25_{GZS}"]),
    (3, "sketchy25"): (["sketchy25_fg"], [], ["table3-sketchy25_fg"]),
    (3, "sketchmoji"): (["sketchmoji_fg"], [], ["table3-sketchmoji_fg"]),
    (4, "sketchy25"): (["sketchy25"], [f"sketchy25_{HERE}"], [f"sketchy25_{HERE}"]),
    (4, "sketchmoji"): (["sketchmoji"], [f"sketchmoji_{THERE}"], [f"sketchmoji_{THERE}"]),
}


def runs_of(calls):
    """{(name, trainer, recipe): (seeds, configs, models)}"""
    found = {}
    for call in calls:
        if call[0] == "train.py":
            name, trainer, recipe, seed = value(call, "--output-dir").split("/")[-4:]
            seeds, configs, models = found.setdefault((name, trainer, recipe), ([], [], []))
            seeds.append(seed)
            configs.append(train.setup_cfg(train.make_parser().parse_intermixed_args(call[1:])))
            models.append(value(call, "--model-dir") if "--model-dir" in call else "")
            assert Path(value(call, "--config-file")).stem == recipe and value(call, "--trainer") == trainer
    return found


@pytest.mark.parametrize("case", TABLES, ids=str)
def test_every_row_is_trained_with_its_own_recipe_and_shown(small, tmp_path, case):  # noqa: F811
    (table, dataset), (trained, tested, shown) = case, TABLES[case]
    out = tmp_path / "output"
    calls, _ = record({**small, "OUTPUT": str(out)}, f"DATASET={dataset} table{table}.sh", "7", "8")
    found = runs_of(calls)
    own = {"SpLIP", "LayerNormCLIP"} if dataset == "sketchmoji" else set()
    for name in [*trained, *tested]:
        for row in TRAINED:
            trainer, _, recipe = row.partition("/")
            fine = "_fg" in name and row == "ClipAT"
            recipe = recipe or ("hybrid" if trainer in own else "sketchy25_fg" if fine else "sketchy25")
            seeds, configs, models = found.pop((name, trainer, recipe))
            assert seeds == ["seed7", "seed8"], (name, row)
            images = row == "SeCoLike" or fine
            assert all(cfg.TRAINER.PATCH_CACHE == ("" if images else f"{out}/tokens") for cfg in configs), (name, row)
            source = f"{out}/{dataset}/{trainer}/{recipe}/seed"
            assert models == ([f"{source}7", f"{source}8"] if name in tested else ["", ""]), (name, row)
    rest = {(name, trainer): seeds for (name, trainer, _), (seeds, *_) in found.items()}
    frozen = ["FrozenCLIP"] + ["ClassNameCLIP"] * ("fg" not in trained[0])
    assert rest == {(name, trainer): ["seed7"] for name in [*trained, *tested] for trainer in frozen}
    tables = [call for call in calls if call[:3] == ["-m", "splip", "table"]]
    assert [Path(call[-1]).stem for call in tables] == shown
    for call in tables:
        folders = [word for word in call[3:-2] if word != "--intervals"]
        assert len(folders) == len(TRAINED) + len(frozen) and all(f"{out}/" in folder for folder in folders)


@pytest.mark.parametrize("table, variants", [(5, LOSSES), (6, MODULES)])
@pytest.mark.parametrize("dataset", ["sketchy25", "sketchmoji"])
def test_ablations_have_the_settings_of_the_published_tables(small, tmp_path, dataset, table, variants):  # noqa: F811
    def settings(name):
        calls, _ = record({**small, "OUTPUT": str(tmp_path)}, f"{name}table{table}.sh", "1")
        method = {key[0]: configs[0].TRAINER.SPLIP for key, (_, configs, _) in runs_of(calls).items()}
        for (run, *_), (_, (cfg,), _) in runs_of(calls).items():
            assert not (cfg.TRAINER.SPLIP.PATCH_SHUFFLE and cfg.TRAINER.PATCH_CACHE), run
        return {name: {key: node[key] for key in SWITCHES} for name, node in method.items()}

    small_ones, published = settings(f"DATASET={dataset} "), settings("")
    names = [f"{base}{variant and '-'}{variant}" for base in (dataset, f"{dataset}_fg") for variant in variants]
    assert list(small_ones) == names
    for name, there in published.items():
        base, _, variant = name.partition("-")
        here = small_ones[{"sketchy2": dataset, "sketchy_fg": f"{dataset}_fg"}[base] + (variant and f"-{variant}")]
        weights = {key for key in ("ALPHA", "BETA") if there[key] != 0}  # each recipe has its own
        differ = {key for key in SWITCHES if here[key] != there[key]}
        assert differ <= weights, (name, here, there)
        assert all(here[key] for key in weights), (name, here)


SWEEPS = {
    "classes": ("DATASET.TRAIN_CLASSES", [13, 26, 52, 0]), "sketches": ("DATASET.TRAIN_SKETCHES", [3, 6, 12, 0]),
    "depth": ("TRAINER.SPLIP.VISION_DEPTH", [1, 2, 3, 12]), "m": ("TRAINER.SPLIP.TEXT_PROMPTS", [1, 2, 4, 8]),
    "n": ("TRAINER.SPLIP.VISUAL_PROMPTS", [1, 2, 4, 8]), "alpha": ("TRAINER.SPLIP.ALPHA", [0.0, 0.1, 0.2, 0.5, 1.0]),
    "beta": ("TRAINER.SPLIP.BETA", [0.0, 0.03, 0.1, 0.3, 1.0]),
    "permutations": ("TRAINER.SPLIP.PERMUTATIONS", [100, 1000, 2000]),
    "conditioning": ("TRAINER.SPLIP.TEXT_CONDITIONING", ["batch", "instance"]),
    "distance": ("TRAINER.SPLIP.DISTANCE", ["sq_l2", "cosine"]),
    "margin": ("TRAINER.SPLIP.MARGIN_SHIFT", [0.0, 0.25, 0.5, 0.75]),
}  # fmt: skip


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_varies_one_setting(small, tmp_path, name):  # noqa: F811
    key, wanted = SWEEPS[name]
    calls, _ = record({**small, "OUTPUT": str(tmp_path)}, "sweep.sh", name, "3")
    found = runs_of(calls)
    of_data = name in ("classes", "sketches")
    assert {trainer for _, trainer, _ in found} == ({"SpLIP", "LayerNormCLIP"} if of_data else {"SpLIP"})
    values = []
    for (_, trainer, _), (seeds, (cfg,), _) in found.items():
        node = cfg
        for part in key.split("."):
            node = node[part]
        values += [node] if trainer == "SpLIP" else []
        whole = {"classes": 104, "sketches": 25}.get(name)
        if whole and node:  # fewer images, and about as many steps (FAST's one epoch comes later)
            words = next(call for call in calls if call[0] == "train.py" and f"-{name}-{node}/" in " ".join(call))
            assert int(value(words, "OPTIM.MAX_EPOCH")) * node / whole == pytest.approx(5, abs=0.25)
        assert cfg.DATASET.TEST_CLASSES == ("unseen" if of_data else "pseudo_unseen") and seeds == ["seed3"]
    assert values == wanted
    (shown,) = [call for call in calls if call[:3] == ["-m", "splip", "table"]]
    assert len(shown) == 3 + len(found) + 2
    recipe = "sketchy25" if of_data else "sketchy25-pseudo_unseen"  # whose folder all sweeps share
    (own,) = [call for call in calls if call[0] == "train.py" and f"/{recipe}/SpLIP/" in value(call, "--output-dir")]
    assert key not in own, "the recipe's value is the recipe's, not written a second time"
    assert [n for n, trainer, _ in found if trainer == "SpLIP"].count(recipe) == 1 and len(values) == len(set(values))


def test_what_is_not_in_the_paper_is_swept_one_at_a_time(small, tmp_path):  # noqa: F811
    calls, _ = record({**small, "OUTPUT": str(tmp_path), "FAST": "0"}, "sweep.sh", "options", "3")
    found = {name: cfg for (name, _, _), (_, (cfg,), _) in runs_of(calls).items()}
    plain = found.pop("sketchy25-pseudo_unseen")
    changed = {}
    for name, cfg in found.items():
        assert cfg.DATASET.TEST_CLASSES == "pseudo_unseen"
        for node in ("OPTIM", "TRAINER.SPLIP"):
            here, there = cfg, plain
            for part in node.split("."):
                here, there = here[part], there[part]
            changed.setdefault(name.rsplit("-", 1)[1], []).extend(k for k in here if here[k] != there[k])
    assert changed == {
        **{f"anchor_{weight}": ["ANCHOR"] for weight in (1, 3, 10)}, "prompts_after_45": ["PROMPTS_AFTER"],
        "average_Gaussian": ["AVERAGE_EPOCHS", "AVERAGE_MEAN", "AVERAGE_STD"],
        "start_mean": ["PROMPT_START"], "start_norm": ["PROMPT_START"],
    }  # fmt: skip


def test_every_epoch_is_tested_on_seen_and_on_unseen_classes(small, tmp_path):  # noqa: F811
    calls, _ = record({**small, "OUTPUT": str(tmp_path), "EPOCHS": "2", "TRAINER": "SpLIP"}, "epochs.sh", "1", "2")
    trained = [value(call, "--output-dir") for call in calls if call[0] == "train.py"]
    assert trained == [f"{tmp_path}/sketchy25-epochs/SpLIP/sketchy25/seed{seed}" for seed in (1, 2)]
    tested = [call for call in calls if call[2:3] == ["evaluate"]]
    rows = [(c, e, s) for c in ("unseen", "seen") for e in (1, 2) for s in (1, 2)]
    assert len(tested) == len(rows)
    for call, (classes, epoch, seed) in zip(tested, rows):
        assert value(call, "--run") == trained[seed - 1] and value(call, "--load-epoch") == str(epoch)
        assert value(call, "DATASET.TEST_CLASSES") == classes
        row = f"sketchy25-epochs-{classes}/SpLIP-{epoch}/sketchy25/seed{seed}"
        assert value(call, "--output-dir") == f"{tmp_path}/{row}"
    assert calls[-1][2] == "table" and len([word for word in calls[-1] if word.startswith(str(tmp_path))]) == 4 + 1


@pytest.mark.parametrize("script, said", [
    ("DATASET=sketchy26 table1.sh", "DATASET must be sketchy25 or sketchmoji, got 'sketchy26'"),
    ("DATASET=sketchy25 GALLERY=nope table2.sh", "GALLERY must be one of all_seen sampled_20 classes_20 held_out"),
    ("small.sh", "the first argument is the table, 1 to 6, got ''"),
    ("sweep.sh", "the first argument is what is varied (--help names it), got ''"),
])  # fmt: skip
def test_a_wrong_word_is_refused_before_anything_runs(small, script, said):  # noqa: F811
    ran, printed = record(small, script, status=2)
    assert not ran and said in printed, (ran, printed)


def test_the_plan_says_what_is_done(small, tmp_path):  # noqa: F811
    done = tmp_path / "sketchy25/SpLIP/sketchy25"
    (done / "seed1").mkdir(parents=True)
    (done / "seed1/results.json").write_text("{}")
    (done / "seed2/splip").mkdir(parents=True)
    (done / "seed2/splip/checkpoint").write_text("")
    script = "DATASET=sketchy25 ROWS=SpLIP PLAN=1 table1.sh"
    ran, printed = record({**small, "OUTPUT": str(tmp_path)}, script, "1", "2", "3")
    assert not ran
    assert printed.splitlines()[:3] == [f"done: {done}/seed1", f"begun: {done}/seed2", f"to do: {done}/seed3"]
