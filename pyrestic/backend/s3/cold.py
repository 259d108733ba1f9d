"""Packs in archives of S3: requested, so that a copy of them can be read some hours later and for some days."""

import calendar
import email.utils
import re
import time
from collections.abc import Callable
from typing import NamedTuple

from pyrestic.backend.http import Answer
from pyrestic.backend.s3.caller import S3Caller
from pyrestic.backend.s3.errors import read_report, s3_error
from pyrestic.backend.s3.multipart import content_md5

ARCHIVE_CLASSES = ("GLACIER", "DEEP_ARCHIVE")
"""Storage classes whose files take hours to be read; only packs of file content go there."""
TIERS = ("Standard", "Bulk", "Expedited")

_DAY_SECONDS = 86_400
_find_expiry = re.compile(r'expiry-date="([^"]*)"').search


class ColdOptions(NamedTuple):
    """How packs are requested: for how many days, at which speed and price."""

    days: int = 7
    tier: str = "Standard"


def warm_up(caller: S3Caller, key: str, options: ColdOptions, *, clock: Callable[[], float] = time.time) -> bool:
    """Request an object from its archive unless it can be read long enough; return whether it can be read now."""
    doing = f"looking for {key}"
    answer = caller.send("HEAD", key, doing)
    if answer.status != 200:
        raise s3_error(answer, doing)
    if answer.headers.get("x-amz-storage-class", "") not in ARCHIVE_CLASSES:
        return True
    state = answer.headers.get("x-amz-restore", "")
    if 'ongoing-request="true"' in state:
        return False
    expires = _read_expiry(state)
    if expires is not None and expires > clock() + options.days * _DAY_SECONDS:
        return True
    # A copy that is there can be read while it is extended.
    return _request(caller, key, options) or expires is not None


def _request(caller: S3Caller, key: str, options: ColdOptions) -> bool:
    """Request an object; return whether it can be read at once."""
    doing = f"requesting {key} from cold storage"
    body = (
        '<RestoreRequest xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Days>{options.days}</Days><GlacierJobParameters><Tier>{options.tier}</Tier></GlacierJobParameters>"
        "</RestoreRequest>"
    ).encode()
    headers = {"Content-MD5": content_md5(memoryview(body))}
    answer = caller.send("POST", key, doing, query=[("restore", "")], headers=headers, body=body)
    if answer.status in (200, 202):
        return False
    return _is_readable(answer, doing)


def _is_readable(answer: Answer, doing: str) -> bool:
    match read_report(answer).code:
        case "RestoreAlreadyInProgress":
            return False
        case "InvalidObjectState":
            # It is in no archive.
            return True
    raise s3_error(answer, doing)


def _read_expiry(state: str) -> float | None:
    """Return the time (seconds since 1970) until which a copy can be read, None if there is none."""
    found = _find_expiry(state)
    parsed = None if found is None else email.utils.parsedate(found[1])
    try:
        return None if parsed is None else float(calendar.timegm(parsed))
    except (ValueError, OverflowError):
        return None
