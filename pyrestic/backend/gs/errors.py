"""Maps the failures of Google Cloud Storage to errors. The codes follow the vendor's pages on status codes."""

import msgspec

from pyrestic.backend.http import Answer
from pyrestic.backend.plain_xml import parse_xml
from pyrestic.backend.statuses import Kind, Report, Ruling, Table, error_of
from pyrestic.errors import FormatError, NotFoundError, PyresticError

_BUSY = Ruling(Kind.BUSY)
_RIGHTS = "The credentials need storage.objects.create, delete, get and list in the bucket (Storage Object Admin)."

TABLE: Table = {
    "rateLimitExceeded": _BUSY,
    "userRateLimitExceeded": _BUSY,
    "backendError": _BUSY,
    "internalError": _BUSY,
    "SlowDown": _BUSY,
    "BadDigest": Ruling(Kind.DAMAGED),
    "accountDisabled": Ruling(Kind.REFUSED, "the account of the bucket is disabled"),
    "AccountProblem": Ruling(Kind.REFUSED, "the account of the bucket has a problem, such as an unpaid bill"),
    "quotaExceeded": Ruling(Kind.REFUSED, "the quota is reached"),
    "retentionPolicyNotMet": Ruling(Kind.REFUSED, "the bucket's retention policy forbids it for now"),
    "objectUnderActiveHold": Ruling(Kind.REFUSED, "the object is under a hold"),
    "UserProjectMissing": Ruling(Kind.REFUSED, "the bucket bills the requester, which is not supported"),
    "userProjectMissing": Ruling(Kind.REFUSED, "the bucket bills the requester, which is not supported"),
    403: Ruling(Kind.REFUSED, hint=_RIGHTS),
}


class _Detail(msgspec.Struct):
    reason: str = ""


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""
    errors: list[_Detail] = []


class _ErrorReply(msgspec.Struct):
    error: _Error


def read_report(answer: Answer) -> Report:
    """Return reason and message of a response without success, which is JSON or XML; empty if it has none."""
    try:
        error = msgspec.json.decode(answer.body, type=_ErrorReply, strict=False).error
        return Report(error.errors[0].reason if error.errors else "", error.message)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    try:
        root = parse_xml(answer.body)
    except FormatError:
        return Report()
    return Report(root.read("Code").strip(), root.read("Message").strip())


def is_absent(answer: Answer) -> bool:
    """Tell whether the service itself says that something does not exist, and not a proxy in front of it."""
    if answer.status != 404:
        return False
    if "x-guploader-uploadid" in answer.headers:
        return True
    try:
        return msgspec.json.decode(answer.body, type=_ErrorReply, strict=False).error.code == answer.status
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return read_report(answer).code in ("NoSuchKey", "NoSuchBucket")


def google_error(answer: Answer, doing: str) -> PyresticError:
    """Return the error for a response without success."""
    report = read_report(answer)
    if answer.status == 400 and "md5" in report.message.lower():
        # The hash of the upload does not match: it arrived damaged.
        report = Report("BadDigest", report.message)
    return error_of(answer, doing, report, table=TABLE, service="Google Cloud Storage", proven=is_absent(answer))


def missing_bucket(doing: str, bucket: str) -> NotFoundError:
    """Return the error for a missing bucket."""
    return NotFoundError(
        f"{doing} failed: there is no bucket {bucket}",
        hint="The init command makes it, in the project that GOOGLE_PROJECT_ID names.",
    )
