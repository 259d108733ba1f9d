"""Compiled code for tests, compiled once for a checkout: else a new home starts a compiler beside each program."""

import fcntl
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from pyrestic.backend.private_folder import open_private
from pyrestic.engine_types import BatchCodecMaker, BatchReaderMaker, BatchWriter
from pyrestic.engines import Engines
from pyrestic.format import chunker_numpy
from pyrestic.format.keyfile import Scrypt
from pyrestic.format.rabin import FirstCut
from pyrestic.native import chunker, file_reader, file_writer, sha256
from pyrestic.native.blob_batch import BlobCode, load_code
from pyrestic.native.code_files import KINDS, can_compile, compile_kind, file_name, write_code
from pyrestic.native.sha256 import PairCode

T = TypeVar("T")
Find = Callable[[], T | None]
_ROOT = Path(__file__).resolve().parent.parent.parent
_KEPT = _ROOT / ".tools" / "compiled"


@functools.cache
def machine_code(kind: str = "blobs") -> bytes:
    """The code of a kind for this processor; a test without a compiler is skipped."""
    pytest.importorskip("numba")
    path = _KEPT / file_name(kind)
    if not path.exists():
        _KEPT.mkdir(parents=True, exist_ok=True)
        with (_KEPT / "lock").open("wb") as lock:
            # Of several processes that run tests one compiles, the others wait.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                half = path.with_suffix(".half")
                half.write_bytes(compile_kind(kind))
                half.rename(path)
    code = path.read_bytes()
    assert code or kind == "sha256"
    return code


_COMPILE = """
import importlib, sys
from pyrestic.native.intrinsics import compile_function
module = importlib.import_module(sys.argv[1])
sys.stdout.buffer.write(compile_function(getattr(module, sys.argv[2]), module.PARAMETERS) or b"")
"""


def compile_for(processor: str, features: str, module: str, function: str) -> bytes:
    """The code of a function for a processor with LLVM's name and features, b"" if it cannot be moved.

    numba compiles for one processor in a process.
    """
    environment = {**os.environ, "NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": features}
    command = [sys.executable, "-c", _COMPILE, module, function]
    return subprocess.run(command, env=environment, cwd=_ROOT, stdout=subprocess.PIPE, check=True).stdout


def keep_code(folder: Path, *kinds: str) -> Path:
    """Fill the folder of compiled code, as a process does that compiles beside the program, but at once."""
    with open_private(str(folder), create=True) as private:
        for kind in kinds:
            write_code(private, kind, machine_code(kind))
    return folder


def keep_all_code(folder: Path) -> None:
    """Fill the folder with all kinds, unless it is there or this installation compiles none."""
    if not folder.exists() and can_compile():
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


@functools.cache
def reader_code() -> file_reader.ManyReaderMaker:
    """What reads files."""
    found = file_reader.load_code(machine_code("file_reader"))
    assert found is not None
    return found


@functools.cache
def writer_code() -> file_writer.ManyWriter:
    """What writes files."""
    found = file_writer.load_code(machine_code("file_writer"))
    assert found is not None
    return found


@functools.cache
def chunker_code() -> FirstCut:
    """The chunker's inner loop."""
    found = chunker.load_code(machine_code("chunker"))
    assert found is not None
    return found


CHUNKERS: dict[str, Callable[[], FirstCut]] = {"compiled": chunker_code, "numpy": lambda: chunker_numpy.first_cut}
"""All engines of the chunker; one that cannot be compiled here skips the test."""


class GivenEngines(Engines):
    """Engines whose parts come from these functions, which are asked each time."""

    def __init__(
        self,
        *,
        scrypt: "Find[Scrypt] | None" = None,
        blobs: "Find[BatchCodecMaker] | None" = None,
        reader: "Find[BatchReaderMaker] | None" = None,
        writer: "Find[BatchWriter] | None" = None,
    ) -> None:
        self._scrypt = scrypt
        self._blobs = blobs
        self._reader = reader
        self._writer = writer

    @property
    def scrypt(self) -> Scrypt | None:
        return self._scrypt() if self._scrypt is not None else None

    @property
    def blobs(self) -> BatchCodecMaker | None:
        return self._blobs() if self._blobs is not None else None

    @property
    def reader(self) -> BatchReaderMaker | None:
        return self._reader() if self._reader is not None else None

    @property
    def may_read_batches(self) -> bool:
        return self._reader is not None

    @property
    def writer(self) -> BatchWriter | None:
        return self._writer() if self._writer is not None else None


def compile_all() -> None:
    """Compile what is not there yet, if this installation can."""
    if can_compile():
        for kind in KINDS:
            machine_code(kind)


if __name__ == "__main__":
    compile_all()
