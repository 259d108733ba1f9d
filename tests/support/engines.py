"""The engine for many blobs, compiled once for all tests of a process."""

import functools

import pytest

from pyrestic.format.blobengine import BlobCode, load_code


@functools.cache
def machine_code() -> bytes:
    """The code for this processor; a test without a compiler is skipped."""
    pytest.importorskip("numba")
    from pyrestic.format.blobengine_numba import compile_code

    code = compile_code()
    assert code is not None
    return code


@functools.cache
def blob_code() -> BlobCode:
    """The same, ready for use."""
    code = load_code(machine_code())
    assert code is not None
    return code
