"""`splip data check`: plain words, the right counts, and 0 only where everything is there."""

import argparse
import os
import shutil

import pytest
from tiny_benchmarks import SKETCHY_EXTENSION, SKETCHY_SKETCHES, make_quickdraw, make_sketchy, make_zse_lists

from splip.cli import data_check as module
from splip.cli.data_check import check
from splip.data import archives
from splip.data.archives import Published


def command(*words):
    """What `splip data check WORDS` returns as its exit status."""
    parser = argparse.ArgumentParser()
    module.configure(parser)
    return module.run(parser.parse_args([str(word) for word in words]))


@pytest.fixture
def quickdraw(tmp_path):
    return make_quickdraw(tmp_path / "data", sketches=2, photos=1)


def publish(monkeypatch, **published):
    """Let these numbers be the published ones."""
    for split, numbers in published.items():
        monkeypatch.setitem(archives.PUBLISHED, split, numbers)


def test_a_whole_data_set_passes(quickdraw, monkeypatch, capsys):
    publish(monkeypatch, quickdraw_30=Published((80, 80, 60, 30), held_out=1))
    assert command("QuickDraw", "--root", quickdraw) == 0
    said = capsys.readouterr().out
    assert said.splitlines() == [
        f"{quickdraw / 'QuickDraw'}",
        "  sketches: 110 of 110 classes, 220 images",
        "  images: 110 of 110 classes, 110 images",
        "    not used, no image or no class of the data set: airplane/s.sh",
        "quickdraw_30: 80 seen and 30 unseen classes",
        "                     found  expected published",
        "  train sketches       160       160        80",
        "  train photos          80        80        80",
        "  test sketches         60        60        60",
        "  test photos           30        30        30",
        module.FOOTNOTE,
        "All is there.",
    ]


def test_other_counts_are_named(quickdraw, monkeypatch, capsys):
    publish(monkeypatch, quickdraw_30=Published((160, 80, 61, 31), second_hand=("test photos",)))
    assert command("QuickDraw", "--root", quickdraw) == 1
    said = capsys.readouterr().out
    assert said.endswith("Not as published:\n  quickdraw_30 has 60 test sketches, expected 61 (-1)\n"), said
    assert "  test photos           30        31        31  (from a third-party note)" in said, "which is no fault"


def test_missing_and_strange_folders_are_named(quickdraw):
    folder = quickdraw / "QuickDraw" / "images"
    shutil.rmtree(folder / "bat")
    for file in (folder / "cow").iterdir():
        file.unlink()
    (folder / "unicorn").mkdir()
    report, complete = check("QuickDraw", str(quickdraw))
    assert not complete and f"  {folder} has no images of bat, cow\n" in report, report
    assert "images: 108 of 110 classes, 108 images" in report and "airplane/s.sh, unicorn/" in report, report


def test_a_missing_archive_says_what_was_looked_for(tmp_path, capsys):
    assert command("TUBerlin", "--root", tmp_path) == 1
    said = capsys.readouterr().out
    for folder in ("png_ready", "ImageResized_ready"):
        assert f"{tmp_path}/TUBerlin/{folder}/<class>/  MISSING" in said, said


def test_names_and_splits(benchmark_root, tmp_path):
    """An archive's name stands for all its published splits, a data set's for its own."""
    reports = {name: check(name, str(benchmark_root))[0].splitlines() for name in module.NAMES}
    assert {name: [line.split(":")[0] for line in lines if "unseen" in line] for name, lines in reports.items()} == {
        "Sketchy": ["sketchy_25_sake", "sketchy_21_yelamarthi"],
        "TUBerlin": ["tuberlin_30_sake", "tuberlin_30_sempcyc"],
        "QuickDraw": ["quickdraw_30"],
        "Sketchy1": ["sketchy_25_sake"],
        "Sketchy2": ["sketchy_21_yelamarthi"],
    }
    (tmp_path / "mine.txt").write_text("bat\n")
    report, complete = check("Sketchy", str(benchmark_root), split=str(tmp_path / "mine.txt"))
    assert complete and "mine: 124 seen and 1 unseen classes" in report, "nothing is published to compare with"
    assert "  test sketches          4         -         -" in report, report
    report, complete = check("Sketchy", str(benchmark_root), split="nothing")
    assert not complete and "DATASET.SPLIT is one of" in report


def test_repeats_and_file_lists(benchmark_root, tmp_path, monkeypatch):
    publish(monkeypatch, sketchy_25_sake=Published((400, 500, 100, 125), repeats=(200, 50), held_out=1))
    for photos, numbers in (("once", (300, 75)), ("zse", (500, 125))):
        report, _ = check("Sketchy1", str(benchmark_root), photos=photos)
        assert f"  train photos  {numbers[0]:>10}{numbers[0]:>10}       500" in report, report
        assert f"  test photos   {numbers[1]:>10}{numbers[1]:>10}       125" in report, report
    publish(monkeypatch, sketchy_25_sake=Published((300, 500, 100, 125), repeats=(200, 50), held_out=1))
    make_zse_lists(benchmark_root, "sketchy_25_sake", tmp_path)
    assert check("Sketchy1", str(benchmark_root))[1]
    report, complete = check("Sketchy1", str(benchmark_root), photos="zse", file_lists=str(tmp_path))
    assert complete and "  train sketches       300       300       300" in report, report
    path = tmp_path / "Sketchy" / "zeroshot1" / "all_photo_filelist_zero.txt"
    path.write_text(path.read_text() + "EXTEND_image_sketchy_ready/bell/ext_9.jpg 24\n")
    report, complete = check("Sketchy1", str(benchmark_root), photos="zse", file_lists=str(tmp_path))
    lost = "1 images of sketchy_25_sake's file lists are not there: EXTEND_image_sketchy_ready/bell/ext_9.jpg"
    assert not complete and lost in report, report


def test_sketches_without_a_photo_are_listed(tmp_path):
    root = make_sketchy(tmp_path, photos=1, sketches=1)
    sketches, photos = root / SKETCHY_SKETCHES / "bat", root / SKETCHY_EXTENSION / "bat"
    for k in range(7):
        shutil.copy(next(sketches.iterdir()), sketches / f"n1_{k}-1.png")
    shutil.copy(next(photos.iterdir()), photos / "n1_0.jpg")  # nobody drew from the extension
    report, _ = check("Sketchy", str(root))
    assert "7 sketches have no photo of their own; fine-grained leaves them out:" in report, report
    assert f"  {sketches / 'n1_4-1.png'}\n  and 2 more\n" in report, report


def test_unreadable_images_are_found_on_request(quickdraw, monkeypatch):
    publish(monkeypatch, quickdraw_30=Published((160, 80, 60, 30)))
    path = quickdraw / "QuickDraw" / "images" / "bat" / "image_00001.jpg"
    os.truncate(path, 100)
    assert check("QuickDraw", str(quickdraw))[1]
    report, complete = check("QuickDraw", str(quickdraw), read=True)
    assert not complete and report.count("cannot read image") == 1 and str(path) in report, report
