"""Inside the real CoOp, MaPLe and PromptSRC, with the real Dassl: docs/HOSTS.md, done step by step.

Needs SPLIP_HOSTS=<folder with checkouts named CoOp, MaPLe, PromptSRC and Dassl>, in an environment that can import
Dassl (docs/HOSTS.md says what that takes). The checkouts are copied, never changed.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import build_clip, save_clip
from tiny_benchmarks import make_sketchy

ROOT = Path(__file__).resolve().parents[2]
HOSTS = os.environ.get("SPLIP_HOSTS", "")
needs_hosts = pytest.mark.skipif(
    not HOSTS, reason="SPLIP_HOSTS names no folder with checkouts of CoOp, MaPLe, PromptSRC and Dassl"
)
IMPORT, EXTEND = "import splip.trainers, splip.datasets", "splip.extend_cfg(cfg)"
SEEN, UNSEEN = ["bat", "bee", "cow"], ["ape", "cat"]

# The hosts find weights by name alone, and VPT and PromptSRC call .cuda() on every machine.
STAND_IN = """
import runpy, sys
sys.path.insert(0, "")
import torch
from clip import clip
assert clip.__file__.startswith({host!r}), clip.__file__
clip._download = lambda url, root=None: {backbone!r}
if not torch.cuda.is_available():
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *args, **options: self
"""
TRAIN = STAND_IN + 'runpy.run_path("train.py", run_name="__main__")'
EVALUATE = (
    STAND_IN
    + """
from splip import cli
from splip.models import hosts
from splip.models.hosts import host_images, load_host_weights

def load(host, directory, backbone, epoch=None):
    found = load_host_weights(host, directory, backbone, epoch)
    # what the host's own forward pass takes for the images' embeddings
    seen, images = [], torch.randn(2, 3, 224, 224)
    handle = host.model.image_encoder.register_forward_hook(lambda module, args, out: seen.append(out))
    host.set_model_mode("eval")
    with torch.no_grad():
        host.model_inference(images)
    handle.remove()
    ours = host_images(host, host.cfg.TRAINER.NAME).encode(images, "sketch")
    print("GAP", (ours - seen[0]).abs().max().item(), seen[0].abs().mean().item())
    return found

hosts.load_host_weights = load
sys.exit(cli.main(["evaluate", *sys.argv[1:]]))
"""
)


def python(*words, cwd, engine="dassl", status=0):
    """Run Python with Dassl's checkout in reach; returns what it printed, errors last."""
    path = [os.path.join(HOSTS, "Dassl"), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "SPLIP_ENGINE": engine, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    done = subprocess.run([sys.executable, *map(str, words)], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == status, f"{' '.join(map(str, words))}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def read(folder, name="results.json"):
    return json.loads(Path(folder, name).read_text())


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of a host's checkout; with the two lines of docs/HOSTS.md where `plugin`."""

    def make(name, plugin):
        folder = tmp_path_factory.mktemp("host") / name
        shutil.copytree(Path(HOSTS, name), folder, ignore=shutil.ignore_patterns(".git", "docs", "*.jpg", "*.png"))
        if plugin:
            text = (folder / "train.py").read_text()
            for before, line in (("import trainers.zsclip\n", IMPORT), ("    extend_cfg(cfg)\n", "    " + EXTEND)):
                assert text.count(before) == 1, f"{name}/train.py has no line {before!r}"
                text = text.replace(before, f"{before}{line}\n")
            (folder / "train.py").write_text(text)
        return folder

    return make


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """Random weights with the widths of ViT-B/32, which MaPLe's code is written for, and two layers."""
    clip = build_clip(embed=512, resolution=224, patch=32, vision=(768, 2), text=(512, 2))
    path = tmp_path_factory.mktemp("clip") / "vit.pt"
    return save_clip(clip.half(), path)


@pytest.fixture(scope="module")
def sketchy(tmp_path_factory):
    return make_sketchy(tmp_path_factory.mktemp("data"), photos=1, sketches=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five classes of the small Sketchy, as one's own pictures: two photos and a sketch of each."""
    made = make_sketchy(tmp_path_factory.mktemp("classes"), photos=1, sketches=1, classes=[*SEEN, *UNSEEN]) / "Sketchy"
    root = tmp_path_factory.mktemp("folder")
    shutil.copytree(made / "256x256/sketch/tx_000000000000_ready", root / "sketch")
    shutil.copytree(made / "EXTEND_image_sketchy_ready", root / "photo")
    (root / "unseen.txt").write_text("\n".join(UNSEEN))
    return root


def splip_words(data, root, out, *opts, config="vit_b32"):
    return [
        "train.py", "--trainer", "SpLIP", "--seed", "1", "--root", root, "--output-dir", out,
        "--dataset-config-file", ROOT / f"configs/datasets/{data}.yaml",
        "--config-file", ROOT / f"configs/trainers/SpLIP/{config}.yaml",
        "DATALOADER.NUM_WORKERS", "0", "OPTIM.MAX_EPOCH", "1", *opts,
    ]  # fmt: skip


def test_the_page_names_the_lines_that_are_tested():
    page = (ROOT / "docs/HOSTS.md").read_text(encoding="utf-8")
    assert IMPORT in page and EXTEND in page


@needs_hosts
@pytest.mark.parametrize("host", ["CoOp", "PromptSRC"])
def test_splip_trains_and_tests_inside(host, checkout, backbone, sketchy, tmp_path):
    step = ("DATALOADER.TRAIN_X.BATCH_SIZE", "51", "TRAINER.PREC", "fp32", "MODEL.BACKBONE.NAME", backbone)
    python(*splip_words("sketchy1", sketchy, tmp_path, *step), cwd=checkout(host, plugin=True))
    results = read(tmp_path)
    assert results["versions"]["engine"].startswith("dassl"), results["versions"]
    found = [results[key] for key in ("trainer", "dataset", "epoch", "num_queries", "num_gallery")]
    assert found == ["SpLIP", "Sketchy1", 1, 25, 50]  # of each class: a sketch; its photo and one of the extension
    assert (results["split"]["seen"], results["split"]["unseen"]) == (100, 25)


@needs_hosts
def test_inside_maple_and_alone_give_the_same(checkout, sketchy, tmp_path):
    scores, losses = [], []
    for cwd, engine in ((checkout("MaPLe", plugin=True), "dassl"), (ROOT, "builtin")):
        opts = ["OPTIM.MAX_EPOCH", "2", "DATALOADER.TRAIN_X.BATCH_SIZE", "32", "TRAINER.PREC", "fp32"]
        words = splip_words("sketchy1", sketchy, tmp_path / engine, *opts, config="hybrid")
        python(*words, cwd=cwd, engine=engine)
        metrics = read(tmp_path / engine)["metrics"]
        scores.append([value for named in metrics.values() for value in named.values()])
        losses.append([epoch["loss"] for epoch in read(tmp_path / engine, "history.json")])
    gaps = [max(abs(a - b) for a, b in zip(*pair)) for pair in (scores, losses)]
    print(f"MaPLe and standalone, largest difference of metrics {gaps[0]:.2e}, of losses {gaps[1]:.2e}")
    assert len(scores[0]) == 15 and max(gaps) <= 1e-4, f"{gaps}\n{scores}\n{losses}"

    words = ["--run", tmp_path / "dassl", "--output-dir", tmp_path / "again"]
    python("-m", "splip", "evaluate", *words, cwd=ROOT, engine="builtin")
    assert read(tmp_path / "again")["metrics"] == read(tmp_path / "dassl")["metrics"]


OWN = {  # host, config file, and what fits it to two layers; precision as the host's code bears it
    "CoOp": ("CoOp", "CoOp/vit_b32_ep50", ["TRAINER.COOP.PREC", "fp32"]),
    "MaPLe": ("MaPLe", "MaPLe/vit_b16_c2_ep5_batch4_2ctx", ["TRAINER.MAPLE.PROMPT_DEPTH", "2"]),
    "VPT": ("MaPLe", "VPT/vit_b16_c2_ep5_batch4_4", ["TRAINER.VPT.PROMPT_DEPTH_VISION", "2"]),
    "PromptSRC": (
        "PromptSRC", "PromptSRC/vit_b16_c2_ep20_batch4_4+4ctx",
        ["TRAINER.PROMPTSRC.PROMPT_DEPTH_VISION", "2", "TRAINER.PROMPTSRC.PROMPT_DEPTH_TEXT", "2"],
    ),
}  # fmt: skip


@needs_hosts
@pytest.mark.parametrize("trainer", OWN)
def test_the_hosts_own_trainer_runs_and_is_evaluated(trainer, checkout, backbone, folder, tmp_path):
    """One step beside our plug-in; then tested by us, from a checkout without it."""
    host, config, fit = OWN[trainer]
    trained_in, tested_in = checkout(host, plugin=True), checkout(host, plugin=False)
    common = [
        "--trainer", trainer, "--seed", "1", "--root", folder,
        "--dataset-config-file", ROOT / "configs/datasets/folder.yaml",
        "--config-file", f"configs/trainers/{config}.yaml",
    ]  # fmt: skip
    opts = [
        "DATASET.SPLIT", folder / "unseen.txt", "MODEL.BACKBONE.NAME", "ViT-B/32",
        "DATALOADER.NUM_WORKERS", "0", *fit,
    ]  # fmt: skip
    once = ["OPTIM.MAX_EPOCH", "1", "OPTIM.WARMUP_EPOCH", "-1", "TEST.NO_TEST", "True"]
    code = TRAIN.format(host=str(trained_in), backbone=str(backbone))
    shown = python("-c", code, *common, "--output-dir", tmp_path / "run", *opts, *once,
                   "DATALOADER.TRAIN_X.BATCH_SIZE", "9", cwd=trained_in)  # fmt: skip
    assert "epoch [1/1] batch [1/1]" in shown, shown[-2000:]  # 3 classes of a sketch and two photos: one step

    code = EVALUATE.format(host=str(tested_in), backbone=str(backbone))
    host_words = ["--host", ".", "--model-dir", tmp_path / "run", "--output-dir", tmp_path / "out"]
    shown = python("-c", code, *host_words, *common, *opts, cwd=tested_in)
    results = read(tmp_path / "out")
    found = [results[key] for key in ("trainer", "seed", "epoch", "num_queries", "num_gallery")]
    assert found == [trainer, 1, 1, 2, 4]
    assert results["seen_test_classes"] == (None if trainer == "VPT" else []), "which keeps no class names"
    if trainer != "VPT":
        (tmp_path / "other.txt").write_text(f"{SEEN[0]}\n{UNSEEN[0]}")
        opts[1] = tmp_path / "other.txt"
        host_words[-1] = tmp_path / "refused"
        shown = python("-c", code, *host_words, *common, *opts, cwd=tested_in, status=2)
        assert f"1 of the 2 test classes were trained on ({SEEN[0]})" in shown, shown[-2000:]
    gap, size = map(float, next(line for line in shown.splitlines() if line.startswith("GAP")).split()[1:])
    print(f"{trainer}: embeddings differ from its own forward pass by {gap:.1e}, their mean size is {size:.2f}")
    assert gap == 0 and size > 0


@needs_hosts
def test_a_checkpoint_of_another_depth_is_refused(checkout, backbone, folder, tmp_path):
    """The host would load what fits and leave the rest at random, without a word."""
    cwd = checkout("MaPLe", plugin=False)
    saved = tmp_path / "run/prompt_learner"
    saved.mkdir(parents=True)
    torch.save({"state_dict": {"image_encoder.VPT": torch.zeros(8, 768)}, "epoch": 1}, saved / "model.pth.tar-1")
    words = [
        "--host", ".", "--model-dir", tmp_path / "run", "--output-dir", tmp_path / "out", "--load-epoch", "1",
        "--trainer", "VPT", "--root", folder, "--dataset-config-file", ROOT / "configs/datasets/folder.yaml",
        "--config-file", "configs/trainers/VPT/vit_b16_c2_ep5_batch4_4.yaml", "DATASET.SPLIT", folder / "unseen.txt",
        "MODEL.BACKBONE.NAME", "ViT-B/32", "TRAINER.VPT.PROMPT_DEPTH_VISION", "2",
    ]  # fmt: skip
    said = python("-c", EVALUATE.format(host=str(cwd), backbone=str(backbone)), *words, cwd=cwd, status=2)
    assert "model.pth.tar-1 does not fit this run" in said, said
    assert "image_encoder.transformer.resblocks.1.VPT_shallow: checkpoint absent, here (8, 768)" in said
