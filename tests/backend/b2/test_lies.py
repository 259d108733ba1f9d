"""A service whose responses are wrong: every listing ends, no file counts as stored that was not, no host is fooled."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from pyrestic.backend.b2.as_of import AsOfBackend
from pyrestic.backend.b2.backend import B2Backend
from pyrestic.backend.b2.doctor import count_held
from pyrestic.backend.b2.large import MAX_PARTS, split
from pyrestic.backend.b2.pages import MAX_SHORT_PAGES
from pyrestic.backend.http import SENSELESS_ATTEMPTS
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.errors import BackendError, TransientError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.b2 import open_b2
from tools.b2_server import B2Server

DATA = b"content of a file"
PACK = Handle(FileType.PACK, hash_id(DATA).hex())
PREFIX = "repository/data/"
LISTINGS = "b2_list_file_*"
Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def backend(b2: B2Server) -> B2Backend:
    backend = open_b2(b2)
    backend.create()
    backend.save(PACK, DATA)
    b2.counters.reset()
    return backend


def quick(backend: B2Backend | AsOfBackend) -> RetryBackend:
    return RetryBackend(backend, sleep=lambda _: None)


def versions(b2: B2Server) -> list[str]:
    return [version.name for version in b2.store.versions(b2.store.buckets()[0].id, "", "")]


# Listings


def going_on(*names: str, with_file: bool = False) -> Change:
    """Return a change that lets a listing go on at these names, one after the other and over again."""
    names_to_come = itertools.cycle(names)
    numbers = itertools.count()

    def change(page: dict[str, Any]) -> None:
        number = next(numbers)
        page["nextFileName"] = PREFIX + next(names_to_come).format(number)
        page["nextFileId"] = f"id {number}"
        page["files"] = [dict(file, fileName=page["nextFileName"]) for file in page["files"][:1]] if with_file else []

    return change


USERS: dict[str, Callable[[B2Backend], object]] = {
    "names": lambda backend: list(quick(backend).list(FileType.PACK)),
    "as of": lambda backend: list(quick(AsOfBackend(backend, 1 << 50)).list(FileType.PACK)),
    "doctor": count_held,
}


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(
    "change",
    [
        going_on("b", "a"),
        going_on("{:09}"),
        going_on("{:09}", with_file=True),
        going_on("same"),
        going_on(""),
        lambda page: page.update(nextFileName=PREFIX + "same", nextFileId="same"),
    ],
    ids=["back and forth", "up, empty", "up, one file each", "one name, other IDs", "the prefix", "one name, one ID"],
)
def test_a_listing_without_end_ends(b2: B2Server, backend: B2Backend, user: str, change: Change) -> None:
    b2.faults.add("lie", LISTINGS, change=change)
    with pytest.raises(BackendError, match=r"pages (repeat in a loop|do not end)") as caught:
        USERS[user](backend)
    assert not isinstance(caught.value, TransientError)
    assert b2.counters.snapshot()["calls"]["b2_list_file_" + ("names" if user == "names" else "versions")] <= (
        MAX_SHORT_PAGES + 2
    )


FOREIGN = (
    f"{PREFIX}../../etc/passwd",
    f"{PREFIX}../config",
    f"{PREFIX}../keys/{PACK.name}",
    f"{PREFIX}ab/../bb/{'b' * 64}",
    f"{PREFIX}bb//{'b' * 64}",
    f"{PREFIX}bb/{'B' * 64}",
    f"{PREFIX}bb/{'b' * 64}\0",
    PREFIX,
    PREFIX + "/" * 1000,
    "",
    # In a folder whose name is as long as that of the repository.
    f"anotherone/data/bb/{'b' * 64}",
)


@pytest.mark.parametrize("user", ["names", "as of"])
def test_foreign_names_are_skipped(b2: B2Server, backend: B2Backend, user: str) -> None:
    def add(page: dict[str, Any]) -> None:
        page["files"] += [dict(page["files"][0], fileName=name) for name in FOREIGN]

    b2.faults.add("lie", LISTINGS, change=add)
    assert USERS[user](backend) == [(PACK.name, len(DATA))]


def test_a_name_that_is_listed_twice_is_one_file(b2: B2Server, backend: B2Backend) -> None:
    b2.faults.add("lie", LISTINGS, change=lambda page: page.update(files=page["files"] * 2))
    assert USERS["names"](backend) == [(PACK.name, len(DATA))]
    assert USERS["as of"](backend) == [(PACK.name, len(DATA))]


@pytest.mark.parametrize("user", USERS)
def test_a_length_that_none_can_be_is_not_b2s(b2: B2Server, backend: B2Backend, user: str) -> None:
    for length in (-5, 2**53, 2**63, 10**40, 1.5, "12", None):

        def change(page: dict[str, Any], length: object = length) -> None:
            page["files"] = [dict(file, contentLength=length) for file in page["files"]]

        b2.faults.clear()
        b2.faults.add("lie", LISTINGS, change=change)
        with pytest.raises(TransientError, match="did not come from B2"):
            USERS[user](backend)


def test_a_version_of_the_past_without_an_id_is_refused(b2: B2Server, backend: B2Backend) -> None:
    b2.faults.add("lie", LISTINGS, change=lambda page: [file.update(fileId=None) for file in page["files"]])
    with pytest.raises(TransientError, match="returns no ID"):
        USERS["as of"](backend)


# Uploads


LIES: dict[str, Change] = {
    "another SHA-1": lambda answer: answer.update(contentSha1="1" * 40),
    "another length": lambda answer: answer.update(contentLength=5),
    "another name": lambda answer: answer.update(fileName=f"repository/data/bb/{'b' * 64}"),
    "hidden": lambda answer: answer.update(action="hide"),
    "no ID": lambda answer: answer.update(fileId=None),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_upload_that_stored_something_else_is_no_success(b2: B2Server, backend: B2Backend, lie: str) -> None:
    backend.remove(PACK)
    b2.faults.add("lie", "b2_upload_file", change=LIES[lie])
    with pytest.raises(TransientError, match="says it stored something else"):
        quick(backend).save(PACK, DATA)
    assert b2.counters.snapshot()["calls"]["b2_upload_file"] == SENSELESS_ATTEMPTS


@pytest.mark.parametrize("lie", LIES)
def test_after_such_an_upload_no_version_is_left_by_a_removal(b2: B2Server, backend: B2Backend, lie: str) -> None:
    backend.remove(PACK)
    b2.faults.add("lie", "b2_upload_file", times=1, change=LIES[lie])
    quick(backend).save(PACK, DATA)
    assert len(versions(b2)) == 2
    backend.remove(PACK)
    assert versions(b2) == []


@pytest.mark.parametrize(
    ("call", "change"),
    [
        ("b2_upload_part", LIES["another SHA-1"]),
        ("b2_upload_part", LIES["another length"]),
        ("b2_upload_part", lambda answer: answer.update(partNumber=7)),
        ("b2_finish_large_file", LIES["another length"]),
        ("b2_finish_large_file", LIES["another name"]),
        ("b2_finish_large_file", LIES["another SHA-1"]),
        ("b2_finish_large_file", lambda answer: answer.update(action="start")),
    ],
)
def test_a_long_file_that_was_stored_otherwise_is_no_success(b2: B2Server, call: str, change: Change) -> None:
    b2.service.recommended_part_bytes, b2.service.minimum_part_bytes = 200_000, 50_000
    backend = open_b2(b2)
    backend.create()
    data = bytes(500_000)
    b2.faults.add("lie", call, change=change)
    with pytest.raises(TransientError, match="says it stored something else"):
        quick(backend).save(Handle(FileType.PACK, hash_id(data).hex()), data)
    assert b2.counters.snapshot()["calls"][call] <= 5 * SENSELESS_ATTEMPTS * 3


def test_no_file_is_cut_into_more_parts_than_b2_takes(b2: B2Server) -> None:
    b2.service.recommended_part_bytes = b2.service.minimum_part_bytes = 1
    parts = split(memoryview(bytes(1_000_001)), open_b2(b2).session.authorization())
    assert len(parts) <= MAX_PARTS
    assert sum(map(len, parts)) == 1_000_001


# Tokens


@pytest.mark.parametrize("call", ["b2_authorize_account", "b2_get_upload_url"])
def test_a_token_that_no_header_can_hold_is_not_b2s(b2: B2Server, call: str) -> None:
    open_b2(b2).create()
    for token in ("", "a b", "a\n", "a\r\nX-More: b", "\u20ac", "\0", 5, None):

        def change(answer: dict[str, Any], token: object = token) -> None:
            answer["authorizationToken"] = token

        b2.faults.clear()
        b2.faults.add("lie", call, change=change)
        with pytest.raises(TransientError, match="did not come from B2"):
            quick(open_b2(b2)).save(PACK, DATA)
    assert versions(b2) == []
