"""SHA-256 of two messages at a time against hashlib's, alone and where blobs and their pack are hashed together."""

import hashlib
import itertools
import platform
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrestic.format.crypto import MasterKey, Sealer
from pyrestic.ids import hash_id
from pyrestic.native.blob_batch import BlobEngine
from pyrestic.native.blob_layout import PIECE_BYTES
from pyrestic.native.sha256 import PairCode, RunningHash, hash_two, load_code
from tests.support.engines import blob_code, compile_for, pair_code

pytest.importorskip("numba")
from pyrestic.native.sources import sha256_pair

KEY = MasterKey(bytes(range(1, 33)), bytes(range(100, 116)), bytes(range(200, 216)))
NOISE = hashlib.shake_128(b"").digest(4 * PIECE_BYTES)


@pytest.fixture(scope="module")
def pair() -> PairCode:
    code = pair_code()
    if code is None:
        pytest.skip("this processor has no instructions for SHA-256")
    return code


@pytest.fixture(scope="module")
def engine(pair: PairCode) -> BlobEngine:
    assert blob_code().pair == pair
    return blob_code().make_engine(KEY)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_two_messages_have_the_hashes_of_hashlib(pair: PairCode, first: bytes, second: bytes) -> None:
    assert hash_two(pair, first, second) == (hash_id(first), hash_id(second))


def test_messages_of_all_lengths_have_the_hashes_of_hashlib(pair: PairCode) -> None:
    for length in range(200):
        first, second = NOISE[:length], NOISE[length : length + length * 37 % 1000]
        assert hash_two(pair, first, second) == (hash_id(first), hash_id(second))


PARTS = st.lists(st.binary(max_size=200) | st.integers(0, 1000).map(lambda start: NOISE[start : 3 * start]), max_size=8)


@given(parts=PARTS, rest=st.binary(max_size=150))
def test_a_message_that_comes_in_parts_has_the_hash_of_all(engine: BlobEngine, parts: list[bytes], rest: bytes) -> None:
    running = engine.begin_hash()
    assert running is not None
    for part in parts:
        assert engine.verify_part(running, part, [], [], [], b"") == []
    assert running.finish(rest) == hash_id(b"".join(parts) + rest)


LENGTHS = st.integers(1, 300) | st.integers(1, 3).flatmap(
    lambda pieces: st.integers(pieces * PIECE_BYTES - 70, pieces * PIECE_BYTES + 70)
)


def verify_part(engine: BlobEngine, running: RunningHash, sealed: Sequence[bytes], ids: bytes, gap: bytes) -> list[int]:
    """Which of the sealed blobs are not whole, with a gap behind each."""
    starts = list(itertools.accumulate((len(one) + len(gap) for one in sealed), initial=0))[:-1]
    lengths = list(map(len, sealed))
    data = b"".join(one + gap for one in sealed)
    return engine.verify_part(running, data, starts, lengths, [0] * len(sealed), ids)


@settings(max_examples=60)
@given(lengths=st.lists(LENGTHS, min_size=1, max_size=5), cut=st.integers(1, 4), gap=st.binary(max_size=70))
def test_blobs_are_verified_while_all_of_their_pack_is_hashed(
    engine: BlobEngine, lengths: list[int], cut: int, gap: bytes
) -> None:
    blobs = [NOISE[number : number + length] for number, length in enumerate(lengths)]
    sealed = list(map(Sealer(KEY).seal, blobs))
    ids = list(map(hash_id, blobs))
    running = engine.begin_hash()
    assert running is not None
    for part in (slice(cut), slice(cut, None)):
        assert verify_part(engine, running, sealed[part], b"".join(ids[part]), gap) == []
    assert running.finish(b"tail") == hash_id(b"".join(one + gap for one in sealed) + b"tail")


@pytest.mark.parametrize("place", [0, 16, 200, PIECE_BYTES + 1000, 2 * PIECE_BYTES, -17, -1])
def test_damage_of_a_long_blob_is_noticed_and_hashed_like_the_rest(engine: BlobEngine, place: int) -> None:
    blobs = [b"short", NOISE[: 2 * PIECE_BYTES + 100], b"short too"]
    sealed = [bytearray(Sealer(KEY).seal(blob)) for blob in blobs]
    sealed[1][place] ^= 1
    running = engine.begin_hash()
    assert running is not None
    assert verify_part(engine, running, list(map(bytes, sealed)), b"".join(map(hash_id, blobs)), b"") == [1]
    assert running.finish(b"") == hash_id(b"".join(sealed))


def test_a_long_blob_with_another_hash_is_noticed(engine: BlobEngine) -> None:
    blob = NOISE[: 2 * PIECE_BYTES + 100]
    running = engine.begin_hash()
    assert running is not None
    assert verify_part(engine, running, [Sealer(KEY).seal(blob)], hash_id(blob[:-1]), b"") == [0]


def test_code_that_does_something_else_is_not_believed() -> None:
    hashes_nothing, fails = b"\x31\xc0\xc3", b"\xb8\x04\0\0\0\xc3"
    assert load_code(hashes_nothing) is None
    assert load_code(fails) is None
    assert load_code(b"") is None


def test_a_processor_without_the_instructions_gets_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sha256_pair, "FEATURES", ("sha", "instructions of tomorrow"))
    assert sha256_pair.compile_code() is None


@pytest.mark.process
@pytest.mark.skipif(platform.machine() != "x86_64", reason="names of other processors")
def test_code_for_older_processors_can_be_kept_too(pair: PairCode) -> None:
    code = compile_for("goldmont", "+sha", "pyrestic.native.sources.sha256_pair", "sha256_pair")
    loaded = load_code(code)
    assert loaded is not None
    assert (
        hash_two(loaded, NOISE[:1000], NOISE)
        == (hash_id(NOISE[:1000]), hash_id(NOISE))
        == hash_two(pair, NOISE[:1000], NOISE)
    )
