"""Builds splip/assets/sketchmoji from six npm packages, byte for byte.

    pip install -e . -r tools/sketchmoji/requirements.txt
    python tools/sketchmoji/build.py --check              # build aside and compare with what is shipped
    python tools/sketchmoji/build.py                      # build in place
    python tools/sketchmoji/build.py --packages node_modules --output somewhere

Needs npm, unless --packages names a folder that holds the packages already. Cards and licence texts are not built.
"""
from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Dict, List

from names import EmojiClass, choose_classes
from render import SIZE, draw, iconify_svg, openmoji_svg, png_bytes, to_photo, to_sketch
from scenes import SCENES, draw_scenes
from splits import make_splits

ASSETS = Path(__file__).resolve().parents[2] / "splip" / "assets" / "sketchmoji"
NOT_BUILT = ("CARD.md", "SOURCES.md", "reference.json", "licences", "SHA256SUMS")
PHOTOS, SKETCHES = ["noto", "twemoji", "fxemoji"], ["openmoji", "fluent", "emojione"]
PACKAGES = {                                       # artist: (npm package, version)
    "noto": ("@iconify-json/noto", "1.2.9"),
    "twemoji": ("@iconify-json/twemoji", "1.2.5"),
    "fxemoji": ("@iconify-json/fxemoji", "1.2.2"),
    "openmoji": ("openmoji", "17.0.0"),
    "fluent": ("@iconify-json/fluent-emoji-high-contrast", "1.2.6"),
    "emojione": ("@iconify-json/emojione-monotone", "1.2.1"),
}


def fetch(folder: Path) -> Path:
    """Download and unpack the pinned packages under `folder`, laid out as in node_modules."""
    for package, version in PACKAGES.values():
        subprocess.run(["npm", "pack", "--silent", "--pack-destination", str(folder), f"{package}@{version}"],
                       check=True, stdout=subprocess.DEVNULL)
        archive = folder / f"{package.lstrip('@').replace('/', '-')}-{version}.tgz"
        with tarfile.open(archive) as tar:
            tar.extractall(folder / "unpacked" / package, filter="data")
        target = folder / "node_modules" / package
        target.parent.mkdir(parents=True, exist_ok=True)
        (folder / "unpacked" / package / "package").rename(target)
    return folder / "node_modules"


def check_versions(packages: Path) -> None:
    """ValueError naming each package that is not there in the pinned version."""
    wrong = []
    for package, version in PACKAGES.values():
        file = packages / package / "package.json"
        found = json.loads(file.read_text(encoding="utf-8"))["version"] if file.is_file() else "nothing"
        if found != version:
            wrong.append(f"{package}: wanted {version}, found {found}")
    if wrong:
        raise ValueError(f"in {packages}: {'; '.join(wrong)}")


def build(packages: Path, output: Path) -> List[EmojiClass]:
    """Write drawings, scene table, class table, split files and SHA256SUMS to the empty folder `output`."""
    check_versions(packages)
    classes = choose_classes(packages, {artist: package for artist, (package, _) in PACKAGES.items()},
                             PHOTOS, SKETCHES, Path(__file__).with_name("excluded.tsv"))
    files: Dict[str, bytes] = {}
    scenes = ["# artist\tclass\ta\tb\ttx\tty\tflip\tkind\tseed   (see splip/scenes.py)"]
    for artist, (package, _) in PACKAGES.items():
        svg = (openmoji_svg if artist == "openmoji" else iconify_svg)(packages / package)
        for one in classes:
            if artist not in one.icons:
                continue
            document = svg(one.icons[artist])
            if artist in PHOTOS:
                pixels = to_photo(draw(document))
                scenes += ["\t".join(map(str, (artist, one.slug, *scene)))
                           for scene in draw_scenes(artist, one.slug, pixels)]
            else:
                pixels = to_sketch(draw(document, 3 * SIZE))
            files[f"{'photo' if artist in PHOTOS else 'sketch'}/{artist}/{one.slug}.png"] = png_bytes(pixels)
    files["scenes.tsv"] = "\n".join([*scenes, ""]).encode()
    files["classes.tsv"] = class_table(classes).encode()
    files.update({f"splits/{name}": text.encode() for name, text in make_splits(classes).items()})
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}" for name, data in sorted(files.items())]
    files["SHA256SUMS"] = "\n".join([*sums, ""]).encode()
    for name, data in files.items():
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return classes


def class_table(classes: List[EmojiClass]) -> str:
    """classes.tsv: one class a line, with the photo that stands for it in the fine-grained setting."""
    rows = ["# class\tUnicode name\tcode points\tgroup\tcategory\tfine-grained photo: artist\tscene"]
    for one in classes:
        pick = int.from_bytes(hashlib.sha256(f"sketchmoji photo {one.slug}".encode()).digest()[:4], "big")
        artists = [artist for artist in PHOTOS if artist in one.icons]
        rows.append("\t".join((one.slug, one.name, one.code, one.group, one.category,
                               artists[pick % len(artists)], str(pick // 64 % SCENES))))
    return "\n".join([*rows, ""])


def read_sums(folder: Path) -> Dict[str, str]:
    lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def differences(folder: Path, sums: Dict[str, str]) -> List[str]:
    """What in `folder` is not as `sums` says: missing, different or unknown files."""
    paths = [path for path in sorted(folder.rglob("*"))
             if path.is_file() and path.relative_to(folder).parts[0] not in NOT_BUILT]
    found = {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    return sorted([f"missing: {name}" for name in sums.keys() - found.keys()]
                  + [f"unknown: {name}" for name in found.keys() - sums.keys()]
                  + [f"different: {name}" for name in found.keys() & sums.keys() if found[name] != sums[name]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, help="folder laid out as node_modules (default: fetched with npm)")
    parser.add_argument("--output", type=Path, default=ASSETS, help="where to build")
    parser.add_argument("--check", action="store_true", help="build aside; compare with the shipped files")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        packages = args.packages or fetch(Path(scratch))
        output = Path(scratch) / "built"
        classes = build(packages, output)
        if args.check:
            wrong = differences(ASSETS, read_sums(output))
            print("\n".join(wrong) or f"{len(read_sums(output))} files: the rebuild equals what is shipped")
            return bool(wrong)
        for name in ("photo", "sketch", "splits"):
            shutil.rmtree(args.output / name, ignore_errors=True)
        shutil.copytree(output, args.output, dirs_exist_ok=True)
    print(f"{args.output}: {len(classes)} classes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
