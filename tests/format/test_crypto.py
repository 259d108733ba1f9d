import copy
import os
import pickle
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic import libcrypto
from pyrestic.errors import FormatError, UnauthenticError, UsageError
from pyrestic.format.crypto import ENGINES, OVERHEAD, MasterKey, Sealer

KEY = MasterKey(bytes(range(32)), bytes(range(100, 116)), bytes(range(200, 216)))
NONCE = bytes(range(1, 17))

engines = pytest.mark.parametrize("engine", ENGINES)

# The test vectors of D. J. Bernstein, "The Poly1305-AES message-authentication code", appendix B:
# message, r, k, nonce, tag.
POLY1305_AES_VECTORS = [
    (
        "f3f6",
        "851fc40c3467ac0be05cc20404f3f700",
        "ec074c835580741701425b623235add6",
        "fb447350c4e868c52ac3275cf9d4327e",
        "f4c633c3044fc145f84f335cb81953de",
    ),
    (
        "",
        "a0f3080000f46400d0c7e9076c834403",
        "75deaa25c09f208e1dc4ce6b5cad3fbf",
        "61ee09218d29b0aaed7e154a2c5509cc",
        "dd3fab2251f11ac759f0887129cc2ee7",
    ),
    (
        "663cea190ffb83d89593f3f476b6bc24d7e679107ea26adb8caf6652d0656136",
        "48443d0bb0d21109c89a100b5ce2c208",
        "6acb5f61a7176dd320c5c1eb2edcdc74",
        "ae212a55399729595dea458bc621ff0e",
        "0ee1c16bb73f0f4fd19881753c01cdbe",
    ),
    (
        "ab0812724a7f1e342742cbed374d94d136c6b8795d45b3819830f2c04491faf0"
        "990c62e48b8018b2c3e4a0fa3134cb67fa83e158c994d961c4cb21095c1bf9",
        "12976a08c4426d0ce8a82407c4f48207",
        "e1a5668a4d5b66a5f68cc5424ed5982d",
        "9ae831e743978d3a23527c7128149e3a",
        "5154ad0d2cb26e01274fc51148491f1b",
    ),
]


@engines
@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 63, 64, 65, 1000, 1 << 20])
def test_sealed_bytes_open_to_what_was_sealed(engine: str, length: int) -> None:
    plaintext = os.urandom(length)
    sealer = Sealer(KEY, engine)
    sealed = sealer.seal(plaintext)
    assert len(sealed) == length + OVERHEAD
    assert sealer.open(sealed) == plaintext
    assert b"".join(sealer.open_pieces(sealed)) == plaintext


@given(st.binary(max_size=300), st.binary(min_size=16, max_size=16).filter(any))
def test_all_engines_make_the_same_bytes(plaintext: bytes, nonce: bytes) -> None:
    sealers = [Sealer(KEY, engine) for engine in ENGINES]
    (sealed,) = {sealer.seal(plaintext, nonce=nonce) for sealer in sealers}
    assert {sealer.open(sealed) for sealer in sealers} == {plaintext}


@engines
def test_sealing_gives_the_bytes_of_a_known_answer(engine: str) -> None:
    sealed = Sealer(KEY, engine).seal(b"known answer", nonce=NONCE)
    assert sealed.hex() == "0102030405060708090a0b0c0d0e0f10fde049b0e5f00986b6a09006f8faa7c3701f94d1224a47f92d481815"


@engines
@pytest.mark.parametrize(("message", "r", "k", "nonce", "tag"), POLY1305_AES_VECTORS)
def test_the_tag_is_poly1305_aes(engine: str, message: str, r: str, k: str, nonce: str, tag: str) -> None:
    sealer = Sealer(MasterKey(b"e" * 32, bytes.fromhex(k), bytes.fromhex(r)), engine)
    sealed = bytes.fromhex(nonce + message + tag)
    assert len(sealer.open(sealed)) == len(message) // 2


@engines
def test_the_ciphertext_is_aes_256_in_counter_mode(engine: str) -> None:
    # NIST SP 800-38A, F.5.5.
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    plaintext = bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51")
    expected = "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
    sealed = Sealer(MasterKey(key, b"k" * 16, b"r" * 16), engine).seal(plaintext, nonce=bytes(range(0xF0, 0x100)))
    assert sealed[16:-16].hex() == expected


def test_the_counter_wraps_alike_in_all_engines() -> None:
    assert len({Sealer(KEY, engine).seal(bytes(100), nonce=b"\xff" * 16) for engine in ENGINES}) == 1


@engines
def test_bits_of_r_that_poly1305_ignores_change_nothing(engine: str) -> None:
    masked = (int.from_bytes(KEY.mac_r, "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF).to_bytes(16, "little")
    other = MasterKey(KEY.encrypt, KEY.mac_k, masked)
    assert masked != KEY.mac_r
    assert Sealer(KEY, engine).seal(b"text", nonce=NONCE) == Sealer(other, engine).seal(b"text", nonce=NONCE)


@engines
@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
def test_any_buffer_is_sealed_and_opened(engine: str, make: type) -> None:
    sealer = Sealer(KEY, engine)
    assert sealer.open(make(sealer.seal(make(b"some bytes")))) == b"some bytes"


@engines
def test_seal_into_writes_only_its_part_of_the_room(engine: str) -> None:
    room = bytearray(b"." * 100)
    length = Sealer(KEY, engine).seal_into(memoryview(b"some bytes"), memoryview(room)[20:])
    assert length == 10 + OVERHEAD
    assert room[:20] == b"." * 20
    assert room[20 + length :] == b"." * (80 - length)
    assert Sealer(KEY, engine).open(memoryview(room)[20 : 20 + length]) == b"some bytes"


@engines
def test_seal_into_refuses_too_little_room(engine: str) -> None:
    with pytest.raises(ValueError, match="42 bytes"):
        Sealer(KEY, engine).seal_into(b"some bytes", memoryview(bytearray(41)))


@engines
def test_every_flipped_bit_is_noticed(engine: str) -> None:
    sealer = Sealer(KEY, engine)
    sealed = sealer.seal(b"twelve bytes")
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UnauthenticError):
            sealer.open(changed)


@engines
def test_every_truncation_is_noticed(engine: str) -> None:
    sealer = Sealer(KEY, engine)
    sealed = sealer.seal(b"twelve bytes")
    for length in range(len(sealed)):
        with pytest.raises(UnauthenticError):
            sealer.open(sealed[:length])


@engines
@given(st.binary(max_size=200))
def test_any_bytes_are_refused(engine: str, data: bytes) -> None:
    with pytest.raises(UnauthenticError):
        Sealer(KEY, engine).open(data)


@engines
def test_a_nonce_of_zeros_is_refused(engine: str) -> None:
    sealer = Sealer(KEY, engine)
    sealed = sealer.seal(b"twelve bytes", nonce=bytes(16))
    with pytest.raises(UnauthenticError):
        sealer.open(sealed)


@engines
def test_another_key_does_not_open(engine: str) -> None:
    sealed = Sealer(KEY, engine).seal(b"twelve bytes")
    with pytest.raises(UnauthenticError):
        Sealer(MasterKey.random(), engine).open(sealed)


def test_every_message_gets_a_nonce_of_its_own() -> None:
    sealer = Sealer(KEY)
    nonces = {sealer.seal(b"same")[:16] for _ in range(500)}
    assert len(nonces) == 500


@engines
def test_a_failed_opening_leaves_the_sealer_usable(engine: str) -> None:
    sealer = Sealer(KEY, engine)
    sealed = sealer.seal(b"first", nonce=NONCE)
    with pytest.raises(UnauthenticError):
        sealer.open(sealed[:-1] + b"x")
    assert sealer.open(sealed) == b"first"
    assert sealer.seal(b"first", nonce=NONCE) == sealed


def test_sealers_of_several_threads_do_not_disturb_each_other() -> None:
    plaintexts = [bytes([number]) * 200_000 for number in range(4)]
    opened: dict[int, set[bytes]] = {}

    def work(number: int) -> None:
        sealer = Sealer(KEY)
        opened[number] = {sealer.open(sealer.seal(plaintexts[number])) for _ in range(20)}

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == {number: {plaintext} for number, plaintext in enumerate(plaintexts)}


def test_what_is_not_there_is_replaced_by_the_next_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = [type(Sealer(KEY)._engine).__name__]
    sealed = {Sealer(KEY).seal(b"text", nonce=NONCE)}
    monkeypatch.setattr(libcrypto, "find_library", lambda: None)
    taken.append(type(Sealer(KEY)._engine).__name__)
    sealed.add(Sealer(KEY).seal(b"text", nonce=NONCE))
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.poly1305", None)
    taken.append(type(Sealer(KEY)._engine).__name__)
    sealed.add(Sealer(KEY).seal(b"text", nonce=NONCE))
    assert taken == ["_LibcryptoEngine", "_CryptographyEngine", "_PycryptodomeEngine"]
    assert len(sealed) == 1
    for engine in ("libcrypto", "cryptography"):
        with pytest.raises(UsageError, match=engine):
            Sealer(KEY, engine)


def test_an_unknown_engine_is_refused() -> None:
    with pytest.raises(UsageError, match="rot13"):
        Sealer(KEY, "rot13")


def test_a_key_survives_its_json() -> None:
    assert MasterKey.from_json(KEY.to_json()) == KEY


def test_the_json_of_a_key_is_as_restic_writes_it() -> None:
    assert KEY.to_json() == (
        b'{"mac":{"k":"ZGVmZ2hpamtsbW5vcHFycw==","r":"yMnKy8zNzs/Q0dLT1NXW1w=="},'
        b'"encrypt":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}'
    )


def test_random_keys_differ() -> None:
    assert MasterKey.random() != MasterKey.random()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"mac":null,"encrypt":null}',
        KEY.to_json()[:-1],
        KEY.to_json().replace(b"AAEC", b""),
        KEY.to_json().replace(b"AAEC", b"!!!!"),
        KEY.to_json().replace(b'"r"', b'"x"'),
        b'{"x":' + b"[" * 100_000,
    ],
)
def test_a_damaged_key_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        MasterKey.from_json(data)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_key_or_a_format_error(data: bytes) -> None:
    with pytest.raises(FormatError):
        MasterKey.from_json(data)


@pytest.mark.parametrize("lengths", [(31, 16, 16), (32, 15, 16), (32, 16, 17), (0, 0, 0)])
def test_a_key_of_wrong_length_is_refused(lengths: tuple[int, int, int]) -> None:
    with pytest.raises(FormatError):
        MasterKey(*(b"x" * length for length in lengths))


@pytest.mark.parametrize("zero", range(3))
def test_a_key_of_zeros_is_refused(zero: int) -> None:
    parts = [b"e" * 32, b"k" * 16, b"r" * 16]
    parts[zero] = bytes(len(parts[zero]))
    with pytest.raises(FormatError):
        MasterKey(*parts)


def test_a_key_shows_none_of_its_bytes() -> None:
    key = MasterKey(b"SECRETSECRETSECRETSECRETSECRET!!", b"SECRETSECRETSECR", b"SECRETSECRETSECR")
    shown = [repr(key), str(key), f"{key}", f"{key!r:>40}", "%s" % key, repr([key]), repr(Sealer(key))]  # noqa: UP031
    assert not [text for text in shown if "SECRET" in text or b"SECRET".hex() in text]


def test_a_key_is_not_pickled_or_copied() -> None:
    for write in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="key file"):
            write(KEY)


def test_errors_about_a_key_show_none_of_its_bytes() -> None:
    with pytest.raises(FormatError) as caught:
        MasterKey.from_json(KEY.to_json().replace(b'"encrypt":"', b'"encrypt":"SECRET!'))
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
