"""Failures of S3 services as errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.http import Answer
from pyrestic.backend.leases import ExpiredTokenError
from pyrestic.backend.s3.errors import read_report, s3_error
from pyrestic.errors import AccessError, FormatError, NotFoundError, PyresticError, TransientError


def failure(status: int, code: str, message: str = "", headers: dict[str, str] | None = None) -> Answer:
    body = f"<?xml version='1.0'?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, headers or {}, body.encode())


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (403, "SignatureDoesNotMatch", AccessError, "secret of the access key"),
        (403, "InvalidAccessKeyId", AccessError, "does not know the access key"),
        (403, "AccessDenied", AccessError, "403 AccessDenied"),
        (403, "InvalidObjectState", AccessError, "cold storage"),
        (404, "NoSuchBucket", NotFoundError, "bucket does not exist"),
        (404, "NoSuchKey", NotFoundError, "it does not exist"),
        (416, "InvalidRange", FormatError, "too short"),
        (400, "RequestTimeout", TransientError, "400 RequestTimeout"),
        (400, "BadDigest", TransientError, "400 BadDigest"),
        (409, "OperationAborted", TransientError, "409"),
        (503, "SlowDown", TransientError, "503 SlowDown (Reduce your rate)"),
        (500, "", TransientError, "500"),
        (400, "ExpiredToken", ExpiredTokenError, "ExpiredToken"),
    ],
)
def test_a_code_is_an_error(status: int, code: str, kind: type[PyresticError], words: str) -> None:
    error = s3_error(failure(status, code, "Reduce your rate"), "saving it")
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize(
    ("date", "words"),
    [
        ("Mon, 30 Nov 2026 12:00:00 GMT", "wrong: it is 120 minutes ahead of the server's"),
        ("Mon, 30 Nov 2026 15:00:00 GMT", "wrong: it is 60 minutes behind the server's"),
        ("Mon, 30 Nov 2026 14:00:01 GMT", "the clock of this machine is wrong"),
        ("", "the clock of this machine is wrong"),
        ("tomorrow", "the clock of this machine is wrong"),
        ("Mon, 99 Nov 99999 14:00:01 GMT", "the clock of this machine is wrong"),
    ],
)
def test_a_wrong_clock_is_named_with_its_error(date: str, words: str) -> None:
    now = 1796047200.0  # 14:00 on that day
    error = s3_error(failure(403, "RequestTimeTooSkewed", headers={"date": date}), "saving it", clock=lambda: now)
    assert type(error) is AccessError
    assert words in str(error)
    assert "clock" in error.hint


@given(st.binary(max_size=300))
def test_any_body_of_a_failure_is_an_error(body: bytes) -> None:
    answer = Answer(403, {}, body)
    assert isinstance(s3_error(answer, "saving it"), PyresticError)
    read_report(answer)


def test_the_token_service_puts_it_deeper() -> None:
    body = b"<ErrorResponse xmlns='x'><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"
    assert read_report(Answer(403, {}, body)) == ("AccessDenied", "no")
