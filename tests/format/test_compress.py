import argparse
import struct
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import FormatError
from pyrestic.format.compress import (
    Compression,
    Compressor,
    decode_unpacked,
    decompress,
    decompress_pieces,
    encode_unpacked,
    is_encoded,
)
from pyrestic.handle import BlobType

TEXT = b"the quick brown fox jumps over the lazy dog\n" * 5000
JSON = b'{"packs":[]}\n'
SKIPPED = struct.pack("<II", 0x184D2A50, 5) + b"notes"
EMPTY_FRAME = Compressor().compress(b"")


def frame_without_length(plain: bytes) -> bytes:
    """A frame that does not say how long its content is, as restic writes for less than 256 bytes."""
    return zstandard.ZstdCompressor(write_content_size=False).compress(plain)


def frame_of_zeros(length: int) -> bytes:
    """The shortest frame of `length` zeros, without saying so: blocks of one repeated byte."""
    block, rest = divmod(length, 128 << 10)
    assert rest == 0
    block_header = (1 << 1 | (128 << 10) << 3).to_bytes(3, "little")
    last_header = (1 | 1 << 1 | (128 << 10) << 3).to_bytes(3, "little")
    frame_header = b"\x28\xb5\x2f\xfd\x00\x48"  # a window of 512 KiB, no content size
    return frame_header + (block_header + b"\0") * (block - 1) + last_header + b"\0"


def frame_that_claims(length: int) -> bytes:
    """A frame of one byte whose header promises another content size."""
    return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", length) + b"\x09\x00\x00a"


@pytest.mark.parametrize("mode", Compression)
@pytest.mark.parametrize("plain", [b"", b"a", TEXT, bytes(1 << 20)], ids=["empty", "one byte", "text", "zeros"])
def test_what_was_compressed_decompresses(mode: Compression, plain: bytes) -> None:
    assert decompress(Compressor(mode).compress(plain), len(plain)) == plain


@given(st.binary(max_size=2000))
def test_any_content_survives_compression(plain: bytes) -> None:
    frame = Compressor().compress(plain)
    assert decompress(frame, len(plain)) == decompress(memoryview(frame), len(plain)) == plain


@pytest.mark.parametrize("mode", Compression)
def test_a_frame_has_content_size_no_checksum_and_a_window_of_512_kib(mode: Compression) -> None:
    parameters = zstandard.get_frame_parameters(Compressor(mode).compress(bytes(2 << 20)))
    assert parameters.content_size == 2 << 20
    assert parameters.window_size == 512 << 10
    assert not parameters.has_checksum
    assert parameters.dict_id == 0


@pytest.mark.parametrize("length", [1, 255, 256, 1000, 512 << 10])
def test_short_frames_tell_their_content_size_too(length: int) -> None:
    assert zstandard.frame_content_size(Compressor().compress(bytes(length))) == length


def test_harder_modes_compress_better() -> None:
    plain = Path(argparse.__file__).read_bytes()
    order = [Compression.FASTEST, Compression.AUTO, Compression.BETTER, Compression.MAX]
    lengths = [len(Compressor(mode).compress(plain)) for mode in order]
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] < len(plain) / 2


def test_one_compressor_gives_the_same_bytes_again() -> None:
    compressor = Compressor()
    assert compressor.compress(TEXT) == compressor.compress(TEXT) == Compressor().compress(TEXT)


def test_compression_off_leaves_only_data_blobs_uncompressed() -> None:
    assert not Compression.OFF.covers(BlobType.DATA)
    assert Compression.OFF.covers(BlobType.TREE)
    assert all(mode.covers(blob_type) for mode in Compression if mode != "off" for blob_type in BlobType)


@pytest.mark.parametrize(
    "frames",
    [
        Compressor().compress(TEXT),
        frame_without_length(TEXT),
        zstandard.ZstdCompressor(write_checksum=True, level=19).compress(TEXT),
        Compressor().compress(TEXT[:1000]) + Compressor().compress(TEXT[1000:]),
        frame_without_length(TEXT[:1000]) + Compressor().compress(TEXT[1000:]),
        SKIPPED + Compressor().compress(TEXT),
        Compressor().compress(TEXT) + SKIPPED,
        EMPTY_FRAME * 100 + Compressor().compress(TEXT) + EMPTY_FRAME,
    ],
    ids=[
        "one frame",
        "without content size",
        "with checksum",
        "two frames",
        "two kinds of frames",
        "skipped frame first",
        "skipped frame last",
        "empty frames around",
    ],
)
def test_any_valid_sequence_of_frames_is_read(frames: bytes) -> None:
    assert decompress(frames, len(TEXT)) == TEXT
    assert decode_unpacked(b"\x02" + frames) == TEXT


def test_frames_are_found_at_every_alignment_of_the_reading_pieces() -> None:
    for length in range(1000, 1050):
        filler = struct.pack("<II", 0x184D2A50, length) + bytes(length)
        assert decompress(filler + Compressor().compress(b"one") + frame_without_length(b"two"), 6) == b"onetwo"


@pytest.mark.parametrize("make", [Compressor().compress, frame_without_length], ids=["with size", "without size"])
@pytest.mark.parametrize("wrong", [-1, 1, -len(TEXT), 1000])
def test_another_plain_length_is_refused(make: Callable[[bytes], bytes], wrong: int) -> None:
    with pytest.raises(FormatError):
        decompress(make(TEXT), len(TEXT) + wrong)


@pytest.mark.parametrize("make", [Compressor().compress, frame_without_length], ids=["with size", "without size"])
def test_every_truncation_is_refused(make: Callable[[bytes], bytes]) -> None:
    frame = make(TEXT)
    for length in range(len(frame)):
        with pytest.raises(FormatError):
            decompress(frame[:length], len(TEXT))
        if length:
            with pytest.raises(FormatError):
                decode_unpacked(b"\x02" + frame[:length])


def test_bytes_after_a_frame_are_refused() -> None:
    with pytest.raises(FormatError):
        decompress(Compressor().compress(TEXT) + b"garbage", len(TEXT))


def test_a_frame_that_needs_a_dictionary_is_refused() -> None:
    samples: list[bytes | bytearray | memoryview] = [
        b"sample %d of a dictionary %d" % (number, number * 7) for number in range(2000)
    ]
    dictionary = zstandard.train_dictionary(2000, samples)
    frame = zstandard.ZstdCompressor(dict_data=dictionary).compress(samples[3])
    with pytest.raises(FormatError):
        decompress(frame, len(samples[3]))


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: b"\x28\xb5\x2f\xfd" + tail))
def test_any_bytes_give_the_stated_length_or_a_format_error(data: bytes) -> None:
    for plain_length in (0, 1, 100):
        try:
            assert len(decompress(data, plain_length)) == plain_length
        except FormatError:
            continue


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_a_changed_byte_gives_the_stated_length_or_a_format_error(place: int, byte: int) -> None:
    frame = bytearray(Compressor().compress(TEXT[:3000]))
    frame[place % len(frame)] = byte
    try:
        plain = decompress(frame, 3000)
    except FormatError:
        return
    assert len(plain) == 3000


@given(st.binary(max_size=300))
def test_any_unpacked_bytes_give_bytes_or_a_format_error(data: bytes) -> None:
    for version in (None, 1, 2):
        try:
            decoded = decode_unpacked(data, version)
        except FormatError:
            continue
        assert decoded == data or data[0] == 2


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("data", [JSON, b"{}", b'{"nodes":[]}' * 5000])
def test_unpacked_files_survive_encoding(version: int, data: bytes) -> None:
    encoded = encode_unpacked(data, version)
    assert decode_unpacked(encoded, version) == decode_unpacked(encoded) == data


def test_unpacked_files_begin_with_the_byte_2_in_version_2_only() -> None:
    assert encode_unpacked(JSON, 1) == JSON
    assert encode_unpacked(JSON, 2) == b"\x02" + Compressor().compress(JSON)
    assert encode_unpacked(JSON, 2, Compressor(Compression.MAX)) == b"\x02" + Compressor(Compression.MAX).compress(JSON)


@pytest.mark.parametrize("data", [JSON, b"[]", b""])
def test_uncompressed_json_is_read_in_version_2(data: bytes) -> None:
    assert decode_unpacked(data, 2) == data


def test_version_1_takes_every_byte_as_it_is() -> None:
    assert decode_unpacked(b"\x02not zstd", 1) == b"\x02not zstd"


@pytest.mark.parametrize("first", [0, 1, 3, ord(" "), 255])
def test_an_unknown_first_byte_is_refused(first: int) -> None:
    with pytest.raises(FormatError, match=f"byte {first}"):
        decode_unpacked(bytes([first]) + JSON, 2)


def test_an_unpacked_file_beyond_the_limit_is_refused() -> None:
    encoded = encode_unpacked(TEXT, 2)
    assert decode_unpacked(encoded, limit_bytes=len(TEXT)) == TEXT
    with pytest.raises(FormatError, match="more than"):
        decode_unpacked(encoded, limit_bytes=len(TEXT) - 1)


@pytest.mark.parametrize("claimed", [2, 1 << 30, 1 << 40, (1 << 64) - 3])
def test_a_frame_that_promises_more_than_it_has_takes_no_memory(claimed: int) -> None:
    tracemalloc.start()
    try:
        for plain_length in (1, claimed):
            with pytest.raises(FormatError):
                decompress(frame_that_claims(claimed), plain_length)
        with pytest.raises(FormatError):
            decode_unpacked(b"\x02" + frame_that_claims(claimed))
        assert tracemalloc.get_traced_memory()[1] < 5 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("bomb", [frame_of_zeros(512 << 20), frame_of_zeros(256 << 10) * 2048], ids=["one", "many"])
def test_a_bomb_takes_bounded_memory(bomb: bytes) -> None:
    assert len(bomb) < 64 << 10
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="more than"):
            decode_unpacked(b"\x02" + bomb)
        with pytest.raises(FormatError, match="not plausible"):
            decompress(bomb, 512 << 20)
        with pytest.raises(FormatError, match="more than"):
            decompress(bomb, 1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 150 << 20
    finally:
        tracemalloc.stop()


def test_zeros_as_long_as_the_longest_chunk_are_no_bomb() -> None:
    zeros = bytes(8 << 20)
    assert decompress(frame_of_zeros(len(zeros)), len(zeros)) == zeros
    assert decompress(Compressor(Compression.MAX).compress(zeros), len(zeros)) == zeros


def test_several_threads_decompress_at_once() -> None:
    frames = [(Compressor().compress(bytes([number]) * 300_000), bytes([number]) * 300_000) for number in range(4)]
    wrong: list[int] = []

    def work(number: int) -> None:
        frame, plain = frames[number]
        wrong.extend(number for _ in range(30) if decompress(frame, len(plain)) != plain)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@given(st.lists(st.binary(max_size=40), max_size=4), st.integers(0, 60))
def test_any_pieces_give_the_stated_length_or_a_format_error(pieces: list[bytes], plain_length: int) -> None:
    try:
        plain = b"".join(decompress_pieces(pieces, plain_length))
    except FormatError:
        return
    assert len(plain) == plain_length


@given(st.binary(max_size=3000), st.integers(1, 500))
def test_a_frame_is_read_from_pieces_of_any_length(plain: bytes, length: int) -> None:
    frame = Compressor().compress(plain)
    pieces = [frame[start : start + length] for start in range(0, len(frame), length)]
    assert b"".join(decompress_pieces(pieces, len(plain))) == plain
    with pytest.raises(FormatError, match="instead of"):
        list(decompress_pieces(pieces[:-1], len(plain)))


def is_known(encoded: bytes, data: bytes, version: int) -> bool:
    try:
        return is_encoded(encoded, data, version)
    except FormatError:
        return False


@pytest.mark.parametrize("version", [1, 2])
@given(st.binary(min_size=1, max_size=3000), st.integers(0, 3000), st.integers(1, 255))
def test_what_was_encoded_is_known_again_and_nothing_else(version: int, data: bytes, place: int, change: int) -> None:
    encoded = encode_unpacked(data, version)
    assert is_known(encoded, data, version)
    changed = bytearray(data)
    changed[place % len(data)] ^= change
    for other in (bytes(changed), data + b"x", data[:-1]):
        assert not is_known(encode_unpacked(other, version), data, version)
    assert not is_known(encoded[: place % len(encoded)], data, version)
