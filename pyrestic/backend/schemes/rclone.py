"""Remotes of rclone: `rclone:REMOTE:PATH`."""

from pyrestic.backend.base import Backend
from pyrestic.backend.scheme_options import Access, SchemeOptions
from pyrestic.errors import UsageError
from pyrestic.golang import parse_duration

OPTIONS = {
    "args": "arguments for rclone (default: serve restic --stdio --b2-hard-delete)",
    "connections": "number of concurrent connections (default: 5)",
    "deadline": "seconds to retry one operation before failing (default: 900)",
    "program": "command that starts rclone (default: rclone)",
    "timeout": "time limit for rclone to start (default: 1m)",
}


def open_place(address: str, options: SchemeOptions, access: Access) -> Backend:
    """Return the backend for a remote; raise UsageError."""
    from pyrestic.backend.rclone.backend import RcloneBackend
    from pyrestic.backend.rclone.launchers import find_launcher

    try:
        timeout_seconds = parse_duration(options.take_text("timeout") or "1m")
    except UsageError as error:
        raise UsageError(f"option rclone.timeout: {error}") from None
    connections = options.take_count("connections", 5)
    program, arguments = options.take_text("program"), options.take_text("args")
    launcher = find_launcher(address, program, arguments, connections, access, timeout_seconds)
    return RcloneBackend(launcher, connections)
