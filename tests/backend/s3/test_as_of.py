"""A past state of a repository on a bucket with versioning, and files that nobody can delete before their time."""

import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from pyrestic.backend.objects import ObjectBackend
from pyrestic.backend.s3.as_of import AsOfStore
from pyrestic.backend.s3.store import S3Store
from pyrestic.errors import AccessError, FormatError, NotFoundError, TransientError, UsageError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.faulty_proxy import FaultyProxy, faulty_proxy
from tests.support.seaweed import new_s3_location, open_s3, open_shared_s3, shared_seaweed

pytestmark = pytest.mark.process

CONFIG = Handle(FileType.CONFIG, "")
PACK = Handle(FileType.PACK, hash_id(b"pack").hex())
LOCK = Handle(FileType.LOCK, hash_id(b"lock").hex())
_numbers = itertools.count()


def store_of(backend: ObjectBackend) -> S3Store:
    store = backend.store
    assert isinstance(store, S3Store)
    return store


def new_bucket(**options: str) -> tuple[str, ObjectBackend]:
    """Return the location and the backend of a bucket of its own."""
    location = shared_seaweed().location(f"versions-{next(_numbers)}/place")
    named = {f"s3.{name.replace('_', '-')}": value for name, value in options.items()}
    backend = open_s3(location, shared_seaweed().environment, named)
    backend.create()
    return location, backend


def keep_versions(backend: ObjectBackend) -> None:
    body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    assert store_of(backend).caller.send("PUT", "", "versioning", query=[("versioning", "")], body=body).status == 200


def wait_for_the_next_second() -> str:
    """Return the time between what was done so far and what comes: services keep seconds only."""
    time.sleep(1.1)
    now = datetime.now(UTC)
    time.sleep(1.1)
    return now.isoformat()


def as_of(location: str, when: str) -> ObjectBackend:
    return open_s3(location, shared_seaweed().environment, {"s3.as-of": when})


@pytest.fixture
def proxy() -> Iterator[FaultyProxy]:
    with faulty_proxy(shared_seaweed().address) as running:
        yield running


def test_what_was_deleted_or_overwritten_since_is_there_as_of_then() -> None:
    location, backend = new_bucket()
    keep_versions(backend)
    backend.save(CONFIG, b"first")
    backend.save(PACK, b"content of a pack")
    then = wait_for_the_next_second()
    backend.save(CONFIG, b"another")
    backend.remove(PACK)
    backend.save(LOCK, b"lock")
    now = wait_for_the_next_second()
    assert list(backend.list(FileType.PACK)) == []
    past = as_of(location, then)
    assert past.read_only
    assert past.load(CONFIG) == b"first"
    assert past.load(PACK) == b"content of a pack"
    assert past.load(PACK, 3, 4) == b"tent"
    assert past.load(PACK, 17, 0) == b""
    assert past.stat(PACK).length == 17
    assert [info.name for info in past.list(FileType.PACK)] == [PACK.name]
    with pytest.raises(FormatError, match="too short"):
        past.load(PACK, 10, 100)
    with pytest.raises(NotFoundError, match="did not exist at that time"):
        past.load(LOCK)
    present = as_of(location, now)
    assert present.load(CONFIG) == b"another"
    assert list(present.list(FileType.PACK)) == []
    assert [info.name for info in present.list(FileType.LOCK)] == [LOCK.name]
    for each in (past, present, backend):
        each.close()


def test_a_past_state_cannot_be_changed() -> None:
    location, backend = new_bucket()
    backend.close()
    past = as_of(location, "2026-03-01")
    for change in (past.create, lambda: past.save(PACK, b""), lambda: past.remove(PACK)):
        with pytest.raises(AccessError, match="cannot be changed") as caught:
            change()
        assert "s3.as-of" in caught.value.hint
    past.close()


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"option s3\.as-of must be a time"):
        as_of("s3:host/bucket", "soon")


VERSION = "<Version><Key>r/config</Key><VersionId>{}</VersionId><LastModified>{}</LastModified><Size>1</Size></Version>"
MARKER = "<DeleteMarker><Key>r/config</Key><VersionId>x</VersionId><LastModified>{}</LastModified></DeleteMarker>"


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ([VERSION.format("a", "2026-01-01T00:00:00Z")], "a"),
        ([VERSION.format("b", "2026-01-02T00:00:00.500Z"), VERSION.format("a", "2026-01-01T00:00:00Z")], "b"),
        ([VERSION.format("a", "2026-01-01T00:00:00Z"), VERSION.format("b", "2026-01-02T00:00:00Z")], "b"),
        ([VERSION.format("b", "2027-01-02T00:00:00Z"), VERSION.format("a", "2026-01-01T00:00:00Z")], "a"),
        ([VERSION.format("a", "2026-01-01T00:00:00Z"), MARKER.format("2026-01-02T00:00:00Z")], ""),
        ([VERSION.format("a", "2026-01-01T00:00:00Z"), MARKER.format("2027-01-02T00:00:00Z")], "a"),
        ([VERSION.format("a", "2026-01-01T00:00:00Z"), VERSION.format("b", "2026-01-01T00:00:00Z")], "a"),
    ],
)
def test_the_newest_version_at_the_time_counts(proxy: FaultyProxy, entries: list[str], found: str) -> None:
    page = f"<ListVersionsResult>{''.join(entries)}</ListVersionsResult>".encode()
    proxy.add("status", "GET *versions*", status=200, body=page)
    store = AsOfStore(
        store_of(open_s3(f"s3:http://{proxy.address}/b/r", shared_seaweed().environment)), "r/", 1780000000000
    )
    chosen = store._all().get("r/config")
    assert ("" if chosen is None else chosen.id) == found
    store.close()


@pytest.mark.parametrize(
    "body",
    [
        b"<html/>",
        b"{}",
        b"<ListVersionsResult><IsTruncated>true</IsTruncated></ListVersionsResult>",
        b"<ListVersionsResult><IsTruncated>TRUE</IsTruncated></ListVersionsResult>",
        b"<ListVersionsResult><IsTruncated>yes</IsTruncated></ListVersionsResult>",
        b"<ListVersionsResult><Version><Key>a</Key><Size>1</Size></Version></ListVersionsResult>",
        b"<ListVersionsResult><Version><LastModified>soon</LastModified></Version></ListVersionsResult>",
    ],
)
def test_a_page_of_versions_that_makes_no_sense_is_retried_a_few_times(proxy: FaultyProxy, body: bytes) -> None:
    proxy.add("status", "GET *versions*", status=200, body=body)
    past = open_s3(f"s3:http://{proxy.address}/b/r", shared_seaweed().environment, {"s3.as-of": "2026-03-01"})
    with pytest.raises(TransientError) as caught:
        past.load(CONFIG)
    assert caught.value.attempts
    past.close()


def test_new_files_are_locked_but_lock_files_are_not() -> None:
    _, backend = new_bucket(retention="30d")
    for handle in (CONFIG, PACK, LOCK):
        backend.save(handle, b"content")
    backend.remove(LOCK)
    caller = store_of(backend).caller
    for handle in (CONFIG, PACK):
        answer = caller.send("HEAD", backend.key(handle), "looking")
        assert answer.headers["x-amz-object-lock-mode"] == "GOVERNANCE"
        until = datetime.fromisoformat(answer.headers["x-amz-object-lock-retain-until-date"])
        assert timedelta(days=29.9) < until - datetime.now(UTC) <= timedelta(days=30)
        version = answer.headers["x-amz-version-id"]
        refused = caller.send("DELETE", backend.key(handle), "deleting", query=[("versionId", version)])
        assert refused.status == 403
    assert list(backend.list(FileType.LOCK)) == []
    backend.close()


def test_a_bucket_without_object_lock_is_named_before_anything_is_uploaded(proxy: FaultyProxy) -> None:
    open_shared_s3().create()
    location = new_s3_location().replace(shared_seaweed().address, proxy.address)
    backend = open_s3(location, shared_seaweed().environment, {"s3.retention": "30d"})
    with pytest.raises(AccessError, match="object lock is not enabled for the bucket"):
        backend.save(LOCK, b"x")
    assert not any(request.startswith("PUT") for request in proxy.seen)
    backend.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"s3.retention": "30"}, "30d"), ({"s3.retention": "0d"}, "30d"), ({"s3.retention-mode": "x"}, "compliance")],
)
def test_a_retention_that_makes_no_sense_is_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_s3("s3:host/bucket", {}, options)
