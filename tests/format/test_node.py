"""Nodes: fields, modes, and when two say the same."""

import stat
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import FormatError
from pyrestic.format.node import ExtendedAttribute, Node, mode_from_go, mode_to_go, same_time

ID = "a1" * 32


def encode(node: Node) -> bytes:
    return msgspec.json.encode(node)


def test_fields_that_go_always_writes_are_written_and_others_left_out() -> None:
    assert encode(Node(name="n", type="dir")) == (
        b'{"name":"n","type":"dir","mtime":"0001-01-01T00:00:00Z","atime":"0001-01-01T00:00:00Z",'
        b'"ctime":"0001-01-01T00:00:00Z","uid":0,"gid":0,"content":null}'
    )


def test_all_fields_stand_in_the_order_of_restic() -> None:
    when = "2024-05-06T07:08:09.000000001+02:00"
    node = Node(
        name="n",
        type="file",
        mode=1,
        mtime=when,
        atime=when,
        ctime=when,
        uid=2,
        gid=3,
        user="u",
        group="g",
        inode=(1 << 64) - 1,
        device_id=5,
        size=6,
        links=7,
        linktarget="t",
        linktarget_raw=b"\xff",
        extended_attributes=[ExtendedAttribute("a", b"\0"), ExtendedAttribute("b", b""), ExtendedAttribute("c", None)],
        generic_attributes={"windows.file_attributes": msgspec.Raw(b'{"x":1}')},
        device=8,
        content=[ID],
        subtree=ID,
        error="e",
    )
    assert encode(node).decode() == (
        '{"name":"n","type":"file","mode":1,'
        f'"mtime":"{when}","atime":"{when}","ctime":"{when}","uid":2,"gid":3,"user":"u","group":"g",'
        '"inode":18446744073709551615,"device_id":5,"size":6,"links":7,"linktarget":"t","linktarget_raw":"/w==",'
        '"extended_attributes":[{"name":"a","value":"AA=="},{"name":"b","value":""},{"name":"c","value":null}],'
        '"generic_attributes":{"windows.file_attributes":{"x":1}},"device":8,'
        f'"content":["{ID}"],"subtree":"{ID}","error":"e"}}'
    )
    assert msgspec.json.decode(encode(node), type=Node) == node


def test_the_content_of_an_empty_file_is_a_list() -> None:
    assert b'"content":[]' in encode(Node(name="n", type="file", content=[]))


def test_a_node_gives_its_values() -> None:
    node = Node(
        name="a\\\\b\\xff",
        type="symlink",
        mode=0o777 | 1 << 27,
        mtime="1970-01-01T00:00:00.000000005Z",
        atime="1970-01-01T01:00:00+01:00",
        ctime="1969-12-31T23:59:59.999999999Z",
        linktarget="\ufffd",
        linktarget_raw=b"\xff",
    )
    assert node.raw_name == b"a\\b\xff"
    assert (node.mtime_ns, node.atime_ns, node.ctime_ns) == (5, 0, -1)
    assert node.raw_linktarget == b"\xff"
    assert node.st_mode == stat.S_IFLNK | 0o777
    assert Node(name="n", type="symlink", linktarget="ü").raw_linktarget == "ü".encode()


def test_wrong_texts_are_refused_when_asked_for() -> None:
    node = Node(name='"', type="file", mtime="yesterday")
    with pytest.raises(FormatError):
        _ = node.raw_name
    with pytest.raises(FormatError):
        _ = node.mtime_ns


@pytest.mark.parametrize(
    ("st_mode", "go"),
    [
        (stat.S_IFREG | 0o644, 0o644),
        (stat.S_IFDIR | 0o755, 1 << 31 | 0o755),
        (stat.S_IFLNK | 0o777, 1 << 27 | 0o777),
        (stat.S_IFBLK | 0o660, 1 << 26 | 0o660),
        (stat.S_IFCHR | 0o666, 1 << 26 | 1 << 21 | 0o666),
        (stat.S_IFIFO | 0o600, 1 << 25 | 0o600),
        (stat.S_IFSOCK | 0o755, 1 << 24 | 0o755),
        (stat.S_IFREG | 0o4755, 1 << 23 | 0o755),
        (stat.S_IFREG | 0o2755, 1 << 22 | 0o755),
        (stat.S_IFDIR | 0o1777, 1 << 31 | 1 << 20 | 0o777),
    ],
)
def test_modes_are_translated_both_ways(st_mode: int, go: int) -> None:
    assert mode_to_go(st_mode) == go
    assert mode_from_go(go) == st_mode


@given(st.integers(0, 0o7777), st.sampled_from([stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK]))
def test_every_mode_comes_back(permissions: int, kind: int) -> None:
    assert mode_from_go(mode_to_go(kind | permissions)) == kind | permissions


@given(st.integers(0, (1 << 32) - 1))
def test_any_mode_of_go_gives_a_mode_of_sixteen_bits(mode: int) -> None:
    assert 0 <= mode_from_go(mode) < 1 << 16


def test_an_unknown_type_is_irregular_for_go_and_no_type_here() -> None:
    assert mode_to_go(0o644) == 1 << 19 | 0o644
    assert mode_from_go(1 << 19 | 0o644) == 0o644


def test_times_are_the_same_if_they_are_the_same_moment() -> None:
    assert same_time("2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00")
    assert not same_time("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000000001Z")
    assert same_time("nonsense", "nonsense")
    assert not same_time("nonsense", "other nonsense")


def test_nodes_are_the_same_whatever_zone_and_order_they_are_written_in() -> None:
    one = Node(name="n", type="file", mtime="2024-01-01T00:00:00Z", content=[ID])
    one.extended_attributes = [ExtendedAttribute("a", b"1"), ExtendedAttribute("b", b"2")]
    other = msgspec.structs.replace(
        one, mtime="2023-12-31T19:00:00-05:00", extended_attributes=one.extended_attributes[::-1]
    )
    assert one.same_as(one)
    assert one.same_as(other)
    assert one != other
    changes: list[dict[str, Any]] = [
        {"mtime": "2024-01-01T00:00:00+01:00"},
        {"ctime": "2024-01-01T00:00:00Z"},
        {"extended_attributes": None},
        {"extended_attributes": [ExtendedAttribute("a", b"1"), ExtendedAttribute("b", b"3")]},
        {"content": []},
        {"mode": 1},
    ]
    for change in changes:
        assert not one.same_as(msgspec.structs.replace(other, **change)), change
