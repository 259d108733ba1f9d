"""The engine for many blobs, compiled once for all tests of a process."""

import functools

import pytest

from pyrestic.format import sha256_code
from pyrestic.format.blobengine import BlobCode, load_code
from pyrestic.format.sha256_code import PairCode


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
    code = load_code(machine_code(), pair_code())
    assert code is not None
    return code


@functools.cache
def pair_code() -> PairCode | None:
    """What hashes two messages at a time, None if this processor has no instructions for it."""
    pytest.importorskip("llvmlite")
    from pyrestic.format.sha256_llvm import compile_code

    code = compile_code()
    return None if code is None else sha256_code.load_code(code)
