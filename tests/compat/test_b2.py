"""Repositories in B2, used by the real restic and by pyrestic in turn, through the service on loopback."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.b2 import BUCKET, make_quick_on_b2
from tests.support.restic import Program, Result
from tests.support.sourcetree import describe, difference, make_source
from tools.b2_server import B2Server

pytestmark = pytest.mark.restic
LOCATION = f"b2:{BUCKET}:some/path"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    make_source(folder, large=False)
    return folder


class OnB2:
    """A program on a repository in the service."""

    def __init__(self, program: Program, server: B2Server) -> None:
        self.program = program
        if program.name == "pyrestic":
            self._words = ["-o", f"b2.endpoint={server.url}"]
            self._environment: dict[str, Any] = dict(server.environment())
        else:
            # 0.14 does not know the variable for the authority.
            self._words = ["--cacert", str(server.front.ca_file)]
            self._environment = dict(server.real_restic_environment())

    def run(self, *arguments: str | Path, **details: Any) -> Result:
        """Run a command on the repository."""
        return self.program.run("-r", LOCATION, *self._words, *arguments, **self._environment, **details)


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_pyrestic_writes_to_b2_is_whole_for_every_release(
    pyrestic: Program, restic: Program, b2: B2Server, source: Path, tmp_path: Path, version: str
) -> None:
    ours, theirs = OnB2(pyrestic, b2), OnB2(restic, b2)
    make_quick_on_b2(b2, version=int(version))
    ours.run("backup", source)
    theirs.run("check", "--read-data")
    theirs.run("restore", "latest", "--target", tmp_path / "target")
    expected, restored = describe(source), describe(tmp_path / "target" / source.relative_to("/"))
    if restic.name == "restic 0.14":
        for tree in (expected, restored):
            tree.pop(b"types/link invalid target", None)
    assert difference(expected, restored) == []
    again = theirs.run("backup", "--json", source).messages[-1]
    assert again["data_blobs"] == 0
    assert b2.front.refused == []


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_every_release_writes_to_b2_is_read_back_here(
    pyrestic: Program, restic: Program, b2: B2Server, source: Path, tmp_path: Path, version: str
) -> None:
    ours, theirs = OnB2(pyrestic, b2), OnB2(restic, b2)
    theirs.run("init", "--repository-version", version)
    theirs.run("backup", source)
    ours.run("check", "--read-data")
    ours.run("restore", "latest", "--target", tmp_path / "target")
    expected, restored = describe(source), describe(tmp_path / "target" / source.relative_to("/"))
    if restic.name == "restic 0.14":
        for tree in (expected, restored):
            tree.pop(b"types/link invalid target", None)
    assert difference(expected, restored) == []
    again = ours.run("backup", "--json", source).messages[-1]
    assert again["data_blobs"] == 0
    assert len(theirs.run("snapshots", "--json").json) == 2
    ours.run("forget", "--keep-last", "1", "--group-by", "", "--prune")
    theirs.run("check", "--read-data")
    assert len(theirs.run("snapshots", "--json").json) == 1
