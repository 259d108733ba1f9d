"""What both README commands install: exact versions, with hashes, of everything pyproject.toml asks for."""

import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools import environments, lock_dependencies
from tools.lock_dependencies import EXTRAS, LOCKS, Pin, canonical, marker

ROOT = Path(__file__).resolve().parent.parent.parent
HASH = re.compile(r" {4}--hash=sha256:[0-9a-f]{64}")


def read_lock(name: str) -> dict[str, tuple[str, int]]:
    """The packages of a lock, each with its version and how many hashes it has."""
    found: dict[str, tuple[str, int]] = {}
    text = (LOCKS / f"{name}.txt").read_text().replace(" \\\n", "\n")
    for line in text.splitlines():
        if HASH.fullmatch(line):
            last = next(reversed(found))
            found[last] = (found[last][0], found[last][1] + 1)
        elif not line.startswith("#"):
            pin = re.fullmatch(r"([a-z0-9-]+)==([\w.!+]+)( ; .*)?", line)
            assert pin is not None, line
            found[pin[1]] = (pin[2], 0)
    return found


@pytest.mark.parametrize("name", EXTRAS)
def test_a_lock_holds_what_pyproject_asks_for_with_a_hash_for_each_package(name: str) -> None:
    lock = read_lock(name)
    assert all(hashes for _, hashes in lock.values())
    for text in lock_dependencies.requirements(name):
        wanted = Requirement(text)
        assert wanted.specifier.contains(lock[canonical(wanted.name)][0]), text


def test_a_package_has_the_same_version_in_every_lock() -> None:
    base, run, test = (read_lock(name) for name in ("base", "run", "test"))
    assert base.items() <= run.items() <= test.items()


@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv", reason="another environment than the one that the lock is for")
def test_the_tests_run_with_what_the_lock_names() -> None:
    lock = read_lock("test")
    installed = {canonical(one.metadata["Name"]): one.version for one in metadata.distributions()}
    drifted = {name: version for name, version in installed.items() if name in lock and lock[name][0] != version}
    assert drifted == {}


def test_the_oldest_versions_are_the_lower_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    oldest = dict(limit.split("==") for limit in environments.oldest_versions())
    for text in project["dependencies"]:
        wanted = Requirement(text)
        assert ">=" not in text or wanted.specifier.contains(oldest[wanted.name])
    assert oldest["msgspec"].startswith("0.")


def test_a_lock_without_an_extra_lacks_its_packages_alone() -> None:
    lock = (LOCKS / "test.txt").read_text()
    left = environments.leave_out(lock, "fast")
    gone = [line for line in lock.splitlines() if line not in left.splitlines() and not HASH.match(line)]
    assert sorted(line.partition("==")[0] for line in gone) == ["llvmlite", "numba"]
    assert left.count("--hash") < lock.count("--hash")
    assert environments.leave_out(lock, "") == lock


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_pins_of_a_lock_are_read_as_they_were_written(
    version: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lock_dependencies, "LOCKS", tmp_path)
    old, new, only = Pin("a", "1.0"), Pin("a", "2.0"), Pin("b-c", "1!3.0+local")
    resolution = {
        "3.11": frozenset({old, only}),
        "3.12": frozenset({new, only}),
        "3.13": frozenset({new}),
    }
    lock_dependencies.write("test", resolution, {pin: ["0" * 64, "1" * 64] for pin in (old, new, only)})
    assert lock_dependencies.read_pins((tmp_path / "test.txt").read_text(), [version]) == {version: resolution[version]}


@pytest.mark.parametrize(
    ("using", "condition"),
    [
        (["3.11", "3.12", "3.13"], ""),
        (["3.12", "3.13"], ' ; python_version >= "3.12"'),
        (["3.11"], ' ; python_version <= "3.11"'),
        (["3.12"], ' ; python_version >= "3.12" and python_version <= "3.12"'),
    ],
)
def test_what_only_some_pythons_need_has_a_condition(using: list[str], condition: str) -> None:
    pin = Pin("backport", "1.0")
    resolution = {version: frozenset([pin] if version in using else []) for version in ("3.11", "3.12", "3.13")}
    assert marker(pin, resolution) == condition


@pytest.mark.parametrize(
    ("filename", "is_kept"),
    [
        ("msgspec-0.23.0.tar.gz", True),
        ("msgspec-0.23.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("msgspec-0.23.0-cp313-cp313-musllinux_1_2_aarch64.whl", True),
        ("msgspec-0.23.0-cp39-abi3-manylinux2014_x86_64.whl", True),
        ("msgspec-0.23.0-py2.py3-none-any.whl", True),
        ("msgspec-0.23.0-cp310-cp310-manylinux2014_x86_64.whl", False),
        ("msgspec-0.23.0-cp313-cp313t-manylinux2014_x86_64.whl", False),
        ("msgspec-0.23.0-cp311-cp311-win_amd64.whl", False),
        ("msgspec-0.23.0-cp311-cp311-macosx_11_0_arm64.whl", False),
        ("msgspec-0.23.0-py2-none-any.whl", False),
        ("msgspec-0.23.0.zip", False),
        ("msgspec-0.22.0.tar.gz", False),
        ("msgspec_more-0.23.0.tar.gz", False),
    ],
)
def test_hashes_are_of_the_files_that_a_linux_may_install(filename: str, is_kept: bool) -> None:
    assert lock_dependencies.is_of(Pin("msgspec", "0.23.0"), filename) is is_kept
