"""`s3:HOST/BUCKET[/PREFIX]` and its settings as a backend."""

import re

from pyrestic.backend.base import Backend
from pyrestic.backend.http import HttpClient
from pyrestic.backend.leases import Lease, Leased
from pyrestic.backend.objects import DEFAULT_CONNECTIONS, ObjectBackend
from pyrestic.backend.s3.caller import S3Caller
from pyrestic.backend.s3.cold import TIERS, ColdOptions
from pyrestic.backend.s3.endpoint import LOOKUPS, S3Address, parse_s3
from pyrestic.backend.s3.key_services import KeyServices
from pyrestic.backend.s3.keys import KeyFinder
from pyrestic.backend.s3.retention import Retention
from pyrestic.backend.s3.signer import ANONYMOUS
from pyrestic.backend.s3.store import S3Options, S3Store
from pyrestic.backend.scheme_options import Access, SchemeOptions
from pyrestic.errors import UsageError

_DAYS = re.compile(r"([1-9][0-9]{0,3})d", re.ASCII)


def open_s3(address: str, options: SchemeOptions, access: Access) -> Backend:
    """Return the backend, not yet connected; raise UsageError if a setting is missing or invalid."""
    location = parse_s3(address)
    lookup = options.take_text("bucket-lookup").lower() or "auto"
    if lookup not in LOOKUPS:
        raise UsageError(f"option s3.bucket-lookup must be one of {', '.join(LOOKUPS)}, not {lookup!r}")
    region = options.take_text("region") or access.environment.get("AWS_DEFAULT_REGION", "")
    anonymous = options.take_switch("unsafe-anonymous-auth")
    connections = options.take_count("connections", DEFAULT_CONNECTIONS)
    seconds = options.take_seconds("restore-timeout", 24 * 3600.0)
    cold = ColdOptions(options.take_count("restore-days", 7), options.take_text("restore-tier") or TIERS[0])
    if cold.tier not in TIERS:
        raise UsageError(f"option s3.restore-tier must be one of {', '.join(TIERS)}, not {cold.tier!r}")
    storing = S3Options(
        options.take_text("storage-class"),
        list_v1=options.take_switch("list-objects-v1"),
        connections=connections,
        retention=_take_retention(options),
        cold_seconds=seconds if options.take_switch("enable-restore") else 0.0,
        cold=cold,
    )
    as_of = options.take_text("as-of")
    for unused in ("layout", "retries"):
        options.take_text(unused)
    client = HttpClient(access.http, connections, upload=access.upload, download=access.download)
    if anonymous:
        keys = Leased(lambda: Lease(ANONYMOUS))
    else:
        keys = Leased(KeyFinder(KeyServices(access.environment, access.http, region)).find)
    caller = S3Caller(client, keys, S3Address(location, region=region, lookup=lookup))
    backend = ObjectBackend(S3Store(caller, storing), location.prefix, connections)
    if not as_of:
        return backend
    from pyrestic.backend.as_of_time import parse_as_of
    from pyrestic.backend.s3.as_of import AsOfStore

    past = AsOfStore(S3Store(caller, storing), backend.base, parse_as_of(as_of, "s3.as-of"))
    return ObjectBackend(past, location.prefix, connections)


def _take_retention(options: SchemeOptions) -> Retention | None:
    text, mode = options.take_text("retention"), options.take_text("retention-mode").upper()
    if mode not in ("", "GOVERNANCE", "COMPLIANCE"):
        raise UsageError(f"option s3.retention-mode must be governance or compliance, not {mode.lower()!r}")
    if not text:
        return None
    days = _DAYS.fullmatch(text)
    if days is None:
        raise UsageError(f"option s3.retention must be a number of days such as 30d, not {text!r}")
    return Retention(int(days[1]), mode or "GOVERNANCE")
