"""Buckets of Backblaze B2: `b2:BUCKET[:PREFIX]`."""

from pyrestic.backend.base import Backend
from pyrestic.backend.scheme_options import Access, SchemeOptions

OPTIONS = {
    "as-of": "open the repository as of this time, read-only",
    "connections": "number of concurrent connections (default: 5)",
    "deadline": "seconds to retry one operation before failing (default: 900, or 90 if B2 was never reached)",
    "endpoint": "another host for the API, as a URL",
}


def open_place(address: str, options: SchemeOptions, access: Access) -> Backend:
    """Return the backend for a bucket; raise UsageError."""
    from pyrestic.backend.b2.location import open_b2, parse_b2

    return open_b2(
        parse_b2(address),
        access.environment,
        access.http,
        endpoint=options.take_text("endpoint"),
        as_of=options.take_text("as-of"),
        connections=options.take_count("connections", 5),
        upload=access.upload,
        download=access.download,
    )
