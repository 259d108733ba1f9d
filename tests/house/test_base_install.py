"""A base install, without numba and llvmlite: nothing of pyrestic.native is imported, whatever the program does."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import PASSWORD
from tests.support.fuse import importable

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parent.parent.parent

RUN = """
import importlib, sys
for name in ("numba", "llvmlite"):
    sys.modules[name] = None

source, target, *modules = sys.argv[1:]
for name in modules:
    importlib.import_module(name)
import pyrestic
from pyrestic.cli.main import main

for arguments in (
    ["init"],
    ["backup", source],
    ["check", "--read-data"],
    ["restore", f"latest:{source}", "--target", target],
    ["compile-code"],
):
    assert main(["--quiet", *arguments]) == 0, arguments

with pyrestic.open_repository("repository", password="PASSWORD", environment={"XDG_CACHE_HOME": "cache"}) as opened:
    opened.backup([source])
    opened.snapshot().restore(target + "2", source)
print(*sorted(name for name in sys.modules if name.startswith("pyrestic.native")))
"""


def test_a_base_install_imports_nothing_of_native_and_works(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for number in range(600):
        (source / str(number)).write_bytes(b"%d" % number * 100)
    (source / "large").write_bytes(bytes(range(256)) * 12_000)
    environment = {
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "RESTIC_REPOSITORY": "repository",
        "RESTIC_PASSWORD": PASSWORD,
    }
    paths = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "pyrestic").rglob("*.py")]
    modules = [".".join(path.parts) for path in paths if path.parts[1] != "native" and path.stem[:2] != "__"]
    modules = importable(modules)
    assert len(modules) > 200
    command = [sys.executable, "-c", RUN.replace("PASSWORD", PASSWORD), str(source), str(target), *modules]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""
    for place in (target, Path(f"{target}2")):
        assert {path.name: path.read_bytes() for path in place.iterdir()} == {
            path.name: path.read_bytes() for path in source.iterdir()
        }
