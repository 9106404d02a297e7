"""Write docs/reference/ from the code: settings.md, commands.md, README's badges: `python tools/reference.py [FOLDER]`.

A key's effect is the comment behind its default. `tests/test_docs.py` holds that the committed pages are these.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import splip  # noqa: E402
import splip.trainers  # noqa: E402
from splip.cli import COMMANDS, Parser  # noqa: E402
from splip.engine import TRAINER_REGISTRY  # noqa: E402
from splip.engine.config import get_cfg_default  # noqa: E402

LETTERS = {
    "F": "figure or table of the paper", "A": "its abstract", "P": "another paper's text",
    "C": "released code of another method",
    "H": "the first author's other code", "R": "a re-implementation", "N": "a third party's note", "D": "our decision",
}  # fmt: skip


def settings() -> str:
    """The page of all keys."""
    cfg = get_cfg_default()
    splip.extend_cfg(cfg)
    said = comments()
    groups: Dict[str, List[str]] = {}
    for key, value in flat(cfg):
        group, _, _ = key.rpartition(".")
        text = said.get(key, "")
        letter = re.search(r"\(([FAPCHRND])\b[^()]*\)", text)
        origin = letter[1] if letter else ""
        effect = text.replace("|", "\\|")
        groups.setdefault(group, []).append(f"| `{key.rpartition('.')[2]}` | `{value!r}` | {origin} | {effect} |")
    lines = ["# Settings", "", "Made by `tools/reference.py` from the code; do not edit.", "",
             "Set a key in a YAML file, or behind the command: `python train.py ... OPTIM.LR 0.001`. "
             "An unknown key is an error. A trainer's node is read by that trainer alone.", "",
             "*From* says where a default of the method comes from ([FIDELITY](../FIDELITY.md)): "
             + "; ".join(f"{letter} {name}" for letter, name in LETTERS.items()) + "."]  # fmt: skip
    for group in sorted(groups, key=lambda name: (name.startswith("TRAINER."), name)):
        head = ["| key | default | from | effect |", "|---|---|---|---|"]
        lines += ["", f"## {group or 'Top level'}", "", *head, *groups[group]]
    return "\n".join(lines) + "\n"


def flat(node: Any, prefix: str = "") -> Iterator[Tuple[str, Any]]:
    for name, value in node.items():
        if hasattr(value, "items"):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def comments() -> Dict[str, str]:
    """{key: the comment behind its default}, out of the three places that define keys."""
    found = {}
    for line in (ROOT / "splip/config.py").read_text(encoding="utf-8").splitlines():
        field = re.match(r"    (\w+): \w+ = .+?  # (.+)$", line)
        if field:
            found[f"TRAINER.SPLIP.{field[1].upper()}"] = field[2]
    found.update({  # given by name, in a loop
        "DATASET.STROKE_WIDTH": "line width of drawings from strokes, in pixels of 256",
        "DATASET.STROKE_MARGIN": "share of the side around such a drawing", "DATASET.STROKE_SMOOTH": "anti-aliased",
    })  # fmt: skip
    for name in TRAINER_REGISTRY.registered_names():
        trainer = TRAINER_REGISTRY.get(name)
        found.update(of_trainer(getattr(trainer, "node", name), trainer))
    above = ""
    for line in (ROOT / "splip/training/config.py").read_text(encoding="utf-8").splitlines():
        key = re.match(r"    cfg\.([A-Z_.0-9]+) = .+?(?:  # (.+))?$", line)
        if key:
            found[key[1]] = key[2] or above
        above = line.strip()[2:] if line.strip().startswith("# ") else ""
    path: List[str] = []
    for line in (ROOT / "splip/engine/config.py").read_text(encoding="utf-8").splitlines():
        entry = re.match(r'( +)"([A-Z_0-9]+)": (.+?)(?:  # (.+))?$', line)
        if entry:
            path = [*path[: len(entry[1]) // 4 - 1], entry[2]]
            if entry[4]:
                found[".".join(path)] = entry[4]
    return found


def of_trainer(node: str, trainer: Any) -> Dict[str, str]:
    """The comments in the file that defines a trainer's settings, or in what that file takes them from."""
    settings = getattr(trainer.model_class, "config_class", None) or trainer
    files = [inspect.getfile(one) for one in settings.__mro__[:-1]]
    fields = {}
    for file in reversed(files):
        for line in Path(file).read_text(encoding="utf-8").splitlines() if file.startswith(str(ROOT)) else ():
            field = re.match(r"    (\w+): (?:bool|int|float|str) = .+?  # (.+)$", line)
            field = field or re.match(r'\s+"([A-Z_]+)": [^{]+?  # (.+)$', line)
            if field:
                fields[field[1].upper()] = field[2]
    usual = (ROOT / "splip/config.py").read_text(encoding="utf-8")  # a default of its own, without a comment of its own
    for key in set(getattr(trainer.model_class, "settings", {})) - set(fields):
        same = re.search(rf"^    {key.lower()}: \w+ = .+?  # (.+)$", usual, re.MULTILINE)
        fields.update({key: re.sub(r" \([FAPCHRND]\b[^()]*\)", "", same[1])} if same else {})
    return {f"TRAINER.{node}.{key}": text for key, text in fields.items()}


def commands() -> str:
    """The page of `splip`'s commands and of train.py: their own help."""
    import train

    lines = ["# Commands", "", "Made by `tools/reference.py` from the programs' own help; do not edit.", ""]
    parsers: List[Tuple[str, argparse.ArgumentParser]] = [
        (f"splip {name}", Parser(name, importlib.import_module(module))) for name, (module, _) in COMMANDS.items()
    ]
    parser = train.make_parser()
    parser.prog = "train.py"
    for name, one in [*parsers, ("train.py", parser)]:
        lines += [f"## {name}", "", "```text", *(line.rstrip() for line in one.format_help().splitlines()), "```", ""]
    return "\n".join(lines)


def badges() -> Dict[str, str]:
    """README's badges, as SVG: what setup.py and LICENSE promise."""
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    least, beyond = re.findall(r'python_requires=">=3\.(\d+),<3\.(\d+)"', setup)[0]
    words = {
        "version": splip.__version__,
        "python": f"3.{least} to 3.{int(beyond) - 1}",
        "torch": f"{re.findall(r'torch>=([0-9.]+)', setup)[0]} or newer",
        "code": (ROOT / "LICENSE").read_text(encoding="utf-8").split()[0],
    }
    return {f"badge_{name}.svg": badge(name, value) for name, value in words.items()}


def badge(name: str, value: str) -> str:
    left, right = (7 * len(text) + 12 for text in (name, value))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{name}: {value}" font-family="Verdana,sans-serif" font-size="11" fill="#fff">'
        f'<rect width="{left}" height="20" fill="#555"/><rect x="{left}" width="{right}" height="20" fill="#1f6f43"/>'
        f'<text x="6" y="14">{name}</text><text x="{left + 6}" y="14">{value}</text></svg>\n'
    )


def main() -> None:
    import os

    os.environ["COLUMNS"] = "110"
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/reference"
    for name, text in {"settings.md": settings(), "commands.md": commands(), **badges()}.items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
