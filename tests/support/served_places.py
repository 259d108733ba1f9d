"""Each kind of place with its real server, for the tests that hold for all of them; a new one is a row of PLACES."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyrestic.backend.base import Backend
from pyrestic.backend.location import Access, open_backend, parse_location
from tests.support.repositories import make_repository
from tests.support.restic import Program, Result
from tests.support.seaweed import new_s3_location, shared_seaweed
from tests.support.servers import find_tool
from tools.place_servers.place import Place
from tools.place_servers.sftp import SshServer, make_key


@dataclass(frozen=True)
class Served:
    """A place, and the server behind it: `kill` ends it without warning, `start` lets it come back."""

    place: Place
    kill: Callable[[], object]
    start: Callable[[], object]
    wrong: Place
    """The same place with credentials that the server refuses."""

    def open(self, name: str) -> Backend:
        """Return our backend of a repository."""
        options = dict(option.split("=", 1) for option in self.place.options)
        access = Access({**os.environ, **self.place.environment})
        return open_backend(parse_location(self.place.location + name), options, access)

    def make_quick(self, name: str, *, version: int = 2) -> None:
        """Make a repository whose key costs no time."""
        make_repository(self.open(name), version=version).close()

    def at(self, program: Program, name: str) -> "Client":
        """Return a program that uses a repository."""
        return Client(program, self.place, name)


@dataclass(frozen=True)
class Client:
    """A program that uses one repository."""

    program: Program
    place: Place
    name: str

    def run(self, *arguments: str | Path, **details: Any) -> Result:
        """Run a command on the repository."""
        details |= self.place.environment
        return self.program.run(*self.place.flags(self.name), *arguments, **details)

    def popen(self, *arguments: str | Path) -> "subprocess.Popen[bytes]":
        """Start a command that reads a stream."""
        return subprocess.Popen(
            [*self.program.command, *self.place.flags(self.name), *map(str, arguments)],
            env=self.program.environment(**self.place.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@contextmanager
def _sftp(folder: Path) -> Iterator[Served]:
    server = SshServer(folder / "server", find_tool("openssh"))
    (folder / "served").mkdir()
    make_key(folder / "other key")
    settings = server.client_settings.read_text().replace(f"{server.folder}/key\n", f'"{folder}/other key"\n')
    (folder / "other settings").write_text(settings)
    place = server.place(folder / "served")
    wrong = replace(place, options=(f"sftp.args=-F '{folder}/other settings'",))
    server.start()
    try:
        yield Served(place, server.kill, server.start, wrong)
    finally:
        server.kill()


@contextmanager
def _s3(folder: Path) -> Iterator[Served]:
    """Use the shared server: it takes some seconds to start."""
    server = shared_seaweed()
    place = Place(f"{new_s3_location()}/", environment=server.environment)
    wrong = replace(place, environment={**server.environment, "AWS_SECRET_ACCESS_KEY": "another-secret"})
    try:
        yield Served(place, server.kill, server.start, wrong)
    finally:
        if not server.runs:
            server.start()


PLACES: dict[str, Callable[[Path], AbstractContextManager[Served]]] = {
    "s3": _s3,
    "sftp": _sftp,
}
