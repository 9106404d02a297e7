"""Faults and bad inputs, one a row: what was done, and what is said.

``number``: a row of the list that these grew from; "new" for what was added since. A case gets a
:class:`world.World` and returns what a command did. ``says``: a pattern of its one or two lines on stderr (status 2),
or "OK": status 0 and nothing lost; "OK: pattern" when the output must say something as well.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from typing import Callable, List, NamedTuple, Union

import numpy as np
import torch
from PIL import Image
from world import CLASSES, Outcome, World, draw


class Case(NamedTuple):
    number: Union[int, str]
    what: str
    do: Callable[[World], Outcome]
    says: str


CASES: List[Case] = []


def case(number, what, says):
    def keep(do):
        CASES.append(Case(number, what, do, says))
        return do

    return keep


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


# ------------------------------------------------------------------------ images and folders


def image_case(number, what, says, break_it, name="cat"):
    @case(number, what, says)
    def do(world):
        break_it(world.photo(name))
        return world.train()


def jpeg(path, keep=None, drop=0, mode="RGB"):
    Image.new(mode, (60, 52)).save(path.with_suffix(".jpg"), "JPEG")
    path.unlink()
    content = path.with_suffix(".jpg").read_bytes()
    path.with_suffix(".jpg").write_bytes(content[: keep or len(content) - drop])


def save(path, image, suffix=".png", **options):
    path.unlink()
    image.save(path.with_suffix(suffix), **options)


def wide_grey(path):
    save(path, Image.fromarray((np.arange(60 * 52, dtype=np.uint16) * 20).reshape(52, 60)))


CANNOT = r"cannot read image '.*1\.(png|jpg|gif|webp|tif)': "
image_case(1, "truncated JPEG (training photo)", CANNOT, lambda p: jpeg(p, keep=400))
image_case(2, "JPEG without its last 5 bytes", CANNOT, lambda p: jpeg(p, drop=5))
image_case(3, "zero-byte photo, training class", CANNOT + "the file is empty", lambda p: p.write_bytes(b""))
image_case(4, "zero-byte photo, unseen class", CANNOT + "the file is empty", lambda p: p.write_bytes(b""), "wheel")
image_case(5, "text file called .png", CANNOT + "its content is none of", lambda p: p.write_text("hello"))
image_case(7, "16-bit grey PNG", "OK", wide_grey)
image_case(10, "CMYK JPEG", "OK", lambda p: jpeg(p, mode="CMYK"))
image_case(11, "RGBA PNG", "OK", lambda p: save(p, Image.new("RGBA", (60, 52), (1, 2, 3, 100))))
image_case(12, "palette PNG with transparency", "OK",
           lambda p: save(p, Image.new("P", (60, 52)), transparency=0))  # fmt: skip
image_case(13, "animated GIF", "OK", lambda p: save(
    p, Image.new("P", (60, 52)), ".gif", save_all=True, append_images=[Image.new("P", (60, 52), 1)]))  # fmt: skip
image_case(14, "WebP", "OK", lambda p: save(p, Image.new("RGB", (60, 52)), ".webp"))
image_case(15, "1 x 1 pixels", "OK", lambda p: save(p, Image.new("RGB", (1, 1))))
image_case(16, "60,000 x 1 pixels", "OK", lambda p: save(p, Image.new("L", (60_000, 1))))
image_case("new", "floating-point TIFF", CANNOT + ".*no known range", lambda p: save(p, Image.new("F", (9, 9)), ".tif"))
image_case("new", "a GIF header alone", CANNOT, lambda p: p.write_bytes(b"GIF89a"))
image_case("new", "photo is a folder", r"photo/cat.*1.png|has no|OK", lambda p: (p.unlink(), p.mkdir()))


def bomb(path):
    """A PNG that says it is 20,000 x 20,000."""
    head = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + path.read_bytes()[33:])


image_case(19, "PNG that says 400 megapixels", CANNOT + ".*(more than|exceeds)", bomb)


@case(6, "text file called .png, NUM_WORKERS 2", CANNOT)
def _(world):
    world.photo().write_text("hello")
    return world.train("DATALOADER.NUM_WORKERS", 2)


@case(20, "._cat_1.jpg (macOS) and .hidden.jpg", "OK")
def _(world):
    (world.photo().parent / "._cat_1.jpg").write_bytes(b"mac")
    (world.photo().parent / ".hidden.jpg").write_bytes(b"x")
    return world.train()


@case(21, ".pdf in a class folder", r"OK: left out, no images: 1 \.pdf")
def _(world):
    (world.photo().parent / "notes.pdf").write_bytes(b"%PDF")
    return world.train()


@case(22, "3 of 4 photos are .jxl", r"OK: left out, no images: 3 \.jxl")
def _(world):
    for i in (2, 3, 4):
        world.photo(i=i).rename(world.photo(i=i).with_suffix(".jxl"))
    return world.train()


@case(23, "photos without suffix", r"photo/cat has no images \(there is 1, 2, 3, 4\)")
def _(world):
    for i in range(1, 5):
        world.photo(i=i).rename(world.photo(i=i).with_suffix(""))
    return world.train()


@case(24, "photos one folder deeper", r"photo/cat has no images \(there is the folder 'deep'\)")
def _(world):
    shutil.move(str(world.data / "photo" / "cat"), str(world.data / "x"))
    (world.data / "photo" / "cat").mkdir()
    shutil.move(str(world.data / "x"), str(world.data / "photo" / "cat" / "deep"))
    return world.train()


@case(25, "sketches without class folders", r"sketch has no class folders: expected")
def _(world):
    for path in sorted(world.data.glob("sketch/*")):
        shutil.rmtree(path)
    draw(world.data / "sketch" / "1.png", 3, "sketch")
    return world.train()


@case(26, "unicode and spaces in root, class, split, output", "OK")
def _(world):
    root = world.folder / "Räder 🎡 data"
    world.data.rename(root)
    for kind in ("sketch", "photo"):
        (root / kind / "wheel").rename(root / kind / "Räder 🎡")
    world.split = world.folder / "ungesehen é.txt"
    world.split.write_text("Räder 🎡\ntree\n", encoding="utf-8")
    return world.train(root=root, output_dir=world.folder / "o u t")


@case(29, "symlink loop inside a class (folder and file)", "OK: broken link|left out")
def _(world):
    os.symlink(".", world.photo().parent / "loop")
    os.symlink("loop.jpg", world.photo().parent / "loop.jpg")
    return world.train()


@case(31, "dangling symlink .jpg", "OK: left out")
def _(world):
    os.symlink("/nowhere/x.jpg", world.photo().parent / "gone.jpg")
    return world.train()


@case(33, "empty class folder, not in the list", r"sketch/spoon has no images \(there is nothing\)")
def _(world):
    for kind in ("sketch", "photo"):
        (world.data / kind / "spoon").mkdir()
    return world.train()


@case(35, "class in one modality only", r"seen class 'cat' has no sketch")
def _(world):
    shutil.rmtree(world.data / "sketch" / "cat")
    return world.train()


@case(36, "sketch/fire engine, photo/fire_engine", "OK")
def _(world):
    (world.data / "photo" / "fire engine").rename(world.data / "photo" / "Fire_Engine")
    return world.train()


@case(37, "cat and Cat, both seen", r"has 'Cat' and 'cat': both are class 'cat'")
def _(world):
    shutil.copytree(world.data / "photo" / "cat", world.data / "photo" / "Cat")
    return world.train()


@case(38, "cat seen and CAT unseen", r"both are class 'cat'")
def _(world):
    for kind in ("sketch", "photo"):
        shutil.copytree(world.data / kind / "cat", world.data / kind / "CAT")
    world.split.write_text("CAT\nwheel\ntree\n")
    return world.train()


@case(39, ".ipynb_checkpoints in photo/", "OK")
def _(world):
    (world.data / "photo" / ".ipynb_checkpoints").mkdir()
    return world.train()


@case(40, "class name of 120 words", r"too long for CLIP's text encoder: 'a photo of a x x")
def _(world):
    for kind in ("sketch", "photo"):
        (world.data / kind / "cat").rename(world.data / kind / ("x " * 100).strip())
    return world.train()


@case(42, "--root of a missing folder", r"no folder .*nowhere/sketch: expected")
def _(world):
    return world.train(root=world.folder / "nowhere")


@case(42, "--root one level too deep", r"no folder .*photo/sketch: expected")
def _(world):
    return world.train(root=world.data / "photo")


@case(43, "one seen class", r"too few seen classes to train on: \['cat'\]")
def _(world):
    world.split.write_text("\n".join(name for name in CLASSES if name != "cat"))
    return world.train()


# ------------------------------------------------------------------------ split file


def split_case(number, what, says, content):
    @case(number, what, says)
    def do(world):
        world.split.write_bytes(content if isinstance(content, bytes) else content.encode())
        return world.train()


split_case(46, "list names an absent class", r"names classes that are not below .*: \['unicorn'\]", "unicorn\nwheel\n")
split_case(47, "other case; hyphen for space", "OK", "Wheel\nFIRE-ENGINE\n")
split_case("new", "misspelt class", r"\['whel'\] \(near: wheel\)", "whel\n")
split_case(48, "UTF-8 with BOM", "OK", b"\xef\xbb\xbfwheel\ntree\n")
split_case(48, "UTF-16", "OK", "wheel\ntree\n".encode("utf-16"))
split_case("new", "bytes that are no text", r"unseen.txt is no text in UTF-8", b"wheel\n\xff\x81\n")
split_case(49, "CRLF", "OK", "wheel\r\ntree\r\n")
split_case("new", "comments, and the same class twice", "OK", "# unseen\nwheel # round\nwheel\ntree\n")
split_case(52, "empty list", "names no unseen class", "")
split_case(53, "every class unseen", r"too few seen classes to train on: \[\]", "\n".join(CLASSES))
split_case(54, "pseudo: names an unseen class", r"pseudo-unseen classes that are not seen classes: \['wheel'\]",
           "wheel\ntree\npseudo: wheel\n")  # fmt: skip


@case(55, "list not there", r"DATASET.SPLIT must be a text file .*; no file at")
def _(world):
    world.split = world.folder / "gone.txt"
    return world.train()


@case(56, "list file called 5", "OK")
def _(world):
    world.split.rename(world.folder / "5")
    world.split = "5"
    return world.train()


# ------------------------------------------------------------------------ config and arguments


def option_case(number, says, *words, what=""):
    @case(number, what or " ".join(map(str, words)), says)
    def do(world):
        return world.train(*words)


option_case(57, r"there is no setting 'OPTIM.LRR': did you mean OPTIM.LR\?", "OPTIM.LRR", 0.1)
option_case(57, r"there is no setting 'optim.lr': did you mean OPTIM.LR\?", "optim.lr", 0.1)
option_case(58, "OK", "OPTIM.LR", 0.002, "--seed", 3)
option_case(59, "OK", "OPTIM.LR=0.002")
option_case(59, "the last setting has no value: 'OPTIM.LR'", "OPTIM.LR")
option_case(60, "OPTIM.LR wants a number, got 'abc'", "OPTIM.LR", "abc")
option_case(60, "USE_BT wants True or False, got 'no'", "TRAINER.SPLIP.USE_BT", "no")
option_case(60, "VISUAL_PROMPTS wants a whole number, got 2.5", "TRAINER.SPLIP.VISUAL_PROMPTS", 2.5)
option_case(61, "OK", "TRAINER.SPLIP.ALPHA", 0)
option_case(62, "INPUT.SIZE is .64, 64., but backbone .* takes 48 x 48", "INPUT.SIZE", "(64,64)")
option_case(62, "INPUT.SIZE wants a tuple", "INPUT.SIZE", 96)
option_case(64, "BATCH_SIZE is 17, but there are only 16", "DATALOADER.TRAIN_X.BATCH_SIZE", 17)
option_case(66, "TRAIN_X.BATCH_SIZE must be at least 1, got 0", "DATALOADER.TRAIN_X.BATCH_SIZE", 0)
option_case(66, "TEST.BATCH_SIZE must be at least 1, got 0", "DATALOADER.TEST.BATCH_SIZE", 0)
option_case(69, "OPTIM.MAX_EPOCH must be at least 1, got 0", "OPTIM.MAX_EPOCH", 0)
option_case(70, "OPTIM.MAX_EPOCH must be at least 1, got -3", "OPTIM.MAX_EPOCH", -3)
option_case(71, "(?i)invalid learning rate: -0.1|LR", "OPTIM.LR", -0.1)
option_case(72, "the loss is not finite in epoch", "OPTIM.LR", 1e30, "OPTIM.MAX_EPOCH", 3)
option_case(74, "GRID must be at most 10, got 200", "TRAINER.SPLIP.GRID", 200)
option_case(75, "PERMUTATIONS must be at most 5,000", "TRAINER.SPLIP.PERMUTATIONS", 10**9)
option_case(75, "TRAINER.SPLIP.ALPHA must be at least 0, got -1.0", "TRAINER.SPLIP.ALPHA", -1.0)
option_case(75, r"INPUT.TRANSFORMS must be of .*, got \['colour'\]", "INPUT.TRANSFORMS", "['colour']")
option_case(75, "TRAINER.PREC must be one of .*, got 'FP32'", "TRAINER.PREC", "FP32")
option_case(75, "TRAINER.PREC fp16 needs a CUDA device|OK", "TRAINER.PREC", "fp16")
option_case(83, "best_val needs pseudo-unseen classes", "TEST.FINAL_MODEL", "best_val")
option_case(84, "DATASET.SETTING", "DATASET.SETTING", "fg")
option_case(84, "DATASET.GALLERY", "DATASET.GALLERY", "all")
option_case("new", "TEST.FINAL_MODEL must be one of", "TEST.FINAL_MODEL", "best")
option_case("new", "OPTIM.GRAD_CLIP must be at least 0, got -1.0", "OPTIM.GRAD_CLIP", -1)
option_case("new", "WARMUP_STEPS needs OPTIM.BY_STEP True", "OPTIM.WARMUP_STEPS", 5)
option_case("new", "OPTIM.AVERAGE_EPOCHS must be 0 to 1, got 4", "OPTIM.AVERAGE_EPOCHS", 4)
option_case("new", "SKETCH_VIEWS and INPUT.PHOTO_VIEWS go together", "INPUT.SKETCH_VIEWS", 2)
option_case("new", "PATCH_CACHE keeps the patch embeddings of fixed views", "TRAINER.PATCH_CACHE", "memory")
option_case("new", "INPUT.RESIZE must be one of", "INPUT.RESIZE", "stretch")
option_case("new", "PIXEL_MEAN must be CLIP's", "INPUT.PIXEL_MEAN", "[0.5,0.5,0.5]")
option_case("new", "leaves nothing to train", "TRAINER.SPLIP.LAYERNORM", "none", "TRAINER.SPLIP.USE_BT", "False",
            "TRAINER.SPLIP.USE_BV", "False", "TRAINER.SPLIP.USE_BVT", "False")  # fmt: skip
option_case("new", "CONTRASTIVE_TEMPERATURE must be above 0", "TRAINER.SPLIP.CONTRASTIVE_TEMPERATURE", 0)
option_case("new", "PROTOTYPE_MOMENTUM must lie in", "TRAINER.SPLIP.PROTOTYPE_MOMENTUM", 1.0)
option_case("new", "DISTANCE must be one of", "TRAINER.SPLIP.DISTANCE", "l1")
option_case("new", "NUM_WORKERS must be at least -1", "DATALOADER.NUM_WORKERS", -2)
option_case("new", "OPTIM.NAME|optim", "OPTIM.NAME", "adamm")
option_case("new", "LR_SCHEDULER|scheduler", "OPTIM.LR_SCHEDULER", "cosin")
option_case("new", "RRCROP_SCALE must be 0 < low <= high <= 1", "INPUT.RRCROP_SCALE", "(0.9,0.2)",
            "INPUT.TRANSFORMS", "['random_resized_crop']")  # fmt: skip


@case(63, "vit_b32.yaml with a backbone of 48 pixels", r"INPUT.SIZE is .224, 224., but backbone")
def _(world):
    from world import ROOT

    return world.train(config_file=ROOT / "configs/trainers/SpLIP/vit_b32.yaml")


@case(77, "--seed -1", r"OK")
def _(world):
    done = world.train(seed=-1)
    assert json.loads((world.out / "results.json").read_text())["seed"] >= 0
    return done


@case(76, "--seed abc", r"argument --seed: invalid int value: 'abc'")
def _(world):
    return world.train(seed="abc")


@case(76, "--outputdir", r"unrecognized arguments: --outputdir|there is no setting '--outputdir'|no value")
def _(world):
    return world.train("--outputdir", "x")


@case(78, "trainer splip", r"(?i)splip.*(did you mean|one of|not known|registered)")
def _(world):
    return world.train(trainer="splip")


@case(78, "a text file as backbone", r"is damaged or no weight file")
def _(world):
    world.clip.write_text("hello")
    return world.train()


@case(78, "backbone RN50", r"has a ResNet vision tower")
def _(world):
    return world.train(backbone="RN50")


@case(78, "an unknown backbone", r"'TinyClip' is neither a file nor one of \['splip-hybrid'")
def _(world):
    return world.train(backbone="TinyClip")


@case(80, "weight file that lacks a tensor", r"does not hold a CLIP in OpenAI's layout")
def _(world):
    state = torch.load(world.clip, weights_only=True)
    del state["ln_final.bias"]
    torch.save(state, world.clip)
    return world.train()


@case(81, "--config-file missing", r"no config file '.*nope.yaml'")
def _(world):
    return world.train(config_file=world.folder / "nope.yaml")


@case(81, "--config-file no YAML", r"is no YAML of keys")
def _(world):
    world.method.write_text("a: [")
    return world.train()


@case("new", "--config-file is Python", r"a config file must end in .yaml")
def _(world):
    (world.folder / "evil.py").write_text("open('/tmp/evil', 'w')")
    return world.train(config_file=world.folder / "evil.py")


@case(82, "no --config-file at all", r"INPUT.INTERPOLATION must be 'bicubic'.*was a method's file \(--config-file\) given")
def _(world):
    return world.train(config_file=None)


@case("new", "no --trainer at all", r"(?i)trainer")
def _(world):
    return world.train(trainer=None)


# ------------------------------------------------------------------------ runs, checkpoints, folders


@case(86, "--eval-only without --seed", r"OK")
def _(world):
    done = world.train("--eval-only", "--model-dir", world.run, seed=None)
    assert json.loads((world.out / "results.json").read_text())["seed"] == 1
    return done


@case(87, "--eval-only without --model-dir", r"no checkpoint folder was given \(--model-dir\)")
def _(world):
    return world.train("--eval-only")


@case(87, "--eval-only --load-epoch 7", r"no checkpoint at .*model.pth.tar-7")
def _(world):
    return world.train("--eval-only", "--model-dir", world.run, "--load-epoch", 7)


@case(88, "--resume of a missing folder", r"'nowhere' is no run's output folder")
def _(world):
    return world.bare("--resume", "nowhere")


@case(89, "--resume DIR alone", r"OK: 1 of 1 epochs are done")
def _(world):
    return world.bare("--resume", world.run)


@case(93, "start again in a finished folder", r"OK: 1 of 1 epochs are done")
def _(world):
    return world.train(output_dir=world.run)


@case(170, "other settings in a finished folder", r"OPTIM.LR: checkpoint 0.001, here 0.5")
def _(world):
    return world.train("OPTIM.LR", 0.5, output_dir=world.run)


@case(171, "--skip-finished with other settings", r"holds the results of another run \(OPTIM.LR 0.001 then, 0.5 now")
def _(world):
    return world.train("OPTIM.LR", 0.5, "--skip-finished", output_dir=world.run)


@case("new", "--skip-finished with the same settings", r"OK: Finished before")
def _(world):
    return world.train("--skip-finished", output_dir=world.run)


@case("new", "FrozenCLIP into SpLIP's folder", r"holds the results of another run")
def _(world):
    shutil.rmtree(world.run / "splip")
    return world.train(trainer="FrozenCLIP", output_dir=world.run)


@case(95, "results.json of 0 bytes, --skip-finished", r"OK: is damaged .*it is made again")
def _(world):
    (world.run / "results.json").write_text("")
    return world.train("--skip-finished", output_dir=world.run)


@case(96, "checkpoint cut", r"is damaged or no checkpoint")
def _(world):
    cut(world.run / "splip" / "model.pth.tar-1", 1000)
    return world.train(output_dir=world.run)


@case(98, "checkpoint is a pickle that runs code", r"is damaged or no checkpoint")
def _(world):
    import pickle

    class Evil:
        def __reduce__(self):
            return (os.system, ("touch evil",))

    (world.run / "splip" / "model.pth.tar-1").write_bytes(pickle.dumps(Evil()))
    done = world.train(output_dir=world.run)
    assert not (world.folder / "evil").exists()
    return done


@case(99, "a bit of a weight flipped", r"is damaged or no checkpoint: its part .* is not what was written")
def _(world):
    path = world.run / "splip" / "model.pth.tar-1"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    return world.train(output_dir=world.run)


@case(101, "pointer file gone", r"checkpoint is missing, beside model.pth.tar-1: write the newest name to it")
def _(world):
    (world.run / "splip" / "checkpoint").unlink()
    return world.train(output_dir=world.run)


@case(102, "checkpoint of another trainer", r"TRAINER.SPLIP.USE_BT: checkpoint True, here False")
def _(world):
    return world.train(trainer="LayerNormCLIP", output_dir=world.run)


@case(104, "another backbone with the same patch convolution", r"backbone.weights: checkpoint")
def _(world):
    state = torch.load(world.clip, weights_only=True)
    state["ln_final.bias"] += 1
    torch.save(state, world.clip)
    return world.train("--eval-only", "--model-dir", world.run)


@case(105, "images added between kill and resume", r"data: checkpoint [0-9a-f]+, here [0-9a-f]+")
def _(world):
    draw(world.photo(i=9), 3, "photo", 9)
    return world.train(output_dir=world.run)


@case(106, "checkpoint of a newer version", r"settings that this splip does not know: NEW_KEY")
def _(world):
    path = world.run / "splip" / "model.pth.tar-1"
    state = torch.load(path, weights_only=True)
    state["model"]["settings"]["NEW_KEY"] = 1
    torch.save(state, path)
    return world.train("--eval-only", "--model-dir", world.run)


@case("new", "checkpoint of a later schema", r"was written by another version of splip \(schema 99")
def _(world):
    path = world.run / "splip" / "model.pth.tar-1"
    torch.save({**torch.load(path, weights_only=True), "schema": 99}, path)
    return world.train("--eval-only", "--model-dir", world.run)


@case(108, "output is a file", r"(?i)exists|not a directory")
def _(world):
    world.out.write_text("")
    return world.train()


@case(121, "half of the pixel cache zeroed", r"is damaged: array .* is not what was written; remove the file")
def _(world):
    cache = world.folder / "cache"
    done = world.train("DATASET.PIXEL_CACHE", cache)
    assert done.status == 0, done.err
    raw = next(cache.glob("*.raw"))
    raw.write_bytes(b"\0" * raw.stat().st_size)
    return world.train("DATASET.PIXEL_CACHE", cache, output_dir=world.folder / "again")


@case(121, "two index lines of the pixel cache swapped", r"is damaged: array")
def _(world):
    cache = world.folder / "cache"
    world.train("DATASET.PIXEL_CACHE", cache)
    index = next(cache.glob("*.jsonl"))
    lines = index.read_text().splitlines()
    sums, rest = [line[:9] for line in lines], [line[9:] for line in lines]
    index.write_text("".join(f"{s}{r}\n" for s, r in zip(sums[::-1], rest)))
    return world.train("DATASET.PIXEL_CACHE", cache, output_dir=world.folder / "again")


@case(123, "pixel cache is a file", r"(?i)exists|not a directory")
def _(world):
    (world.folder / "cache").write_text("")
    return world.train("DATASET.PIXEL_CACHE", world.folder / "cache")


# ------------------------------------------------------------------------ splip


def splip_case(number, what, says, *words):
    @case(number, what, says)
    def do(world):
        named = {"run": world.run, "photos": world.data / "photo", "sketch": world.sketch(), "folder": world.folder}
        return world.splip(*[str(word).format(**named) for word in words])


SEARCH = ("search", "{sketch}", "--model", "{run}", "--photos", "{photos}", "--index", "{folder}/index")
splip_case("new", "search a run's model", "OK: cat", *SEARCH)
splip_case(143, "search an empty folder", "no folder .*empty|there are no photos in the index", "search", "{sketch}", "--model",
           "{run}", "--photos", "{folder}/empty", "--index", "{folder}/index")  # fmt: skip
splip_case(150, "search with a missing run", "no model at .*nowhere", "search", "{sketch}", "--model", "{folder}/nowhere")
splip_case(150, "search with the parent of runs", "is no folder of save_pretrained or of a run", "search", "{sketch}", "--model", "{folder}")
splip_case(152, "search --top 0", "--top must be at least 1, got 0", *SEARCH, "--top", "0")
splip_case(153, "search --top 2000", "OK", *SEARCH, "--top", "2000")
splip_case(154, "search --device cuda without a GPU", "device 'cuda' cannot be used here|OK", *SEARCH, "--device", "cuda")
splip_case(155, "search --device banana", "device 'banana' cannot be used here", *SEARCH, "--device", "banana")
splip_case(158, "search --sheet on a photo", "is there already, and no sheet of splip", *SEARCH, "--sheet",
           "{photos}/cat/1.png")  # fmt: skip
splip_case(162, "export to an unknown format", "invalid choice: 'pth'", "export", "--model", "{run}", "--output", "x",
           "--format", "pth")  # fmt: skip
splip_case(163, "export a missing run", "no model at 'nowhere'", "export", "--model", "nowhere", "--output", "x")
splip_case(163, "export into a file", "(?i)exists", "export", "--model", "{run}", "--output", "{folder}/clip.pt", "--format",
           "pt2")  # fmt: skip
splip_case(167, "evaluate with a wrong key", r"no setting 'DATASET.SETING': did you mean DATASET.SETTING\?", "evaluate",
           "--run", "{run}", "--output-dir", "{folder}/e", "DATASET.SETING", "gzs")  # fmt: skip
splip_case(168, "evaluate into the run's own folder", "is the run's own folder", "evaluate", "--run", "{run}",
           "--output-dir", "{run}", "DATASET.SETTING", "gzs")  # fmt: skip
splip_case("new", "evaluate a run in another setting", "OK", "evaluate", "--run", "{run}", "--output-dir", "{folder}/e",
           "DATASET.SETTING", "gzs")  # fmt: skip
splip_case("new", "table of a folder without results", "no results.json below", "table", "{folder}/data")
splip_case("new", "search without a question", "what is to be searched for", "search", "--model", "{run}")
splip_case("new", "search --text-weight 7", r"text_weight must lie in", *SEARCH, "--text", "cat", "--text-weight", "7")
splip_case("new", "forget a folder that was not added", "is none of the folders that were added", "index", "--forget",
           "{photos}", "--model", "{run}", "--index", "{folder}/index")  # fmt: skip
splip_case("new", "export a run whole", "OK", "export", "--model", "{run}", "--output", "{folder}/saved", "--format",
           "pretrained")  # fmt: skip
splip_case("new", "no such command", "no command 'serach'", "serach")
splip_case("new", "index a file", "no folder", "index", "{sketch}", "--index", "{folder}/index")
splip_case("new", "index with a foreign engine", "invalid choice: 'annoy'", "index", "{photos}", "--engine", "annoy")
splip_case("new", "milvus without --uri", "--engine milvus and --uri go together", "index", "{photos}", "--engine", "milvus",
           "--model", "{run}")  # fmt: skip
splip_case("new", "data check of an unknown name", "invalid choice", "data", "check", "Sketchi", "--root", "{folder}")
splip_case("new", "data download without an archive", "no archive at", "data", "download", "Sketchy", "--root", "{folder}",
           "--archive", "{folder}/gone.zip")  # fmt: skip


@case(145, "one broken JPEG among the photos", r"OK: 1 unreadable")
def _(world):
    world.photo().write_bytes(b"\xff\xd8\xff broken")
    return world.splip("index", world.data / "photo", "--model", world.run, "--index", world.folder / "index")


@case(146, ".pdf, .mpg, ._x.png, folder album.png, looped link among the photos", r"OK: no images: .*\.(pdf|mpg)")
def _(world):
    folder = world.photo().parent
    (folder / "a.pdf").write_bytes(b"%PDF")
    (folder / "a.mpg").write_bytes(b"x")
    (folder / "._x.png").write_bytes(b"x")
    (folder / "album.png").mkdir()
    os.symlink("loop.png", folder / "loop.png")
    return world.splip("index", world.data / "photo", "--model", world.run, "--index", world.folder / "index")


def drawing_case(number, what, says, make):
    @case(number, what, says)
    def do(world):
        make(world.folder / "drawing.png")
        return world.splip("search", world.folder / "drawing.png", "--model", world.run, "--photos",
                           world.data / "photo", "--index", world.folder / "index")  # fmt: skip


def inverted(path):
    from PIL import ImageOps

    draw(path, 3, "sketch")
    ImageOps.invert(Image.open(path)).save(path)


drawing_case(147, "drawing is no image", "cannot read image", lambda p: p.write_text("x"))
drawing_case(148, "white drawing", "nothing is drawn on it: it is blank", lambda p: Image.new("RGB", (60, 60), "white").save(p))
drawing_case(148, "black drawing", "nothing is drawn on it: it is blank", lambda p: Image.new("RGB", (60, 60)).save(p))
drawing_case(149, "inverted drawing", "OK", inverted)


@case(151, "search with a FrozenCLIP run", "OK")
def _(world):
    done = world.train(trainer="FrozenCLIP", output_dir=world.folder / "frozen")
    assert done.status == 0, done.err
    return world.splip("search", world.sketch(), "--model", world.folder / "frozen", "--photos", world.data / "photo",
                       "--index", world.folder / "index")  # fmt: skip


@case(159, "config.yaml of a run missing", "is no run's output folder: there is no")
def _(world):
    (world.run / "config.yaml").unlink()
    return world.splip("evaluate", "--run", world.run, "--output-dir", world.out)


@case("new", "splip.json of a run missing", "is no folder of save_pretrained or of a run: there is no")
def _(world):
    (world.run / "splip.json").unlink()
    return world.splip("search", world.sketch(), "--model", world.run)


@case("new", "a run's backbone moved", r"gone.pt' is neither a file nor one of")
def _(world):
    path = world.run / "splip.json"
    about = json.loads(path.read_text())
    path.write_text(json.dumps({**about, "backbone": {**about["backbone"], "name": "gone.pt"}}))
    world.clip.rename(world.folder / "moved.pt")
    done = world.splip("export", "--model", world.run, "--output", "x", "--format", "pretrained")
    assert world.splip("export", "--model", world.run, "--backbone", world.folder / "moved.pt", "--output", "y",
                       "--format", "pretrained").status == 0  # fmt: skip
    return done


@case("new", "table of two experiments as seeds of one", r"seeds \[1, 2\] are of different experiments \(OPTIM.LR")
def _(world):
    world.train(output_dir=world.folder / "runs" / "a")
    world.train("OPTIM.LR", 0.01, seed=2, output_dir=world.folder / "runs" / "b")
    return world.splip("table", world.folder / "runs")


@case("new", "a second run into a folder that one is writing", r"another run is writing into")
def _(world):
    from filelock import FileLock

    world.out.mkdir()
    with FileLock(str(world.out / "running.lock")):
        return world.train()


@case(192, "library: class names as one string", r"classnames must be a list")
def _(world):
    from splip import SpLIP, load_clip
    from splip.common.errors import guarded

    return world.command("library", lambda: guarded("library", lambda: SpLIP(load_clip(world.clip), "cat") and None))


@case(193, "library: wrong modality", r"modality must be one of \('sketch', 'photo'\), got 'drawing'")
def _(world):
    from splip import load_model
    from splip.common.errors import guarded

    images = [Image.new("RGB", (60, 60))]
    return world.command("library", lambda: guarded("library", lambda: load_model(world.run).embed(images, "drawing") and None))
