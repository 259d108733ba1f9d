"""What pyproject.toml says about the project, and what belongs into its top folder."""

import re
import tomllib
from pathlib import Path

import pyrestic
from tools.lock_dependencies import PYTHONS

ROOT = Path(__file__).resolve().parent.parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]


def test_the_version_is_in_one_place() -> None:
    assert "version" in PROJECT["dynamic"]
    assert "version" not in PROJECT
    (found,) = re.findall(
        r'^__version__ = "(.*)"$', (ROOT / SETTINGS["tool"]["hatch"]["version"]["path"]).read_text(), re.MULTILINE
    )
    assert found == pyrestic.__version__


def test_each_supported_python_has_a_classifier() -> None:
    named = {name for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)}
    assert named == {f"Programming Language :: Python :: {version}" for version in PYTHONS}
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"


def test_the_addresses_of_the_project_are_below_its_source() -> None:
    source = PROJECT["urls"]["Source"]
    assert source.startswith("https://")
    for address in PROJECT["urls"].values():
        assert address == source or address.startswith(source + "/")
    for name in ("SECURITY.md", "CONTRIBUTING.md"):
        for address in re.findall(r"\]\((https://github\.com/.*?)\)", (ROOT / name).read_text()):
            assert address.startswith(source + "/")


def test_the_archive_of_the_source_holds_all_that_is_needed_to_work_on_it() -> None:
    included = SETTINGS["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert {"/pyrestic", "/tests", "/docs", "/fixtures", "/tools"} <= set(included)
    assert all((ROOT / name.lstrip("/")).exists() for name in included)


def test_each_link_between_the_pages_of_the_top_folder_leads_somewhere() -> None:
    for page in ROOT.glob("*.md"):
        for link in re.findall(r"\]\(([^)]*)\)", page.read_text()):
            if "://" not in link and not link.startswith("#"):
                assert (ROOT / link.partition("#")[0]).exists(), f"{page.name} links to {link}"


def test_the_commands_of_contributing_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"python3 (tools/\w+\.py)((?: --[\w-]+)*)", text)
    assert {"tools/run_tests.py", "tools/release.py"} <= {program for program, _ in named}
    for program, flags in named:
        source = (ROOT / program).read_text()
        assert all(f'"{flag}"' in source for flag in flags.split()), f"{program} has no {flags}"


def test_each_difference_from_restic_has_one_row() -> None:
    """A merge once kept rows in their old words beside the new ones."""
    rows = re.findall(r"^\| (.*?) \|", (ROOT / "docs" / "differences.md").read_text(), re.MULTILINE)
    named = [row for row in rows if row.strip("- ")]
    assert len(named) > 100
    assert sorted(named) == sorted(set(named))
