"""Near copies of a photo are one result with a count; different photos, and pictures of one colour, are not."""

import json
import os

import numpy as np
import pytest
from pictures import colour_model, paint
from PIL import Image

from splip.cli import main as splip_command
from splip.search.folding import Group, fold, small_grey
from splip.search.index import Index
from splip.search.records import Hit

pytest.importorskip("faiss")


def photo(seed, size=(400, 300)):
    """A picture of coloured clouds."""
    clouds = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(clouds).resize(size, Image.Resampling.BICUBIC)


def save_copies(folder, seed):
    """A photo and three near copies of it -> their paths."""
    folder.mkdir(exist_ok=True)
    original = photo(seed)
    width, height = original.size
    original.save(folder / f"{seed}.png")
    original.resize((width // 2, height // 2)).save(folder / f"{seed}_half.png")
    original.save(folder / f"{seed}_jpeg.jpg", quality=25)
    original.crop((8, 6, width - 8, height - 6)).save(folder / f"{seed}_cut.png")
    return [str(folder / f"{seed}{end}") for end in (".png", "_half.png", "_jpeg.jpg", "_cut.png")]


def hits(paths, scores):
    return [Hit(path, score, i) for i, (path, score) in enumerate(zip(paths, scores))]


def test_copies_fold_into_the_best_of_them(tmp_path):
    first, second = save_copies(tmp_path, 1), save_copies(tmp_path, 2)
    mixed = [path for pair in zip(first, second) for path in pair]
    found = hits(mixed, np.linspace(0.5, 0.43, 8))
    assert fold(found, 2) == [Group(found[0], found[2::2]), Group(found[1], found[3::2])]


def test_other_photos_do_not(tmp_path):
    paths = [str(tmp_path / f"{seed}.png") for seed in range(30)]
    for seed, path in enumerate(paths):
        photo(seed).save(path)
    found = hits(paths, [0.5] * 30)
    assert fold(found, 30) == [Group(hit, []) for hit in found]


def test_cut_outs_and_icons_are_never_folded(tmp_path):
    paths = [str(tmp_path / f"{i}.png") for i in range(2)]
    for i, path in enumerate(paths):
        icon = Image.new("RGB", (64, 64), "white")
        icon.paste("black", (12, 12, 52, 52 + i))
        icon.save(path)
    assert small_grey(paths[0]) is None
    found = hits(paths, [0.5, 0.5])
    assert fold(found, 2) == [Group(hit, []) for hit in found]


def test_what_cannot_be_compared_stays(tmp_path):
    flat = [str(paint(tmp_path / f"{i}.png", "red")) for i in range(3)]
    lost = [str(tmp_path / "lost.png")] * 2
    assert small_grey(flat[0]) is None and small_grey(lost[0]) is None
    found = hits([*flat, *lost], [0.5] * 5)
    assert fold(found, 5) == [Group(hit, []) for hit in found]


def test_a_score_far_below_is_no_copy(tmp_path):
    paths = save_copies(tmp_path, 1)[:2]
    assert len(fold(hits(paths, [0.5, 0.41]), 2)) == 1
    assert len(fold(hits(paths, [0.5, 0.39]), 2)) == 2


def test_no_more_photos_are_read_than_needed():
    read = []

    def look(path):
        read.append(path)

    found = hits("abcdef", np.linspace(0.5, 0.4, 6))
    assert [group.hit.path for group in fold(found, 3, look)] == ["a", "b", "c"] and read == ["a", "b", "c", "d"]


def test_the_command_counts_them_and_says_what_it_leaves_out(tmp_path, monkeypatch, capsys):
    photos, place = tmp_path / "photos", tmp_path / "index"
    copies = save_copies(photos, 1)
    others = [str(photos / f"other{seed}.png") for seed in (7, 8)]
    for seed, path in zip((7, 8), others):
        photo(seed).save(path)
    index = Index.open(place, colour_model())
    index.add([photos], quiet=True)
    monkeypatch.setattr("splip.cli.search.open_index", lambda args: index)
    monkeypatch.chdir(tmp_path)

    def search(*words):
        assert splip_command(["search", "--photo", copies[0], *map(str, words)]) == 0
        return capsys.readouterr()

    lines = search("--top", 3).out.splitlines()
    assert len(lines) == 5 and lines[1].endswith("1.png (+3 near copies)"), lines
    assert not any("near" in line for line in lines[2:]) and lines[-1] == "search.png"
    said = search("--top", 3, "-f", "--copy-to", "found")
    assert said.out.splitlines()[0] == copies[0] and sorted(said.out.splitlines()[1:]) == others
    assert said.err == "splip search: near copies left out: 3 (--all-copies prints them)\n"
    assert len(os.listdir("found")) == 3
    [answer] = json.loads(search("--top", 3, "--json").out)
    assert sorted(answer["hits"][0]["copies"]) == sorted(copies[1:]) and len(answer["hits"]) == 3
    everything = search("--top", 6, "-f", "--all-copies")
    assert sorted(everything.out.splitlines()) == sorted([*copies, *others]) and not everything.err
