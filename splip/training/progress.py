"""What a run says while it trains: a bar with its ETA on a terminal, plain lines elsewhere."""

from __future__ import annotations

import datetime
import sys
import time

from tqdm import tqdm

from splip import distributed
from splip.engine import MetricMeter


class Progress:
    """Counts the steps of a whole run.

    Args:
        start: epochs already done. epochs, batches: of the whole run, and of each epoch.
        every: on anything but a terminal, batches between two lines.
    """

    def __init__(self, start: int, epochs: int, batches: int, every: int) -> None:
        self.epochs, self.batches, self.every = epochs, batches, max(every, 1)
        self.left, self.done, self.began = (epochs - start) * batches, 0, time.time()
        self.bar = None
        if sys.stderr.isatty() and distributed.is_main():
            self.bar = tqdm(total=epochs * batches, initial=start * batches, dynamic_ncols=True)

    def step(self, epoch: int, batch: int, losses: MetricMeter, lr: float) -> None:
        """One batch was done; both counts start at 0."""
        self.done, self.left = self.done + 1, self.left - 1
        if self.bar is not None:
            self.bar.set_description(f"epoch {epoch + 1}/{self.epochs}", refresh=False)
            self.bar.set_postfix_str(f"loss {losses.meters['loss'].avg:.3f}", refresh=False)
            self.bar.update()
        elif (batch + 1) % self.every == 0 or batch + 1 == self.batches:
            pace = (time.time() - self.began) / self.done
            eta = datetime.timedelta(seconds=int(pace * self.left))
            print(
                f"epoch [{epoch + 1}/{self.epochs}] batch [{batch + 1}/{self.batches}] "
                f"time {pace:.3f} {losses} lr {lr:.4e} eta {eta}",
                flush=True,
            )

    def say(self, line: str) -> None:
        """Print a line without tearing the bar."""
        if self.bar is None:
            print(line, flush=True)
        else:
            self.bar.clear()
            print(line, flush=True)
            self.bar.refresh()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
