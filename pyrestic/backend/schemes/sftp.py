"""Folders on SSH servers: `sftp://[USER@]HOST[:PORT]/PATH` or `sftp:[USER@]HOST:PATH`."""

from pyrestic.backend.base import Backend
from pyrestic.backend.scheme_options import Access, SchemeOptions

OPTIONS = {
    "args": "arguments for ssh",
    "command": "command that starts the SFTP session, instead of ssh with its arguments",
    "connections": "number of concurrent operations (default: 5)",
    "deadline": "seconds to retry one operation before failing (default: 900, or 90 if never reached)",
}


def open_place(address: str, options: SchemeOptions, access: Access) -> Backend:
    """Return the backend for a folder on a server; raise UsageError."""
    from pyrestic.backend.sftp.backend import SftpBackend
    from pyrestic.backend.sftp.place import parse_sftp
    from pyrestic.backend.sftp.session import SftpSession

    place = parse_sftp(address)
    words = place.command(options.take_text("command"), options.take_text("args"))
    return SftpBackend(SftpSession(words, access), place.path, options.take_count("connections", 5), access)
