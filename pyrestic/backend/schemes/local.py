"""Folders of this machine: a path, or `local:PATH`."""

from pyrestic.backend.base import Backend
from pyrestic.backend.local import DEFAULT_CONNECTIONS, LocalBackend
from pyrestic.backend.scheme_options import Access, SchemeOptions, limited

OPTIONS = {"connections": "number of concurrent operations (default: 2)"}


def open_place(address: str, options: SchemeOptions, access: Access) -> Backend:
    """Return the backend for a path; raise UsageError."""
    return limited(LocalBackend(address, options.take_count("connections", DEFAULT_CONNECTIONS)), access)
