"""REST servers: `rest:URL`."""

from pyrestic.backend.base import Backend
from pyrestic.backend.scheme_options import Access, SchemeOptions

OPTIONS = {
    "connections": "number of concurrent connections (default: 5)",
    "deadline": "seconds to retry one operation before failing (default: 900, or 90 if never reached)",
}


def open_place(address: str, options: SchemeOptions, access: Access) -> Backend:
    """Return the backend for a URL; raise UsageError."""
    from pyrestic.backend.http import HttpClient
    from pyrestic.backend.rest import RestBackend
    from pyrestic.backend.rest_url import parse_rest

    url = parse_rest(address, access.environment)
    connections = options.take_count("connections", 5)
    client = HttpClient(access.http, connections, upload=access.upload, download=access.download)
    return RestBackend(client, url, connections)
