import json
import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import FormatError
from pyrestic.format.gojson import parse_time
from pyrestic.format.snapshot import Snapshot, Summary, encode, parse, without_unknown

TREE, PARENT, ORIGINAL = "0f" * 32, "a1" * 32, "b2" * 32
TIME = "2024-03-04T05:06:07.089+01:00"
SMALL = Snapshot(time=TIME, tree=TREE, paths=["/home"])
FULL = Snapshot(
    time=TIME,
    parent=PARENT,
    tree=TREE,
    paths=["/home", "/etc"],
    hostname="host",
    username="user",
    uid=1000,
    gid=100,
    excludes=["*.tmp"],
    tags=["one", "two"],
    original=ORIGINAL,
    program_version="restic 0.19.1",
    summary=Summary(
        backup_start=TIME,
        backup_end="2024-03-04T05:07:00+01:00",
        files_new=1,
        files_changed=2,
        files_unmodified=3,
        dirs_new=4,
        dirs_changed=5,
        dirs_unmodified=6,
        data_blobs=7,
        tree_blobs=8,
        data_added=9,
        data_added_packed=10,
        total_files_processed=11,
        total_bytes_processed=12,
    ),
)
FULL_TEXT = (
    f'{{"time":"{TIME}","parent":"{PARENT}","tree":"{TREE}","paths":["/home","/etc"],"hostname":"host",'
    f'"username":"user","uid":1000,"gid":100,"excludes":["*.tmp"],"tags":["one","two"],"original":"{ORIGINAL}",'
    f'"program_version":"restic 0.19.1","summary":{{"backup_start":"{TIME}","backup_end":"2024-03-04T05:07:00+01:00",'
    '"files_new":1,"files_changed":2,"files_unmodified":3,"dirs_new":4,"dirs_changed":5,"dirs_unmodified":6,'
    '"data_blobs":7,"tree_blobs":8,"data_added":9,"data_added_packed":10,"total_files_processed":11,'
    '"total_bytes_processed":12}}'
).encode()

_ids = st.binary(min_size=32, max_size=32).map(bytes.hex)
_texts = st.text(max_size=10)
_counts = st.integers(0, (1 << 64) - 1)
_summaries = st.builds(
    Summary, **{name: _counts for name in Summary.__struct_fields__ if "backup" not in name and name != "unknown"}
)
_snapshots = st.builds(
    Snapshot,
    time=st.sampled_from([TIME, "1969-12-31T23:59:59.999999999Z", "9999-01-01T00:00:00-12:00"]),
    parent=st.none() | _ids,
    tree=_ids,
    paths=st.lists(_texts),
    hostname=_texts,
    username=_texts,
    uid=st.integers(0, 0xFFFFFFFF),
    gid=st.integers(0, 0xFFFFFFFF),
    excludes=st.lists(_texts),
    tags=st.lists(_texts),
    original=st.none() | _ids,
    program_version=_texts,
    summary=st.none() | _summaries,
)


def test_a_snapshot_is_written_as_restic_writes_it() -> None:
    assert encode(FULL) == FULL_TEXT
    assert encode(SMALL) == f'{{"time":"{TIME}","tree":"{TREE}","paths":["/home"]}}'.encode()


def test_empty_paths_are_written_and_a_summary_of_zeros_too() -> None:
    data = encode(Snapshot(time=TIME, tree=TREE, summary=Summary()))
    assert b'"paths":[]' in data
    assert len(json.loads(data)["summary"]) == 14


def test_a_snapshot_is_read() -> None:
    assert parse(FULL_TEXT) == FULL
    assert FULL.tree_id.hex() == TREE
    assert FULL.time_ns == parse_time(TIME)


def test_text_is_escaped_as_go_escapes_it() -> None:
    snapshot = Snapshot(time=TIME, tree=TREE, paths=["/a<b>&c\u2028\x01"], tags=["ü"])
    data = encode(snapshot)
    assert rb'"/a\u003cb\u003e\u0026c\u2028\u0001"' in data
    assert '"ü"'.encode() in data
    assert parse(data) == snapshot


def test_paths_that_are_not_utf_8_are_written_as_go_writes_them() -> None:
    snapshot = Snapshot(
        time=TIME, tree=TREE, paths=[os.fsdecode(b"/<\xff\xfe>\xc3\xa4"), "/\ufffd"], hostname="h\udcff"
    )
    data = encode(snapshot)
    assert '"paths":["/\\u003c\\ufffd\\ufffd\\u003eä","/\ufffd"],"hostname":"h\\ufffd"'.encode() in data
    assert parse(data).paths == ["/<\ufffd\ufffd>ä", "/\ufffd"]


@given(_snapshots)
def test_any_snapshot_survives_encoding(snapshot: Snapshot) -> None:
    data = encode(snapshot)
    assert parse(data) == snapshot
    assert encode(parse(data)) == data


def test_a_changed_copy_leaves_the_rest() -> None:
    tagged = msgspec.structs.replace(FULL, tags=[])
    assert encode(tagged) == FULL_TEXT.replace(b'"tags":["one","two"],', b"")


@pytest.mark.parametrize("field", ["paths", "tags", "excludes", "hostname", "parent", "original", "summary", "uid"])
def test_a_field_that_is_null_counts_as_absent(field: str) -> None:
    value = json.loads(FULL_TEXT)
    absent = parse(json.dumps({key: item for key, item in value.items() if key != field}).encode())
    assert parse(json.dumps(value | {field: None}).encode()) == absent


def test_unknown_keys_are_kept_and_can_be_left_out() -> None:
    value = json.loads(FULL_TEXT)
    value |= {"more": {"x": [None, "<"]}, "summary": value["summary"] | {"more": 1.50}}
    snapshot = parse(json.dumps(value).encode())
    assert without_unknown(snapshot) == FULL
    tagged = msgspec.structs.replace(snapshot, tags=["three"])
    assert json.loads(encode(tagged)) == value | {"tags": ["three"]}
    assert encode(tagged).endswith(b'"more":1.5},"more":{"x": [null, "\\u003c"]}}')
    assert encode(without_unknown(tagged)) == FULL_TEXT.replace(b'"one","two"', b'"three"')


@pytest.mark.parametrize(("key", "is_kept"), [("Tags", False), ("unknown", True), ("", True)])
def test_a_key_is_kept_unless_restic_takes_it_for_a_known_one(key: str, *, is_kept: bool) -> None:
    value = json.loads(FULL_TEXT) | {key: "x"}
    assert (key in json.loads(encode(parse(json.dumps(value).encode())))) is is_kept


def test_a_summary_with_missing_numbers_is_read() -> None:
    value = json.loads(encode(SMALL)) | {"summary": {"files_new": 3}}
    assert parse(json.dumps(value).encode()).summary == Summary(files_new=3)


@pytest.mark.parametrize(
    "fields",
    [
        {"tree": None},
        {"tree": ""},
        {"tree": TREE[:-1]},
        {"tree": TREE + "\n"},
        {"tree": "zz" * 32},
        {"parent": "x"},
        {"time": None},
        {"time": ""},
        {"time": "yesterday"},
        {"time": "2024-13-01T00:00:00Z"},
        {"time": 5},
        {"paths": "x"},
        {"paths": [1]},
        {"tags": {}},
        {"uid": -1},
        {"uid": 1 << 32},
        {"summary": []},
        {"summary": {"files_new": "1"}},
    ],
)
def test_a_malformed_snapshot_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        parse(json.dumps(json.loads(FULL_TEXT) | fields).encode())


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", FULL_TEXT[:-1], b"\xff", b'{"x":' + b"[" * 100_000])
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse(data)


@given(st.integers(0, len(FULL_TEXT) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_a_snapshot_or_a_format_error(place: int, byte: int) -> None:
    try:
        snapshot = parse(FULL_TEXT[:place] + bytes([byte]) + FULL_TEXT[place + 1 :])
    except FormatError:
        return
    assert len(snapshot.tree_id) == 32
    assert isinstance(snapshot.time_ns, int)
