"""Checkpoints and train.py: a resumed run is bit-equal, and nothing that does not fit is loaded."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from conftest import build_clip, make_tiny_clip_file, save_clip
from tiny_sbir import tiny_cfg, write_images

from splip.engine import build_trainer, set_random_seed
from splip.models import checkpoints
from splip.models.load import load_model
from splip.training import results

EPOCHS = 3


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = write_images(tmp_path_factory.mktemp("tiny"))
    return root, make_tiny_clip_file(tmp_path_factory.mktemp("clip") / "clip.pt")


@pytest.fixture(autouse=True)
def no_drawings(monkeypatch):
    for name in ("draw_sheet", "draw_curve"):
        monkeypatch.setattr(results, name, lambda *args, **kwargs: None)


@pytest.fixture
def build(files, tmp_path):
    def make(out, *opts):
        cfg = tiny_cfg(*files, tmp_path / out, "OPTIM.MAX_EPOCH", EPOCHS, *opts)
        set_random_seed(max(cfg.SEED, 0))
        return build_trainer(cfg)

    return make


@pytest.fixture
def finished(build):
    trainer = build("done")
    trainer.train()
    return trainer


def kill_at(trainer, epoch):
    """Stop a run as a kill does, just before `epoch` (from 0) trains."""

    def before_epoch():
        if trainer.epoch == epoch:
            raise KeyboardInterrupt

    trainer.before_epoch = before_epoch
    with pytest.raises(KeyboardInterrupt):
        trainer.train()


def left(trainer):
    """Weights, optimiser and metrics at the end, and the history without its clock."""
    with open(f"{trainer.output_dir}/results.json", encoding="utf-8") as file:
        end = json.load(file)
    history = [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in trainer.history]
    return trainer.model.trainable.state_dict(), trainer.optim.state_dict(), (end["metrics"], end["epoch"], history)


def assert_bit_equal(first, second):
    weights, other_weights = first[0], second[0]
    different = [name for name in weights if not torch.equal(weights[name], other_weights[name])]
    assert not different and weights.keys() == other_weights.keys(), different
    for index, state in first[1]["state"].items():
        for name, value in state.items():
            assert torch.equal(value, second[1]["state"][index][name]), (index, name)
    assert first[2] == second[2]


@pytest.mark.parametrize(
    "opts",
    [
        [],
        ["TEST.FINAL_MODEL", "best_val"],
        ["OPTIM.WARMUP_EPOCH", 2, "TRAINER.SPLIP.TEXT_CONDITIONING", "instance", "DATASET.CACHE", True],
    ],
    ids=["last", "best_val", "warm-up, instance, cache"],
)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["same folder", "another folder"])
def test_a_resumed_run_ends_bit_equal_to_an_unbroken_one(build, tmp_path, opts, elsewhere):
    unbroken = build("unbroken", *opts)
    unbroken.train()
    kill_at(build("broken", *opts), 2)
    torch.manual_seed(99)  # another process would have another random state
    resumed = build("moved" if elsewhere else "broken", *opts, "RESUME", str(tmp_path / "broken"))
    torch.manual_seed(98)
    resumed.train()
    assert resumed.start_epoch == 2
    assert_bit_equal(left(unbroken), left(resumed))


def test_an_unseeded_run_resumes_with_its_own_seed(build, tmp_path):
    opts = "SEED", -1, "INPUT.SKETCH_VIEWS", 2, "INPUT.PHOTO_VIEWS", 1
    killed = build("broken", *opts)
    kill_at(killed, 1)
    resumed = build("broken", *opts, "RESUME", str(tmp_path / "broken"))
    assert resumed.seed != killed.seed
    resumed.train()
    data = resumed.train_loader_x.dataset
    assert resumed.seed == killed.seed == data.seed == data.views.seed


def test_an_output_folder_with_a_checkpoint_is_continued(build, capsys):
    kill_at(build("broken"), 1)
    build("broken").train()
    assert "1 of 3 epochs are done" in capsys.readouterr().out


@pytest.mark.parametrize("frequency, kept", [(0, {3}), (2, {2, 3})])
def test_checkpoints_kept(build, frequency, kept):
    trainer = build("run", "TRAIN.CHECKPOINT_FREQ", frequency)
    trainer.train()
    names = {path.name for path in Path(trainer.output_dir, "splip").iterdir()}
    assert names == {"checkpoint", *(f"model.pth.tar-{epoch}" for epoch in kept)}


def test_a_kill_while_writing_leaves_the_checkpoint_before(build, tmp_path, monkeypatch):
    trainer = build("run")
    kill_at(trainer, 1)

    def half(state, file):
        file.write(b"half a checkpoint")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(KeyboardInterrupt):
            build("run").train()
    resumed = build("run")
    resumed.train()
    assert resumed.start_epoch == 1 and resumed.tested_epoch == EPOCHS


def test_evaluation_repeats_the_metrics_of_training(build, finished):
    wanted = left(finished)[2][0]
    again = build("again")
    again.load_model(finished.output_dir)
    again.test()
    with open(f"{again.output_dir}/results.json", encoding="utf-8") as file:
        found = json.load(file)
    assert found["metrics"] == wanted and found["epoch"] == EPOCHS


def test_missing_checkpoints_are_errors(build, tmp_path, finished):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .*nowhere.*looked for .*checkpoint"):
        build("new", "RESUME", str(tmp_path / "nowhere")).train()
    trainer = build("new")
    with pytest.raises(FileNotFoundError, match="no checkpoint in"):
        trainer.load_model(str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*model.pth.tar-7"):
        trainer.load_model(finished.output_dir, epoch=7)
    with pytest.raises(ValueError, match="no checkpoint folder was given"):
        trainer.load_model("")


@pytest.fixture
def other_clip(tmp_path):
    save_clip(build_clip(seed=7), tmp_path / "other.pt")
    return str(tmp_path / "other.pt")


def test_another_backbone_class_list_or_method_is_refused_by_name(build, finished, other_clip):
    cases = {
        r"backbone.sha256: checkpoint \w+, here \w+": ["MODEL.BACKBONE.NAME", other_clip],
        r"classes: checkpoint has 4, here 3; only in the checkpoint: hexa": ["TEST.FINAL_MODEL", "best_val"],
        r"TRAINER.SPLIP.TEXT_PROMPTS: checkpoint 4, here 2": ["TRAINER.SPLIP.TEXT_PROMPTS", 2],
        r"TRAINER.SPLIP.USE_BT: checkpoint True, here False": ["TRAINER.NAME", "LayerNormCLIP"],
    }
    for message, opts in cases.items():
        trainer = build("other", *opts)
        with pytest.raises(ValueError, match=message):
            trainer.load_model(finished.output_dir, epoch=EPOCHS)


def test_a_run_with_other_settings_is_not_resumed(build, finished):
    cases = {
        r"OPTIM.LR: checkpoint 0.001, here 0.01": ["OPTIM.LR", 0.01],
        r"OPTIM.MAX_EPOCH: checkpoint 3, here 5": ["OPTIM.MAX_EPOCH", 5],
        r"seed: checkpoint 1, here 2": ["SEED", 2],
        r"DATASET.SETTING: checkpoint zs, here gzs": ["DATASET.SETTING", "gzs"],
    }
    for message, opts in cases.items():
        with pytest.raises(ValueError, match=message):
            build("done", *opts).train()


@pytest.mark.parametrize("damage", ["truncated", "garbage", "foreign", "flipped", "later"])
def test_a_damaged_or_foreign_checkpoint_is_refused(build, finished, damage):
    path = Path(finished.output_dir, "splip", f"model.pth.tar-{EPOCHS}")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "garbage":
        path.write_bytes(b"garbage")
    elif damage == "flipped":  # one bit of one weight
        content = bytearray(path.read_bytes())
        weight = finished.model.trainable["b_v"].map[0].weight.detach().cpu().numpy().tobytes()[:64]
        content[content.find(weight) + 5] ^= 4
        path.write_bytes(bytes(content))
    elif damage == "later":
        torch.save({**torch.load(path, weights_only=True), "schema": 99}, path)
    else:
        torch.save({"state_dict": {}}, path)
    message = {"foreign": "was not written by this project", "later": r"another version of splip \(schema 99"}
    message = message.get(damage, "is damaged or no checkpoint")
    with pytest.raises(ValueError, match=message):
        build("done").train()


def test_evaluation_compares_what_embeddings_depend_on_alone(build, finished):
    wanted = left(finished)[2][0]
    settings = ["TRAINER.SPLIP.ALPHA", 0.3, "TRAINER.SPLIP.MARGIN", "fixed", "TRAINER.SPLIP.BETA", 0.0, "OPTIM.LR", 9.0]
    for more in ([], ["TRAINER.SPLIP.BETA", 1.0, "TRAINER.SPLIP.PERMUTATIONS", 7]):  # no solver; one of another size
        again = build("again", *settings, *more)
        again.load_model(finished.output_dir)
        again.test()
        assert left(again)[2][0] == wanted


def test_evaluation_wants_images_made_as_in_training(build, finished):
    again = build("again", "INPUT.RESIZE", "squash")
    with pytest.raises(ValueError, match=r"INPUT.RESIZE: checkpoint crop, here squash"):
        again.load_model(finished.output_dir)


def test_settings_that_came_later_have_the_values_that_were_meant(build, finished):
    path = Path(finished.output_dir, "splip", f"model.pth.tar-{EPOCHS}")
    state = torch.load(path, weights_only=True)
    del state["model"]["settings"]["NEGATIVES"]
    torch.save(state, path)
    build("done").train()  # all of its epochs are done: it is compared, and tested
    about = Path(finished.output_dir, "splip.json")
    for settings in (state["model"]["settings"], {**state["model"]["settings"], "FUTURE": 1}):
        state["model"]["settings"] = settings
        torch.save(state, path)
        about.write_text(json.dumps({**json.loads(about.read_text()), "settings": settings}))
        if "FUTURE" not in settings:
            assert load_model(finished.output_dir).source.config.negatives == "random"
    with pytest.raises(ValueError, match=r"has settings that this splip does not know: FUTURE"):
        build("done").train()
    with pytest.raises(ValueError, match=r"has settings that this splip does not know: FUTURE"):
        load_model(finished.output_dir)


def test_evaluation_keeps_the_seed_of_the_run(build, finished):
    again = build("again", "SEED", -1)
    again.load_model(finished.output_dir)
    assert again.seed == finished.seed == 1


def test_weights_that_are_no_numbers_are_not_saved(build):
    trainer = build("run")
    kill_at(trainer, 1)
    with torch.no_grad():
        trainer.model.trainable["b_v"].map[0].weight[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match=r"b_v.map.0.weight holds NaN or infinity.*the one before is kept"):
        trainer.save_model(1, trainer.output_dir)
    build("run").train()


def test_checkpoints_hold_no_code_and_what_is_trained_alone(finished):
    path = Path(finished.output_dir, "splip", f"model.pth.tar-{EPOCHS}")
    state = torch.load(path, weights_only=True)
    assert set(state["state_dict"]) == set(finished.model.trainable.state_dict())
    assert any("prototypes" in name for name in state["state_dict"])
    assert checkpoints.newest(str(path.parent)) == str(path)


# ------------------------------------------------------------- train.py


@pytest.fixture(scope="module")
def train():
    path = Path(__file__).parents[2] / "train.py"
    spec = importlib.util.spec_from_file_location("train_script", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def command(files, tmp_path, monkeypatch):
    """train.py's arguments for the tiny data set, from files on disk."""
    monkeypatch.setattr("sys.stdout", __import__("sys").stdout)  # train.py tees it
    cfg = tiny_cfg(*files, tmp_path / "unused").clone()
    cfg.defrost()
    method = {key: cfg[key] for key in ("INPUT", "DATALOADER", "OPTIM")}
    (tmp_path / "data.yaml").write_text('DATASET:\n  NAME: "TinySBIR"\nSEED: 5\nOPTIM:\n  LR: 0.5\n')
    (tmp_path / "method.yaml").write_text(json.dumps(method))
    return [
        "--root", str(files[0]), "--backbone", str(files[1]), "--trainer", "SpLIP",
        "--dataset-config-file", str(tmp_path / "data.yaml"), "--config-file", str(tmp_path / "method.yaml"),
    ]  # fmt: skip


END = ["USE_CUDA", "False", "TRAINER.SPLIP.PERMUTATIONS", "10", "OPTIM.MAX_EPOCH", "1"]


def test_train_py_merges_in_coops_order(train, command, tmp_path):
    def cfg(*more):
        return train.setup_cfg(train.make_parser().parse_intermixed_args([*command, *more]))

    assert cfg().OPTIM.LR == 0.001, "the method's file comes after the data set's"
    assert cfg().SEED == 5 and cfg("--seed", "0").SEED == 0
    assert cfg("--seed", "3", "SEED", "4").SEED == 4, "pairs come last"
    assert cfg("--resume", "run").OUTPUT_DIR == "run" == cfg("--resume", "run").RESUME
    assert cfg("--resume", "a", "--output-dir", "b").OUTPUT_DIR == "b"
    assert cfg("OPTIM.LR=0.5", "TRAINER.SPLIP.ALPHA", "1", "--seed", "3").SEED == 3, "options may follow pairs"
    assert cfg("OPTIM.LR=0.5", "TRAINER.SPLIP.ALPHA", "1").TRAINER.SPLIP.ALPHA == 1.0
    with pytest.raises(ValueError, match=r"there is no setting 'OPTIM.LRR': did you mean OPTIM.LR\?"):
        cfg("OPTIM.LRR", "1")


def test_train_py_trains_then_evaluates(train, command, tmp_path):
    out = str(tmp_path / "run")
    trainer = train.main([*command, "--output-dir", out, *END])
    assert Path(out, "log.txt").read_text().count("epoch [1/1]") >= 1
    wanted = json.loads(Path(out, "results.json").read_text())["metrics"]
    again = train.main(
        [*command, "--output-dir", str(tmp_path / "eval"), "--eval-only", "--model-dir", out, "--load-epoch", "1", *END]
    )
    assert json.loads(Path(again.output_dir, "results.json").read_text())["metrics"] == wanted
    assert trainer.tested_epoch == again.tested_epoch == 1
    assert Path(out, "config.yaml").is_file()


def test_train_py_can_build_without_training(train, command, tmp_path):
    out = tmp_path / "dry"
    train.main([*command, "--output-dir", str(out), "--no-train", *END])
    assert not (out / "results.json").exists() and not (out / "splip").exists()
