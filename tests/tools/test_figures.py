"""The figures of the gain show the numbers of the committed runs."""

import json
from statistics import fmean

import pytest
from test_docs import ROOT, load

figures = load(ROOT / "tools/figures.py")
RESULTS = ROOT / "results"


def lines(figure):
    """{panel: {label: [(x, y), ...]}} of the lines that have a label."""
    return [
        {line.get_label(): list(zip(*line.get_data())) for line in axis.lines if line.get_label()[0] != "_"}
        for axis in figure.axes
    ]


def gain(folder, frozen):
    found = [
        json.loads(path.read_text())["metrics"]["min_r_k"]["mAP@all"] for path in folder.glob("seed*/results.json")
    ]
    return fmean(found) - frozen


@pytest.mark.parametrize("name", figures.FIGURES)
def test_each_figure_is_drawn_again(tmp_path, name):
    figure = figures.FIGURES[name](RESULTS)
    figure.savefig(tmp_path / "figure.png")
    kept = ROOT / "docs/images" / f"{name}.png"
    assert kept.is_file() and f"images/{name}.png" in (ROOT / "docs/EXPERIMENTS.md").read_text(encoding="utf-8")
    for panel in lines(figure):
        assert panel and all(len(line) > 2 for line in panel.values()), panel


def test_the_lines_are_means_over_seeds_above_the_frozen_backbone():
    (frozen,) = figures.values(RESULTS / "sketchy25_zs/FrozenCLIP")
    classes, _ = lines(figures.data(RESULTS))
    found = dict(classes["SpLIP, the paper's losses"])
    assert set(found) == {13, 26, 52, 104}
    assert found[13] == pytest.approx(gain(RESULTS / "sketchy25_less/SpLIP_13_classes", frozen))
    assert found[104] == pytest.approx(gain(RESULTS / "sketchy25_zs/SpLIP", frozen))
    seen, unseen = lines(figures.epochs(RESULTS))
    norms = dict(unseen["LayerNorms only"])
    assert norms[0] == 0 and norms[10] == pytest.approx(
        gain(RESULTS / "sketchy25_epochs_unseen/LayerNormCLIP_10_epoch", frozen)
    )
    assert dict(seen["SpLIP, the paper's losses"])[10] > dict(unseen["SpLIP, the paper's losses"])[10]
