"""The Space asks for what the package asks for: SECURITY.md promises the versions of both."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_space_has_the_packages_requirements():
    asked = (ROOT / "space/requirements.txt").read_text().splitlines()
    asked = [line for line in asked if line and not line.startswith("#")]
    packaged = (ROOT / "setup.py").read_text()
    other = [line for line in asked if f'"{line}"' not in packaged]
    assert asked and not other, f"not as in setup.py: {other}"
    assert "starlette>=0.49.1" in asked and "starlette 0.49.1" in (ROOT / "docs/SECURITY.md").read_text()
