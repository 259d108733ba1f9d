"""Packs in archives of S3 are requested if they cannot be read long enough; the answers are the vendor's."""

from collections.abc import Iterator

import pytest

from pyrestic.backend.objects import ObjectBackend
from pyrestic.backend.s3.cold import ColdOptions, warm_up
from pyrestic.backend.s3.store import S3Store
from pyrestic.errors import AccessError, UsageError
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.seaweed import open_s3

KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
NOW = 1796047200.0  # 2026-11-30 14:00
GLACIER = {"x-amz-storage-class": "GLACIER"}


@pytest.fixture
def proxy() -> Iterator[FaultyProxy]:
    """A server that only answers what it is told to."""
    with faulty_proxy("127.0.0.1:1") as running:
        yield running


def open_store(proxy: FaultyProxy, **options: str) -> ObjectBackend:
    named = {f"s3.{name.replace('_', '-')}": value for name, value in options.items()}
    return open_s3(f"s3:http://{proxy.address}/bucket", KEYS, named)


def ask(proxy: FaultyProxy, headers: dict[str, str], status: int = 202, code: str = "") -> tuple[bool, bool]:
    """Return whether an object can be read, and whether it was requested."""
    proxy.add("status", "HEAD *", status=200, headers={"ETag": "x", **headers})
    proxy.add("status", "POST *restore*", status=status, body=f"<Error><Code>{code}</Code></Error>".encode())
    backend = open_store(proxy)
    store = backend.store
    assert isinstance(store, S3Store)
    try:
        readable = warm_up(store.caller, "key", ColdOptions(days=3), clock=lambda: NOW)
    finally:
        backend.close()
    return readable, any(request.startswith("POST") for request in proxy.seen)


@pytest.mark.parametrize(
    ("headers", "readable", "requested"),
    [
        ({}, True, False),
        ({"x-amz-storage-class": "STANDARD_IA"}, True, False),
        (GLACIER, False, True),
        ({"x-amz-storage-class": "DEEP_ARCHIVE"}, False, True),
        ({**GLACIER, "x-amz-restore": 'ongoing-request="true"'}, False, False),
        (
            {**GLACIER, "x-amz-restore": 'ongoing-request="false", expiry-date="Fri, 04 Dec 2026 00:00:00 GMT"'},
            True,
            False,
        ),
        (
            {**GLACIER, "x-amz-restore": 'ongoing-request="false", expiry-date="Tue, 01 Dec 2026 00:00:00 GMT"'},
            True,
            True,
        ),
        ({**GLACIER, "x-amz-restore": 'ongoing-request="false", expiry-date="soon"'}, False, True),
    ],
)
def test_an_object_is_requested_if_it_must_be(
    proxy: FaultyProxy, headers: dict[str, str], readable: bool, requested: bool
) -> None:
    assert ask(proxy, headers) == (readable, requested)


def test_what_the_service_says_about_a_request_counts(proxy: FaultyProxy) -> None:
    assert ask(proxy, GLACIER, 409, "RestoreAlreadyInProgress") == (False, True)
    proxy.clear()
    assert ask(proxy, GLACIER, 403, "InvalidObjectState") == (True, True)
    proxy.clear()
    with pytest.raises(AccessError):
        ask(proxy, GLACIER, 403, "AccessDenied")


def test_requests_are_made_only_with_the_option(proxy: FaultyProxy) -> None:
    for backend, seconds in (
        (open_store(proxy), 0.0),
        (open_store(proxy, enable_restore="true"), 86_400.0),
        (open_store(proxy, enable_restore="true", restore_timeout="90m", restore_tier="Bulk"), 5400.0),
    ):
        assert backend.cold_seconds == seconds
        backend.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [("restore_days", "0"), ("restore_timeout", "soon"), ("restore_timeout", "0"), ("restore_tier", "x")],
)
def test_options_that_make_no_sense_are_refused(proxy: FaultyProxy, name: str, value: str) -> None:
    with pytest.raises(UsageError, match=name.replace("_", "-")):
        open_store(proxy, **{name: value})
