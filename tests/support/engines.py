"""The engine for many blobs, compiled once for all tests of a process."""

import functools
from pathlib import Path

import pytest

from pyrestic.backend.private_folder import open_private
from pyrestic.format import sha256_code
from pyrestic.format.blobengine import BlobCode, load_code
from pyrestic.format.sha256_code import PairCode
from pyrestic.localfs.codefiles import compile_kind, write_code


@functools.cache
def machine_code(kind: str = "blobs") -> bytes:
    """The code of a kind for this processor; a test without a compiler is skipped."""
    pytest.importorskip("numba")
    code = compile_kind(kind)
    assert code or kind == "sha256"
    return code


def keep_code(folder: Path, *kinds: str) -> Path:
    """Fill the folder of compiled code, as a process does that compiles beside the program, but at once."""
    with open_private(str(folder), create=True) as private:
        for kind in kinds:
            write_code(private, kind, machine_code(kind))
    return folder


@functools.cache
def blob_code() -> BlobCode:
    """The same, ready for use."""
    code = load_code(machine_code(), pair_code())
    assert code is not None
    return code


@functools.cache
def pair_code() -> PairCode | None:
    """What hashes two messages at a time, None if this processor has no instructions for it."""
    code = machine_code("sha256")
    return sha256_code.load_code(code) if code else None
