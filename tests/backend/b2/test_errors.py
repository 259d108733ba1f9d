"""What each failure of the service means."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.b2.errors import error_of
from pyrestic.backend.http import Answer
from pyrestic.backend.leases import ExpiredTokenError
from pyrestic.errors import AccessError, BackendError, FormatError, NotFoundError, PyresticError, TransientError


def answer(status: int, code: str, message: str = "words", **headers: str) -> Answer:
    body = json.dumps({"status": status, "code": code, "message": message}).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "expired_auth_token", ExpiredTokenError),
        (401, "bad_auth_token", ExpiredTokenError),
        (401, "unauthorized", AccessError),
        (403, "storage_cap_exceeded", AccessError),
        (403, "transaction_cap_exceeded", AccessError),
        (403, "download_cap_exceeded", AccessError),
        (403, "access_denied", AccessError),
        (404, "not_found", NotFoundError),
        (400, "no_such_file", NotFoundError),
        (400, "file_not_present", NotFoundError),
        (400, "already_hidden", NotFoundError),
        (416, "range_not_satisfiable", FormatError),
        (408, "request_timeout", TransientError),
        (429, "too_many_requests", TransientError),
        (500, "internal_error", TransientError),
        (502, "bad_gateway", TransientError),
        (503, "service_unavailable", TransientError),
        (504, "gateway_timeout", TransientError),
        (302, "", TransientError),
        (400, "auth_token_limit", TransientError),
        (400, "bad_request", BackendError),
        (409, "conflict", BackendError),
    ],
)
def test_each_status_and_code_has_one_meaning(status: int, code: str, kind: type[PyresticError]) -> None:
    error = error_of(answer(status, code), "loading x", "readFiles")
    assert type(error) is kind
    assert "loading x" in str(error)


def test_what_is_missing_or_full_is_named() -> None:
    assert "deleteFiles" in str(error_of(answer(401, "unauthorized"), "x", "deleteFiles"))
    assert "storage cap" in str(error_of(answer(403, "storage_cap_exceeded"), "x"))
    assert "transactions" in str(error_of(answer(403, "transaction_cap_exceeded"), "x"))
    assert "downloads" in str(error_of(answer(403, "download_cap_exceeded"), "x"))


def test_the_wait_that_the_service_asks_for_is_kept() -> None:
    error = error_of(answer(503, "busy", retry_after="30"), "x", uploading=True)
    assert isinstance(error, TransientError)
    assert error.retry_after_seconds == 30
    error = error_of(answer(503, "busy"), "x", uploading=True)
    assert isinstance(error, TransientError)
    assert error.retry_after_seconds == 0.0
    error = error_of(answer(503, "busy"), "x")
    assert isinstance(error, TransientError)
    assert error.retry_after_seconds is None


def test_a_checksum_that_did_not_match_on_the_way_is_worth_another_upload() -> None:
    error = error_of(answer(400, "bad_request", "Sha1 did not match data received"), "x", uploading=True)
    assert isinstance(error, TransientError)
    assert not isinstance(error_of(answer(400, "bad_request", "Sha1 did not match"), "x"), TransientError)


@given(status=st.integers(300, 999), body=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_answer_gives_an_error_of_ours_on_one_printable_line(status: int, body: bytes) -> None:
    error = error_of(Answer(status, {}, body), "loading x", "readFiles")
    assert isinstance(error, PyresticError)
    assert str(error).isprintable()
    assert len(str(error)) < 500


@given(code=st.text(max_size=100), message=st.text(max_size=2000))
def test_no_message_of_the_service_makes_a_mess(code: str, message: str) -> None:
    body = json.dumps({"code": code, "message": message}).encode()
    error = error_of(Answer(400, {}, body), "loading x")
    assert str(error).isprintable()
    assert len(str(error)) < 500
