"""A backend of another package: found by its entry point, opened by program and command line, held to the contract."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyrestic.backend.location import Location, describe_unknown_options, parse_location
from pyrestic.backend.plugins import has_plugin
from pyrestic.errors import UsageError
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, ROOT

pytestmark = pytest.mark.process

MODULE = """
from pyrestic.backend.local import LocalBackend
from pyrestic.errors import UsageError

def open_shelf(address, options, access):
    count = int(options.pop("connections", "3"))
    if options:
        raise UsageError(f"option shelf.{min(options)} is not known")
    assert access.environment.get("SHELF_KEY", "right") == "right"
    return LocalBackend(address, count)
"""
TESTS = """
from pyrestic.backend.location import Access
from pyrestic.testing.backend_contract import BackendContract
from shelf import open_shelf

class TestShelf(BackendContract):
    def make_backend(self, folder):
        return open_shelf(str(folder / "shelf"), {}, Access())
"""
PROGRAM = """
import sys, pyrestic
with pyrestic.open_repository(sys.argv[1], password=sys.argv[2], options={"shelf.connections": "4"}) as repository:
    repository.backup([sys.argv[3]])
    print(repository._repository.backend.connections, len(repository.snapshots()))
for location, options in ((sys.argv[1], {"shelf.x": "1"}), ("broken:x", {})):
    try:
        pyrestic.open_repository(location, password="x", options=options)
    except pyrestic.PyresticError as error:
        print(type(error).__name__, error)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages with one that is installed there."""
    site = tmp_path / "site"
    info = site / "shelf-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "shelf.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shelf\nVersion: 1.0\n")
    # One that takes the place of what is built in would be worse than none.
    entries = "shelf = shelf:open_shelf\nlocal = shelf:absent\nrest = shelf:absent\nbroken = shelf:absent\n"
    (info / "entry_points.txt").write_text(f"[pyrestic.backends]\n{entries}")
    return site


def run(site: Path, *words: str | Path, code: int = 0) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{site}:{ROOT}", "RESTIC_PASSWORD": PASSWORD, "HOME": str(site)}
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, cwd=site)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_package_brings_a_backend_for_its_scheme(site: Path, tmp_path: Path) -> None:
    place = make_quick_repository(tmp_path / "repository")
    shown = run(site, "-c", PROGRAM, f"shelf:{place}", PASSWORD, site / "shelf.py").splitlines()
    assert shown[0] == "4 1"
    assert shown[1] == "UsageError option shelf.x is not known"
    assert shown[2].startswith("UnsupportedError the backend for broken: could not be loaded from shelf:absent")
    assert len(list((place / "snapshots").iterdir())) == 1


def test_it_is_there_for_the_command_line_with_limits_and_options(site: Path, tmp_path: Path) -> None:
    place = make_quick_repository(tmp_path / "repository")
    words = (
        "-m",
        "pyrestic",
        "--no-cache",
        "--limit-upload=100000",
        "-o",
        "shelf.connections=2",
        "-r",
        f"shelf:{place}",
    )
    assert "snapshot" in run(site, *words, "backup", site / "shelf.py")
    assert "no errors were found" in run(site, *words, "check")
    # What is built in stays what it is.
    assert "no errors were found" in run(site, "-m", "pyrestic", "--no-cache", "-r", f"local:{place}", "check")


def test_the_contract_can_be_tested_by_the_package(site: Path) -> None:
    (site / "test_shelf.py").write_text(TESTS)
    assert " passed" in run(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", site / "test_shelf.py")
    broken = TESTS.replace('str(folder / "shelf")', '"/dev/null/shelf"')
    (site / "test_shelf.py").write_text(broken)
    assert " error" in run(site, "-m", "pytest", "-qx", "-p", "no:cacheprovider", site / "test_shelf.py", code=1)


def test_without_such_a_package_nothing_is_known_of_its_scheme() -> None:
    assert not has_plugin("shelf")
    with pytest.raises(UsageError, match="has no known backend type"):
        parse_location("shelf:place")
    assert parse_location("c:/repo") == Location("local", "c:/repo")
    assert describe_unknown_options({"shelf.connections": "1"})
