"""The scripts of sketchy25: which models they train, and which they test again elsewhere."""

from pathlib import Path

import pytest
from test_scripts import ROOT, record, small, train, value  # noqa: F401  (a fixture among them)

HERE, THERE = "sketchy25_cross_sketchmoji-unseen_minus_source", "sketchmoji_cross_sketchy25-unseen_minus_source"
SKETCHY25 = {  # script: runs in their order, each with the run whose model it tests; what its tables show
    "zs_sketchy25.sh": (
        [("sketchy25", ""), ("sketchy25-seen", "sketchy25")], [["sketchy25", "sketchy25-seen"]],
    ),
    "SPLIT=1 zs_sketchy25.sh": (
        [("sketchy25_sake", ""), ("sketchy25_sake-seen", "sketchy25_sake")],
        [["sketchy25_sake", "sketchy25_sake-seen"]],
    ),
    "gzs_sketchy25.sh": (
        [("sketchy25", ""), ("sketchy25_gzs-all_seen", "sketchy25")], [["sketchy25_gzs-all_seen"]],
    ),
    "fg_sketchy25.sh": (
        [("sketchy25_fg", ""), ("sketchy25_fg-seen", "sketchy25_fg")], [["sketchy25_fg", "sketchy25_fg-seen"]],
    ),
    "cross_sketchy25.sh": (
        [("sketchy25", ""), (HERE, "sketchy25"), ("sketchmoji", ""), (THERE, "sketchmoji")], [[HERE], [THERE]],
    ),
}  # fmt: skip


def test_every_script_is_listed_here():
    found = {path.name for path in (ROOT / "scripts/splip").glob("*_sketchy25.sh")}
    assert found == {name.split()[-1] for name in SKETCHY25}


@pytest.mark.parametrize("script", SKETCHY25)
def test_what_a_script_of_sketchy25_runs_and_shows(small, tmp_path, script):  # noqa: F811
    runs, shown = SKETCHY25[script]
    out = tmp_path / "output"
    calls, _ = record({**small, "OUTPUT": str(out)}, script, "7", "8")
    trained = [call for call in calls if call[0] == "train.py"]
    wanted = []
    for name, source in runs:
        cfg = "hybrid" if name.startswith("sketchmoji") else "sketchy25"
        for trainer, own, seeds in (("FrozenCLIP", cfg, "7"), ("LayerNormCLIP", cfg, "78"), ("SpLIP", cfg, "78"),
                                    ("SpLIP", f"{cfg}_plus", "78")):  # fmt: skip
            for seed in seeds:
                model = f"{out}/{source}/{trainer}/{own}/seed{seed}" if source and trainer != "FrozenCLIP" else ""
                wanted.append((f"{out}/{name}/{trainer}/{own}/seed{seed}", own, name.split("-")[0], model))
    ran = [
        (
            value(call, "--output-dir"), Path(value(call, "--config-file")).stem,
            Path(value(call, "--dataset-config-file")).stem,
            value(call, "--model-dir") if "--model-dir" in call else "",
        )
        for call in trained
    ]  # fmt: skip
    assert sorted(ran) == sorted(wanted)
    assert all(model in [made for made, *_ in ran[:i]] for i, (*_, model) in enumerate(ran) if model), "trained before"
    for call in trained:
        assert (ROOT / value(call, "--config-file")).is_file() and value(call, "--root") == small["DATA"]
        cfg = train.setup_cfg(train.make_parser().parse_intermixed_args(call[1:]))
        assert cfg.DATASET.TEST_CLASSES == ("seen" if "-seen" in value(call, "--output-dir") else "unseen")
        assert cfg.TRAINER.PATCH_CACHE == f"{out}/tokens"
    tables = [call for call in calls if call[0] == "-m"]
    for call, names in zip(tables, shown):
        cfg = "hybrid" if names[0].startswith("sketchmoji") else "sketchy25"
        rows = [f"FrozenCLIP/{cfg}", f"LayerNormCLIP/{cfg}", f"SpLIP/{cfg}", f"SpLIP/{cfg}_plus"]
        folders = [f"{out}/{name}/{row}" for name in names for row in rows]
        assert call == ["-m", "splip", "table", *folders, "--intervals", "--csv", f"{out}/{names[0]}.csv"]
    assert len(tables) == len(shown)
