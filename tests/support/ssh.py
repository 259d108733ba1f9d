"""A real SSH server for the tests, one for each process that runs them, and its sftp-server without ssh."""

import atexit
import functools
import os
import tempfile
from pathlib import Path

from pyrestic.backend.location import Access
from pyrestic.backend.sftp.backend import SftpBackend
from pyrestic.backend.sftp.session import SftpSession
from tests.support.backends import emptied
from tests.support.servers import find_tool
from tools.place_servers.sftp import SshServer

BARE = "posix-rename,fsync,statvfs,limits"
"""What a server other than OpenSSH's lacks."""


@functools.cache
def shared_ssh_server() -> SshServer:
    """Return a server that lives as long as the tests run; no test may stop it."""
    server = SshServer(Path(tempfile.mkdtemp(prefix="ssh-")), find_tool("openssh"))
    server.start()
    atexit.register(server.kill)
    return server


def sftp_server_command(*, without: str = "") -> str:
    """Return a value for `sftp.command` that starts Debian's sftp-server itself, as ssh does on the other side."""
    program = f"{find_tool('openssh')}/usr/lib/openssh/sftp-server"
    return f"{program} -P {without}" if without else program


class _SharedSession(SftpSession):
    """A session that outlives the backends of single tests: connecting takes time."""

    def close(self) -> None:
        """Stay connected."""


@functools.cache
def _shared_session() -> SftpSession:
    server = shared_ssh_server()
    words = ["ssh", "127.0.0.1", "-p", str(server.port), "-F", str(server.client_settings), "-s", "sftp"]
    session = _SharedSession(words, Access(dict(os.environ)))
    atexit.register(lambda: SftpSession.close(session))
    return session


@functools.cache
def _shared_folder() -> str:
    return tempfile.mkdtemp(prefix="sftp-")


def open_over_ssh() -> SftpBackend:
    """Return a backend for a folder on the shared server; it is empty."""
    return emptied(SftpBackend(_shared_session(), _shared_folder(), 5, Access()))


def open_bare(folder: Path) -> SftpBackend:
    """Return a backend for a new folder on a server without extensions."""
    words = sftp_server_command(without=BARE).split()
    return SftpBackend(SftpSession(words, Access(dict(os.environ))), str(folder / "r"), 5, Access())
