"""The same command on two copies of a repository, by the real restic and by ours, and what became of the copies."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pyrestic.backend.local import LocalBackend
from pyrestic.format import snapshot as snapshot_format
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import load_snapshots
from tests.support.both_programs import Beside
from tests.support.incomplete import as_restic
from tests.support.restic import PASSWORD

NEW_ID = re.compile(r"((?:saved new |to )snapshot |^snapshot )[0-9a-f]{8}(?= saved|$)", re.MULTILINE)
CLOCK = re.compile(r"\[\d+:\d\d\]( .* (?=packs copied))?")
"""Which snapshot needs how many packs that no other needed before depends on their order."""


@dataclass(frozen=True)
class Ending:
    """How a command ended: exit code, scrubbed lines of both streams, the repository's snapshots and blobs then."""

    code: int
    lines: list[str]
    errors: list[str]
    snapshots: list[dict[str, Any]]
    blobs: set[str]
    files: dict[str, int]


def scrub(text: str, *, ordered: bool = False) -> list[str]:
    """Return lines without what chance decides: new IDs, times taken, and, unless `ordered`, their order."""
    lines = CLOCK.sub("[time]", NEW_ID.sub(r"\1NEW", text)).splitlines()
    return lines if ordered else sorted(lines)


def snapshots_of(folder: Path) -> list[dict[str, Any]]:
    """Return the snapshots of a repository without their IDs, in the order of their content."""
    repository = Repository.open(LocalBackend(str(folder)), PASSWORD)
    try:
        stored = load_snapshots(repository, NullReporter())
        documents = [snapshot_format.encode(each.snapshot) for each in stored]
        return [msgspec.json.decode(document) for document in sorted(documents)]
    finally:
        repository.close()


def blobs_of(folder: Path) -> set[str]:
    """Return the blobs that the index of a repository names."""
    repository = Repository.open(LocalBackend(str(folder)), PASSWORD)
    try:
        repository.load_index(NullReporter())
        return {f"{blob.type.word} {blob.id.hex()}" for blob in repository.index.blobs()}
    finally:
        repository.close()


def files_of(folder: Path) -> dict[str, int]:
    """Return how many files of each kind a repository has."""
    return {name: sum(path.is_file() for path in (folder / name).rglob("*")) for name in ("data", "snapshots", "index")}


class Twins:
    """Runs a command line on copies of a repository."""

    def __init__(self, beside: Beside, folder: Path) -> None:
        self.beside = beside
        self.folder = folder
        self.theirs = folder / "theirs"
        self.ours = folder / "ours"
        self._state = folder / "state"
        self.renew()

    def renew(self) -> None:
        """Make both copies anew."""
        for copy in (self.theirs, self.ours):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(self.beside.repository, copy)
        # What was seen of another copy would make this one look like an older state of the repository.
        shutil.rmtree(self._state, ignore_errors=True)

    def run(self, line: str, *, ordered: bool = False, **environment: str) -> tuple[Ending, Ending]:
        """Run a line with both; `{repository}` stands for the copy, other names as in Beside."""
        zone: dict[str, Any] = {"TZ": "Europe/Berlin", **environment}
        words = self._words(line, self.theirs)
        theirs = self.beside.theirs.run(*words, repository=self.theirs, code=None, cwd=self._cwd("theirs"), **zone)
        caller = self.beside.ours
        settings: dict[str, Any] = {
            "RESTIC_REPOSITORY": None,
            "TZ": "Europe/Berlin",
            "XDG_STATE_HOME": str(self._state),
            **environment,
        }
        caller.cwd = self._cwd("ours")
        try:
            ours = caller("--repo", self.ours, *self._words(line, self.ours), **settings)
        finally:
            caller.cwd = caller.folder
        code, errors = as_restic(theirs.code, ours.code, ours.err)
        return (
            self._ending(self.theirs, theirs.code, theirs.text, theirs.stderr.decode(), ordered=ordered),
            self._ending(self.ours, code, ours.out, errors, ordered=ordered),
        )

    def check(self) -> None:
        """Have the real restic read and verify all that ours left."""
        self.beside.theirs.run("check", "--read-data", "--no-lock", repository=self.ours)

    def _cwd(self, name: str) -> Path:
        folder = self.folder / f"cwd {name}"
        folder.mkdir(exist_ok=True)
        return folder

    def _words(self, line: str, repository: Path) -> list[str]:
        names = {**self.beside.names, "repository": str(repository)}
        return ["" if word == "''" else word.format(**names).replace("\t", " ") for word in line.split(" ")]

    def _ending(self, repository: Path, code: int, out: str, err: str, *, ordered: bool) -> Ending:
        errors = scrub(err, ordered=ordered)
        lines = scrub(out, ordered=ordered)
        return Ending(code, lines, errors, snapshots_of(repository), blobs_of(repository), files_of(repository))
