"""The output of a run while it trains: a bar with its ETA on a terminal, plain lines elsewhere."""

from __future__ import annotations

import datetime
import math
import os
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor
from tqdm import tqdm

from splip.common import distributed
from splip.engine import MetricMeter
from splip.training import precision as precisions

LONG = 20.0  # seconds of a run's first step after which it is said why


class Losses:
    """The losses of an epoch, fetched from the device a few steps at a time: each fetch waits for the device.

    Args:
        trainer: whose ``write_scalar`` gets every step's values.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.meter = trainer, MetricMeter()
        self.waiting: List[Tuple[int, float, Dict[str, Tensor]]] = []

    def add(self, values: Mapping[str, Union[Tensor, float]], lr: float) -> None:
        """Keep a step's values: scalars on the device, or numbers."""
        held = {name: torch.as_tensor(value).detach().float() for name, value in values.items()}
        self.waiting.append((self.trainer.batch_idx, lr, held))

    def fetch(self) -> Dict[str, float]:
        """Fetch the kept values -> means of the epoch so far.

        Raises:
            FloatingPointError: a loss was not finite; its batch and terms are named. With fp16 a step may overflow (its
                gradients are then skipped) if the last fetched step did not.
        """
        if self.waiting:
            rows = torch.cat([torch.stack(list(values.values())) for _, _, values in self.waiting])
            found = iter(distributed.mean(rows).tolist())  # fetched together
            steps = [(batch, lr, {name: next(found) for name in values}) for batch, lr, values in self.waiting]
            for batch, lr, values in steps:
                self._take(batch, lr, values, math.isfinite(steps[-1][2]["loss"]))
            self.waiting.clear()
        return {name: meter.avg for name, meter in self.meter.meters.items()}

    def _take(self, batch: int, lr: float, values: Dict[str, float], recovered: bool) -> None:
        trainer = self.trainer
        if not math.isfinite(values["loss"]):
            if trainer.precision == "fp16" and recovered:
                return
            where = f"epoch {trainer.epoch + 1}, batch {batch + 1}"
            raise FloatingPointError(f"the loss is not finite in {where}: {values}")
        self.meter.update(values)
        for name, value in {**values, "lr": lr}.items():
            trainer.write_scalar(f"train/{name}", value, trainer.epoch * trainer.num_batches + batch)


def why_slow(cfg: Any, precision: str, device: torch.device) -> List[str]:
    """What may make a run's steps slow, and what to do, as far as it can be seen from here."""
    found = []
    if cfg.TRAINER.COMPILE:
        found.append("TRAINER.COMPILE compiles the loss, which takes minutes and is done once")
    if device.type == "cuda":
        return found or ["a GPU's first step also sets it up"]
    if precision == "bf16" and not precisions.has_bf16_units():
        found.append("this CPU has no units for bf16, and computes it many times as slowly: TRAINER.PREC auto or fp32")
    load, cores = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, os.cpu_count() or 1
    if load > 1.5 * cores:
        found.append(f"other programs are busy here (a load of {load:.1f} on {cores} processors)")
    size = cfg.DATALOADER.TRAIN_X.BATCH_SIZE
    found.append(f"batches of {size} on a CPU: a GPU, or a smaller DATALOADER.TRAIN_X.BATCH_SIZE, takes less")
    return found


class FirstStep:
    """Announces a run's first step; if it takes longer than LONG, says what it waits for, and at its end what it took.

    Args:
        say: prints a line. reasons: why steps may be slow; asked when they are.
    """

    def __init__(self, say: Callable[[str], None], reasons: Callable[[], Sequence[str]]) -> None:
        self.say, self.reasons = say, reasons
        self.began, self.loaded = time.time(), 0.0
        say("The first step has begun: its images are read, then the model computes")
        self._wait()

    def _wait(self) -> None:
        self.timer = threading.Timer(LONG, self._late)
        self.timer.daemon = True
        self.timer.start()

    def _late(self) -> None:
        waited = f"after {time.time() - self.began:.0f} s"
        if not self.loaded:
            self.say(f"  its images are not read {waited}: they may lie on a slow disk, or be large")
            self._wait()
        else:
            self.say(f"  it is not done {waited}: {'; '.join(self.reasons())}")

    def done(self, steps: int) -> None:
        """The step was taken; ``steps``: of the whole run."""
        self.timer.cancel()
        took, read = time.time() - self.began, self.loaded - self.began
        if took > LONG:
            whole = datetime.timedelta(seconds=int(took * steps))
            self.say(f"  it took {took:.0f} s, {read:.0f} s of them for its images; {steps:,} such steps take {whole}")

    def stop(self) -> None:
        self.timer.cancel()


class Progress:
    """Counts the steps of a whole run.

    Args:
        start: epochs already done. epochs, batches: of the whole run, and of each epoch.
        every: batches between two lines, where the output is not a terminal.
        reasons: why its steps may be slow (:func:`why_slow`); asked when the first one is.
    """

    def __init__(
        self, start: int, epochs: int, batches: int, every: int, reasons: Callable[[], Sequence[str]] = lambda: ()
    ) -> None:
        self.reasons = reasons
        self.first: Optional[FirstStep] = None
        self.epochs, self.batches, self.every = epochs, batches, max(every, 1)
        self.left, self.done, self.began = (epochs - start) * batches, 0, time.time()
        self.bar = None
        if sys.stderr.isatty() and distributed.is_main():
            self.bar = tqdm(total=epochs * batches, initial=start * batches, dynamic_ncols=True)

    def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """The batches of an epoch; a run's first step is announced, and if it takes long, why (:class:`FirstStep`)."""
        if self.done == 0:
            self.first = FirstStep(self.say, self.reasons)
        try:
            for batch in batches:
                if self.first is not None and not self.first.loaded:
                    self.first.loaded = time.time()
                yield batch
        finally:
            if self.first is not None:
                self.first.stop()

    def shows(self, batch: int) -> bool:
        """Whether a line is due after this batch of an epoch."""
        return (batch + 1) % self.every == 0 or batch + 1 == self.batches

    def step(self, epoch: int, batch: int, losses: MetricMeter, lr: float) -> None:
        """One batch was done; both counts start at 0."""
        if self.first is not None:
            self.first.done(self.left)
            self.first = None
        self.done, self.left = self.done + 1, self.left - 1
        if self.bar is not None:
            self.bar.set_description(f"epoch {epoch + 1}/{self.epochs}", refresh=False)
            if "loss" in losses.meters:
                self.bar.set_postfix_str(f"loss {losses.meters['loss'].avg:.3f}", refresh=False)
            self.bar.update()
        elif self.shows(batch):
            pace = (time.time() - self.began) / self.done
            eta = datetime.timedelta(seconds=int(pace * self.left))
            print(
                f"epoch [{epoch + 1}/{self.epochs}] batch [{batch + 1}/{self.batches}] "
                f"time {pace:.3f} {losses} lr {lr:.4e} eta {eta}",
                flush=True,
            )

    def say(self, line: str) -> None:
        """Print a line without breaking the bar."""
        if self.bar is None:
            print(line, flush=True)
        else:
            self.bar.clear()
            print(line, flush=True)
            self.bar.refresh()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
