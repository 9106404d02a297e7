"""What a project says of itself: one version, files that their readers can parse, licences that are there."""

import re
from pathlib import Path

import pytest
import yaml

import splip

ROOT = Path(__file__).parents[1]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_one_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"]
    newest = re.search(r"^## \[.+?\] - (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[1]
    assert (cited, newest) == (splip.__version__,) * 2


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_issue_forms_have_what_github_wants(form):
    wanted = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert wanted["name"] and wanted["description"], wanted
    for field in wanted["body"]:
        assert field["type"] in ("textarea", "input", "markdown", "dropdown") and field["attributes"]["label"], field


def test_the_workflow_calls_what_a_developer_calls():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))["jobs"]
    assert "bash .ci/run" in [step.get("run") for step in jobs["test"]["steps"]], jobs


def test_the_wheels_licence_names_every_licence_of_its_drawings():
    stated = re.search(r'license="(.+?)"', (ROOT / "setup.py").read_text(encoding="utf-8"))[1].split(" AND ")
    sources = (Path(splip.__file__).parent / "assets" / "sketchmoji" / "SOURCES.md").read_text(encoding="utf-8")
    named = {name.replace(" ", "-") for name in re.findall(r"\b(?:CC BY(?:-SA)? 4\.0|Apache-2\.0|MIT)", sources)}
    assert named == set(stated), (named, stated)


def test_results_name_no_machine():
    """A run writes the paths that it was given; what is committed must mean the same to everyone."""
    files = sorted((ROOT / "results").rglob("results.json"))
    named = [path for path in files if re.search(r'"(/|[A-Z]:\\\\)\w', path.read_text(encoding="utf-8"))]
    assert len(files) > 300 and not named, f"absolute paths in {named[:3]}"
