import base64
import hashlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import DamageError, FormatError, UnsupportedError, WrongPasswordError
from pyrestic.format.crypto import MasterKey, Sealer
from pyrestic.format.keyfile import KeyFile, ScryptParams, create, parse, unwrap

KEY = MasterKey(bytes(range(32)), bytes(range(100, 116)), bytes(range(200, 216)))
CHEAP = ScryptParams(2, 1, 1)
CREATED = "2026-03-04T05:06:07.089+01:00"

# Written by restic 0.19.1 with the password "x" for a repository that is no more.
RESTIC_FILE = (
    b'{"created":"2026-11-23T09:54:18.258591083Z","username":"root","hostname":"vm","kdf":"scryp'
    b't","N":32768,"r":8,"p":6,"salt":"c20pzGDLE0O+0XvgnQtBP87EwpzhWYvtZ/HxRVf0gYQ2fRs2TnOmLB/+G'
    b'9npApb5Bq9cUcDixbqaYkUGz0oUTg==","data":"opHVFf7prPqpAMwBtwG3xbw77G0AgCFfWyPpHAKIbcCaR4GVu'
    b"ohnrp58J0y2FvYomGvm6cbLh5sPpsAcJ7SGfM+23xXXlXOY0xlbNanJxDPVJueI0hKU26nI0zN51UELRTtxt/gG18i"
    b'nzObnpsVC2rCjxRBDmvOiIiDhWx703x43Z/VnK3VtDzzD1T9eeAnOjd07tJ6qK2NrqbQu9BoNDg=="}'
)
RESTIC_KEY = MasterKey.from_json(
    b'{"mac":{"k":"r8qhNCjez8hfkDjl6iyJ5A==","r":"82Mqq9D+ESQ6LULK6/AfiA=="},'
    b'"encrypt":"X4QbPmfuTOClGdRC+hdHL6bj01ESKoSHc0nHv4u4VZY="}'
)


def make(password: str = "secret", params: ScryptParams = CHEAP, **others: str) -> bytes:
    fields = {"hostname": "host", "username": "user", "created": CREATED} | others
    return create(password, KEY, params=params, **fields)


FILE = make()


def changed(**fields: object) -> bytes:
    """The bytes of a key file in which some fields are others."""
    return json.dumps(json.loads(FILE) | fields).encode()


def test_the_password_opens_the_key() -> None:
    assert unwrap(parse(FILE), "secret") == KEY


@pytest.mark.parametrize("password", ["", " ", "secret ", "pässwörd 🗝", "\udcff not UTF-8", "x" * 5000, "a\0b"])
def test_any_password_opens_what_it_closed(password: str) -> None:
    keyfile = parse(make(password))
    assert unwrap(keyfile, password) == KEY
    with pytest.raises(WrongPasswordError):
        unwrap(keyfile, password + "x")


def test_a_password_of_bytes_that_are_not_utf_8_counts_as_those_bytes() -> None:
    keyfile = parse(make(os.fsdecode(b"\xff")))
    raw = hashlib.scrypt(b"\xff", salt=keyfile.salt, n=2, r=1, p=1, dklen=64)
    assert MasterKey.from_json(Sealer(MasterKey.from_bytes(raw)).open(keyfile.data)) == KEY


def test_a_key_file_that_restic_wrote_opens() -> None:
    assert unwrap(parse(RESTIC_FILE), "x") == RESTIC_KEY


def test_a_key_file_is_written_as_restic_writes_it() -> None:
    value = json.loads(FILE)
    assert list(value) == ["created", "username", "hostname", "kdf", "N", "r", "p", "salt", "data"]
    assert json.dumps(value, separators=(",", ":")).encode() == FILE
    assert (value["created"], value["username"], value["hostname"], value["kdf"]) == (CREATED, "user", "host", "scrypt")
    assert (value["N"], value["r"], value["p"]) == CHEAP
    assert len(base64.b64decode(value["salt"])) == 64


def test_names_are_escaped_as_go_escapes_them() -> None:
    assert b'"hostname":"a\\u003cb\\u0026c"' in make(hostname="a<b&c")
    assert parse(make(hostname="a<b&c")).hostname == "a<b&c"


def test_two_key_files_for_one_password_share_neither_salt_nor_sealed_bytes() -> None:
    one, other = parse(make()), parse(make())
    assert one.salt != other.salt
    assert one.data != other.data


def test_the_created_time_passes_through() -> None:
    assert parse(changed(created="0000-01-01T00:00:00Z")).created == "0000-01-01T00:00:00Z"


def test_unknown_keys_are_read_over() -> None:
    assert parse(changed(more=[1])) == parse(FILE)


def test_another_key_derivation_is_not_supported() -> None:
    with pytest.raises(UnsupportedError, match="argon2"):
        parse(changed(kdf="argon2"))


@pytest.mark.parametrize(
    ("n", "r", "p"),
    [
        (0, 8, 1),
        (1, 8, 1),
        (3, 8, 1),
        (32767, 8, 1),
        (-32768, 8, 1),
        (32768, 0, 1),
        (32768, -8, 1),
        (32768, 8, 0),
        (32768, 8, -1),
        (1 << 21, 8, 1),
        (1 << 30, 8, 1),
        (1 << 30, 1, 1),
        (1 << 62, 8, 1),
        (2, 1 << 30, 1),
        (2, 1, 1 << 30),
        (32768, 8, 1 << 12),
        (1 << 64, 1 << 64, 1 << 64),
        ("32768", 8, 1),
        (32768.5, 8, 1),
    ],
)
def test_a_hostile_cost_is_refused_before_it_is_paid(n: object, r: object, p: object) -> None:
    with pytest.raises(FormatError):
        parse(changed(N=n, r=r, p=p))


@pytest.mark.parametrize("params", [(16384, 8, 1), (32768, 8, 6), (65536, 8, 20), (1 << 19, 8, 1), (1 << 18, 8, 64)])
def test_an_honest_cost_is_accepted(params: tuple[int, int, int]) -> None:
    n, r, p = params
    assert parse(changed(N=n, r=r, p=p)).params == params


def test_parameters_that_only_the_library_refuses_are_a_format_error() -> None:
    keyfile = parse(changed(N=65536, r=1, p=1))
    with pytest.raises(FormatError, match="N=65536"):
        unwrap(keyfile, "secret")


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_salt_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(FormatError, match="salt"):
        parse(changed(salt=base64.b64encode(bytes(length)).decode()))


@pytest.mark.parametrize("data", ["", "AAAA", "not base64!", None, 5])
def test_a_missing_sealed_key_is_refused(data: object) -> None:
    with pytest.raises(FormatError):
        parse(changed(data=data))


def test_a_damaged_sealed_key_counts_as_a_wrong_password() -> None:
    keyfile = parse(FILE)
    damaged = parse(changed(data=base64.b64encode(bytes(len(keyfile.data))).decode()))
    with pytest.raises(WrongPasswordError):
        unwrap(damaged, "secret")


def test_a_key_file_that_seals_no_key_is_a_format_error() -> None:
    salt = bytes(64)
    raw = hashlib.scrypt(b"secret", salt=salt, n=2, r=1, p=1, dklen=64)
    sealed = Sealer(MasterKey.from_bytes(raw)).seal(b'{"mac":{}}')
    keyfile = KeyFile(CREATED, "user", "host", "scrypt", 2, 1, 1, salt, sealed)
    with pytest.raises(FormatError, match="master key"):
        unwrap(keyfile, "secret")


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", FILE[:-1], b"\xff", b'{"x":' + b"[" * 100_000])
def test_what_is_no_key_file_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DamageError):
        parse(data)


@given(st.integers(0, len(FILE) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_a_key_file_or_an_error_of_ours(place: int, byte: int) -> None:
    try:
        keyfile = parse(FILE[:place] + bytes([byte]) + FILE[place + 1 :])
    except (DamageError, UnsupportedError):
        return
    assert keyfile.params.memory_bytes <= 1 << 30


def test_errors_never_show_the_password() -> None:
    with pytest.raises(WrongPasswordError) as caught:
        unwrap(parse(FILE), "hunter2")
    assert "hunter2" not in str(caught.value) + repr(caught.value)
    assert caught.value.__suppress_context__
