"""`azure:CONTAINER:/PREFIX` and its settings as a backend."""

import re
from collections.abc import Mapping

from pyrestic.backend.azure.identities import find_identity
from pyrestic.backend.azure.signer import Bearer, Signer, make_sas, make_shared_key
from pyrestic.backend.azure.store import TIERS, AzureStore
from pyrestic.backend.base import Backend
from pyrestic.backend.container_path import parse_container_path
from pyrestic.backend.http import HttpClient
from pyrestic.backend.http_settings import HttpSettings
from pyrestic.backend.objects import DEFAULT_CONNECTIONS, ObjectBackend
from pyrestic.backend.scheme_options import Access, SchemeOptions
from pyrestic.errors import UsageError

DEFAULT_SUFFIX = "core.windows.net"

_is_account = re.compile(r"[a-z0-9][a-z0-9-]{1,61}").fullmatch
_is_suffix = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,200}").fullmatch
_is_container = re.compile(r"\$?[a-z0-9-]{1,63}").fullmatch


def open_azure(address: str, options: SchemeOptions, access: Access) -> Backend:
    """Return the backend, not yet connected; raise UsageError if a setting is missing or invalid."""
    container, prefix = parse_container_path("azure", address)
    if not _is_container(container):
        raise UsageError(f"{container!r} is not the name of a container: lower-case letters, digits and hyphens")
    connections = options.take_count("connections", DEFAULT_CONNECTIONS)
    wanted = options.take_text("access-tier").lower()
    tier = next((name for name in TIERS if name.lower() == wanted), "")
    environment = access.environment
    account = environment.get("AZURE_ACCOUNT_NAME", "")
    if not account:
        raise UsageError("the variable AZURE_ACCOUNT_NAME is empty", hint="It is needed for repositories at azure:.")
    suffix = environment.get("AZURE_ENDPOINT_SUFFIX", "") or DEFAULT_SUFFIX
    if not _is_account(account):
        raise UsageError("the variable AZURE_ACCOUNT_NAME contains no name of a storage account")
    if not _is_suffix(suffix):
        raise UsageError("the variable AZURE_ENDPOINT_SUFFIX contains no domain")
    client = HttpClient(access.http, connections, upload=access.upload, download=access.download)
    signer = _find_signer(account, environment, client, access.http)
    store = AzureStore(client, signer, f"https://{account}.blob.{suffix}/{container}", tier)
    return ObjectBackend(store, prefix, connections)


def _find_signer(account: str, environment: Mapping[str, str], client: HttpClient, settings: HttpSettings) -> Signer:
    if key := environment.get("AZURE_ACCOUNT_KEY", ""):
        return make_shared_key(account, key)
    if sas := environment.get("AZURE_ACCOUNT_SAS", ""):
        return make_sas(sas)
    return Bearer(find_identity(environment, client, settings))
