import struct

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import FormatError
from pyrestic.format.compress import Compression, Compressor, decode_unpacked, decompress, encode_unpacked
from pyrestic.handle import BlobType

TEXT = b"the quick brown fox jumps over the lazy dog\n" * 5000


@pytest.mark.parametrize("mode", Compression)
@pytest.mark.parametrize("plain", [b"", b"a", TEXT, bytes(1 << 20)], ids=["empty", "one byte", "text", "zeros"])
def test_what_was_compressed_decompresses(mode: Compression, plain: bytes) -> None:
    assert decompress(Compressor(mode).compress(plain), len(plain)) == plain


@pytest.mark.parametrize("mode", Compression)
def test_a_frame_has_content_size_no_checksum_and_a_window_of_512_kib(mode: Compression) -> None:
    parameters = zstandard.get_frame_parameters(Compressor(mode).compress(bytes(2 << 20)))
    assert parameters.content_size == 2 << 20
    assert parameters.window_size == 512 << 10
    assert not parameters.has_checksum
    assert parameters.dict_id == 0
