"""Containers of Azure Blob Storage: `azure:CONTAINER:/PREFIX`."""

from pyrestic.backend.base import Backend
from pyrestic.backend.scheme_options import Access, SchemeOptions

OPTIONS = {
    "access-tier": "tier of new files: Hot, Cool, Cold or Archive, the last only for packs of file content "
    "(default: the account's)",
    "connections": "number of concurrent connections (default: 5)",
    "deadline": "seconds to retry one operation before failing (default: 900, or 90 if never reached)",
}


def open_place(address: str, options: SchemeOptions, access: Access) -> Backend:
    """Return the backend for a container; raise UsageError."""
    from pyrestic.backend.azure.location import open_azure

    return open_azure(address, options, access)
