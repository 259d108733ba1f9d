"""Many blobs in one call of compiled code: the other engines open what it seals, and it notices what they notice."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic import libcrypto
from pyrestic.format.compress import Compression, Compressor, decompress
from pyrestic.format.crypto import OVERHEAD, MasterKey, Sealer
from pyrestic.ids import hash_id
from pyrestic.native import blob_batch, libzstd
from pyrestic.native.blob_batch import BlobCode, BlobEngine, load_code
from tests.support.engines import blob_code, machine_code

KEY = MasterKey(bytes(range(1, 33)), bytes(range(100, 116)), bytes(range(200, 216)))
TEXT = b"words that come again and again " * 40
BLOBS = st.lists(
    st.binary(min_size=1, max_size=300) | st.binary(min_size=1, max_size=9).map(lambda some: some * 2000), max_size=12
)
MODES = pytest.mark.parametrize("compress", [True, False])


@pytest.fixture(scope="module", params=["hashes of pairs", "hashes one by one"])
def code(request: pytest.FixtureRequest) -> BlobCode:
    if request.param == "hashes one by one":
        return blob_code()._replace(pair=None)
    if blob_code().pair is None:
        pytest.skip("this processor has no instructions for SHA-256")
    return blob_code()


@pytest.fixture(scope="module")
def engine(code: BlobCode) -> BlobEngine:
    return code.make_engine(KEY)


def starts_of(lengths: Sequence[int]) -> list[int]:
    return list(itertools.accumulate(lengths, initial=0))[:-1]


def ids_of(blobs: Sequence[bytes]) -> bytes:
    return b"".join(map(hash_id, blobs))


def encode(engine: BlobEngine, blobs: Sequence[bytes], *, compress: bool, verify: bool = True) -> list[bytes]:
    """The sealed blobs, and nothing was written behind the room they need."""
    lengths = list(map(len, blobs))
    room = BlobEngine.room_for(lengths)
    out = bytearray(b"." * (room + 100))
    made = engine.encode_all(
        b"".join(blobs),
        starts_of(lengths),
        lengths,
        ids_of(blobs),
        memoryview(out)[:room],
        compress=compress,
        verify=verify,
    )
    assert made is not None
    assert out[room:] == b"." * 100
    return [bytes(out[start : start + length]) for start, length in zip(starts_of(made), made, strict=True)]


def verify(
    engine: BlobEngine,
    data: bytes,
    starts: Sequence[int],
    lengths: Sequence[int],
    plain_lengths: Sequence[int],
    ids: bytes,
) -> list[int]:
    """Which blobs are not whole; while a pack is hashed the engine says the same, and hashes all of it."""
    broken = engine.verify_all(data, starts, lengths, plain_lengths, ids)
    running = engine.begin_hash()
    if running is not None:
        assert engine.verify_part(running, data, starts, lengths, plain_lengths, ids) == broken
        assert running.finish(b"") == hash_id(data)
    return broken


def decode(
    engine: BlobEngine, sealed: Sequence[bytes], plain_lengths: Sequence[int], ids: bytes
) -> tuple[bytes, list[int]]:
    """The plaintexts, and which blobs are not whole; both ways to ask say the same, and nothing else is written to."""
    lengths = list(map(len, sealed))
    room = sum(plain or length - OVERHEAD for plain, length in zip(plain_lengths, lengths, strict=True))
    out = bytearray(b"." * (room + 100))
    data = b"".join(sealed)
    broken = engine.decode_all(data, starts_of(lengths), lengths, plain_lengths, ids, memoryview(out)[:room])
    assert verify(engine, data, starts_of(lengths), lengths, plain_lengths, ids) == broken
    assert out[room:] == b"." * 100
    return bytes(out[:room]), broken


@pytest.mark.slow
@MODES
@given(blobs=BLOBS)
def test_the_other_engines_open_what_is_sealed(engine: BlobEngine, blobs: list[bytes], compress: bool) -> None:
    sealer = Sealer(KEY, "pycryptodome")
    opened = map(sealer.open, encode(engine, blobs, compress=compress))
    assert [decompress(one, len(blob)) if compress else one for one, blob in zip(opened, blobs, strict=True)] == blobs


@MODES
@given(blobs=BLOBS)
def test_what_the_other_engines_seal_is_opened(engine: BlobEngine, blobs: list[bytes], compress: bool) -> None:
    sealer, compressor = Sealer(KEY, "pycryptodome"), Compressor()
    sealed = [sealer.seal(compressor.compress(blob) if compress else blob) for blob in blobs]
    plain_lengths = [len(blob) if compress else 0 for blob in blobs]
    assert decode(engine, sealed, plain_lengths, ids_of(blobs)) == (b"".join(blobs), [])


@given(blobs=st.lists(st.binary(max_size=200)))
def test_hashes_are_those_of_hashlib(engine: BlobEngine, blobs: list[bytes]) -> None:
    lengths = list(map(len, blobs))
    assert engine.hash_all(b"".join(blobs), starts_of(lengths), lengths) == ids_of(blobs)


@pytest.mark.parametrize("mode", list(Compression))
def test_long_blobs_of_all_kinds_go_there_and_back(code: BlobCode, mode: Compression) -> None:
    engine = code.make_engine(KEY, mode)
    blobs = [TEXT * 200, hashlib.shake_128(b"").digest(1 << 20), bytes(3 << 20), b"x" * 8192, b"x" * 8193]
    sealed = encode(engine, blobs, compress=True)
    frames = [Sealer(KEY).open(one) for one in sealed]
    parameters = [zstd_frame_content_size(frame) for frame in frames]
    assert parameters == list(map(len, blobs))
    assert decode(engine, sealed, list(map(len, blobs)), ids_of(blobs)) == (b"".join(blobs), [])


def zstd_frame_content_size(frame: bytes) -> int:
    import zstandard

    parameters = zstandard.get_frame_parameters(frame)
    assert not parameters.has_checksum
    return parameters.content_size


def test_each_blob_has_a_nonce_of_its_own(engine: BlobEngine) -> None:
    sealed = encode(engine, [TEXT] * 500, compress=False, verify=False)
    assert len({one[:16] for one in sealed}) == 500


@pytest.mark.parametrize("lengths", [[1000], [10, 4000, 300], [70_000, 70_000, 5, 64, 55, 56, 119]])
def test_a_blob_with_another_hash_is_not_sealed_when_it_is_read_back(engine: BlobEngine, lengths: list[int]) -> None:
    blobs = [hashlib.shake_128(b"%d" % number).digest(length) for number, length in enumerate(lengths)]
    data, starts, ids = b"".join(blobs), starts_of(lengths), ids_of(blobs)
    out = bytearray(BlobEngine.room_for(lengths))
    for compress in (True, False):
        assert engine.encode_all(data, starts, lengths, ids, out, compress=compress, verify=True) is not None
        for bit in range(0, 8 * len(ids), 31):
            wrong = bytearray(ids)
            wrong[bit // 8] ^= 1 << bit % 8
            assert engine.encode_all(data, starts, lengths, wrong, out, compress=compress, verify=True) is None
        assert engine.encode_all(data, starts, lengths, wrong, out, compress=compress, verify=False) is not None
    for number, length in enumerate(lengths):
        outside = [*starts[:number], len(data) - length + 1, *starts[number + 1 :]]
        assert engine.hash_all(data, outside, lengths) is None
        assert engine.encode_all(data, outside, lengths, ids, out, compress=True, verify=False) is None


@pytest.mark.parametrize("place", [-1, 1 << 20, 1 << 62])
@MODES
def test_a_blob_that_lies_elsewhere_moves_no_other(engine: BlobEngine, place: int, compress: bool) -> None:
    blobs = [b"first " * 10, b"second " * 10, b"third " * 10]
    sealed = encode(engine, blobs, compress=compress)
    lengths = list(map(len, sealed))
    sizes = list(map(len, blobs))
    starts = starts_of(lengths)
    starts[1] = place
    out = bytearray(sum(sizes))
    plain_lengths = sizes if compress else [0, 0, 0]
    assert engine.decode_all(b"".join(sealed), starts, lengths, plain_lengths, ids_of(blobs), out) == [1]
    assert out.startswith(blobs[0])
    assert out.endswith(blobs[2])


@MODES
def test_every_flipped_bit_is_noticed_and_the_other_blobs_are_whole(engine: BlobEngine, compress: bool) -> None:
    blobs = [b"first " * 10, b"second " * 10, b"third " * 10]
    sealed = encode(engine, blobs, compress=compress)
    plain_lengths = [len(blob) if compress else 0 for blob in blobs]
    for bit in range(8 * len(sealed[1])):
        changed = bytearray(sealed[1])
        changed[bit // 8] ^= 1 << bit % 8
        plain, broken = decode(engine, [sealed[0], bytes(changed), sealed[2]], plain_lengths, ids_of(blobs))
        assert broken == [1]
        assert plain.startswith(blobs[0])
        assert plain.endswith(blobs[2])


FRAME = Compressor().compress(TEXT)
LIAR = bytearray(Compressor().compress(b"12345678" * 40))
LIAR[5:7] = (60_000).to_bytes(2, "little")


@pytest.mark.parametrize(
    ("frame", "plain_length"),
    [
        (FRAME, len(TEXT) + 1),
        (FRAME, len(TEXT) - 1),
        (FRAME, 1),
        (FRAME[:-1], len(TEXT)),
        (FRAME + b"x", len(TEXT)),
        (FRAME + FRAME, 2 * len(TEXT)),
        (FRAME + FRAME, len(TEXT)),
        (b"\x50\x2a\x4d\x18\x02\0\0\0ab" + FRAME, len(TEXT)),
        (bytes(LIAR), 320),
        (bytes(LIAR), 60_256),
        (FRAME[:12] + b"\xff" * 30, len(TEXT)),
        (b"\x28\xb5\x2f\xfd", 4),
        (TEXT, len(TEXT)),
        (b"x", 1),
    ],
)
def test_frames_that_are_sealed_well_but_wrong_or_unusual_are_left_to_the_slow_way(
    engine: BlobEngine, frame: bytes, plain_length: int
) -> None:
    good = Sealer(KEY).seal(FRAME)
    plain, broken = decode(
        engine,
        [good, Sealer(KEY).seal(frame), good],
        [len(TEXT), plain_length, len(TEXT)],
        hash_id(TEXT) + hash_id(TEXT * 2 if plain_length > len(TEXT) else TEXT[:plain_length]) + hash_id(TEXT),
    )
    assert broken == [1]
    assert plain.startswith(TEXT)
    assert plain.endswith(TEXT)


@given(frame=st.binary(max_size=60), plain_length=st.integers(0, 100))
def test_sealed_noise_is_never_taken_for_a_frame(engine: BlobEngine, frame: bytes, plain_length: int) -> None:
    if frame or plain_length:
        sealed = Sealer(KEY).seal(frame)
        assert verify(engine, sealed, [0], [len(sealed)], [plain_length], bytes(32)) == [0]


@given(noise=st.binary(min_size=1, max_size=80))
def test_noise_is_never_opened(engine: BlobEngine, noise: bytes) -> None:
    assert verify(engine, noise, [0], [len(noise)], [0], hash_id(noise[16:-16])) == [0]


def test_a_nonce_of_zeros_is_refused(engine: BlobEngine) -> None:
    sealed = Sealer(KEY).seal(TEXT, nonce=bytes(16))
    assert verify(engine, sealed, [0], [len(sealed)], [0], hash_id(TEXT)) == [0]


@pytest.mark.parametrize("start", [-1, 1, 10**9, 2**62, -(2**62)])
def test_places_outside_of_the_data_are_not_touched(engine: BlobEngine, start: int) -> None:
    sealed = Sealer(KEY).seal(TEXT)
    out = bytearray(BlobEngine.room_for([len(TEXT)]))
    assert verify(engine, sealed, [start], [len(sealed)], [0], hash_id(TEXT)) == [0]
    assert engine.hash_all(TEXT, [start], [len(TEXT)]) is None
    assert engine.encode_all(TEXT, [start], [len(TEXT)], hash_id(TEXT), out, compress=True, verify=False) is None
    assert out == bytes(len(out))


@pytest.mark.parametrize("length", [-1, 0, 31, 32, 10**9, 2**62, -(2**62)])
def test_lengths_that_no_blob_has_are_refused(engine: BlobEngine, length: int) -> None:
    sealed = Sealer(KEY).seal(TEXT)
    assert verify(engine, sealed, [0], [length], [0], hash_id(b"")) == [0]
    assert verify(engine, sealed, [0], [length], [len(TEXT)], hash_id(b"")) == [0]


@pytest.mark.parametrize("plain_length", [blob_batch.LONGEST_BYTES * 2, 2**40, 2**62])
def test_what_claims_to_be_very_long_takes_no_memory(engine: BlobEngine, plain_length: int) -> None:
    sealed = Sealer(KEY).seal(Compressor().compress(TEXT))
    assert verify(engine, sealed, [0], [len(sealed)], [plain_length], hash_id(TEXT)) == [0]
    with pytest.raises(ValueError, match="too little room"):
        engine.decode_all(sealed, [0], [len(sealed)], [plain_length], hash_id(TEXT), bytearray(len(TEXT)))


def test_wrong_rooms_are_refused(engine: BlobEngine) -> None:
    sealed = Sealer(KEY).seal(TEXT)
    where = ([0], [len(sealed)], [0], hash_id(TEXT))
    with pytest.raises(ValueError, match="too little room"):
        engine.decode_all(sealed, *where, bytearray(len(TEXT) - 1))
    with pytest.raises(ValueError, match="read only"):
        engine.decode_all(sealed, *where, bytes(len(TEXT)))
    with pytest.raises(ValueError, match="1 IDs"):
        verify(engine, sealed, [0], [len(sealed)], [0], bytes(31))
    too_short = bytearray(len(TEXT) // 2)
    for compress in (True, False):
        made = engine.encode_all(TEXT, [0], [len(TEXT)], hash_id(TEXT), too_short, compress=compress, verify=False)
        assert made is None
    assert engine.encode_all(b"", [0], [0], hash_id(b""), too_short, compress=True, verify=False) is None


def test_another_key_opens_nothing(code: BlobCode, engine: BlobEngine) -> None:
    sealed = encode(engine, [TEXT], compress=True)[0]
    other = code.make_engine(MasterKey.random())
    assert verify(other, sealed, [0], [len(sealed)], [len(TEXT)], hash_id(TEXT)) == [0]


def test_contexts_are_freed_with_their_engine(code: BlobCode, monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[str] = []

    def noting(name: str, free: Callable[[int], object]) -> Callable[[int], None]:
        def note(context: int) -> None:
            freed.append(name)
            free(context)

        return note

    for library in (code.crypto.keeping, code.zstd):
        for name in ("EVP_MD_CTX_free", "EVP_MAC_CTX_free", "EVP_CIPHER_CTX_free", "ZSTD_freeCCtx", "ZSTD_freeDCtx"):
            if name.startswith("ZSTD") is (library is code.zstd):
                monkeypatch.setattr(library, name, noting(name, getattr(library, name)))
    code.make_engine(KEY)
    assert Counter(freed) == {
        "EVP_MD_CTX_free": 1,
        "EVP_MAC_CTX_free": 1,
        "EVP_CIPHER_CTX_free": 2,
        "ZSTD_freeCCtx": 2,
        "ZSTD_freeDCtx": 1,
    }


@pytest.mark.parametrize("library", [libcrypto, libzstd])
def test_without_a_library_there_is_no_engine(monkeypatch: pytest.MonkeyPatch, library: ModuleType) -> None:
    code = machine_code()
    monkeypatch.setattr(library, "find_library", lambda: None)
    assert load_code(code) is None


def test_a_zstd_without_all_functions_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libzstd, "_SYSTEM_NAME", "libc.so.6")
    assert libzstd.find_library.__wrapped__() is None
    monkeypatch.setattr(libzstd, "_SYSTEM_NAME", "libnothing.so.1")
    assert libzstd.find_library.__wrapped__() is None


def test_code_that_does_something_else_is_not_believed() -> None:
    assert load_code(b"\x31\xc0\xc3") is None
