"""Failures of HTTP services as errors, by table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.backend.http import Answer
from pyrestic.backend.statuses import BY_STATUS, Kind, Report, Ruling, Table, check_origin, error_of
from pyrestic.errors import AccessError, BackendError, FormatError, NotFoundError, PyresticError, TransientError

TABLE: Table = {
    "Odd": Ruling(Kind.REFUSED, "it is odd", "Make it even."),
    418: Ruling(Kind.BUSY),
    404: Ruling(Kind.FINAL),
}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (204, TransientError),
        (302, TransientError),
        (400, BackendError),
        (401, AccessError),
        (403, AccessError),
        (404, NotFoundError),
        (408, TransientError),
        (413, AccessError),
        (416, FormatError),
        (429, TransientError),
        (500, TransientError),
        (501, BackendError),
        (503, TransientError),
        (507, AccessError),
        (511, AccessError),
    ],
)
def test_each_status_is_an_error(status: int, kind: type[PyresticError]) -> None:
    error = error_of(Answer(status, {}, b""), "doing something")
    assert type(error) is kind
    assert str(error).startswith("doing something failed: ")


def test_a_code_of_the_service_comes_before_its_status_and_that_before_ours() -> None:
    refused = error_of(Answer(503, {}, b""), "doing", Report("Odd", "what?"), table=TABLE)
    assert (type(refused), str(refused), refused.hint) == (AccessError, "doing failed: it is odd", "Make it even.")
    assert type(error_of(Answer(418, {}, b""), "doing", table=TABLE)) is TransientError
    assert type(error_of(Answer(404, {}, b""), "doing", Report("Unknown"), table=TABLE)) is BackendError


def test_a_busy_service_says_when_to_come_back() -> None:
    error = error_of(Answer(503, {"retry-after": "7"}, b""), "doing")
    assert isinstance(error, TransientError)
    assert (error.retry_after_seconds, error.attempts) == (7.0, None)


def test_a_body_that_arrived_damaged_is_sent_again_at_once_but_not_forever() -> None:
    error = error_of(Answer(400, {}, b""), "doing", Report("X"), table={"X": Ruling(Kind.DAMAGED)})
    assert isinstance(error, TransientError)
    assert error.retry_after_seconds == 0.0
    assert error.attempts


@given(status=st.integers(200, 599), code=st.text(), message=st.text())
def test_whatever_a_service_says_is_shown_in_one_printable_line(status: int, code: str, message: str) -> None:
    error = error_of(Answer(status, {}, b""), "doing", Report(code, message), table=TABLE)
    assert str(error).isprintable()
    assert len(str(error)) < 400


def test_a_response_without_the_header_of_the_service_came_from_elsewhere() -> None:
    with pytest.raises(TransientError, match="did not come from a shelf"):
        check_origin(Answer(200, {}, b"<html>"), "doing", service="a shelf")
    assert check_origin(Answer(200, {"etag": "x"}, b""), "doing").status == 200


def test_every_status_in_the_table_is_a_failure() -> None:
    assert all(isinstance(status, int) and status >= 400 for status in BY_STATUS)
