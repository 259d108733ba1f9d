"""`gs:BUCKET:/PREFIX` and its settings as a backend."""

from pyrestic.backend.base import Backend
from pyrestic.backend.container_path import parse_container_path
from pyrestic.backend.gs.credentials import find_credentials
from pyrestic.backend.gs.store import DEFAULT_REGION, GoogleBucket, GoogleStore
from pyrestic.backend.http import HttpClient
from pyrestic.backend.named_url import split_server_url
from pyrestic.backend.objects import DEFAULT_CONNECTIONS, ObjectBackend
from pyrestic.backend.scheme_options import Access, SchemeOptions
from pyrestic.errors import UsageError

ENDPOINT = "https://storage.googleapis.com"


def open_gs(address: str, options: SchemeOptions, access: Access) -> Backend:
    """Return the backend, not yet connected; raise UsageError if a setting is missing or invalid."""
    bucket, prefix = parse_container_path("gs", address)
    connections = options.take_count("connections", DEFAULT_CONNECTIONS)
    region = options.take_text("region") or DEFAULT_REGION
    client = HttpClient(access.http, connections, upload=access.upload, download=access.download)
    endpoint = access.environment.get("STORAGE_EMULATOR_HOST", "") or ENDPOINT
    endpoint = (endpoint if "://" in endpoint else f"http://{endpoint}").rstrip("/")
    if split_server_url(endpoint) is None:
        raise UsageError("the variable STORAGE_EMULATOR_HOST must be a host or a URL")
    tokens = find_credentials(access.environment, client, access.http)
    project = access.environment.get("GOOGLE_PROJECT_ID", "")
    return ObjectBackend(
        GoogleStore(client, tokens, endpoint, GoogleBucket(bucket, project, region)), prefix, connections
    )
