"""A repository in B2 as it stood at a time."""

import functools
import time
from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyrestic.backend.as_of_time import parse_as_of
from pyrestic.backend.b2.as_of import AsOfBackend
from pyrestic.backend.base import FileInfo
from pyrestic.errors import AccessError, FormatError, NotFoundError, UsageError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
from tests.support.b2 import BUCKET, open_b2
from tools.b2_server import B2Server

parse_time = functools.partial(parse_as_of, option="b2.as-of")

CONFIG = Handle(FileType.CONFIG, "")
A, B = (Handle(FileType.PACK, hash_id(text).hex()) for text in (b"a", b"b"))


def moment(server: B2Server) -> int:
    """Return a time after all that was done so far, in milliseconds."""
    return server.store.now()


def test_what_was_hidden_replaced_or_added_since_is_as_it_was(b2: B2Server) -> None:
    owner = open_b2(b2)
    owner.create()
    before_all = moment(b2)
    owner.save(CONFIG, b"first")
    owner.save(A, b"content of a")
    then = moment(b2)
    keeper = open_b2(b2, key=b2.add_key(["listFiles", "readFiles", "writeFiles"], bucket=BUCKET))
    keeper.remove(A)
    hidden = moment(b2)
    owner.save(CONFIG, b"second")
    owner.save(B, b"content of b")
    keeper.save(A, b"a again")

    past = AsOfBackend(open_b2(b2), then)
    assert list(past.list(FileType.PACK)) == [FileInfo(A.name, 12)]
    assert past.load(CONFIG) == b"first"
    assert past.load(A) == b"content of a"
    assert past.load(A, 3, 4) == b"tent"
    assert past.load(A, 8) == b"of a"
    assert past.load(A, 12) == b""
    assert past.stat(A) == FileInfo(A.name, 12)
    with pytest.raises(FormatError):
        past.load(A, 5, 8)
    with pytest.raises(NotFoundError, match="did not exist at that time"):
        past.load(B)
    assert list(AsOfBackend(open_b2(b2), hidden).list(FileType.PACK)) == []
    assert list(AsOfBackend(open_b2(b2), before_all).list(FileType.CONFIG)) == []
    present = AsOfBackend(open_b2(b2), moment(b2))
    assert {info.name for info in present.list(FileType.PACK)} == {A.name, B.name}
    assert (present.load(CONFIG), present.load(A)) == (b"second", b"a again")


def test_nothing_can_be_changed(b2: B2Server) -> None:
    open_b2(b2).create()
    past = AsOfBackend(open_b2(b2), moment(b2))
    for change in (past.create, lambda: past.save(CONFIG, b"x"), lambda: past.remove(CONFIG)):
        with pytest.raises(AccessError, match="cannot be changed"):
            change()


@pytest.mark.slow
def test_the_versions_are_listed_once_in_pages(b2: B2Server) -> None:
    open_b2(b2).create()
    bucket = b2.store.buckets()[0].id
    names = [hash_id(b"%d" % number).hex() for number in range(6000)]
    b2.store.run("begin")
    for name in names:
        path = f"repository/data/{name[:2]}/{name}"
        b2.store.add_version(bucket, path, "upload", length=7, sha1="0" * 40)
        b2.store.add_version(bucket, path, "upload", length=8, sha1="0" * 40)
    b2.store.run("commit")
    b2.counters.reset()
    past = AsOfBackend(open_b2(b2), moment(b2))
    assert {info.name for info in past.list(FileType.PACK)} == set(names)
    assert {info.length for info in past.list(FileType.PACK)} == {8}
    assert past.stat(Handle(FileType.PACK, names[0])).length == 8
    assert b2.counters.snapshot()["calls"]["b2_list_file_versions"] == 2


def test_times_are_read_as_people_write_them() -> None:
    assert parse_time("2026-03-01T14:30:00+00:00") == 1772375400000
    assert parse_time("2026-03-01T14:30:00Z") == 1772375400000
    assert parse_time("2026-03-01 14:30") == parse_time("2026-03-01 14:30:00")
    assert parse_time("2026-03-01") == parse_time("2026-03-01 23:59:59") + 999


@given(st.text(max_size=30) | st.datetimes().map(str) | st.dates().map(str))
@example("0001-01-01")
@example("9999-12-31 23:59:59")
def test_any_text_is_a_time_or_refused(text: str) -> None:
    refused = ""
    milliseconds: object = None
    try:
        milliseconds = parse_time(text)
    except UsageError as error:
        refused = str(error)
    assert isinstance(milliseconds, int) != ("as-of" in refused)


@pytest.mark.parametrize(
    ("zone", "text", "utc"),
    [
        ("Europe/Berlin", "2024-03-31 02:30", "2024-03-31T01:30:00Z"),
        ("Europe/Berlin", "2024-10-27 02:30:00", "2024-10-27T01:30:00Z"),
        ("America/New_York", "2024-03-10 02:30", "2024-03-10T06:30:00Z"),
        ("America/New_York", "2024-11-03T01:30:00", "2024-11-03T05:30:00Z"),
        ("America/New_York", "2024-11-03T01:30:00+01:00", "2024-11-03T00:30:00Z"),
        ("Europe/Berlin", "2024-03-31", "2024-03-31T21:59:59.999Z"),
    ],
)
def test_an_hour_that_comes_twice_or_never_is_read_as_go_reads_it(
    monkeypatch: pytest.MonkeyPatch, zone: str, text: str, utc: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        found = parse_time(text)
    time.tzset()
    assert found == round(datetime.fromisoformat(utc).timestamp() * 1000)
