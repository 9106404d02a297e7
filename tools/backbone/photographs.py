"""Unpacks the photographs that take part in pretraining out of two Debian packages into one folder.

    apt-get download gcompris-qt-data plasma-workspace-data
    for deb in gcompris-qt-data_*.deb plasma-workspace-data_*.deb; do dpkg-deb -x $deb build/backbone/debian; done
    python tools/backbone/photographs.py build/backbone/debian build/backbone/photographs

What is taken is in the public domain or CC0 by the packages' own records (docs of GCompris's folders, licence files
beside the avatars); what has other records, or none, stays out. They bear no name in training.
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDERS = {  # of a GCompris resource file: its folders of photographs in the public domain
    "categorization": ("categorization/resource/images/fishes", "categorization/resource/images/tools",
                       "categorization/resource/images/monuments"),
    "explore_farm_animals": ("explore_farm_animals/resource/animals",),
    "explore_monuments": ("explore_monuments/resource/india", "explore_monuments/resource/france"),
}  # fmt: skip
ACTIVITIES = ":/gcompris/src/activities"
AVATARS = "usr/share/plasma/avatars/photos"
SUFFIXES = (".webp", ".jpg", ".png")


def unpack(packages: Path, output: Path) -> int:
    """Write every photograph, named by where it comes from -> how many."""
    from PySide6.QtCore import QDir, QFile, QIODevice, QResource

    output.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, folders in FOLDERS.items():
        if not QResource.registerResource(str(packages / f"usr/share/gcompris-qt/rcc/{name}.rcc")):
            raise SystemExit(f"{name}.rcc is not below {packages}, or cannot be read")
        for folder in folders:
            for entry in QDir(f"{ACTIVITIES}/{folder}").entryList():
                if entry.endswith(SUFFIXES):
                    file = QFile(f"{ACTIVITIES}/{folder}/{entry}")
                    file.open(QIODevice.OpenModeFlag.ReadOnly)
                    (output / f"{folder.replace('/', '_')}_{entry}").write_bytes(bytes(file.readAll().data()))
                    count += 1
    for path in sorted((packages / AVATARS).iterdir()):
        if path.suffix in SUFFIXES:
            (output / f"avatar_{path.name}").write_bytes(path.read_bytes())
            count += 1
    return count


if __name__ == "__main__":
    print(unpack(Path(sys.argv[1]), Path(sys.argv[2])), "photographs")
