"""The published archives in small: every class under its true folder name, a few 32 x 32 images in each.

`root` is what `--root` takes. The defaults give, for each class,

    Sketchy    2 photos, 2 sketches of each, and the extension: both photos again, 1 photo more
    TUBerlin   2 sketches, 3 photos
    QuickDraw  2 sketches, 3 photos (and the stray `s.sh` of the true archive in one folder)
"""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Optional, Sequence

from PIL import Image, ImageDraw

import splip

SPLITS = Path(splip.__file__).parent / "assets" / "splits"
SKETCHY_SKETCHES = "Sketchy/256x256/sketch/tx_000000000000_ready"
SKETCHY_PHOTOS = "Sketchy/256x256/photo/tx_000000000000_ready"
SKETCHY_EXTENSION = "Sketchy/EXTEND_image_sketchy_ready"


def read_names(name: str) -> list:
    """The classes of a shipped list, as it spells them, in its order."""
    lines = (SPLITS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def make_sketchy(
    root, photos: int = 2, sketches: int = 2, extended: int = 1, classes: Optional[Sequence[str]] = None
) -> Path:
    """`sketches` of each of the `photos`; the extension holds those photos once more and `extended` others."""
    for number, name in enumerate(classes or read_names("sketchy_all")):
        for k in range(photos):
            photo, sketch = _pictures(number, k)
            file = f"n{2000000 + number:08d}_{k}"
            _write(root, SKETCHY_PHOTOS, name, f"{file}.jpg", photo)
            _write(root, SKETCHY_EXTENSION, name, f"{file}.jpg", photo)
            for times in range(1, sketches + 1):
                _write(root, SKETCHY_SKETCHES, name, f"{file}-{times}.png", sketch)
        for k in range(extended):
            _write(root, SKETCHY_EXTENSION, name, f"ext_{k}.jpg", photo)
    return Path(root)


def make_sketchy25(root) -> Path:
    """`root`/sketchy25 with every file of its list."""
    pictures = {name: _pictures(number) for number, name in enumerate(read_names("sketchy_all"))}
    for line in read_names("sketchy25"):
        modality, name, file = line.split("/")
        _write(root, f"sketchy25/{modality}", name, file, pictures[name][modality == "sketch"])
    return Path(root)


def as_archive(root, sketchy25, transform: str = "tx_000000000000_ready") -> Path:
    """`root`/Sketchy in the archive's layout, of the files in the folder `sketchy25` (linked, not copied)."""
    for modality in ("sketch", "photo"):
        place = Path(root, "Sketchy", "256x256", modality)
        place.mkdir(parents=True)
        (place / transform).symlink_to(Path(sketchy25, modality), target_is_directory=True)
    return Path(root)


def make_tuberlin(root, sketches: int = 2, photos: int = 3, classes: Optional[Sequence[str]] = None) -> Path:
    """Sketches are numbered through, as in the archive."""
    for number, name in enumerate(classes or read_names("tuberlin_all")):
        photo, sketch = _pictures(number)
        for k in range(sketches):
            _write(root, "TUBerlin/png_ready", name, f"{1 + number * sketches + k}.png", sketch)
        for k in range(photos):
            _write(root, "TUBerlin/ImageResized_ready", name, f"n{3000000 + number:08d}_{k}.JPEG", photo)
    return Path(root)


def make_quickdraw(root, sketches: int = 2, photos: int = 3, classes: Optional[Sequence[str]] = None) -> Path:
    """Sketches are named by their key, photos `image_<n>.jpg`."""
    for number, name in enumerate(classes or read_names("quickdraw_all")):
        photo, sketch = _pictures(number)
        for k in range(sketches):
            _write(root, "QuickDraw/sketches", name, f"{4503626191994880 + number * sketches + k}.png", sketch)
        for k in range(photos):
            _write(root, "QuickDraw/images", name, f"image_{1 + k:05d}.jpg", photo)
        if number == 0:
            _write(root, "QuickDraw/images", name, "s.sh", b"#!/bin/sh\n")
    return Path(root)


ZSE_LISTS = {  # split: folder of its lists, all classes, their files of sketches and of photos, those folders
    "sketchy_25_sake": (
        "Sketchy/zeroshot1", "sketchy_all", "sketch_tx_000000000000_ready_filelist", "all_photo_filelist",
        [SKETCHY_SKETCHES], [SKETCHY_PHOTOS, SKETCHY_EXTENSION],
    ),
    "tuberlin_30_sake": (
        "TUBerlin/zeroshot", "tuberlin_all", "png_ready_filelist", "ImageResized_ready_filelist",
        ["TUBerlin/png_ready"], ["TUBerlin/ImageResized_ready"],
    ),
    "quickdraw_30": (
        "QuickDraw/zeroshot", "quickdraw_all", "sketch", "all_photo", ["QuickDraw/sketches"], ["QuickDraw/images"],
    ),
}  # fmt: skip


def make_zse_lists(root, split: str, lists=None) -> Path:
    """ZSE-SBIR's file lists of a tree below `root`, written below `lists` (default: `root`) -> their folder.

    Like the true ones, they leave out a sketch of each seen class (its last).
    """
    where, everything, *stems, sketches, photos = ZSE_LISTS[split]
    folder, unseen = Path(lists or root, where), read_names(split)
    folder.mkdir(parents=True)
    seen = [name for name in read_names(everything) if name not in unseen]
    for classes, part, cid in ((seen, "train", "cname_cid.txt"), (unseen, "zero", "cname_cid_zero.txt")):
        (folder / cid).write_text("".join(f"{name} {label}\n" for label, name in enumerate(classes)))
        for stem, places in zip(stems, (sketches, photos)):
            lines = []
            for place in places:
                for label, name in enumerate(classes):
                    files = sorted(path for path in Path(root, place, name).iterdir() if path.suffix != ".sh")
                    listed = files[:-1] if places is sketches and part == "train" else files
                    below = place.split("/", 1)[1]
                    lines += [f"{below}/{name}/{path.name} {label}\n" for path in listed]
            (folder / f"{stem}_{part}.txt").write_text("".join(lines))
    return folder


def pack(root, name: str, archive, top: Optional[str] = None) -> Path:
    """Pack `root`/`name` (Sketchy, TUBerlin or QuickDraw) into `archive`, a .zip, .tar or .tar.gz.

    Args:
        top: folder at the top of the archive; default `name`, "" for none.
    """
    folder, archive = Path(root) / name, Path(archive)
    top = name if top is None else top
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    members = [(path, str(Path(top) / path.relative_to(folder))) for path in files]
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path, member in members:
                file.write(path, member)
    else:
        with tarfile.open(archive, "w:gz" if archive.suffix in (".gz", ".tgz") else "w") as file:
            for path, member in members:
                file.add(path, member)
    return archive


def _pictures(number: int, smaller: int = 0) -> tuple:
    """(JPEG, PNG) of one class: a filled shape in a colour of its own, and its outline; sizes differ."""
    encoded = []
    for kind, fill in (("JPEG", (number * 37 % 256, number * 91 % 256, number * 53 % 256)), ("PNG", None)):
        image, circle = Image.new("RGB", (32, 32), "white"), (16, 16, 12 - smaller % 4 * 3)
        ImageDraw.Draw(image).regular_polygon(circle, 3 + number % 9, number * 17, fill, "black")
        buffer = io.BytesIO()
        image.save(buffer, kind)
        encoded.append(buffer.getvalue())
    return tuple(encoded)


def _write(root, folder: str, classname: str, file: str, content: bytes) -> None:
    path = Path(root, folder, classname)
    path.mkdir(parents=True, exist_ok=True)
    (path / file).write_bytes(content)
