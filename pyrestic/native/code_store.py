"""Compiled functions, ready for use: what is kept is loaded, and what is not yet there is made beside this process.

No function here waits for a compiler. Each returns None as long as there is no code, and may be asked again later; the
caller has another way that needs none. `folder` is where code is kept, "" for nowhere. Without `keep` what is kept
there is used, but nothing is put there, and only the chunker is compiled, in memory: without it a large file takes
several times as long. Code is used only after its answers were compared with those of another engine.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from pyrestic.backend.private_folder import distrust, open_private
from pyrestic.errors import UntrustedError
from pyrestic.native.background_compiler import Compiler, compiler_for
from pyrestic.native.code_files import KINDS, can_compile, read_code

if TYPE_CHECKING:
    # At run time only when a long file comes: it brings numpy.
    import numpy as np
    from numpy.typing import NDArray

    from pyrestic.format.rabin import FirstCut, Tables
    from pyrestic.native.blob_batch import BlobCode
    from pyrestic.native.file_reader import ManyReaderMaker
    from pyrestic.native.scrypt import Scrypt
    from pyrestic.native.sha256 import PairCode


_being_made: dict[tuple[str, str], Compiler] = {}
"""What this process asked for, by folder and kind: the folder is not looked at again."""


def find_code(folder: str, kind: str, *, keep: bool) -> bytes | None:
    """Return the machine code of a kind, None if there is none yet or none for this machine."""
    if (folder, kind) in _being_made:
        return _being_made[folder, kind].find(kind)
    if not can_compile(kind):
        # Then nothing tells which file would be right, either: its name depends on the compiler.
        return None
    code = _read(folder, kind)
    if code is not None:
        return code or None
    kept = keep and bool(folder) and distrust(folder) is None
    if not (kept or kind == "chunker"):
        return None
    compiler = _being_made[folder, kind] = compiler_for(folder if kept else "")
    return compiler.find(kind)


def compile_all(folder: str) -> None:
    """Compile and keep all kinds that are not kept yet, and wait for it."""
    compiler = compiler_for(folder)
    for kind in KINDS:
        find_code(folder, kind, keep=True)
    compiler.wait()


def load_scrypt(folder: str, *, keep: bool) -> "Scrypt | None":
    """Return the fast engine for the derivation of keys."""
    code = find_code(folder, "scrypt", keep=keep)
    if code is None:
        return None
    from pyrestic.native.scrypt import load_code

    return load_code(code)


def load_blob_code(folder: str, *, keep: bool) -> "BlobCode | None":
    """Return the code that works through many blobs at once."""
    code, pair = find_code(folder, "blobs", keep=keep), find_code(folder, "sha256", keep=keep)
    return _load_blobs(code, pair) if code is not None else None


@functools.lru_cache(maxsize=2)
def _load_blobs(code: bytes, pair: bytes | None) -> "BlobCode | None":
    # It brings numpy, which short commands do without.
    from pyrestic.native.blob_batch import load_code

    return load_code(code, _load_pair(pair) if pair is not None else None)


def load_pair_code(folder: str, *, keep: bool) -> "PairCode | None":
    """Return what hashes two messages at a time."""
    code = find_code(folder, "sha256", keep=keep)
    return _load_pair(code) if code is not None else None


@functools.lru_cache(maxsize=1)
def _load_pair(code: bytes) -> "PairCode | None":
    from pyrestic.native.sha256 import load_code

    return load_code(code)


def many_reader(folder: str, *, keep: bool = True) -> "Callable[[], ManyReaderMaker | None] | None":
    """Return what gives what reads many small files at once, None if this installation has no compiler."""
    if not folder or not can_compile("file_reader"):
        return None
    return lambda: _load_many_reader(folder, keep=keep)


def _load_many_reader(folder: str, *, keep: bool) -> "ManyReaderMaker | None":
    code = find_code(folder, "file_reader", keep=keep)
    if code is None:
        return None
    from pyrestic.native.file_reader import load_code

    return load_code(code)


def chunker_engine(folder: str, *, keep: bool = True) -> "Callable[[], FirstCut]":
    """Return what gives the engine when it is first needed: the numpy engine, until there is code."""
    return lambda: _ChunkerEngine(folder, keep=keep).first_cut


class _ChunkerEngine:
    """The chunker's engine of one run. Both ways give the same cuts, so it may change between two of them."""

    def __init__(self, folder: str, *, keep: bool) -> None:
        from pyrestic.format import chunker_numpy

        self._folder = folder
        self._keep = keep
        self._slow: FirstCut = chunker_numpy.first_cut
        self._fast: FirstCut | None = None

    def first_cut(self, data: "NDArray[np.uint8]", low: int, high: int, tables: "Tables") -> int:
        """Return the first cut, see FirstCut."""
        engine = self._fast or self._look()
        return engine(data, low, high, tables)

    def _look(self) -> "FirstCut":
        code = find_code(self._folder, "chunker", keep=self._keep)
        if code is not None:
            from pyrestic.native.chunker import load_code

            # What gives wrong answers is not looked at again.
            self._fast = load_code(code) or self._slow
        return self._fast or self._slow


def _read(folder: str, kind: str) -> bytes | None:
    if not folder:
        return None
    try:
        with open_private(folder) as private:
            return read_code(private, kind)
    except (OSError, UntrustedError):
        return None
