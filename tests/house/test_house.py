"""The rules of the house, as tests."""

import ast
import functools
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import pytest

import pyrestic
from pyrestic import errors
from pyrestic.errors import PyresticError
from tests.support.fuse import importable

ROOT = Path(__file__).resolve().parent.parent.parent
MODULES = sorted((ROOT / "pyrestic").rglob("*.py"))
MAX_LINES = 400


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_names() -> list[str]:
    """All modules but the one that starts the program and the one that needs numba, which is an extra."""
    found = [name for _, name, _ in pkgutil.walk_packages(pyrestic.__path__, "pyrestic.")]
    return [name for name in found if name not in ("pyrestic.__main__", "pyrestic.native.sources.chunker")]


class Source(NamedTuple):
    """What the rules ask of a module."""

    docstring: str | None
    lines: int
    classes: list[str]
    imported: set[str]
    called: set[str]
    attributes: set[str]


@functools.cache
def read(path: Path) -> Source:
    """Parse a module once for all rules."""
    text = path.read_text()
    tree = ast.parse(text, name_of(path))
    source = Source(
        ast.get_docstring(tree),
        len(text.splitlines()),
        [node.name for node in tree.body if isinstance(node, ast.ClassDef)],
        set(),
        set(),
        set(),
    )
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            source.imported.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            source.imported.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            source.called.add(node.func.id)
        elif isinstance(node, ast.Attribute):
            source.attributes.add(node.attr)
    return source


def test_a_module_says_what_it_is_for_and_is_short_enough_to_read() -> None:
    assert len(MODULES) > 100
    assert [name_of(path) for path in MODULES if not read(path).docstring] == []
    assert [name_of(path) for path in MODULES if read(path).lines > MAX_LINES] == []


def test_a_public_class_has_a_name_of_its_own() -> None:
    """Except in pyrestic.api: its classes may have the names of those that they show."""
    seen: dict[str, str] = {}
    for path in MODULES:
        if path.parent.name == "api":
            continue
        for name in read(path).classes:
            if not name.startswith("_"):
                assert name not in seen, f"{name} is in {seen[name]} and in {name_of(path)}"
                seen[name] = name_of(path)
    assert len(seen) > 100


@pytest.mark.process
def test_imports_point_down_and_every_package_has_a_layer() -> None:
    checker = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([checker, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    settings = (ROOT / "pyproject.toml").read_text()
    layers = set(re.findall(r"[a-z_]+", settings[settings.index("layers = [") :]))
    for _, name, _ in pkgutil.iter_modules(pyrestic.__path__):
        assert name.startswith("__") or name in layers, f"{name} stands in no layer"


def test_every_error_of_ours_is_in_the_drawn_tree_with_its_base_and_exit_code() -> None:
    drawn, above = {}, ["Exception"]
    line = re.compile(r"^([├└│ ─]*)(\w+Error)\s+(?:exit )?(\d+)?", re.MULTILINE)
    for indent, name, code in line.findall(errors.__doc__ or ""):
        above = [*above[: len(indent) // 4 + 1], name]
        drawn[name] = (above[-2], code)
    classes = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    assert classes.keys() == drawn.keys()
    for name, (base, code) in drawn.items():
        assert [each.__name__ for each in classes[name].__bases__] == [base]
        assert not code or vars(classes[name]).get("exit_code", 1) == int(code)


@pytest.mark.process  # The search for libfuse starts ldconfig.
def test_every_exception_class_is_one_of_ours_or_the_command_lines() -> None:
    for name in importable(module_names()):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != "numba":
                raise
            # What is compiled cannot be imported without the extra `fast`.
            continue
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, BaseException) and value.__module__ == name:
                # A lost output ends a command as an interrupt does: no error of any item.
                known = issubclass(value, PyresticError | click.ClickException) or value.__name__ == "OutputLostError"
                assert known, f"{name}: {value.__name__}"


def test_only_the_command_line_prints_and_reads_the_environment() -> None:
    for path in MODULES:
        if "cli" not in path.parts:
            assert not read(path).called & {"print", "input"}, name_of(path)
            assert not read(path).attributes & {"environ", "getenv", "stdout", "argv"}, name_of(path)


def test_the_format_is_pure() -> None:
    """No file, clock, environment, thread, nor memory by address."""
    impure = {"os", "time", "datetime", "pathlib", "socket", "subprocess", "tempfile", "io", "shutil"}
    impure |= {"ctypes", "mmap", "threading", "concurrent", "multiprocessing"}
    pure = sorted((ROOT / "pyrestic" / "format").glob("*.py"))
    assert len(pure) > 10
    for path in pure:
        # Nonces and salts come from the system's random source.
        allowed = {"crypto.py": {"os"}, "keyfile.py": {"os"}}.get(path.name, set())
        assert read(path).imported & impure <= allowed, name_of(path)
        assert "open" not in read(path).called, name_of(path)


@pytest.mark.process
def test_nothing_committed_names_a_place_on_a_machine_or_where_packages_come_from() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listed.returncode != 0:
        pytest.skip("this is no checkout")
    sources = subprocess.run(
        ["sh", "-c", "apt-get indextargets --format '$(SITE)'"], capture_output=True, text=True
    ).stdout
    hosts = {line.split("/")[2] for line in sources.split() if line.count("/") >= 2}
    index = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True)
    hosts |= set(re.findall(r"https?://(?:[^/@\s']*@)?([^/:\s']+)", index.stdout))
    forbidden = {host.encode() for host in hosts if "." in host} - {b"127.0.0.1"}
    forbidden.add(str(ROOT).encode() + b"/")
    for name in listed.stdout.split(b"\0"):
        path = ROOT / name.decode()
        if not name or not path.is_file() or path.suffix in (".gz", ".tar", ".png"):
            continue
        data = path.read_bytes()
        for word in forbidden:
            assert word not in data, f"{name.decode()} names {word.decode()}"
