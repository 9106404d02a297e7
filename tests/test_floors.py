"""No file imports from a floor above its own: the rooms of `splip/`, lowest first."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "splip"
# Rooms are named by their folder, the method's own files by "". `prompted`, `model` and `literal` are models.
FLOORS = [
    {"common"}, {"engine"}, {""}, {"backbone"}, {"data"}, {"retrieval"}, {"models"}, {"prompted", "literal"}, {"model"},
    {"search"}, {"training"}, {"trainers", "datasets"}, {"cli"},
]  # fmt: skip
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def sources():
    """Every file of the package, as it is imported: splip/..., trainers/..., datasets/..."""
    rooms = [PACKAGE, ROOT / "trainers", ROOT / "datasets"]
    return sorted(path for room in rooms for path in room.rglob("*.py"))


def room_of(path):
    parts = path.relative_to(ROOT).parts
    own = parts[1:] if parts[0] == "splip" else parts
    if len(own) > 1:
        return own[0]
    return Path(own[0]).stem if Path(own[0]).stem in LEVEL else ""


def imports(path):
    """(line, room) of every import of the package in a file; what only type checkers read is left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):  # from .x import y: of its own room
            names = [".".join(["splip", room_of(path), node.module or ""])]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "splip":
                room = parts[1] if len(parts) > 1 else ""
                yield node.lineno, room if room in LEVEL else ""


def test_every_room_has_its_floor():
    rooms = {room_of(path) for path in sources()}
    assert rooms == set(LEVEL)


def test_nothing_imports_upwards():
    found, seen = [], 0
    for path in sources():
        if path in (PACKAGE / "__main__.py", PACKAGE / "__init__.py"):  # the front doors
            continue
        own = room_of(path)
        for line, room in imports(path):
            seen += 1
            aside = LEVEL[room] == LEVEL[own] and room != own
            if LEVEL[room] > LEVEL[own] or aside:
                found.append(f"{path.relative_to(ROOT)}:{line} imports from {room or 'the method'}")
    assert seen > 100, "the imports were not found"
    assert not found, "\n".join(found)


def test_no_file_is_long():
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    long = {name: count for name, count in lines.items() if count > 300}
    assert not long, long


def test_a_method_is_one_short_file():
    """Under 80 lines, blank ones aside: what methods share lies elsewhere."""
    files = [path for path in (ROOT / "trainers").glob("*.py") if path.name != "__init__.py"]
    lines = {path.name: sum(map(bool, map(str.strip, path.read_text().splitlines()))) for path in files}
    assert len(lines) > 12 and all(count < 80 for count in lines.values()), lines
