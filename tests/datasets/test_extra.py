"""More training sketches of seen classes: nothing of a class that is tested may enter."""

import random

import pytest
from conftest import make_tiny_clip_file
from tiny_benchmarks import make_quickdraw, make_sketchy, make_tuberlin
from tiny_sbir import tiny_cfg
from tiny_strokes import write_strokes

import splip
from splip.common.modalities import SKETCH
from splip.data.archives import QUICKDRAW, SKETCHY, find_split
from splip.data.checking import check_images
from splip.data.sources import quickdraw_words
from splip.data.strokes import PEN
from splip.engine import build_dataset, build_trainer, get_cfg_default

DRAWINGS = 3  # of each word
SPLIT = find_split(SKETCHY, "sketchy_21_yelamarthi")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Sketchy, TU-Berlin and QuickDraw in small; three drawings of each of QuickDraw's words in `strokes`."""
    root = tmp_path_factory.mktemp("data")
    for make in (make_sketchy, make_tuberlin, make_quickdraw):
        make(root)
    for word in quickdraw_words():
        write_strokes(root / "strokes" / f"{word}.ndjson", word, DRAWINGS)
    (root / "strokes" / "source.json").write_text("{}")
    return root


def config(root, *opts, name="Sketchy2", extra="strokes", final="last_step"):
    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    cfg.merge_from_list(["DATASET.ROOT", str(root), "DATASET.NAME", name, "TEST.FINAL_MODEL", final])
    cfg.merge_from_list(["DATASET.EXTRA_SKETCHES", str(root / extra) if extra else ""])
    cfg.merge_from_list([word if i % 2 else f"DATASET.{word}" for i, word in enumerate(opts)])
    return cfg


def build(*args, **kwargs):
    return build_dataset(config(*args, **kwargs))


def drawn(items):
    return [item for item in items if item.spec is not None]


def test_only_seen_classes_are_drawn_more(root, capsys):
    data = build(root)
    said = capsys.readouterr().out
    extra, classes = drawn(data.train_x), {item.classname for item in drawn(data.train_x)}
    assert classes <= set(SPLIT.seen) and not classes & set(SPLIT.unseen), classes & set(SPLIT.unseen)
    # 95 of Sketchy's classes are among QuickDraw's words, 97 with motorbike and crocodile; 16 of them are unseen.
    assert (len(classes), len(extra)) == (81, 81 * DRAWINGS)
    assert {"motorcycle", "crocodilian"} <= classes
    assert "243 more training sketches of 81 seen classes; 16 classes that are tested and 248 that Sketchy has" in said
    assert all(item.domain == SKETCH and item.spec.pen == PEN for item in extra)
    assert not drawn(data.test_queries) and not drawn(data.test_gallery)
    plain = build(root, extra="")
    assert [item.impath for item in data.test_queries] == [item.impath for item in plain.test_queries]
    assert len(data.train_x) == len(plain.train_x) + len(extra) and data.classnames == plain.classnames


@pytest.mark.parametrize("split", ["sketchy_25_sake", "sketchy_25_sempcyc"])
def test_under_every_class_list(root, split):
    data = build(root, "SPLIT", split)
    classes, unseen = {item.classname for item in drawn(data.train_x)}, set(find_split(SKETCHY, split).unseen)
    assert len(classes) > 70 and not classes & unseen, classes & unseen


def test_a_file_named_as_its_maker_likes(root, tmp_path):
    """An unseen class's drawings stay out under any spelling of the class."""
    for name in ("SCISSORS.NDJSON", "Sword.ndjson", "pear.ndjson"):
        write_strokes(tmp_path / "all" / name)
    write_strokes(tmp_path / "all" / "hot-air_balloon.ndjson", "hot air balloon")
    data = build(root, "EXTRA_SKETCHES", str(tmp_path / "all"))
    assert {item.classname for item in drawn(data.train_x)} == {"hot air balloon"}


def test_they_never_ask(root):
    """Rules that draw queries among seen sketches draw the same as without them."""
    opts = ("SETTING", "gzs", "GALLERY", "sampled_20")
    with_them, without = build(root, *opts), build(root, *opts, extra="")
    assert drawn(with_them.train_x) and not drawn(with_them.test_queries)
    for name in ("test_queries", "test_gallery"):
        assert [i.impath for i in getattr(with_them, name)] == [i.impath for i in getattr(without, name)]


def test_classes_that_select_the_model_are_left_out(root):
    with_them, without = build(root, final="best_val"), build(root, extra="", final="best_val")
    held = set(SPLIT.pseudo)
    assert held & {item.classname for item in drawn(build(root).train_x)}, "else this shows nothing"
    assert drawn(with_them.train_x) and not held & {item.classname for item in with_them.train_x}
    assert [i.impath for i in with_them.val_queries] == [i.impath for i in without.val_queries]


def test_across_data_sets_classes_of_the_target_are_left_out(root):
    tested = set(find_split(QUICKDRAW, "quickdraw_30").unseen)
    opts = ("SETTING", "cross", "TARGET", "quickdraw_30", "GALLERY", "all_unseen")
    data = build(root, *opts, name="Sketchy1")
    assert tested & set(data.classnames), "else this shows nothing"
    assert drawn(data.train_x) and not tested & {item.classname for item in drawn(data.train_x)}


def test_pictures_in_class_folders_and_a_limit(root):
    data, plain = build(root, extra="TUBerlin/png_ready"), build(root, extra="")
    extra = {item.impath for item in data.train_x} - {item.impath for item in plain.train_x}
    assert extra and all("TUBerlin/png_ready" in path for path in extra)
    classes = {item.classname for item in data.train_x if item.impath in extra}
    assert classes <= set(SPLIT.seen) and len(extra) == 2 * len(classes) > 100
    assert len(drawn(build(root, "EXTRA_PER_CLASS", 2).train_x)) == 81 * 2
    one = build(root, "EXTRA_PER_CLASS", 1, extra="TUBerlin/png_ready")
    assert len(one.train_x) == len(plain.train_x) + len(classes)
    assert drawn(build(root, "STROKE_MARGIN", 0.0).train_x)[0].spec.pen == PEN._replace(margin=0.0)


@pytest.mark.parametrize(
    ("opts", "message"),
    [
        (("EXTRA_SKETCHES", "nowhere"), r"DATASET\.EXTRA_SKETCHES: no folder 'nowhere'"),
        (("EXTRA_PER_CLASS", -1), r"DATASET\.EXTRA_PER_CLASS must be at least 0, got -1"),
        (("SETTING", "fg"), r"does not read DATASET\.EXTRA_SKETCHES in the setting fg"),
        (("STROKE_WIDTH", 0.0), "STROKE_WIDTH must be above 0"),
        (("EXTRA_SKETCHES", "", "STROKE_WIDTH", 5.0), r"does not read DATASET\.STROKE_WIDTH"),
        (("EXTRA_SKETCHES", "", "EXTRA_PER_CLASS", 5), r"does not read DATASET\.EXTRA_PER_CLASS"),
    ],
)
def test_keys_that_would_be_ignored(root, opts, message):
    with pytest.raises(ValueError, match=message):
        build(root, *opts)


def test_stroke_keys_need_strokes(root):
    with pytest.raises(ValueError, match=r"STROKE_\*: .*png_ready has no drawings of strokes"):
        build(root, "STROKE_WIDTH", 5.0, extra="TUBerlin/png_ready")


def test_files_that_are_not_what_they_say(root, tmp_path):
    def refused(message):
        with pytest.raises(ValueError, match=message):
            build(root, "EXTRA_SKETCHES", str(tmp_path))

    (tmp_path / "notes.txt").write_text("nothing")
    refused("has no sketches of classes that are trained on")
    write_strokes(tmp_path / "sword.ndjson", "sword")  # unseen
    refused("has no sketches of classes that are trained on")
    write_strokes(tmp_path / "ant.ndjson", "sword")  # an unseen class's drawings under a seen one's name
    refused(r"ant\.ndjson: drawing 1 shows 'sword', which is not class 'ant'")
    write_strokes(tmp_path / "ant.ndjson", "ant")
    write_strokes(tmp_path / "Ant.NDJSON", "ant")
    refused("are both 'ant'")
    (tmp_path / "Ant.NDJSON").unlink()
    (tmp_path / "ant.ndjson").write_text('{"drawing": [[[1], [2]]]}\n{"drawing"')
    refused(r"ant\.ndjson:2: no line of JSON")


def test_other_data_sets_refuse_it(root):
    with pytest.raises(ValueError, match=r"does not read DATASET\.EXTRA_SKETCHES"):
        build(root, name="Sketchmoji")


def test_a_run_trains_on_them(root, tmp_path):
    clip = make_tiny_clip_file(tmp_path / "clip.pt")
    opts = ("DATASET.NAME", "Sketchy2", "DATASET.EXTRA_SKETCHES", str(root / "strokes"))
    cfg = tiny_cfg(root, clip, tmp_path / "out", *opts, "INPUT.TRANSFORMS", ("stroke_drop", "stroke_jitter"))
    trainer = build_trainer(cfg)
    data = trainer.train_loader_x.dataset
    items = [data.images.items[position] for position in data.sketches]
    assert sum(item.spec is not None for item in items) == 81 * DRAWINGS
    check_images(item.impath for part in trainer.dataset.lists() for item in part)
    index = random.Random(0).choice([k for k, item in enumerate(items) if item.spec is not None])
    first, second = (data[epoch, index] for epoch in (0, 1))
    assert first["label"] == items[index].label and (first["sketch"] != second["sketch"]).any()
