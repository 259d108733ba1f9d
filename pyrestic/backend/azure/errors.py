"""Maps the failures of Azure Blob Storage to errors. The codes follow the vendor's pages "Blob service error codes"."""

import calendar
import contextlib
import email.utils
import time

from pyrestic.backend.http import Answer
from pyrestic.backend.plain_xml import parse_xml
from pyrestic.backend.statuses import Kind, Report, Ruling, Table, error_of
from pyrestic.errors import AccessError, FormatError, PyresticError

SKEW_MINUTES = 15
"""Azure refuses requests whose time differs by more."""

_RIGHTS = "The identity needs the role Storage Blob Data Contributor, a SAS the permissions racwdl."
_BUSY = Ruling(Kind.BUSY)

_REJECTED = Ruling(
    Kind.REFUSED,
    "Azure rejects the key or signature",
    "Check AZURE_ACCOUNT_NAME with AZURE_ACCOUNT_KEY or AZURE_ACCOUNT_SAS; a SAS may also have expired.",
)

TABLE: Table = {
    "AccountIsDisabled": Ruling(Kind.REFUSED, "the storage account is disabled"),
    "AccountBeingCreated": _BUSY,
    "AuthenticationFailed": _REJECTED,
    "InvalidAuthenticationInfo": _REJECTED,
    "AuthorizationFailure": Ruling(Kind.REFUSED, hint=_RIGHTS),
    "AuthorizationPermissionMismatch": Ruling(Kind.REFUSED, hint=_RIGHTS),
    "AuthorizationResourceTypeMismatch": Ruling(Kind.REFUSED, hint=_RIGHTS),
    "KeyBasedAuthenticationNotPermitted": Ruling(
        Kind.REFUSED, "the storage account accepts no keys", "Use an identity: unset AZURE_ACCOUNT_KEY, run `az login`."
    ),
    "ContainerNotFound": Ruling(Kind.ABSENT, "the container does not exist", "The init command makes it."),
    "ContainerBeingDeleted": _BUSY,
    "BlobNotFound": Ruling(Kind.ABSENT, "it does not exist"),
    "BlobArchived": Ruling(
        Kind.REFUSED, "the file is in the tier Archive", "Move it to the tier Hot or Cool first, which takes hours."
    ),
    "BlobBeingRehydrated": Ruling(Kind.REFUSED, "the file is still being moved out of the tier Archive"),
    "BlobImmutableDueToPolicy": Ruling(Kind.REFUSED, "the container's immutability policy forbids it for now"),
    "InvalidRange": Ruling(Kind.SHORT, "the file is too short for the range"),
    "Md5Mismatch": Ruling(Kind.DAMAGED),
    "InternalError": _BUSY,
    "OperationTimedOut": _BUSY,
    "ServerBusy": _BUSY,
}


def read_report(answer: Answer) -> Report:
    """Return code and message of a response without success; the code also comes in a header, as HEAD has no body."""
    code = answer.headers.get("x-ms-error-code", "")
    try:
        root = parse_xml(answer.body)
    except FormatError:
        return Report(code)
    # Its further lines have a request ID and a time.
    return Report(code or root.read("Code").strip(), root.read("Message").strip().partition("\n")[0])


def azure_error(answer: Answer, doing: str) -> PyresticError:
    """Return the error for a response without success."""
    report = read_report(answer)
    minutes = find_skew(answer, time.time()) if answer.status == 403 else 0
    if abs(minutes) >= SKEW_MINUTES:
        return AccessError(
            f"{doing} failed: the clock of this machine is wrong: it is {abs(minutes)} minutes "
            f"{'ahead of' if minutes > 0 else 'behind'} Azure's",
            hint="Set the clock; a service such as systemd-timesyncd keeps it right.",
        )
    return error_of(answer, doing, report, table=TABLE, service="Azure", proven=bool(report.code))


def find_skew(answer: Answer, now: float) -> int:
    """Return by how many minutes this machine's clock is ahead of the server's, 0 if the server does not tell it."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        parsed = email.utils.parsedate(answer.headers.get("date", ""))
        return round((now - calendar.timegm(parsed or ())) / 60)
    return 0
