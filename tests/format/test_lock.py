import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import FormatError
from pyrestic.format.gojson import parse_time
from pyrestic.format.lock import LockFile, encode, parse

TIME = "2024-03-04T05:06:07.089+01:00"
LOCK = LockFile(time=TIME, exclusive=True, hostname="host", username="user", pid=4711, uid=1000, gid=100)
TEXT = (
    f'{{"time":"{TIME}","exclusive":true,"hostname":"host","username":"user","pid":4711,"uid":1000,"gid":100}}'
).encode()

_texts = st.text(max_size=10)
_uint32 = st.integers(0, 0xFFFFFFFF)
_locks = st.builds(
    LockFile,
    time=st.just(TIME),
    exclusive=st.booleans(),
    hostname=_texts,
    username=_texts,
    pid=st.integers(0, 1 << 22),
    uid=_uint32,
    gid=_uint32,
)


def test_a_lock_is_written_as_restic_writes_it() -> None:
    assert encode(LOCK) == TEXT


def test_only_uid_and_gid_are_left_out_if_zero() -> None:
    lock = LockFile(time=TIME, hostname="", username="root", pid=1)
    assert encode(lock) == f'{{"time":"{TIME}","exclusive":false,"hostname":"","username":"root","pid":1}}'.encode()


def test_a_lock_is_read() -> None:
    assert parse(TEXT) == LOCK
    assert LOCK.time_ns == parse_time(TIME)


@given(_locks)
def test_any_lock_survives_encoding(lock: LockFile) -> None:
    assert parse(encode(lock)) == lock


def test_unknown_and_missing_keys_are_accepted() -> None:
    assert parse(b'{"more":[{}],"exclusive":true,"uid":null}') == LockFile(exclusive=True)
    assert LockFile().time_ns < 0


@pytest.mark.parametrize(
    "fields", [{"time": "now"}, {"time": 1}, {"exclusive": 1}, {"pid": "1"}, {"uid": -1}, {"hostname": []}]
)
def test_a_malformed_lock_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        parse(json.dumps(json.loads(TEXT) | fields).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"1", TEXT[:-1], b"\xff", b'{"x":' + b"[" * 100_000])
def test_what_is_no_lock_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse(data)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_lock_or_a_format_error(data: bytes) -> None:
    try:
        lock = parse(data)
    except FormatError:
        return
    assert isinstance(lock.time_ns, int)


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_a_lock_or_a_format_error(place: int, byte: int) -> None:
    try:
        lock = parse(TEXT[:place] + bytes([byte]) + TEXT[place + 1 :])
    except FormatError:
        return
    assert isinstance(lock.time_ns, int)
