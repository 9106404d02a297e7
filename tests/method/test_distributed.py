"""Two processes (gloo, on the CPU) train, test and resume as one does, write once, and end together."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from conftest import CLASSNAMES, build_clip, make_batch, make_tiny_clip_file
from tiny_sbir import ON_CPU, tiny_cfg, write_images

from splip import SpLIP, SpLIPConfig
from splip.common import distributed
from splip.data.triplets import triplet_loader
from splip.engine import TRAINER_REGISTRY, build_trainer, set_random_seed
from splip.training import results

pytestmark = [
    ON_CPU,  # two processes cannot share a GPU; scripts/gpu_check.sh has NCCL
    pytest.mark.skipif(
        not dist.is_available() or "forkserver" not in mp.get_all_start_methods(), reason="needs gloo and forkserver"
    ),
]
REPOSITORY = Path(__file__).parents[2]


# ------------------------------------------------------------- a stand-in for torchrun, without its start-up time


class Ended:
    """What two processes left: exit codes, standard output and error, and what `task` returned in each."""

    def __init__(self, codes, folder):
        self.codes = codes
        self.out, self.err = ([(folder / f"{kind}{r}").read_text() for r in (0, 1)] for kind in ("out", "err"))
        if codes == [0, 0]:
            # written by this test a moment ago: plain Python values beside tensors
            self.returned = [torch.load(folder / f"returned{r}", weights_only=False) for r in (0, 1)]


def _work(rank, port, folder, task, arguments):
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port), TORCHELASTIC_RUN_ID="test", TORCHELASTIC_USE_AGENT_STORE="True",
    )  # fmt: skip
    torch.set_num_threads(1)
    sys.stdout, sys.stderr = (open(folder / f"{kind}{rank}", "w", buffering=1) for kind in ("out", "err"))
    with distributed.processes():
        returned = task(*arguments)
    torch.save(returned, folder / f"returned{rank}")


@pytest.fixture
def pair(tmp_path):
    """A function: run `task(*arguments)` in two processes -> `Ended`."""
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["splip.trainers", "splip.datasets", "clip.clip"])  # imported once for all pairs

    def run(task, *arguments):
        store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # torchrun holds it, too
        workers = [context.Process(target=_work, args=(rank, store.port, tmp_path, task, arguments)) for rank in (0, 1)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(timeout=120)
            worker.kill()
        return Ended([worker.exitcode for worker in workers], tmp_path)

    return run


def succeed(ended):
    assert ended.codes == [0, 0], ended.err
    return ended.returned


# ------------------------------------------------------------- one step

# Shares change the order of float32 sums and nothing else. Turning a batch around in one process does so, too, and
# moves a gradient by up to 1.7e-6 of the largest entry of its tensor (measured here). A gradient without the other
# process's part of T is off by far more (tested).
ROUNDING = 1e-5


def step(batch, conditioning, **settings):
    """Loss and terms, gradients and prototypes of one step on this process's share of `batch`."""
    torch.manual_seed(0)
    config = SpLIPConfig(text_conditioning=conditioning, permutations=10, **settings)
    model = SpLIP(build_clip(), CLASSNAMES, config)
    loss, terms = model({name: distributed.shard(value) for name, value in batch.items()})
    loss.backward()
    distributed.average_gradients(model.trainable.parameters())
    values = distributed.mean(torch.stack([loss.detach(), *terms.values()]))
    gradients = {name: p.grad for name, p in model.trainable.named_parameters() if p.grad is not None}
    buffers = dict(model.trainable.named_buffers())
    return {"loss": values, **gradients, **buffers}


def steps(batch):
    more = {"contrastive": 1.0, "layernorm_shared": False, "train_proj": True, "free_prompts": 2}
    return [step(batch, "batch"), step(batch, "instance"), step(batch, "batch", **more)]


def largest_gap(first, second):
    """Largest difference in relation to the largest entry of its tensor, and that tensor's name."""
    assert first.keys() == second.keys()
    gaps = {n: ((a - second[n]).abs().max() / a.abs().max()).item() for n, a in first.items()} or {"nothing": 0.0}
    name = max(gaps, key=gaps.get)
    return gaps[name], name


def test_gradients_and_prototypes_are_those_of_the_whole_batch(pair):
    batch = make_batch(size=8, side=48, classes=len(CLASSNAMES), permutations=10)
    wanted = steps(batch)
    first, second = succeed(pair(steps, batch))
    for alone, here, there in zip(wanted, first, second):
        gap, name = largest_gap(alone, here)
        print(f"largest difference {gap:.1e} in {name}")
        assert gap < ROUNDING, name
        assert all(torch.equal(here[n], there[n]) for n in here), "the processes differ"
    halves = [step({n: v[part] for n, v in batch.items()}, "batch") for part in (slice(4), slice(4, 8))]
    apart = {name: sum(half[name] for half in halves) / 2 for name in halves[0]}
    gap, name = largest_gap(wanted[0], apart)
    assert gap > 100 * ROUNDING, f"with a T of each half's own {name} differs by {gap:.1e} only"


BASELINES = {  # with every term that compares images of a batch, or draws at random
    "PromptSRCSBIR": {"MCC_SKETCH": 1.0, "MCC_PHOTO": 0.5},
    "ClipAT": {"DIVERGENCE": 5.0, "PATCH_SHUFFLE": 1.0},
    "SeCoLike": {},
    "CLIPFitLike": {},
    "SpLIP": {"PERMUTATIONS": 10, "ANCHOR": 1.0, "MCC_SKETCH": 1.0},
    "CenteredCLIP": {},
}


def baseline_steps(batch):
    """As `step`, for each of them; CenteredCLIP takes no gradient, and its means are returned."""
    found = []
    for name, settings in BASELINES.items():
        cls = TRAINER_REGISTRY.get(name).model_class
        torch.manual_seed(0)
        model = cls.make(build_clip(), CLASSNAMES, {**cls.settings, **settings})
        torch.manual_seed(1)
        loss, terms = model.train()({name: distributed.shard(value) for name, value in batch.items()})
        loss.backward()
        distributed.average_gradients(model.trainable.parameters())
        values = {"terms": distributed.mean(torch.stack(list(terms.values())))}
        gradients = {n: p if name == "CenteredCLIP" else p.grad for n, p in model.trainable.named_parameters()}
        found.append({n: value.detach() for n, value in {**values, **gradients}.items() if value is not None})
    return found


def test_a_baselines_gradients_are_those_of_the_whole_batch(pair):
    batch = make_batch(size=8, side=48, classes=len(CLASSNAMES), permutations=10)
    batch["label"] = torch.tensor([0, 1, 1, 2, 0, 0, 2, 3])  # pairs of a class that two processes share
    wanted = baseline_steps(batch)
    first, second = succeed(pair(baseline_steps, batch))
    for name, alone, here, there in zip(BASELINES, wanted, first, second):
        gap, part = largest_gap(alone, here)
        print(f"{name}: largest difference {gap:.1e} in {part}")
        assert gap < 10 * ROUNDING, (name, part)
        assert all(torch.equal(here[n], there[n]) for n in here), "the processes differ"


# ------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = write_images(tmp_path_factory.mktemp("tiny"))
    return root, make_tiny_clip_file(tmp_path_factory.mktemp("clip") / "clip.pt")


EVEN = ("DATALOADER.TRAIN_X.BATCH_SIZE", 6, "DATALOADER.TEST.BATCH_SIZE", 3)


def build(files, out, *opts):
    cfg = tiny_cfg(*files, out, "USE_CUDA", False, "TRAINER.PREC", "fp32", *EVEN, *opts)
    set_random_seed(max(cfg.SEED, 0))
    return build_trainer(cfg)


def outcome(trainer):
    """(weights and prototypes, loss curve, metrics) of a finished run."""
    curve = [{k: v for k, v in epoch.items() if k not in ("seconds", "lr")} for epoch in trainer.history]
    saved = json.loads(Path(trainer.output_dir, "results.json").read_text())
    weights = {name: value.clone() for name, value in trainer.model.trainable.state_dict().items()}
    return weights, curve, saved["metrics"]


def train(files, out, *opts):
    trainer = build(files, out, *opts)
    trainer.train()
    distributed.barrier()  # results.json is written
    return outcome(trainer)


def without_pictures(patch):
    """Drawing takes longer than the training that is shown."""
    for name in ("draw_sheet", "draw_curve"):
        patch.setattr(results, name, lambda *args, **kwargs: None)


def train_all(files, out):
    """Every run of RUNS, the first with pictures, and the files below `out` that this process opened to write."""
    written, ended = [], {}

    def watch(event, values):
        if event == "open" and not isinstance(values[0], int) and values[2] & (os.O_WRONLY | os.O_RDWR):
            path = os.path.relpath(os.fsdecode(values[0]), out)
            if not path.startswith(os.pardir):
                written.append(path)

    sys.addaudithook(watch)
    for name, opts in RUNS.items():
        ended[name] = train(files, out / name, *opts)
        without_pictures(pytest.MonkeyPatch())
    return ended, written


SGD = ("OPTIM.NAME", "sgd", "OPTIM.LR", 0.01)
RUNS = {
    "sgd": SGD,
    "adam": (),
    "fg": (*SGD, "DATASET.SETTING", "fg"),
    "best_val, cached": (*SGD, "TEST.FINAL_MODEL", "best_val", "DATASET.CACHE", True),
    "FrozenCLIP": ("TRAINER.NAME", "FrozenCLIP"),
}


def test_a_run_gives_the_weights_losses_and_metrics_of_one_process(pair, files, tmp_path, monkeypatch):
    monkeypatch.setattr(dist, "init_process_group", lambda *args, **kwargs: pytest.fail("one process needs none"))
    without_pictures(monkeypatch)
    wanted = {name: train(files, tmp_path / "one" / name, *opts) for name, opts in RUNS.items()}
    (first, written), (second, written_by_second) = succeed(pair(train_all, files, tmp_path / "two"))
    for name, (weights, curve, metrics) in wanted.items():
        there, its_curve, its_metrics = first[name]
        assert there.keys() == second[name][0].keys()
        assert all(torch.equal(value, second[name][0][n]) for n, value in there.items()), f"{name}: processes differ"
        assert metrics == its_metrics == second[name][2], name
        assert its_curve == [pytest.approx(epoch, rel=ROUNDING) for epoch in curve], name
        gap, where = largest_gap(weights, there)
        print(f"{name}: weights differ by {gap:.1e} ({where}); losses {curve} and {its_curve}")
        if name != "adam":  # divides each entry of a gradient by its size, so what is mere rounding becomes a step
            assert gap < 10 * ROUNDING, where  # several steps; in a bias, which starts at 0, they may cancel
    first_as = {f"sgd/{name}.part" for name in ("results.json", "retrieval.png", "training_curve.png")}
    assert first_as <= set(written), written
    assert any("tensorboard" in path for path in written) and not written_by_second, written_by_second


def interrupted(files, out):
    """Outcomes of an unbroken run, of one that is interrupted and resumed, and of an unseeded one."""
    without_pictures(pytest.MonkeyPatch())
    whole = train(files, out / "whole", *SGD)
    broken = build(files, out / "broken", *SGD)

    def before_epoch():
        if broken.epoch == 1:
            raise KeyboardInterrupt

    broken.before_epoch = before_epoch
    try:
        broken.train()
    except KeyboardInterrupt:
        pass
    resumed = train(files, out / "resumed", *SGD, "RESUME", str(out / "broken"))
    return whole, resumed, train(files, out / "unseeded", *SGD, "SEED", -1)


def test_a_resumed_run_ends_bit_equal_and_an_unseeded_one_agrees(pair, files, tmp_path, monkeypatch):
    without_pictures(monkeypatch)
    ended = pair(interrupted, files, tmp_path)
    (whole, resumed, unseeded), (_, _, its_unseeded) = succeed(ended)
    assert "1 of 2 epochs are done" in ended.out[0] and ended.out[1] == "", ended.out
    assert all(torch.equal(value, resumed[0][name]) for name, value in whole[0].items()) and whole[1:] == resumed[1:]
    assert all(torch.equal(value, its_unseeded[0][name]) for name, value in unseeded[0].items())
    assert not torch.equal(unseeded[0]["b_t.out.weight"], whole[0]["b_t.out.weight"]), "it was seeded"
    alone = train(files, tmp_path / "alone", *SGD, "RESUME", str(tmp_path / "broken"))  # one goes on where two began
    gap, where = largest_gap(whole[0], alone[0])
    assert alone[2] == whole[2] and gap < 10 * ROUNDING, f"{where} differs by {gap:.1e}"


# ------------------------------------------------------------- failures


def fail_in_second(message):
    if distributed.rank() == 1:
        raise ValueError(message)
    distributed.barrier()  # waits for a process that will never come


def test_a_failure_in_one_process_ends_all_and_is_told_once(pair):
    ended = pair(fail_in_second, "cannot read image 'x.png'")
    assert ended.codes == [1, 1], ended.codes
    assert ended.err[1].startswith("process 1 of 2 failed:\n"), ended.err[1]
    assert ended.err[1].count("ValueError: cannot read image 'x.png'") == 1, ended.err[1]
    assert "process 0 of 2 stops, since another one has failed (" in ended.err[0], ended.err[0]
    assert "Traceback" not in ended.err[0], ended.err[0]


def refuse(files, out):
    with pytest.raises(ValueError, match=r"epochs done differs between the processes: \[0, 1\]"):
        distributed.require_same(distributed.rank(), "epochs done")
    build(files, out, "DATALOADER.TRAIN_X.BATCH_SIZE", 5)


def test_what_all_refuse_is_told_once(pair, files, tmp_path):
    ended = pair(refuse, files, tmp_path)
    told = "".join(ended.err)
    assert 1 in ended.codes and told.count("Traceback") == 1, told
    assert "BATCH_SIZE is the batch of all processes together: 5 cannot be shared evenly by 2" in told, told


def test_processes_that_would_not_work_together_are_refused(files, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=r"torchrun started 2 processes, but this program would run the same"):
        build(files, tmp_path)
    monkeypatch.setattr(distributed, "_world", 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"started 2 processes on this machine, which has 1 GPUs: use one process"):
        distributed.check_launch(cuda=True)
    distributed.check_launch(cuda=False)


# ------------------------------------------------------------- shares


@pytest.fixture
def be(monkeypatch):
    """A function: pretend to be process `rank` of `world`."""

    def pretend(rank, world):
        monkeypatch.setattr(distributed, "_rank", rank)
        monkeypatch.setattr(distributed, "_world", world)

    return pretend


def test_shares_cover_a_list_once_and_in_order(be):
    be(0, 3)
    assert [distributed.shard_slice(10, 4, r) for r in range(3)] == [slice(0, 4), slice(4, 8), slice(8, 10)]
    for world in (1, 2, 3, 7):
        for count, multiple in ((6, 1), (7, 1), (21, 3), (22, 3), (2, 4)):
            be(0, world)
            parts = [range(count)[distributed.shard_slice(count, multiple, r)] for r in range(world)]
            assert [i for part in parts for i in part] == list(range(count)), (world, count, multiple, parts)
            assert all(part.start % multiple == 0 for part in parts if part), parts
            assert max(map(len, parts)) - min(map(len, parts)) < 2 * multiple, parts
    be(2, 3)
    assert distributed.shard([5], 1) == [5] and distributed.shard([5, 6, 7]) == [7]


def test_each_process_takes_its_slice_of_every_global_batch(be, files, tmp_path):
    data = build(files, tmp_path).train_loader_x.dataset

    def batches():
        loader = triplet_loader(data, 6, num_workers=0)
        loader.sampler.epoch = 3
        return list(loader)

    wanted = batches()
    for rank in range(3):
        be(rank, 3)
        shared = batches()
        assert len(shared) == len(wanted) == 2
        for part, whole in zip(shared, wanted):
            for name in whole:
                assert torch.equal(part[name], whole[name][2 * rank : 2 * rank + 2]), (rank, name)


# ------------------------------------------------------------- the end

OPTIMIZE = """
import glob, os, torch
from splip.common import distributed
with distributed.processes():
    x = torch.nn.Parameter(torch.ones(3))
    distributed.mean(x).sum().backward()
    torch.optim.SGD([x], lr=0.1).step()  # imports torch._dynamo, and with it whatever keeps a group
print(*[open(name).read().strip() for name in glob.glob("/proc/self/task/*/comm")])
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="names of threads are read from /proc")
def test_no_thread_of_gloo_outlives_the_group():
    """Such a thread makes a process abort at its end, once in some hundred runs."""
    env = {**os.environ, "LOCAL_RANK": "0", "RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1",
           "MASTER_PORT": "0", "OMP_NUM_THREADS": "1"}  # fmt: skip
    code = OPTIMIZE.replace("with distributed", "distributed._launched = lambda: 2\nwith distributed", 1)
    ended = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "gloo" not in ended.stdout, ended.stdout


# ------------------------------------------------------------- torchrun itself


def test_torchrun_trains_tests_and_logs_once(files, tmp_path):
    root, backbone = files
    for source in root.glob("*.png"):
        classname, instance, kind = source.stem.split("_")
        target = tmp_path / "data" / kind / classname / f"{instance}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    (tmp_path / "unseen.txt").write_text("octa\nround\n")
    (tmp_path / "run.yaml").write_text(json.dumps({
        "INPUT": {"SIZE": [48, 48], "INTERPOLATION": "bicubic", "PIXEL_MEAN": [0.48145466, 0.4578275, 0.40821073],
                  "PIXEL_STD": [0.26862954, 0.26130258, 0.27577711]},
        "DATALOADER": {"NUM_WORKERS": 0, "TRAIN_X": {"BATCH_SIZE": 6}},
        "OPTIM": {"NAME": "sgd", "LR": 0.01, "MAX_EPOCH": 1},
        "USE_CUDA": False,
    }))  # fmt: skip
    command = [
        "train.py", "--trainer", "SpLIP", "--seed", "1", "--root", str(tmp_path / "data"), "--backbone", str(backbone),
        "--dataset-config-file", "configs/datasets/folder.yaml", "--config-file", str(tmp_path / "run.yaml"),
        "--output-dir", str(tmp_path / "out"), "DATASET.SPLIT", str(tmp_path / "unseen.txt"),
        "TRAINER.SPLIP.PERMUTATIONS", "10",
    ]  # fmt: skip
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *command]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"}  # a process that aborts says where
    ended = subprocess.run(run, cwd=REPOSITORY, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    log = (tmp_path / "out" / "log.txt").read_text()
    assert log.count("epoch [1/1] done") == 1 == ended.stdout.count("epoch [1/1] done"), log
    assert "2 processes" in log and len(list((tmp_path / "out").glob("log.txt*"))) == 1
    assert len(list((tmp_path / "out" / "tensorboard").iterdir())) == 1
    assert (tmp_path / "out" / "results.json").is_file() and (tmp_path / "out" / "retrieval.png").is_file()
