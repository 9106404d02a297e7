"""splip/training/progress.py: a run's first step is announced, and if it takes long, it is said why."""

import re
import time
from types import SimpleNamespace

import pytest
import torch

from splip.engine import MetricMeter
from splip.training import precision, progress

CPU = torch.device("cpu")


def settings(batch=192, compile=False):
    loader = SimpleNamespace(TRAIN_X=SimpleNamespace(BATCH_SIZE=batch))
    return SimpleNamespace(TRAINER=SimpleNamespace(COMPILE=compile), DATALOADER=loader)


def train(shown, reading=0.0, computing=0.0, epochs=1, batches=2):
    """A loop as the trainer's, of steps that sleep; the first alone takes long."""
    for epoch in range(epochs):

        def images(first=epoch == 0):
            for number in range(batches):
                time.sleep(reading if first and number == 0 else 0)
                yield number

        for number in shown.watch(images()):
            time.sleep(computing if epoch == number == 0 else 0)
            shown.step(epoch, number, MetricMeter(), 0.1)


def test_a_quick_step_is_announced_and_no_more_is_said(capsys):
    train(progress.Progress(0, 2, 2, every=9, reasons=lambda: pytest.fail("nothing was slow")), epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("The first step has begun") and sum("first step" in line for line in lines) == 1, lines


@pytest.mark.parametrize("slow", ["images", "computing"])
def test_a_slow_step_says_why_while_it_lasts_and_what_it_took(capsys, monkeypatch, slow):
    monkeypatch.setattr(progress, "LONG", 0.2)
    reading, computing = (0.5, 0.0) if slow == "images" else (0.0, 0.5)
    train(progress.Progress(0, 1, 2, every=9, reasons=lambda: ["a reason", "another"]), reading, computing)
    said = capsys.readouterr().out
    during, after = said.index("  its images" if slow == "images" else "  it is not done"), said.index("  it took")
    assert during < after, said
    assert ("not done after 0 s: a reason; another" in said) == (slow == "computing"), said
    assert re.search(r"it took \d s, \d s of them for its images; 2 such steps take 0:00:0\d", said), said


def test_nothing_is_said_after_a_step_that_failed(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LONG", 0.1)
    shown = progress.Progress(0, 1, 2, every=9, reasons=lambda: ["a reason"])
    with pytest.raises(RuntimeError):
        for _ in shown.watch(iter([1])):
            raise RuntimeError("out of memory")
    del _
    time.sleep(0.3)
    assert "a reason" not in capsys.readouterr().out


def test_a_run_that_is_resumed_announces_its_first_step_too(capsys):
    train(progress.Progress(3, 4, 2, every=9), epochs=1)
    assert "The first step has begun" in capsys.readouterr().out


def test_why_a_step_is_slow(monkeypatch):
    monkeypatch.setattr(precision, "has_bf16_units", lambda: False)
    monkeypatch.setattr(progress.os, "getloadavg", lambda: (0.5, 0, 0), raising=False)
    slow = progress.why_slow(settings(), "bf16", CPU)
    assert slow[0] == "this CPU has no units for bf16, and computes it many times as slowly: TRAINER.PREC auto or fp32"
    assert "batches of 192 on a CPU" in slow[1] and len(slow) == 2, slow
    assert len(progress.why_slow(settings(), "fp32", CPU)) == 1
    monkeypatch.setattr(progress.os, "getloadavg", lambda: (99.0, 0, 0), raising=False)
    assert any("a load of 99.0" in line for line in progress.why_slow(settings(), "fp32", CPU))
    compiled = progress.why_slow(settings(compile=True), "fp16", torch.device("cuda"))
    assert compiled == ["TRAINER.COMPILE compiles the loss, which takes minutes and is done once"]
    assert all(progress.why_slow(settings(), "fp16", torch.device(kind)) for kind in ("cpu", "cuda"))
