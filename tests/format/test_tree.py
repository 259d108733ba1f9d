"""Trees as restic writes them, and trees that nobody should have written."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import DamageError, FormatError
from pyrestic.format.gojson import format_time, quote_name
from pyrestic.format.node import ExtendedAttribute, Node
from pyrestic.format.tree import (
    ImpossibleNamesError,
    Links,
    TreePart,
    encode_part,
    encode_tree,
    parse_links,
    parse_tree,
    reproducible,
)
from pyrestic.ids import hash_id

ID = "0123456789abcdef" * 4

# Written by restic 0.19.1: a file with attributes, a link whose target is not UTF-8, a folder whose name is not.
REAL_TREE = (
    b'{"nodes":[{"name":"\xc3\xbc","type":"file","mode":420,"mtime":"1901-12-13T21:45:52+01:'
    b'00","atime":"1901-12-13T21:45:52+01:00","ctime":"2026-11-23T12:32:03.768994552+0'
    b'1:00","uid":0,"gid":0,"user":"root","group":"root","inode":2933041,"device_id":6'
    b'5024,"links":1,"extended_attributes":[{"name":"user.a\\u003cb\\u003e","value":"dg='
    b'="},{"name":"user.empty","value":""}],"content":[]},{"name":"\xe6\xbc\xa2","type":"symlin'
    b'k","mode":134218239,"mtime":"2023-11-14T23:13:20.12+01:00","atime":"2023-11-14T2'
    b'3:13:20.12+01:00","ctime":"2026-11-23T12:32:03.768994552+01:00","uid":0,"gid":0,'
    b'"user":"root","group":"root","inode":2933057,"device_id":65024,"links":1,"linkta'
    b'rget":"\\ufffd\xef\xbf\xbd\\ufffd\\b\\u001f","linktarget_raw":"/++/vf8IHw==","content":null},'
    b'{"name":"\\\\xff \\u003cdir\\u003e","type":"dir","mode":2147484141,"mtime":"2024-05-'
    b'01T12:00:00.5+02:00","atime":"2024-05-01T12:00:00.5+02:00","ctime":"2026-11-23T1'
    b'2:32:03.765608092+01:00","uid":0,"gid":0,"user":"root","group":"root","inode":29'
    b'33031,"device_id":65024,"content":null,"subtree":"ac08ce34ba4f8123618661bef2425f'
    b'7028ffb9ac740578a3ee88684d2523fee8"}]}\n'
)
REAL_TREE_ID = "45096ab373653179ec71396bb060ee73c8882f22cfdd8409bc6d94ac4c93d30f"


def file(name: str, **fields: Any) -> Node:
    fields.setdefault("content", [])
    return Node(name=name, type="file", **fields)


def tree_of(*nodes: Mapping[str, object], **more: object) -> bytes:
    return json.dumps({"nodes": [{"name": "n", "type": "file", **node} for node in nodes]} | more).encode()


def test_an_empty_folder_is_an_empty_list() -> None:
    assert encode_tree([]) == b'{"nodes":[]}\n'
    assert parse_tree(b'{"nodes":[]}\n') == []


def test_the_empty_tree_of_older_repairs_is_read() -> None:
    assert parse_tree(b'{"nodes":null}\n') == []


def test_a_real_tree_is_read_and_written_back_byte_for_byte() -> None:
    assert hash_id(REAL_TREE).hex() == REAL_TREE_ID
    nodes = parse_tree(REAL_TREE)
    assert [node.raw_name for node in nodes] == ["ü".encode(), "漢".encode(), b"\xff <dir>"]
    assert nodes[1].raw_linktarget == b"\xff\xef\xbf\xbd\xff\x08\x1f"
    assert nodes[0].extended_attributes == [ExtendedAttribute("user.a<b>", b"v"), ExtendedAttribute("user.empty", b"")]
    assert encode_tree(nodes) == REAL_TREE
    assert reproducible(REAL_TREE, nodes)


def test_a_tree_with_unknown_keys_is_read_but_not_called_reproducible() -> None:
    data = tree_of({"from_the_future": [1, {"a": None}]}, version=3)
    nodes = parse_tree(data)
    assert [node.name for node in nodes] == ["n"]
    assert not reproducible(data, nodes)


def test_a_tree_out_of_order_is_read_but_not_written() -> None:
    nodes = parse_tree(tree_of({"name": "b"}, {"name": "a"}))
    assert [node.name for node in nodes] == ["b", "a"]
    with pytest.raises(FormatError, match="'b' before 'a'"):
        encode_tree(nodes)
    assert not reproducible(b"", nodes)


@pytest.mark.parametrize("names", [["a", "a"], ["b", "a"], [""], ["a", "\\xff", "é"], ["\\n", "\\n"]])
def test_names_that_do_not_ascend_are_not_written(names: list[str]) -> None:
    with pytest.raises(FormatError, match="not in order"):
        encode_tree([file(name) for name in names])


@given(
    st.lists(st.binary(min_size=1, max_size=6).filter(lambda name: not {0, 47} & {*name}), unique=True, max_size=12),
    st.lists(st.integers(1, 5), max_size=12),
)
def test_a_tree_of_parts_is_the_tree_of_their_nodes(names: list[bytes], lengths: list[int]) -> None:
    nodes = [file(quote_name(name), user="j\udcfcrg<") for name in sorted(names)]
    nodes += [
        Node(name="\\xff\\xff\\xff\\xff\\xff\\xff\\xff", type="symlink", linktarget="\ufffd", linktarget_raw=b"\xff")
    ]
    parts: list[Node | TreePart] = []
    rest = nodes
    for number, length in enumerate(lengths):
        # Every second stretch of nodes becomes a part, if there are some left.
        some, rest = rest[:length], rest[length:]
        parts += [encode_part(some)] if some and number % 2 else some
    assert encode_tree([*parts, *rest]) == encode_tree(nodes)


@pytest.mark.parametrize("names", ['éa éb éc"', 'a" aé b', '" é \U0001f600\\', 'é \u4e2d" \U0001f600'])
def test_quoted_and_other_names_stand_in_parts_beside_each_other(names: str) -> None:
    nodes = [file(quote_name(name.encode())) for name in names.split()]
    for cut in range(1, len(nodes)):
        assert encode_tree([encode_part(nodes[:cut]), encode_part(nodes[cut:])]) == encode_tree(nodes)


def test_parts_have_to_ascend_too() -> None:
    first, second = encode_part([file("a"), file("b")]), encode_part([file("b")])
    disorders: list[list[Node | TreePart]] = [[first, second], [first, file("a")], [file("c"), first], [second, first]]
    for entries in disorders:
        with pytest.raises(FormatError, match="not in order"):
            encode_tree(entries)
    with pytest.raises(FormatError, match="'b' before 'a'"):
        encode_part([file("b"), file("a")])


def test_names_ascend_by_their_bytes_whether_quoted_or_not() -> None:
    raw = [b"a\x01", b"a ", b"a-b", b"a.b", b"a0", b"aa", b"a\xff", "é".encode(), "\U0001f600".encode(), b"\xfe"]
    names = [quote_name(name) for name in sorted(raw)]
    data = encode_tree([file(name) for name in names])
    assert [node.raw_name for node in parse_tree(data)] == sorted(raw)


def test_undecodable_owners_and_attributes_are_written_as_go_does() -> None:
    node = file("n", user="j\udcfcrg", group="\udcff\U0001f600")
    node.extended_attributes = [ExtendedAttribute("user.\udcff<", b"v")]
    data = encode_tree([node])
    assert b'"user":"j\\ufffdrg","group":"\\ufffd\xf0\x9f\x98\x80"' in data
    assert b'{"name":"user.\\ufffd\\u003c","value":"dg=="}' in data
    assert node.user == "j\udcfcrg"


def test_a_raw_target_that_is_utf8_is_written_once_as_restic_does() -> None:
    node = Node(name="n", type="symlink", linktarget="other", linktarget_raw=b"right")
    assert b'"linktarget":"right","content"' in encode_tree([node])


def test_what_is_not_utf8_is_read_as_go_reads_it() -> None:
    data = b'{"nodes":[{"name":"n","type":"file","user":"\xff\xfe","content":null}]}'
    assert parse_tree(data)[0].user == "\ufffd\ufffd"


def test_impossible_names_leave_the_other_entries() -> None:
    names = ["a", "../up", "b", "b", '"', "", "c"]
    with pytest.raises(ImpossibleNamesError, match=r"impossible name '../up' and 3 more like that") as raised:
        parse_tree(tree_of(*({"name": name} for name in names)))
    assert [node.name for node in raised.value.nodes] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "/", "a/b", "../up", "\\x2f", "a\\u002fb", "\\x2e\\x2e", "nul\\x00", "nul\0", '"', "a\nb", "\\q"],
)
def test_impossible_names_are_refused(name: str) -> None:
    with pytest.raises(FormatError):
        parse_tree(tree_of({"name": name}))
    with pytest.raises(FormatError):
        parse_tree(tree_of({"name": "quoted \\\\"}, {"name": name}))


@pytest.mark.parametrize("names", [("a", "a"), ("\\xc3\\xa9", "é"), ("\\x61", "a")])
def test_two_entries_with_one_name_are_refused(names: tuple[str, str]) -> None:
    with pytest.raises(FormatError, match="same name"):
        parse_tree(tree_of(*({"name": name} for name in names)))


@pytest.mark.parametrize(
    "fields",
    [
        {"content": ["ab"]},
        {"content": ["g" * 64]},
        {"content": ["A" * 64]},
        {"content": [" " * 64]},
        {"content": [ID, ID[:-2] + "  "]},
        {"content": ["é" * 64]},
        {"content": [None]},
        {"content": ID},
        {"subtree": "ab"},
        {"subtree": "x" * 64},
        {"size": -1},
        {"size": 1 << 63},
        {"size": 1e300},
        {"size": "1"},
        {"mode": 1 << 32},
        {"uid": -1},
        {"gid": 1 << 32},
        {"mtime": 5},
        {"linktarget_raw": "not base64!"},
        {"extended_attributes": [{"value": "AA=="}]},
        {"extended_attributes": "none"},
        {"type": None},
    ],
)
def test_fields_that_do_not_fit_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        parse_tree(tree_of(fields))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"nodes":{}}',
        b'{"nodes":[null]}',
        b'{"nodes":[]} more',
        b'{"nodes":[{"name":"n"}]}',
        b"\xef\xbb\xbf" + b'{"nodes":[]}',
    ],
)
def test_other_documents_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_tree(data)


@pytest.mark.parametrize(
    "start",
    [b'{"nodes":[', b'{"x":[', b'{"nodes":[{"name":"n","type":"file","x":[', b'{"nodes":[{"generic_attributes":{"x":'],
)
def test_a_tree_ten_thousand_levels_deep_is_refused(start: bytes) -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        with pytest.raises(FormatError):
            parse_tree(start + opening * 10_000 + b"0" + closing * 10_000)


names = st.binary(min_size=1, max_size=12).filter(lambda name: not set(name) & {0, 47} and name not in (b".", b".."))
texts = st.text(st.characters(codec="utf-8"), max_size=8)
hexes = st.binary(min_size=32, max_size=32).map(bytes.hex)
times = st.builds(format_time, st.integers(-(1 << 66), 1 << 66), st.sampled_from([0, 3600, -12_600]))
attributes = st.lists(st.builds(ExtendedAttribute, texts, st.none() | st.binary(max_size=9)), min_size=1, max_size=3)
nodes = st.builds(
    Node,
    name=st.just("replaced"),
    type=st.sampled_from(["file", "dir", "symlink", "dev", "fifo", ""]),
    mode=st.integers(0, (1 << 32) - 1),
    mtime=times,
    atime=times,
    ctime=times,
    uid=st.integers(0, (1 << 32) - 1),
    user=texts,
    inode=st.integers(0, (1 << 64) - 1),
    size=st.integers(0, (1 << 63) - 1),
    linktarget=texts,
    extended_attributes=st.none() | attributes,
    content=st.none() | st.lists(hexes, max_size=3),
    subtree=st.none() | hexes,
    error=texts,
)


@given(st.lists(names, unique=True, max_size=6).map(sorted), st.data())
def test_any_tree_is_read_back_and_gives_the_same_bytes(raw_names: list[bytes], data: st.DataObject) -> None:
    made = [msgspec.structs.replace(data.draw(nodes), name=quote_name(name)) for name in raw_names]
    encoded = encode_tree(made)
    parsed = parse_tree(encoded)
    assert parsed == made
    assert [node.raw_name for node in parsed] == raw_names
    assert reproducible(encoded, parsed)
    assert not set(encoded) & set(b"<>&")
    assert parse_links(encoded) == links_of(parsed)


def links_of(nodes: list[Node]) -> Links:
    return Links(
        [bytes.fromhex(node.subtree) for node in nodes if node.type == "dir" and node.subtree is not None],
        [bytes.fromhex(blob) for node in nodes if node.type == "file" for blob in node.content or ()],
    )


@pytest.mark.parametrize("wrong", ["ab", "g" * 64, " " * 64, ID[:-2] + "  ", "é" * 64, None, 5])
def test_links_that_are_no_ids_are_refused(wrong: object) -> None:
    for fields in ({"content": [ID, wrong]}, {"type": "dir", "subtree": wrong or 7}):
        with pytest.raises(FormatError):
            parse_links(tree_of({"content": [ID]}, fields))


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"nodes":[{"name":"n"}]}', b'{"nodes":[{"type":"file","x":' * 9999]
)
def test_documents_without_links_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_links(data)


def flipped(place: int, bit: int) -> bytes:
    data = bytearray(REAL_TREE)
    data[place] ^= 1 << bit
    return bytes(data)


@given(st.binary() | st.builds(flipped, st.integers(0, len(REAL_TREE) - 1), st.integers(0, 7)))
def test_any_bytes_are_a_tree_or_refused(data: bytes) -> None:
    parsed: list[Node] = []
    with suppress(DamageError):
        parsed = parse_tree(data)
        assert parse_links(data) == links_of(parsed)
    for node in parsed:
        assert b"/" not in node.raw_name
        assert all(len(bytes.fromhex(blob)) == 32 for blob in node.content or ())


@pytest.mark.slow
def test_a_folder_of_a_hundred_thousand_entries_takes_no_time_to_speak_of() -> None:
    many = [file(f"file {number:06}", content=[ID], inode=number) for number in range(100_000)]
    start = time.process_time()
    assert parse_tree(encode_tree(many)) == many
    assert time.process_time() - start < 5
