"""Buckets of Google Cloud Storage: `gs:BUCKET:/PREFIX`."""

from pyrestic.backend.base import Backend
from pyrestic.backend.scheme_options import Access, SchemeOptions

OPTIONS = {
    "connections": "number of concurrent connections (default: 5)",
    "deadline": "seconds to retry one operation before failing (default: 900, or 90 if never reached)",
    "region": "region of a bucket that init makes (default: us)",
}


def open_place(address: str, options: SchemeOptions, access: Access) -> Backend:
    """Return the backend for a bucket; raise UsageError."""
    from pyrestic.backend.gs.location import open_gs

    return open_gs(address, options, access)
