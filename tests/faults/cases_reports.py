"""More faults, a row each, after reports of people who do such work. As in cases.py."""

from __future__ import annotations

import json
import sys

import numpy as np
from cases import CANNOT, case, drawing_case, image_case, splip_case
from cases_disk import outside
from odd_pictures import BROKEN, SHOWN
from world import ROOT, draw

# ------------------------------------------------------------------------ pictures that viewers open


def odd(name):
    """A photo of training with the content of an odd file, under its suffix."""
    def put(path):
        path.unlink()
        path.with_suffix(name[name.index(".") :]).write_bytes({**SHOWN, **BROKEN}[name])

    return put


for name, what in (
    ("text.png", "PNG with 3 MB of packed text"), ("text_after.png", "the same behind its pixels"),
    ("texts.png", "PNG with 70 packed texts of 1 MB"), ("profile.png", "PNG with a colour profile of 5 MB"),
    ("checksum.png", "PNG with a wrong checksum in a text"), ("gamma.png", "PNG with a cut gamma chunk"),
    ("no_end.png", "PNG without its end mark"), ("exif_negative.jpg", "JPEG with EXIF with a negative number"),
    ("exif_text.webp", "WebP with EXIF that is none"), ("jfif.jpg", "JPEG with a cut JFIF segment"),
    ("grey_turned.tif", "an unpacked grey TIFF that lies on its side"),
):  # fmt: skip
    image_case("new", what, "OK", odd(name))
for name, what in (("ended.jpg", "JPEG with an end mark and nothing before"), ("lossless.jpg", "lossless JPEG"),
                   ("damaged.png", "PNG whose checksums are right and whose pixels are not")):  # fmt: skip
    image_case("new", what, CANNOT, odd(name))


# ------------------------------------------------------------------------ vague words


def written(content):
    return lambda path: path.write_bytes(content)


SVG = r"(it is an SVG drawing, which is not read: pip install resvg-py, or export it as PNG|the SVG |it is blank)"
drawing_case("new", "an empty SVG as a drawing", SVG, written(b"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'/>"))
drawing_case("new", "a damaged SVG as a drawing", SVG, written(b"<?xml version='1.0'?>\n<svg><path d='M 1"))
drawing_case("new", "an SVG with entities", SVG, written(b"<!DOCTYPE svg [<!ENTITY a 'aa'>]><svg>&a;</svg>"))
drawing_case("new", "a PDF as a drawing", "it is a PDF document, which is not read: export it as PNG", written(b"%PDF-1.4"))
drawing_case("new", "a HEIC as a drawing", r"(it is a HEIC picture, which is not read: pip install pillow-heif, or save|its content is none of)",
             written(b"\0\0\0\x18ftypheic" + bytes(99)))  # fmt: skip
drawing_case("new", "a PSD as a drawing", r"it is a Photoshop file \(PSD\), which is not read", written(b"8BPS\0\1" + bytes(40)))
drawing_case("new", "a web page as a drawing", "it is a web page, as a failed download leaves", written(b"<!DOCTYPE html>"))
drawing_case("new", "a drawing of 16-bit grey with one clear shade", "OK", written(SHOWN["wide_clear.png"]))


def class_case(what, says, old, new, kind="photo"):
    @case("new", what, says)
    def do(world):
        (world.data / kind / old).rename(world.data / kind / new)
        return world.train()


class_case("sketch/teapot, photo/teapot (toy)", r"seen class 'teapot' has no photo \(near: teapot toy\)", "teapot", "teapot (toy)")
class_case("sketch/fire-engine!, photo/fire engine", r"'fire engine!?' has no (photo|sketch) \(near: fire engine!?\)",
           "fire engine", "fire-engine!", "sketch")  # fmt: skip
class_case("the list's wheel is wheels among the photos", r"'wheels?' has no (photo|sketch) \(near: wheels?\)", "wheel", "wheels")


@case("new", "the list spells a class otherwise than the folders do", r"names classes that are not below .*'wheel'\] \(near: wheel toy\)")
def _(world):
    for kind in ("sketch", "photo"):
        (world.data / kind / "wheel").rename(world.data / kind / "wheel (toy)")
    return world.train()


@case("new", "photos of a class in PSD alone", r"has no images \(there is 1.psd.*\) \(PSD is not read: save as JPEG or PNG\)")
def _(world):
    for i in range(1, 5):
        world.sketch(i=i).rename(world.sketch(i=i).with_suffix(".psd"))
    return world.train()


# ------------------------------------------------------------------------ waiting without a word


@case("new", "a run's first step is announced", "OK: The first step has begun")
def _(world):
    return world.train()


@case("new", "bf16 on a CPU that is slow at it", "OK: train.py: warning: TRAINER.PREC bf16: this processor has no units")
def _(world):
    slow = "import runpy, sys; from splip.training import precision; precision.has_bf16_units = lambda: False\n"
    slow += "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    words = ["--root", world.data, "--backbone", world.clip, "--config-file", world.method, "--output-dir", world.out]
    words += ["--trainer", "SpLIP", "--dataset-config-file", ROOT / "configs/datasets/folder.yaml", "--seed", 1]
    words += ["DATASET.SPLIT", world.split, "TRAINER.PREC", "bf16"]
    done = outside(world, [sys.executable, "-c", slow, *map(str, [ROOT / "train.py", *words])], PYTHONPATH=str(ROOT))
    assert "UserWarning" not in done.err, done.err
    return done._replace(out=done.out + done.err)


# ------------------------------------------------------------------------ what a model was trained on


def saved(world):
    assert world.splip("export", "--model", world.run, "--output", world.folder / "saved", "--format", "pretrained").status == 0
    (world.folder / "data.yaml").write_text(
        f'DATASET: {{NAME: SBIRFolder, ROOT: "{world.data}"}}\nDATALOADER: {{NUM_WORKERS: 0}}\n'
    )
    return ["evaluate", "--model", world.folder / "saved", "--dataset-config-file", world.folder / "data.yaml",
            "--output-dir", world.out]  # fmt: skip


@case("new", "a saved model tested on classes of its training", r"2 of the 3 test classes were trained on \(cat, fire engine\)")
def _(world):
    words = saved(world)
    world.split.write_text("Cat\nfire-engine\nwheel\n")
    done = world.splip(*words, "DATASET.SPLIT", world.split)
    assert not (world.out / "results.json").exists(), "a number that is not zero-shot"
    return done


@case("new", "the same with --allow-seen", "OK: Not zero-shot: 1 of the 2 test classes were trained on")
def _(world):
    words = saved(world)
    world.split.write_text("cat\nwheel\n")
    done = world.splip(*words, "--allow-seen", "DATASET.SPLIT", world.split)
    assert json.loads((world.out / "results.json").read_text())["seen_test_classes"] == ["cat"]
    return done


# ------------------------------------------------------------------------ embeddings and encoders of one's own


def features_case(what, says, **changes):
    @case("new", f"--features: {what}", says)
    def do(world):
        rng = np.random.default_rng(0)
        arrays = {"query": rng.standard_normal((4, 8)), "gallery": rng.standard_normal((6, 8)),
                  "query_labels": np.array(["cat", "dog"] * 2), "gallery_labels": np.array(["cat", "dog"] * 3)}  # fmt: skip
        arrays.update(changes)
        np.savez(world.folder / "mine.npz", **{name: value for name, value in arrays.items() if value is not None})
        return world.splip("evaluate", "--features", world.folder / "mine.npz")


features_case("as it should be", "OK: min_r_k.*")
features_case("no labels", "has no array 'query_labels'", query_labels=None)
features_case("labels of another number", "gallery_labels has 2 entries for 6 embeddings", gallery_labels=np.arange(2))
features_case("labels that nothing shares", "no label of the queries .* is one of the gallery", query_labels=np.arange(4))
features_case("labels that are objects", "query_labels holds Python objects", query_labels=np.array(["a", 1, None, "b"], dtype=object))
features_case("NaN", "query embedding 0 holds NaN or infinity", query=np.full((4, 8), np.nan))
features_case("other widths", "must have the same size, got 8 and 5", gallery=np.ones((6, 5)))
splip_case("new", "--features of a run's folder", "no such file|No such file|is no .npz", "evaluate", "--features", "{run}")
splip_case("new", "--features with a data set", "--root would be ignored", "evaluate", "--features", "x.npz", "--root", "{folder}")


@case("new", "--encoder whose transform gives no tensor", r"transform failed on .*FILE.py:f is a function f\(device\)")
def _(world):
    (world.folder / "own.py").write_text("def f(device):\n    return (lambda i: i), (lambda p: p)\n")
    (world.folder / "data.yaml").write_text(f'DATASET: {{NAME: SBIRFolder, ROOT: "{world.data}"}}\n')
    draw(world.folder / "unused.png", 3, "sketch")
    return world.splip("evaluate", "--encoder", f"{world.folder / 'own.py'}:f", "--dataset-config-file",
                       world.folder / "data.yaml", "--output-dir", world.out, "DATASET.SPLIT", world.split)  # fmt: skip
