"""docs/FIDELITY.md points at code and keys that are there, and leaves no setting of the method out."""

import re
from dataclasses import fields
from pathlib import Path

import splip.datasets  # their keys are those of the registered
import splip.trainers  # noqa: F401
from splip import SpLIPConfig, extend_cfg
from splip.engine import get_cfg_default

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/FIDELITY.md").read_text(encoding="utf-8")


def test_every_function_that_is_named_is_there():
    named = re.findall(r"`([\w/]+\.py): ([\w.]+)`", PAGE)
    assert len(named) > 20, named
    for file, name in named:
        path = ROOT / file if (ROOT / file).is_file() else ROOT / "splip" / file
        text = path.read_text(encoding="utf-8")
        for part in name.split("."):
            assert re.search(rf"(?:def|class) {part}\b", text), f"{path} defines no {part}"


def test_every_setting_of_the_method_has_a_row_and_every_key_exists():
    words = set(re.findall(r"[A-Z][A-Z0-9_.]+", " ".join(re.findall(r"`([^`]+)`", PAGE))))
    missing = {field.name.upper() for field in fields(SpLIPConfig)} - words
    assert not missing, f"docs/FIDELITY.md does not name {sorted(missing)}"
    cfg = get_cfg_default()
    extend_cfg(cfg)
    dotted = {word for word in words if "." in word and word.split(".")[0] in cfg}
    assert "OPTIM.MAX_EPOCH" in dotted
    for key in dotted:
        node = cfg
        for part in key.split("."):
            assert part in node, f"docs/FIDELITY.md names {key}, which is no key"
            node = node[part]
