"""Uploads, downloads and removals on B2: what they cost, and what happens when something goes wrong."""

import hashlib
import random
from collections.abc import Callable

import pytest

from pyrestic.backend.b2.backend import B2Backend
from pyrestic.backend.b2.large import split
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.errors import AccessError, BackendError, NoAnswerError, NotFoundError, TransientError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.b2 import BUCKET, open_b2
from tools.b2_server import B2Server

CONFIG = Handle(FileType.CONFIG, "")


def pack(length: int, seed: int = 1) -> tuple[Handle, bytes]:
    data = random.Random(seed).randbytes(length)
    return Handle(FileType.PACK, hash_id(data).hex()), data


@pytest.fixture
def backend(b2: B2Server) -> B2Backend:
    backend = open_b2(b2)
    backend.create()
    b2.counters.reset()
    return backend


def calls(server: B2Server) -> dict[str, int]:
    found: dict[str, int] = server.counters.snapshot()["calls"]
    server.counters.reset()
    return found


def versions(server: B2Server) -> list[tuple[str, str]]:
    bucket = server.store.buckets()[0].id
    return [(version.name, version.action) for version in server.store.versions(bucket, "", "")]


def quick(backend: B2Backend) -> tuple[RetryBackend, list[float]]:
    waits: list[float] = []
    return RetryBackend(backend, sleep=waits.append), waits


def test_a_file_of_our_own_is_removed_by_one_free_call(b2: B2Server, backend: B2Backend) -> None:
    handle, data = pack(1000)
    backend.save(handle, data)
    calls(b2)
    backend.remove(handle)
    assert calls(b2) == {"b2_delete_file_version": 1}
    assert versions(b2) == []


def test_a_listed_file_is_removed_and_looked_for_once(b2: B2Server, backend: B2Backend) -> None:
    handle, data = pack(1000)
    backend.save(handle, data)
    other = open_b2(b2)
    assert [info.name for info in other.list(FileType.PACK)] == [handle.name]
    calls(b2)
    other.remove(handle)
    assert calls(b2) == {"b2_delete_file_version": 1, "head_file": 1}


def test_every_version_is_removed(b2: B2Server, backend: B2Backend) -> None:
    for number in range(4):
        open_b2(b2).save(CONFIG, b"version %d" % number)
    assert len(versions(b2)) == 4
    backend.remove(CONFIG)
    assert versions(b2) == []
    with pytest.raises(NotFoundError):
        backend.remove(CONFIG)


def test_without_the_right_to_delete_files_are_hidden(b2: B2Server, backend: B2Backend) -> None:
    handle, data = pack(1000)
    backend.save(handle, data)
    keeper = open_b2(b2, key=b2.add_key(["listFiles", "readFiles", "writeFiles"], bucket=BUCKET))
    keeper.remove(handle)
    assert list(keeper.list(FileType.PACK)) == []
    with pytest.raises(NotFoundError):
        keeper.load(handle)
    with pytest.raises(NotFoundError):
        keeper.remove(handle)
    assert [action for _, action in versions(b2)] == ["hide", "upload"]


def test_where_deleting_is_refused_in_spite_of_the_capability_files_are_hidden(
    b2: B2Server, backend: B2Backend
) -> None:
    handle, data = pack(1000)
    backend.save(handle, data)
    b2.faults.add("status", "b2_delete_file_version", status=401, code="unauthorized")
    backend.remove(handle)
    assert [action for _, action in versions(b2)] == ["hide", "upload"]


def test_an_upload_whose_answer_was_lost_is_not_made_again(b2: B2Server, backend: B2Backend) -> None:
    handle, data = pack(100_000)
    b2.faults.add("lose answer", "b2_upload_file", times=1)
    retrying, waits = quick(backend)
    retrying.save(handle, data)
    assert calls(b2)["b2_upload_file"] == 1
    assert waits == []
    assert backend.load(handle) == data


def test_an_upload_that_broke_off_is_made_again_at_once_elsewhere(b2: B2Server, backend: B2Backend) -> None:
    handle, data = pack(3_000_000)
    b2.faults.add("reset upload", "b2_upload_file", times=1, after_bytes=1_000_000)
    retrying, waits = quick(backend)
    retrying.save(handle, data)
    made = calls(b2)
    assert (made["b2_upload_file"], made["b2_get_upload_url"]) == (2, 2)
    assert waits == []
    assert versions(b2) == [(f"repository/data/{handle.name[:2]}/{handle.name}", "upload")]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_busy_upload_place_is_changed_for_another_and_then_waited_for(
    b2: B2Server, backend: B2Backend, status: int
) -> None:
    handle, data = pack(1000)
    b2.faults.add("status", "b2_upload_file", times=3, status=status, code="busy")
    retrying, waits = quick(backend)
    retrying.save(handle, data)
    assert calls(b2)["b2_get_upload_url"] == 4
    assert len(waits) == 2
    assert all(0.5 <= wait <= 6 for wait in waits)


def test_the_wait_that_is_asked_for_is_obeyed(b2: B2Server, backend: B2Backend) -> None:
    handle, data = pack(1000)
    b2.faults.add("status", "b2_upload_file", times=1, status=503, retry_after=77)
    retrying, waits = quick(backend)
    retrying.save(handle, data)
    assert waits == [77]


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("flip", {}),
        ("short body", {"after_bytes": 1000}),
        ("reset download", {"after_bytes": 1000}),
        ("html", {"status": 200}),
        ("html", {"status": 502}),
        ("lose answer", {}),
    ],
)
def test_downloads_that_go_wrong_are_noticed_and_made_again(
    b2: B2Server, backend: B2Backend, kind: str, details: dict[str, int]
) -> None:
    handle, data = pack(50_000)
    backend.save(handle, data)
    b2.faults.add(kind, "b2_download*", times=2, **details)
    retrying, _ = quick(backend)
    assert retrying.load(handle) == data
    assert len(b2.faults.hit) == 2


@pytest.mark.parametrize("cap", ["storage", "transaction", "download"])
def test_a_full_cap_ends_the_attempt_at_once_and_is_named(b2: B2Server, backend: B2Backend, cap: str) -> None:
    handle, data = pack(1000)
    backend.save(handle, data)
    b2.faults.full_caps.add(cap)
    retrying, waits = quick(backend)
    work: dict[str, Callable[[], object]] = {
        "storage": lambda: retrying.save(CONFIG, b"x"),
        "transaction": lambda: list(retrying.list(FileType.PACK)),
        "download": lambda: retrying.load(handle),
    }
    word = {"storage": "storage cap", "transaction": "transactions", "download": "downloads"}[cap]
    with pytest.raises(AccessError, match=word):
        work[cap]()
    assert waits == []


def test_a_service_that_stays_broken_is_given_up_after_the_deadline(b2: B2Server, backend: B2Backend) -> None:
    b2.faults.add("status", "*", status=503)
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    retrying = RetryBackend(backend, total_seconds=900, clock=lambda: now[0], sleep=sleep)
    with pytest.raises(TransientError, match="503"):
        retrying.load(CONFIG)
    assert 600 < now[0] <= 900


def test_silence_is_a_stall_like_any_other(b2: B2Server) -> None:
    backend = open_b2(b2, stall_seconds=0.3)
    backend.create()
    b2.faults.add("silence", "b2_list_file_names", times=1)
    with pytest.raises(NoAnswerError, match="almost no data was transferred"):
        list(backend.list(FileType.PACK))


@pytest.fixture
def parted(b2: B2Server) -> B2Backend:
    """A backend whose service wants files in small parts."""
    b2.service.recommended_part_bytes = 200_000
    b2.service.minimum_part_bytes = 50_000
    backend = open_b2(b2)
    backend.create()
    b2.counters.reset()
    return backend


def test_long_files_go_up_in_parallel_parts_and_come_back_checked(b2: B2Server, parted: B2Backend) -> None:
    handle, data = pack(1_050_000)
    parted.save(handle, data)
    made = calls(b2)
    assert (made["b2_upload_part"], made["b2_finish_large_file"]) == (6, 1)
    assert "b2_upload_file" not in made
    assert 2 <= made["b2_get_upload_part_url"] <= 5
    assert parted.load(handle) == data
    assert parted.load(handle, 199_999, 2) == data[199_999:200_001]
    version = next(b2.store.versions(b2.store.buckets()[0].id, "", ""))
    assert version.info["large_file_sha1"] == hashlib.sha1(data).hexdigest()
    b2.faults.add("flip", "b2_download*", times=1)
    with pytest.raises(TransientError, match="damaged"):
        parted.load(handle)


def test_a_part_that_fails_is_sent_again_alone(b2: B2Server, parted: B2Backend) -> None:
    handle, data = pack(1_050_000)
    b2.faults.add("status", "b2_upload_part", times=2, status=503)
    b2.faults.add("reset upload", "b2_upload_part", times=1, after_bytes=1000)
    parted.save(handle, data)
    made = calls(b2)
    assert (made["b2_upload_part"], made["b2_start_large_file"]) == (9, 1)
    assert parted.load(handle) == data


@pytest.mark.parametrize(("calls_of", "status"), [("b2_upload_part", 503), ("b2_finish_large_file", 400)])
def test_a_long_file_that_fails_leaves_nothing_behind(
    b2: B2Server, parted: B2Backend, calls_of: str, status: int
) -> None:
    handle, data = pack(1_050_000)
    b2.faults.add("status", calls_of, status=status, code="bad_request")
    with pytest.raises(BackendError):
        parted.save(handle, data)
    assert versions(b2) == []
    assert list(b2.store.contents.iterdir()) == []


def test_a_place_for_parts_whose_token_expires_is_changed_and_refused_twice_is_an_error_at_once(
    b2: B2Server, parted: B2Backend
) -> None:
    handle, data = pack(1_050_000)
    b2.faults.add("status", "b2_upload_part", times=1, status=401, code="expired_auth_token")
    parted.save(handle, data)
    assert parted.load(handle) == data
    calls(b2)
    b2.faults.add("status", "b2_upload_part", status=401, code="expired_auth_token")
    with pytest.raises(AccessError, match="of a token that it has just issued"):
        parted.save(*pack(1_050_000, seed=2))
    assert calls(b2)["b2_upload_part"] <= 12


def test_the_lost_answer_of_a_finish_is_no_failure(b2: B2Server, parted: B2Backend) -> None:
    handle, data = pack(1_050_000)
    b2.faults.add("lose answer", "b2_finish_large_file", times=1)
    parted.save(handle, data)
    assert parted.load(handle) == data
    assert calls(b2)["b2_start_large_file"] == 1


@pytest.mark.parametrize("length", [200_001, 400_000, 400_001, 999_999, 5_000_000])
def test_parts_follow_the_rules(b2: B2Server, length: int) -> None:
    b2.service.recommended_part_bytes = 200_000
    b2.service.minimum_part_bytes = 100_000
    parts = split(memoryview(bytes(length)), open_b2(b2).session.authorization())
    assert sum(map(len, parts)) == length
    assert len(parts) >= 2
    assert all(100_000 <= len(part) <= 200_000 for part in parts[:-1])
    assert 0 < len(parts[-1]) <= 200_000


@pytest.mark.slow
def test_a_listing_takes_pages_of_the_largest_size(b2: B2Server, backend: B2Backend) -> None:
    bucket = b2.store.buckets()[0].id
    names = {hash_id(b"%d" % number).hex() for number in range(10_500)}
    b2.store.run("begin")
    for name in names:
        b2.store.add_version(bucket, f"repository/data/{name[:2]}/{name}", "upload", length=7, sha1="0" * 40)
    b2.store.run("commit")
    b2.store.add_version(bucket, "repository/data/foreign", "upload", length=7, sha1="0" * 40)
    assert {info.name for info in backend.list(FileType.PACK)} == names
    found = b2.counters.snapshot()
    assert found["calls"]["b2_list_file_names"] == 2
    assert found["classes"]["C"] == 11


def test_the_ledger_agrees_with_the_service(b2: B2Server) -> None:
    backend = open_b2(b2)
    backend.create()
    handle, data = pack(70_000)
    backend.save(handle, data)
    backend.load(handle)
    backend.load(handle, 10, 100)
    backend.stat(handle)
    list(backend.list(FileType.PACK))
    usage, counted = backend.ledger.read(), b2.counters.snapshot()
    assert dict(usage.calls) == counted["calls"]
    assert [usage.class_a, usage.class_b, usage.class_c] == list(counted["classes"].values())
    assert (usage.uploaded_bytes, usage.downloaded_bytes) == (70_000, 70_100)
    assert (counted["bytes_in"], counted["bytes_out"]) == (70_000, 70_100)
    assert usage.stored_bytes == 70_000
    backend.remove(handle)
    assert backend.ledger.read().stored_bytes == 0
