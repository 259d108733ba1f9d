"""Names of versions with their dates."""

import os
import re

from hypothesis import given
from hypothesis import strategies as st

from pyrestic.format.node import FILE, Node
from pyrestic.format.snapshot import Snapshot
from pyrestic.repository.snapshots import StoredSnapshot
from pyrestic.vfs.history import History, Line, PathState, Span, Version
from pyrestic.vfs.version_names import name_versions

SECOND = 10**9
DATE = rb"_\d{4,}-\d\d-\d\d_\d\d\.\d\d\.\d\d"


def history(location: bytes, *seconds: int) -> History:
    """Return a history whose versions, newest first, were modified at these times."""
    stored = StoredSnapshot(b"\0" * 32, Snapshot(time="2024-01-01T00:00:00Z", tree="00" * 32))
    states = [PathState(bytes([n]), Node(name="x", type=FILE), 0, moment * SECOND) for n, moment in enumerate(seconds)]
    versions = [Version((Span(Line("h"), state, stored, stored, 1, None),)) for state in states]
    return History(location, tuple(versions), (), len(versions), 0)


def names(location: bytes, *seconds: int) -> list[bytes]:
    return [name for name, _ in name_versions(history(location, *seconds))]


def test_the_date_stands_before_the_extension() -> None:
    for location, expected in (
        (b"/a/notes.txt", rb"notes%s\.txt"),
        (b"/a/notes", rb"notes%s"),
        (b"/a/.profile", rb"\.profile%s"),
        (b"/a/x.tar.gz", rb"x\.tar%s\.gz"),
        (b"/", rb"root%s"),
    ):
        (name,) = names(location, 1_700_000_000)
        assert re.fullmatch(expected % DATE, name), name


def test_versions_of_the_same_second_get_numbers_the_oldest_first() -> None:
    third, second, first = names(b"/a.b", 5, 5, 5)[::-1]
    assert (second, third) == (first.replace(b".b", b"_2.b"), first.replace(b".b", b"_3.b"))


@given(st.binary(min_size=1, max_size=255), st.lists(st.integers(-(10**10), 10**10), min_size=1, max_size=5))
def test_any_name_stays_short_safe_and_its_own(name: bytes, seconds: list[int]) -> None:
    name = name.replace(b"/", b"x").replace(b"\0", b"x")
    found = names(b"/" + name, *seconds)
    assert len(set(found)) == len(seconds)
    for each in found:
        assert len(each) <= 255
        assert b"/" not in each
        assert b"\0" not in each
        assert each not in (b"", b".", b"..")
        assert os.fsdecode(each)
