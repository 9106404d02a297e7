"""The documentation: links, commands, quoted error messages, length of sentences, generated pages."""

import argparse
import importlib
import importlib.util
import os
import re
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from splip.cli import COMMANDS, Parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOT_PLAIN = ("EXPERIMENTS.md", "reference/settings.md")  # notes of experiments; a page that a tool makes
PLAIN = [page for page in PAGES if not str(page).endswith(NOT_PLAIN)]
LONGEST = 35  # words of a sentence
CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name_of(path):
    return str(path.relative_to(ROOT))


def anchors(path):
    """The anchors of a page, as GitHub makes them from headings, and those that are written out."""
    text = CODE.sub("", path.read_text(encoding="utf-8"))
    heads = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line) for line in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    made = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    return made | set(re.findall(r'<a id="([^"]+)"', text))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text, lost = CODE.sub("", page.read_text(encoding="utf-8")), []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        where, _, anchor = target.partition("#")
        path = (page.parent / where).resolve() if where else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            lost.append(target)
    assert not lost, f"{name_of(page)} links to {lost}"


def sentences(path):
    """The sentences of a page's paragraphs and lists, without code, tables and links' addresses."""
    text = CODE.sub("\n\n", path.read_text(encoding="utf-8"))
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)|<!--.*?-->", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "CODE", text)
    lines = [line for line in text.splitlines() if not line.startswith(("|", "#"))]
    blocks = re.split(r"\n\s*\n|\n(?=[-*\d])", "\n".join(lines))
    found = [s for block in blocks for s in re.split(r"(?<=[.!?:])\s+", " ".join(block.split())) if s.strip()]
    return [s for s in found if len(s.split()) > 1]


@pytest.mark.parametrize("page", PLAIN, ids=name_of)
def test_sentences_are_short(page):
    found = sentences(page)
    lengths = [len(s.split()) for s in found]
    print(f"{name_of(page)}: longest {max(lengths)} words, median {statistics.median(lengths)}")
    long = [s for s in found if len(s.split()) > LONGEST]
    assert not long, long


def test_the_readme_is_one_page():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 90, len(lines)


def test_every_message_of_the_faq_is_in_the_source():
    page = (ROOT / "docs/FAQ.md").read_text(encoding="utf-8").partition("## Error messages")[2]
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    files = [ROOT / "train.py", *(p for room in ("splip", "trainers", "datasets") for p in (ROOT / room).rglob("*.py"))]
    source = "\n".join(path.read_text(encoding="utf-8") for path in files)
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # strings that go on in the next line
    lost = [message for message in messages if message not in source]
    assert len(messages) >= 25 and not lost, (len(messages), lost)


def test_the_reference_is_what_the_code_says(tmp_path):
    """In a process of its own: other tests register trainers."""
    done = subprocess.run(
        [sys.executable, ROOT / "tools/reference.py", tmp_path], capture_output=True, text=True,
        env={**os.environ, "SPLIP_ENGINE": "builtin"},  # Dassl has more keys
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = [path.name for path in tmp_path.iterdir()]
    assert {"settings.md", "commands.md", "badge_python.svg"} <= set(names)
    for name in names:
        made, kept = tmp_path / name, ROOT / "docs/reference" / name
        made, kept = made.read_text(encoding="utf-8"), kept.read_text(encoding="utf-8")
        if name == "commands.md" and sys.version_info[:2] != (
            3,
            11,
        ):  # argparse lays its help out differently elsewhere
            made, kept = (re.findall(r"^## .+$", text, re.MULTILINE) for text in (made, kept))
        assert made == kept, f"{name}: run python tools/reference.py"


def test_the_results_page_is_made_of_the_committed_runs():
    made = load(ROOT / "tools/results.py").page()
    assert (ROOT / "docs/RESULTS.md").read_text(encoding="utf-8") == made, "run python tools/results.py"


def test_the_readmes_numbers_are_those_of_the_results_page():
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Results")[2].partition("## ")[0]
    numbers = set(re.findall(r"\d+\.\d\d(?: ± \d\.\d\d)?", table))
    page = (ROOT / "docs/RESULTS.md").read_text(encoding="utf-8")
    lost = [number for number in numbers if number not in page]
    assert len(numbers) > 5 and not lost, (sorted(numbers), lost)


def commands():
    """(page, line) of each command of ours in a block of shell commands."""
    for page in PAGES:
        for block in re.findall(r"^```bash\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                if re.match(r"(?:[A-Z_]+=\S+ )*(?:splip|python train\.py|bash) ", line):
                    yield page, line


def test_commands_are_as_the_programs_take_them(monkeypatch, capsys):
    train, count, wrong = load(ROOT / "train.py"), 0, []
    for page, line in commands():
        words = [word for word in shlex.split(line, comments=True) if not re.match(r"[A-Z_]+=", word)]
        while words and re.match(r"^[|>;&]", words[-1]):
            words.pop()
        cut = next((i for i, word in enumerate(words) if word in ("|", ">", ">>", "&&", ";")), len(words))
        words, count = words[:cut], count + 1
        try:
            if words[0] == "bash":
                assert (ROOT / words[1]).is_file(), words[1]
            elif words[0] == "python":
                args = train.make_parser().parse_intermixed_args([w for w in words[2:] if w != "..."])
                for path in (args.config_file, args.dataset_config_file):
                    assert not path.startswith("configs/") or (ROOT / path).is_file(), path
            else:
                name = next((name for name in COMMANDS if words[1 : 1 + len(name.split())] == name.split()), None)
                if name:
                    parser = Parser(name, importlib.import_module(COMMANDS[name][0]))
                    parser.read([w for w in words[1 + len(name.split()) :] if w != "..."])
                else:
                    assert words[1].startswith("--"), words
        except (SystemExit, AssertionError, argparse.ArgumentError) as error:
            wrong.append(f"{name_of(page)}: {line}: {error} {capsys.readouterr().err[-200:]}")
    assert count > 50 and not wrong, (count, wrong)
