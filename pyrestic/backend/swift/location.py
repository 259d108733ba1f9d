"""`swift:CONTAINER:/PREFIX` and its settings as a backend."""

from pyrestic.backend.base import Backend
from pyrestic.backend.container_path import ContainerPath, check_container, clean_prefix
from pyrestic.backend.http import HttpClient
from pyrestic.backend.leases import Leased
from pyrestic.backend.objects import DEFAULT_CONNECTIONS, ObjectBackend
from pyrestic.backend.scheme_options import Access, SchemeOptions
from pyrestic.backend.swift.auth import read_login, sign_in
from pyrestic.backend.swift.store import SwiftStore
from pyrestic.errors import UsageError


def parse_swift(address: str) -> ContainerPath:
    """Return container and prefix; raise UsageError. Unlike elsewhere, a second slash is part of the names."""
    container, _, prefix = address.partition(":")
    check_container("swift", container)
    if not prefix.startswith("/"):
        raise UsageError(
            f"the location swift:{address} has no prefix that starts with a slash",
            hint=f"Write swift:{container}:/ for its top level, or swift:{container}:/PREFIX.",
        )
    return ContainerPath(container, clean_prefix(prefix[1:]))


def open_swift(address: str, options: SchemeOptions, access: Access) -> Backend:
    """Return the backend, not yet connected; raise UsageError if a setting is missing or invalid."""
    container, prefix = parse_swift(address)
    connections = options.take_count("connections", DEFAULT_CONNECTIONS)
    login = read_login(access.environment)
    client = HttpClient(access.http, connections, upload=access.upload, download=access.download)
    policy = access.environment.get("SWIFT_DEFAULT_CONTAINER_POLICY", "")
    store = SwiftStore(client, Leased(lambda: sign_in(client, login)), container, policy)
    return ObjectBackend(store, prefix, connections)
