"""Maps the failures of S3 services to errors. The codes follow the vendor's API reference, "Error responses"."""

import calendar
import contextlib
import email.utils
import time
from collections.abc import Callable

from pyrestic.backend.http import Answer
from pyrestic.backend.leases import ExpiredTokenError
from pyrestic.backend.plain_xml import parse_xml
from pyrestic.backend.statuses import Kind, Report, Ruling, Table, describe, error_of
from pyrestic.errors import AccessError, FormatError, PyresticError

_KEY_HINT = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
_BUSY = Ruling(Kind.BUSY)
_DAMAGED = Ruling(Kind.DAMAGED)

TABLE: Table = {
    "AccessDenied": Ruling(Kind.REFUSED, hint="Does the key have the permission, for this bucket and prefix?"),
    "AccountProblem": Ruling(Kind.REFUSED),
    "AllAccessDisabled": Ruling(Kind.REFUSED),
    "AuthorizationHeaderMalformed": Ruling(
        Kind.REFUSED, hint="Name the region of the bucket with -o s3.region=REGION."
    ),
    "InvalidAccessKeyId": Ruling(Kind.REFUSED, "the service does not know the access key", _KEY_HINT),
    "InvalidObjectState": Ruling(
        Kind.REFUSED,
        "the file is in cold storage",
        "Use -o s3.enable-restore=true, which requests it and waits.",
    ),
    "InvalidToken": Ruling(Kind.REFUSED, "the service rejects the session token", "Check AWS_SESSION_TOKEN."),
    "NotSignedUp": Ruling(Kind.REFUSED),
    "QuotaExceeded": Ruling(Kind.REFUSED, "the quota is reached"),
    "SignatureDoesNotMatch": Ruling(Kind.REFUSED, "the service rejects the secret of the access key", _KEY_HINT),
    "XMinioStorageFull": Ruling(Kind.REFUSED, "the server has no space left"),
    "NoSuchBucket": Ruling(Kind.ABSENT, "the bucket does not exist", "The init command makes it."),
    "NoSuchKey": Ruling(Kind.ABSENT, "it does not exist"),
    "NoSuchUpload": Ruling(Kind.BUSY),
    "InvalidRange": Ruling(Kind.SHORT, "the file is too short for the range"),
    "BadDigest": _DAMAGED,
    "IncompleteBody": _DAMAGED,
    "InvalidDigest": _DAMAGED,
    "XAmzContentSHA256Mismatch": _DAMAGED,
    "InternalError": _BUSY,
    "OperationAborted": _BUSY,
    "RequestTimeout": _BUSY,
    "ServiceUnavailable": _BUSY,
    "SlowDown": _BUSY,
}
_ABSENT = {"NoSuchKey", "NoSuchBucket", "NoSuchVersion"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
_SKEWED = {"RequestTimeTooSkewed", "RequestExpired"}
_MINUTE = 60


def read_report(answer: Answer) -> Report:
    """Return the code and the message of a response without success, empty if it has none."""
    if not answer.body:
        return Report()
    try:
        root = parse_xml(answer.body)
    except FormatError:
        return Report()
    if root.name == "ErrorResponse":
        # STS puts it one level lower.
        root = root.find("Error") or root
    return Report(root.read("Code").strip(), root.read("Message").strip())


def s3_error(answer: Answer, doing: str, *, clock: Callable[[], float] = time.time) -> PyresticError:
    """Return the error for a response without success."""
    report = read_report(answer)
    if report.code in _EXPIRED:
        said = f"{doing} failed: the service says {describe(answer, report)}"
        refusal = AccessError(
            f"{doing} failed: the session token has expired", hint="Get new temporary credentials, and try again."
        )
        return ExpiredTokenError(said, refusal)
    if report.code in _SKEWED:
        return AccessError(
            f"{doing} failed: the clock of this machine is wrong{_describe_skew(answer, clock())}",
            hint="Set the clock; a service such as systemd-timesyncd keeps it right.",
        )
    return error_of(answer, doing, report, table=TABLE, service="the service", proven=is_absent(answer))


def is_absent(answer: Answer) -> bool:
    """Tell whether the service itself says that something does not exist. A response to HEAD has no body."""
    if answer.status != 404:
        return False
    return read_report(answer).code in _ABSENT if answer.body else "x-amz-request-id" in answer.headers


def _describe_skew(answer: Answer, now: float) -> str:
    """Return by how much the clock differs from the server's, "" if the server does not tell its time."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        parsed = email.utils.parsedate(answer.headers.get("date", ""))
        minutes = round((now - calendar.timegm(parsed or ())) / _MINUTE)
        if minutes:
            return f": it is {abs(minutes)} minutes {'ahead of' if minutes > 0 else 'behind'} the server's"
    return ""
