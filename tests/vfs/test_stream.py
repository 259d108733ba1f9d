"""The content of a stored file as a stream, compared with Python's own."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.vfs.blob_cache import BlobCache
from pyrestic.vfs.reader import FileReader
from pyrestic.vfs.stream import ContentStream
from tests.vfs.test_vfs import make_file

STEP = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 120)),
    st.tuples(st.just("seek"), st.integers(-50, 900), st.sampled_from([0, 1, 2])),
    st.tuples(st.just("tell")),
    st.tuples(st.just("readline")),
    st.tuples(st.just("readinto"), st.integers(0, 90).map(bytearray)),
)


@given(lengths=st.lists(st.integers(1, 50), max_size=12), steps=st.lists(STEP, max_size=12))
def test_it_does_what_a_file_in_memory_does(lengths: list[int], steps: list[tuple[object, ...]]) -> None:
    node, index, blobs, whole = make_file(lengths)
    cache = BlobCache(blobs.__getitem__, 1)
    ours, plain = ContentStream(FileReader(node, index, cache)), io.BytesIO(whole)
    assert (ours.readable(), ours.seekable(), ours.writable()) == (True, True, False)
    for name, *arguments in steps:
        try:
            expected = getattr(plain, str(name))(*arguments)
        except ValueError:
            # A place before the beginning.
            with pytest.raises(ValueError, match="invalid position"):
                getattr(ours, str(name))(*arguments)
            continue
        if name == "seek" and arguments[1] != 0 and expected == 0:
            # In memory a place before the beginning is the beginning.
            ours.seek(0)
            continue
        assert getattr(ours, str(name))(*arguments) == expected
    assert ours.read() == plain.read()
    cache.close()


def test_a_closed_stream_is_read_no_more() -> None:
    node, index, blobs, _ = make_file([10])
    cache = BlobCache(blobs.__getitem__, 1)
    stream = ContentStream(FileReader(node, index, cache))
    stream.close()
    for use in (stream.read, stream.tell, lambda: stream.seek(0), lambda: stream.raw.read(1)):
        with pytest.raises(ValueError, match="closed"):
            use()
    with (
        ContentStream(FileReader(node, index, cache)) as another,
        pytest.raises(ValueError, match="not a valid whence"),
    ):
        another.raw.seek(0, 7)
    cache.close()
