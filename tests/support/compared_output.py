"""One command line by the real restic and by ours within the test, each on its own copy of a repository."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.cli import Caller
from tests.support.restic import NEWEST, PASSWORD, Program, find_pyrestic, find_restic

Message = dict[str, Any]
_NOISE = re.compile(r"\[\d+:\d\d\]|in \d+:\d\d|\d+(\.\d+)?m?s|\b[0-9a-f]{8}\b|[0-9.]+ [KMG]?i?B", re.ASCII)
_UNSTEADY = (
    "time",
    "id",
    "short_id",
    "program_version",
    "snapshot_id",
    "total_duration",
    "seconds_elapsed",
    "duration",
    "backup_start",
    "backup_end",
    "data_added_packed",
    "data_size_in_repo",
    "metadata_size_in_repo",
)


@dataclass(frozen=True)
class Said:
    """What a program said and left: exit code, both streams, the newest snapshot, without what chance decides."""

    code: int
    out: list[str]
    messages: list[Message]
    errors: list[str]
    snapshot: Message | None
    raw: bytes = field(default=b"", compare=False)


def steady(value: Any) -> Any:
    """Return a JSON value without IDs, durations, and the times and packed lengths that no two runs share."""
    if isinstance(value, dict):
        return {name: steady(each) for name, each in value.items() if name not in _UNSTEADY}
    return [steady(each) for each in value] if isinstance(value, list) else value


class SideBySide:
    """Runs lines on copies of one repository; the copies last until the next line."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        self.repository = repository
        self.theirs: Program = find_restic(NEWEST, folder)
        self.ours = Caller(folder)
        self.process: Program = find_pyrestic(folder)
        self.names: dict[str, str] = {}
        self.cwd = folder

    def copies(self) -> dict[str, Path]:
        """Return the copies of the repository by program: "restic" and "pyrestic"."""
        return {name: self.folder / f"copy of {name}" for name in ("restic", "pyrestic")}

    def words(self, line: str, program: str) -> list[str]:
        """Return the words of a line: `{name}` stands for a name, `{program}` for the program, a tab for a space."""
        names = {
            **self.names,
            "folder": str(self.folder),
            "program": program,
            "repository": str(self.copies()[program]),
        }
        return ["" if word == "''" else word.format(**names).replace("\t", " ") for word in line.split(" ")]

    def run(
        self, line: str, *, stdin: bytes = b"", environment: Mapping[str, str] | None = None, reading: bool = False
    ) -> tuple[Said, Said]:
        """Run a line with both; return what restic said and what ours said.

        A line that is only `reading` needs no copies, and goes without the lock, which takes a while.
        """
        settings: dict[str, Any] = {"TZ": "Europe/Berlin", **(environment or {})}
        if reading:
            line += " --no-lock"
            copies = dict.fromkeys(self.copies(), self.repository)
        else:
            copies = self.copies()
            for copy in copies.values():
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(self.repository, copy)
        theirs = self.theirs.run(
            *self.words(line, "restic"), repository=copies["restic"], code=None, cwd=self.cwd, stdin=stdin, **settings
        )
        words = self.words(line, "pyrestic")
        if stdin:
            # What reads standard input wants a descriptor, which only a process of its own has.
            done = self.process.run(
                *words, repository=copies["pyrestic"], code=None, cwd=self.cwd, stdin=stdin, **settings
            )
            ours = self._said("pyrestic", done.code, done.stdout, done.stderr, reading=reading)
        else:
            self.ours.cwd = self.cwd
            places: dict[str, Any] = {"RESTIC_REPOSITORY": None, "RESTIC_PASSWORD": PASSWORD, **settings}
            called = self.ours("--repo", copies["pyrestic"], *words, **places)
            ours = self._said("pyrestic", called.code, _bytes(called.out), _bytes(called.err), reading=reading)
        return self._said("restic", theirs.code, theirs.stdout, theirs.stderr, reading=reading), ours

    def _said(self, name: str, code: int, out: bytes, errors: bytes, *, reading: bool) -> Said:
        text = _anonymous(out.decode("utf-8", "surrogateescape"), name)
        messages = [json.loads(line) for line in text.splitlines() if line.startswith('{"')]
        # A backup that is done before its scan says nothing of it.
        wanted = [
            steady(one)
            for one in messages
            if one.get("message_type") != "status" and one.get("action") != "scan_finished"
        ]
        lines = [self._clean(line, name) for line in text.splitlines() if not line.startswith(('{"', "scan finished"))]
        snapshots = [] if reading else self.theirs.snapshots(self.copies()[name])
        newest = max(snapshots, key=lambda one: str(one["time"]), default=None)
        return Said(
            code,
            sorted(lines),
            sorted(wanted, key=lambda message: json.dumps(message, sort_keys=True)),
            sorted(self._clean(line, name) for line in errors.decode("utf-8", "replace").splitlines()),
            steady(newest),
            out,
        )

    def _clean(self, line: str, name: str) -> str:
        return _NOISE.sub("…", _anonymous(line, name))


def _anonymous(text: str, name: str) -> str:
    return text.replace(f"copy of {name}", "copy").replace(f"target-{name}", "target")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
