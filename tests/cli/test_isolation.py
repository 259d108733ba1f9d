"""Nothing is imported from the folder that the program is started in, by whatever way it is started."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

import pyrestic
from pyrestic.native.code_files import KINDS

pytestmark = pytest.mark.process

ROOT = Path(pyrestic.__file__).parent.parent
MODULES = ("typing", "click", "numba", "llvmlite", "numpy", "sitecustomize", "usercustomize", "msgspec", "json")
LATIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""What makes Python take names for something else than UTF-8."""


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A folder whose modules leave a mark when they are imported."""
    folder = tmp_path / "hostile"
    folder.mkdir()
    code = f"open({str(tmp_path / 'mark')!r}, 'a').write(__name__ + '\\n')\nraise ImportError('hostile')\n"
    for name in MODULES:
        (folder / f"{name}.py").write_text(code)
    (folder / "pyrestic").mkdir()
    for name in ("__init__", "__main__"):
        (folder / "pyrestic" / f"{name}.py").write_text(code)
    return folder


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The console script, as pip makes it."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        module, _, function = tomllib.load(file)["project"]["scripts"]["pyrestic"].partition(":")
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "pyrestic"
    path.write_text(f"import sys\nfrom {module} import {function}\nsys.exit({function}())\n")
    return path


def run(words: list[str | Path], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    kept = {"HOME": str(folder.parent), "PATH": os.environ["PATH"]}
    return subprocess.run([sys.executable, *words], cwd=folder, env={**kept, **environment}, capture_output=True)


@pytest.mark.parametrize("locale", [{}, LATIN, {"LC_ALL": "C"}], ids=["utf8", "latin", "C"])
def test_the_console_script_imports_nothing_from_the_current_folder(
    hostile: Path, script: Path, locale: dict[str, str]
) -> None:
    done = run([script, "version"], hostile, {"PYTHONPATH": str(ROOT), **locale})
    assert done.stdout.startswith(b"pyrestic"), done.stderr
    assert not (hostile.parent / "mark").exists()


@pytest.mark.parametrize("locale", [{}, LATIN], ids=["utf8", "latin"])
def test_python_m_imports_nothing_from_the_current_folder(hostile: Path, locale: dict[str, str]) -> None:
    # With a package of that name there it would be the one that was asked for.
    shutil.rmtree(hostile / "pyrestic")
    done = run(["-m", "pyrestic", "version"], hostile, {"PYTHONPATH": str(ROOT), **locale})
    assert done.stdout.startswith(b"pyrestic"), done.stderr
    assert not (hostile.parent / "mark").exists()


@pytest.mark.parametrize("locale", [{}, LATIN], ids=["utf8", "latin"])
@pytest.mark.parametrize("entries", [f"{ROOT}:", f":{ROOT}", f"{ROOT}:.", f"{ROOT}::", f"{ROOT}:../hostile"])
def test_an_entry_of_pythonpath_that_means_the_current_folder_is_not_used(
    hostile: Path, script: Path, entries: str, locale: dict[str, str]
) -> None:
    # Python itself imports these before it runs anything, and the standard library comes behind such entries.
    for name in ("sitecustomize", "usercustomize", "typing", "json"):
        (hostile / f"{name}.py").unlink()
    shutil.rmtree(hostile / "pyrestic")
    done = run([script, "version"], hostile, {"PYTHONPATH": entries, **locale})
    assert done.stdout.startswith(b"pyrestic"), done.stderr
    assert not (hostile.parent / "mark").exists()


def test_the_program_starts_again_as_it_was_started(hostile: Path, script: Path) -> None:
    done = run(["-P", "-s", script, "version", "--json"], hostile, {"PYTHONPATH": str(ROOT), **LATIN})
    assert done.stdout.startswith(b'{"message_type":"version"'), done.stderr
    assert not (hostile.parent / "mark").exists()


def test_names_are_utf8_where_the_locale_is_not(tmp_path: Path, script: Path) -> None:
    done = run([script, "-r", "/nowhere/ä", "cat", "config"], tmp_path, {"PYTHONPATH": str(ROOT), **LATIN})
    assert "/nowhere/ä".encode() in done.stderr


def test_what_compiles_imports_nothing_from_the_current_folder(hostile: Path, script: Path) -> None:
    pytest.importorskip("numba")
    (hostile / ".numba_config.yaml").write_text("debug: 1\n")
    # Python itself imports these before it runs anything.
    for name in ("sitecustomize", "usercustomize", "typing", "json"):
        (hostile / f"{name}.py").unlink()
    shutil.rmtree(hostile / "pyrestic")
    home = hostile.parent / "home"
    home.mkdir()
    done = run([script, "compile-code"], hostile, {"PYTHONPATH": f"{ROOT}:", "HOME": str(home), **LATIN})
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    kinds = {path.name.partition("-")[0] for path in (home / ".cache" / "pyrestic").iterdir()}
    assert kinds == {"lock", *KINDS}
    assert not (hostile.parent / "mark").exists()
