"""Our command line within the test's own process: quick, and under the eyes of the debugger."""

import contextlib
import io
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from pyrestic.cli.main import main
from pyrestic.format.keyfile import ScryptParams
from pyrestic.localfs import metadata
from pyrestic.repository import keys
from pyrestic.repository.repository import Repository
from tests.support import usage
from tests.support.repositories import QUICK, SparseLocalBackend

PASSWORD = "a test password"
FAST = ScryptParams(16, 1, 1)


@dataclass(frozen=True)
class Outcome:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        return json.loads(self.out)


class Caller:
    """Calls the program with a clean environment; `repository` and the password are given by variables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cwd = folder
        self.repository = folder / "repository"
        self.environment = {
            "HOME": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "RESTIC_REPOSITORY": str(self.repository),
            "RESTIC_PASSWORD": PASSWORD,
            "PATH": os.environ["PATH"],
            "TZ": "UTC",
        }

    def create(self, *, version: int = 2, password: str = PASSWORD, name: str = "repository") -> Path:
        """Make a repository whose key is derived in no time."""
        folder = self.folder / name
        repository = Repository.create(
            SparseLocalBackend(str(folder)),
            password,
            version=version,
            hostname="host",
            username="user",
            created="2024-01-02T03:04:05Z",
            params=FAST,
        )
        repository.close()
        return folder

    def __call__(self, *arguments: str | Path, stdin: str = "", **environment: str | None) -> Outcome:
        """Run a command; a variable that is None is not set."""
        merged = self.environment | environment
        values = {name: value for name, value in merged.items() if value is not None}
        out, err = _Stream(), _Stream()
        with (
            contextlib.chdir(self.cwd),
            _environment(values),
            mock.patch("sys.stdin", io.StringIO(stdin)),
            # A new key would take half a second, and so would each command that opens the repository with it.
            mock.patch.object(keys, "calibrate", return_value=QUICK),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main([str(argument) for argument in arguments])
        usage.note(usage.OURS, arguments, environment, code)
        return Outcome(code, out.text(), err.text())


class _Stream(io.TextIOWrapper):
    """A standard stream as the program has it, kept in memory."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors="surrogateescape", newline="")

    def text(self) -> str:
        """Return all that was written."""
        self.flush()
        written = self.buffer
        assert isinstance(written, io.BytesIO)
        return written.getvalue().decode("utf-8", "surrogateescape")


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    with mock.patch.dict(os.environ, values, clear=True):
        _set_zone()
        try:
            yield
        finally:
            os.environ.pop("TZ", None)
            _set_zone()


def _set_zone() -> None:
    """Let the zone of the environment hold; a process of the program's own never sees it change."""
    time.tzset()
    metadata._offset_of_quarter.cache_clear()
    metadata._second.cache_clear()
