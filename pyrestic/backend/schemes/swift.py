"""Containers of OpenStack Swift: `swift:CONTAINER:/PREFIX`."""

from pyrestic.backend.base import Backend
from pyrestic.backend.scheme_options import Access, SchemeOptions

OPTIONS = {
    "connections": "number of concurrent connections (default: 5)",
    "deadline": "seconds to retry one operation before failing (default: 900, or 90 if never reached)",
}


def open_place(address: str, options: SchemeOptions, access: Access) -> Backend:
    """Return the backend for a container; raise UsageError."""
    from pyrestic.backend.swift.location import open_swift

    return open_swift(address, options, access)
