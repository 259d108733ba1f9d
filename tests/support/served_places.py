"""Each kind of place with its real server, for the tests that hold for all of them; a new one is a row of PLACES."""

import getpass
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyrestic.backend.base import Backend
from pyrestic.backend.http_settings import HttpSettings, read_proxies
from pyrestic.backend.location import Access, open_backend, parse_location
from pyrestic.backend.rclone.launchers import ARGUMENTS
from tests.support.clouds import new_path, shared_cloud
from tests.support.repositories import make_repository
from tests.support.restic import NEWEST, Program, Result
from tests.support.seaweed import new_s3_location, shared_seaweed
from tests.support.servers import find_tool
from tests.support.ssh import shared_ssh_server
from tools.place_servers.azure import AzureServer
from tools.place_servers.place import Place
from tools.place_servers.rclone import kill_rclone, rclone_place
from tools.place_servers.sftp import SshServer, make_key


@dataclass(frozen=True)
class Served:
    """A place, and the server behind it: `kill` ends it without warning, `start` lets it come back."""

    place: Place
    kill: Callable[[], object]
    start: Callable[[], object]
    wrong: Place
    """The same place with credentials that the server refuses."""
    release: str = NEWEST
    """The real restic that knows the place."""

    def open(self, name: str) -> Backend:
        """Return our backend of a repository."""
        options = dict(option.split("=", 1) for option in self.place.options)
        environment = {**os.environ, **self.place.environment}
        ca_files = (self.place.ca_file,) if self.place.ca_file else ()
        access = Access(environment, HttpSettings(ca_files=ca_files, proxies=read_proxies(environment)))
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


@contextmanager
def _cloud(kind: str, variable: str, wrong: str, release: str = NEWEST) -> Iterator[Served]:
    """Use the shared server of a kind; `wrong` is a secret that it refuses in place of the variable's."""
    server = shared_cloud(kind)
    ca_file = str(server.ca_file) if isinstance(server, AzureServer) else ""
    place = Place(server.location(f"{new_path()}/"), environment=server.environment, ca_file=ca_file)
    refused = replace(place, environment={**server.environment, variable: wrong})
    try:
        yield Served(place, server.kill, server.start, refused, release)
    finally:
        if not server.runs:
            server.start()


@contextmanager
def _rclone(folder: Path, *options: str) -> Iterator[Served]:
    """Each client starts rclone itself. The wrong place is an SSH server that refuses the key."""
    tools = find_tool("rclone").parent
    make_key(folder / "other key")
    server = shared_ssh_server()
    remote = f':sftp,host=127.0.0.1,port={server.port},user={getpass.getuser()},key_file="{folder}/other key":{folder}'
    place = rclone_place(str(folder / "served"), tools, *options)
    yield Served(place, lambda: kill_rclone(str(folder)), lambda: None, rclone_place(remote, tools, *options))


@contextmanager
def _rclone_pipes(folder: Path) -> Iterator[Served]:
    with _rclone(folder, f"rclone.args={ARGUMENTS} --cache-objects") as served:
        yield served


NIGHTLY = ("rclone over pipes",)
"""The places whose tests cost more than they tell each time: another way to a place that is tested already."""
PLACES: dict[str, Callable[[Path], AbstractContextManager[Served]]] = {
    # The releases of restic in newer Debian suites are built without azure.
    "azure": lambda folder: _cloud("azure", "AZURE_ACCOUNT_KEY", "YW5vdGhlciBrZXk=", "0.14"),
    "gs": lambda folder: _cloud("gs", "GOOGLE_ACCESS_TOKEN", "another-token"),
    "rclone": _rclone,
    "rclone over pipes": _rclone_pipes,
    "s3": _s3,
    "sftp": _sftp,
    "swift": lambda folder: _cloud("swift", "ST_KEY", "another-key"),
}
