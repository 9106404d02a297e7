"""A training step of SpLIP on ViT-B/32 (random weights) and Sketchy's 104 seen classes, compared with two others.

    python benchmarks/train_step.py [--small] [--device cuda] [--profile] [--json FILE]

- *floor*, the lower bound for training prompts: four image passes (s, s', p+, p-), forward and backward, through
  CLIP's blocks with as many plain learnable tokens as SpLIP has visual prompts, in the same precision.
- *literal*: the paper word for word (`splip/literal.py`), in fp32: every pass runs the text encoder on 77 tokens of
  every class, and prompts pass through the blocks. The loss is the same (checked at the start, on a tiny CLIP). Its
  four graphs together need more than 8 GiB: one pass is measured and counted four times; more images cost it as much
  as they cost the floor.

On the CPU, seconds and memory are measured at two batch sizes and other sizes are linearly extrapolated; this needs
16 GB of memory. A GPU uses the paper's batch, with and without ``torch.compile``, and its own memory is measured.
Kernel launches and waits are also counted (`counts.py`).
"""

from __future__ import annotations

import sys
from functools import lru_cache, partial
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import torch
from common import measure, parser, peak_memory, random_clip, report
from counts import count, count_step
from torch import Tensor, nn

from splip import SpLIP, SpLIPConfig
from splip.data.classes import read_shipped
from splip.jigsaw import permutation_bank, shuffle
from splip.literal import LiteralSpLIP

TARGET = 192  # the paper's batch
PRECISIONS = {"bf16": torch.bfloat16, "fp32": None}
SMALLEST = 16  # batch size that is timed, besides the largest for which SpLIP needs at most 8 GiB
MEASURED = (8, 24)  # batch sizes whose memory is measured; SpLIP in bf16 is measured at TARGET as well
GIB = 1024  # MiB


def seen_classes(small: bool) -> Sequence[str]:
    unseen = set(read_shipped("sketchy_21_yelamarthi"))
    names = [name for name in read_shipped("sketchy_all") if name not in unseen]
    return names[:5] if small else names


def autocast(precision: str, device: str):
    dtype = PRECISIONS[precision]
    return torch.autocast(device, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


def make_batch(clip: nn.Module, size: int, classes: int, permutations: int) -> Dict[str, Tensor]:
    """A noise batch in the trainer's layout, without the shuffled sketches."""
    side, generator = clip.visual.input_resolution, torch.Generator().manual_seed(0)
    names = ("sketch", "positive", "negative")
    images = {name: torch.randn(size, 3, side, side, generator=generator) for name in names}
    label = torch.randint(classes, (size,), generator=generator)
    permutation = torch.randint(permutations, (size,), generator=generator)
    batch = {**images, "permutation": permutation, "label": label, "negative_label": (label + 1) % classes}
    return {name: value.to(clip.logit_scale.device) for name, value in batch.items()}


# ------------------------------------------------------------------------- the cases


def splip_step(
    small: bool, device: str, grad_checkpointing: bool = False, compiled: bool = False
) -> Callable[[str, int], None]:
    """SpLIP's training step as in its trainer -> function of precision and batch size."""
    clip, config = random_clip(small, device), SpLIPConfig()
    model = SpLIP(clip, seen_classes(small), config, grad_checkpointing=grad_checkpointing).train()
    bank = permutation_bank(config.grid, config.permutations, config.jigsaw_seed).to(device)
    optimiser = torch.optim.Adam(model.trainable.parameters(), 1e-3)
    loss_of = torch.compile(model, fullgraph=True) if compiled else model
    made = partial(make_batch, clip, classes=len(model.classnames), permutations=config.permutations)
    batches = lru_cache(maxsize=1)(made)

    def step(precision: str, size: int) -> None:
        batch = dict(batches(size))
        batch["shuffled"] = shuffle(batch["sketch"], bank[batch["permutation"]], config.grid, config.tiles)
        with autocast(precision, device):
            loss, _ = loss_of(batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def floor_step(small: bool, device: str) -> Callable[[str, int], None]:
    """Four image passes with plain learnable tokens -> function of precision and batch size."""
    clip, config = random_clip(small, device).requires_grad_(False), SpLIPConfig()
    visual = clip.visual
    count = len(config.sketch_template.split()) + config.visual_prompts
    tokens = nn.Parameter(0.02 * torch.randn(count, visual.class_embedding.shape[0], device=device))

    def step(precision: str, size: int) -> None:
        images = torch.randn(4 * size, 3, visual.input_resolution, visual.input_resolution, device=device)
        with autocast(precision, device):
            x = embed_patches(visual, visual.conv1(images).flatten(2).transpose(1, 2))
            x = torch.cat([x, tokens.to(x).expand(len(x), -1, -1)], dim=1)  # (4B, 1 + N + count, D)
            x = visual.transformer(x.transpose(0, 1))
            features = visual.ln_post(x[0]) @ visual.proj
        tokens.grad = None
        features.float().sum().backward()

    return step


def literal_pass_step(small: bool, device: str) -> Callable[[str, int], None]:
    """One of the four literal passes, forward and backward, in fp32 -> function of precision and batch size."""
    literal = LiteralSpLIP(random_clip(small, device), seen_classes(small), permutation_bank(size=10))

    def step(precision: str, size: int) -> None:
        sketch = make_batch(literal.clip, size, 1, 1)["sketch"]
        features, texts = literal.features(sketch, "sketch", literal.T(sketch, "sketch"))
        literal.trainable.zero_grad(set_to_none=True)
        (features.sum() + texts.sum()).backward()

    return step


def embed_patches(visual: nn.Module, patches: Tensor) -> Tensor:
    """CLIP's own computation from patches (B, N, D) to the first block's input (B, 1 + N, D)."""
    x = torch.cat([visual.class_embedding.to(patches).expand(len(patches), 1, -1), patches], dim=1)
    return visual.ln_pre(x + visual.positional_embedding.to(x))


def check_literal() -> None:
    """Stop if the literal implementation does not give SpLIP's loss: the comparison would be meaningless."""
    bank = permutation_bank(size=100)
    model = SpLIP(random_clip(small=True), seen_classes(small=True), SpLIPConfig(permutations=len(bank)))
    reading = LiteralSpLIP(random_clip(small=True), model.classnames, bank)
    reading.trainable.load_state_dict(model.trainable.state_dict())
    batch = make_batch(model.clip, 4, len(model.classnames), len(bank))
    batch["shuffled"] = shuffle(batch["sketch"], bank[batch["permutation"]])
    with torch.no_grad():
        literal, ours = reading.loss(batch)[0].item(), model(batch)[0].item()
    print(f"loss of a batch, literal reading {literal:.6f}, SpLIP {ours:.6f}", flush=True)
    if abs(literal - ours) > 1e-5 * abs(literal):
        sys.exit("the literal reading and SpLIP differ")


# ------------------------------------------------------------------------- figures

CASES = {
    "floor": floor_step,
    "SpLIP": splip_step,
    "SpLIP, grad_checkpointing": partial(splip_step, grad_checkpointing=True),
    "literal": literal_pass_step,
}


def run_once(case: str, small: bool, device: str, precision: str, size: int) -> None:
    """Run one step of a case; it is called in its own process."""
    CASES[case](small, device)(precision, size)


def line(sizes: Sequence[int], values: Sequence[float]) -> Callable[[int], float]:
    """The straight line through two points, as a function of the batch size."""
    slope = (values[1] - values[0]) / (sizes[1] - sizes[0])
    return lambda size: values[0] + slope * (size - sizes[0])


def time_rows(small: bool, repeats: int, timed: Dict[str, Tuple[int, int]]) -> Sequence[Dict[str, Any]]:
    """Seconds per step, for each precision at its two batch sizes in ``timed`` and at batch 192."""
    steps = {case: make(small, "cpu") for case, make in CASES.items()}
    for case in steps:
        steps[case]("bf16", 1)  # sets up libraries and caches
    runs = {
        (case, precision, size): partial(steps[case], precision, size)
        for precision, sizes in timed.items()
        for size in sizes
        for case in ("floor", "SpLIP", "SpLIP, grad_checkpointing")
        if case != "SpLIP, grad_checkpointing" or size == sizes[0]
    }
    first = timed["fp32"][0]
    runs["literal", "fp32", first] = partial(steps["literal"], "fp32", first)
    seconds = measure(runs, repeats, warm_up=False)

    def at(case: str, precision: str) -> Callable[[int], float]:
        return line(timed[precision], [seconds[case, precision, size] for size in timed[precision]])

    rows = []
    for precision, sizes in timed.items():
        for size in (*sizes, TARGET):
            floor, ours = (at(case, precision)(size) for case in ("floor", "SpLIP"))
            literal = 4 * seconds["literal", "fp32", first] + at("floor", "fp32")(size) - at("floor", "fp32")(first)
            again: Optional[float] = seconds.get(("SpLIP, grad_checkpointing", precision, size))
            rows.append(
                {
                    "precision": precision,
                    "batch": size,
                    "from": "line" if size == TARGET else "measured",
                    "floor s": floor,
                    "SpLIP s": ours,
                    "SpLIP / floor": ours / floor,
                    "grad_checkpointing / SpLIP": again and again / ours,
                    "literal fp32 s": literal,
                    "literal / SpLIP": literal / ours,
                }
            )
    return rows


def memory_rows(small: bool) -> Sequence[Dict[str, Any]]:
    """Peak MiB of a process that runs one step, at two batch sizes and at batch 192."""
    cases = [("bf16", "floor"), ("bf16", "SpLIP"), ("bf16", "SpLIP, grad_checkpointing"), ("fp32", "SpLIP")]
    shown, rows = (2, 3) if small else MEASURED, []
    for precision, case in cases[-1:] if small else cases:
        sizes = (shown[0], TARGET) if "SpLIP" in case and precision == "bf16" else shown
        peaks = [peak_memory(run_once, case, small, "cpu", precision, size) for size in sizes]
        rows.append(memory_row(precision, case, sizes, peaks, shown))
    if not small:
        one = peak_memory(run_once, "literal", small, "cpu", "fp32", sizes[0])
        idle = line(sizes, peaks)(0)  # from the last case, SpLIP in fp32
        slope = (peaks[1] - peaks[0]) / (sizes[1] - sizes[0])
        four = idle + 4 * (one - idle)  # four graphs at once
        rows.append(memory_row("fp32", "literal", sizes, [four, four + slope * (sizes[1] - sizes[0])], shown))
    return rows


def memory_row(
    precision: str, case: str, sizes: Sequence[int], peaks: Sequence[float], shown: Sequence[int]
) -> Dict[str, Any]:
    expected = line(sizes, peaks)
    largest = max((size for size in range(1, 4 * TARGET) if expected(size) <= 8 * GIB), default=0)
    return {
        "precision": precision,
        "case": case,
        **{f"GiB at {size}": expected(size) / GIB for size in (*shown, TARGET)},
        "measured at": " and ".join(map(str, sizes)),
        "largest batch in 8 GiB": largest,
    }


def gpu_rows(small: bool, repeats: int) -> Sequence[Dict[str, Any]]:
    """Seconds per step, memory, launches and waits at the paper's batch, on the GPU."""
    size, rows = 2 if small else TARGET, []
    memory = {
        (case, precision): peak_memory(run_once, case, small, "cuda", precision, size, device="cuda")
        for case in ("floor", "SpLIP")
        for precision in PRECISIONS
    }  # first, while the GPU's memory is empty
    made = {"floor": floor_step, "SpLIP": splip_step, "SpLIP, compiled": partial(splip_step, compiled=True)}
    steps = {case: make(small, "cuda") for case, make in made.items()}
    for precision in PRECISIONS:
        seconds = measure({case: partial(step, precision, size) for case, step in steps.items()}, repeats)
        for case, step in steps.items():
            peak = memory.get((case, precision))
            rows.append(
                {
                    "precision": precision,
                    "case": case,
                    "batch": size,
                    "ms": 1000 * seconds[case],
                    "to the floor": seconds[case] / seconds["floor"],
                    "GiB": peak and peak / GIB,
                    **count(partial(step, precision, size), "cuda"),
                }
            )
    return rows


def count_rows() -> Sequence[Dict[str, Any]]:
    """Launches and waits of a step with a ViT-B/32 of one twelfth of the width, 104 classes, counted on the CPU."""
    from clip.model import CLIP

    clip, config = CLIP(64, 64, 12, 64, 32, 77, 49408, 64, 1, 12), SpLIPConfig()
    model = SpLIP(clip, seen_classes(False), config).train()
    batch = make_batch(clip, 2, len(model.classnames), config.permutations)
    batch["shuffled"] = batch["sketch"]
    model(batch)  # the first pass creates constants
    return [{"as on": "a CPU", **count_step(model, batch)}, {"as on": "a GPU", **count_step(model, batch, on_gpu=True)}]


def profile(small: bool, device: str) -> None:
    """Print the operations of a step, sorted by the time that each takes itself."""
    step, size = splip_step(small, device), 2 if small else SMALLEST if device == "cpu" else TARGET
    for precision in PRECISIONS:
        step(precision, size)
        with torch.profiler.profile(activities=list(torch.profiler.supported_activities())) as profiler:
            step(precision, size)
        print(f"\n{precision}, batch {size}\n")
        by = f"self_{device}_time_total"
        print(profiler.key_averages().table(sort_by=by, row_limit=14, max_name_column_width=48))


def main(argv: Optional[Sequence[str]] = None) -> None:
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--profile", action="store_true", help="show where a step's time goes, and stop")
    args = arguments.parse_args(argv)
    torch.set_num_threads(args.threads)
    if args.profile:
        return profile(args.small, args.device)
    check_literal()
    setting = f"{'tiny CLIP' if args.small else 'ViT-B/32'}, {len(seen_classes(args.small))} classes"
    parts = ("memory", "launches")
    memory, launches = (args.json and args.json.with_name(f"{args.json.stem}_{name}.json") for name in parts)
    report(count_rows(), "Launches and waits of a step (fp32, forward by part), ViT-B/32, 104 classes", launches)
    if args.device == "cuda":
        report(gpu_rows(args.small, args.repeats or 10), f"A training step, {setting}", args.json)
        return
    rows = memory_rows(args.small)
    report(rows, f"Memory of a training step, {setting}", memory)
    largest = {row["precision"]: row["largest batch in 8 GiB"] for row in rows if row["case"] == "SpLIP"}
    timed = {name: (2, 3) if args.small else (SMALLEST, largest[name]) for name in PRECISIONS}
    repeats = args.repeats or (1 if args.small else 3)
    report(time_rows(args.small, repeats, timed), f"A training step, {setting}", args.json)


if __name__ == "__main__":
    main()
