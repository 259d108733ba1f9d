"""Compiled code for tests, compiled once for a checkout: else a new home starts a compiler beside each program."""

import fcntl
import functools
from pathlib import Path

import pytest

from pyrestic.backend.private_folder import open_private
from pyrestic.native import sha256
from pyrestic.native.blob_batch import BlobCode, load_code
from pyrestic.native.code_files import KINDS, can_compile, compile_kind, file_name, write_code
from pyrestic.native.sha256 import PairCode

_KEPT = Path(__file__).resolve().parent.parent.parent / ".tools" / "compiled"


@functools.cache
def machine_code(kind: str = "blobs") -> bytes:
    """The code of a kind for this processor; a test without a compiler is skipped."""
    pytest.importorskip("numba")
    path = _KEPT / file_name(kind)
    _KEPT.mkdir(parents=True, exist_ok=True)
    with (_KEPT / "lock").open("wb") as lock:
        # Of several processes that run tests one compiles, the others wait.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            path.write_bytes(compile_kind(kind))
    code = path.read_bytes()
    assert code or kind == "sha256"
    return code


def keep_code(folder: Path, *kinds: str) -> Path:
    """Fill the folder of compiled code, as a process does that compiles beside the program, but at once."""
    with open_private(str(folder), create=True) as private:
        for kind in kinds:
            write_code(private, kind, machine_code(kind))
    return folder


def keep_all_code(folder: Path) -> None:
    """Fill the folder with all kinds, unless it is there or this installation compiles none."""
    if not folder.exists() and all(map(can_compile, KINDS)):
        keep_code(folder, *KINDS)


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
    return sha256.load_code(code) if code else None
