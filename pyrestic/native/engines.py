"""The implementation of `Engines`: each part comes from stored code in a folder, or is compiled in the background."""

import functools
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pyrestic.engines import Engines
from pyrestic.native.code_files import can_compile
from pyrestic.native.code_store import compile_all, find_code, stop_compiling

if TYPE_CHECKING:
    # The wrapper of each kind of code is imported on demand: it imports numpy.
    from pyrestic.format.keyfile import Scrypt
    from pyrestic.format.rabin import FirstCut
    from pyrestic.native.blob_batch import BlobCode
    from pyrestic.native.file_reader import ManyReaderMaker
    from pyrestic.native.file_writer import ManyWriter
    from pyrestic.native.sha256 import PairCode

T = TypeVar("T")


class CompiledEngines(Engines):
    """Engines of compiled code; thread-safe. `folder` and `keep` are as in code_store."""

    def __init__(self, folder: str, *, keep: bool) -> None:
        self._folder = folder
        self._keep = keep
        self._lock = threading.Lock()
        self._found: dict[str, Any] = {}

    @property
    def chunker(self) -> "FirstCut | None":
        """See Engines."""
        return self._find("chunker", _load_chunker)

    @property
    def scrypt(self) -> "Scrypt | None":
        """See Engines."""
        return self._find("scrypt", _load_scrypt)

    @property
    def blobs(self) -> "BlobCode | None":
        """See Engines."""
        # Requested first, so that both are compiled together.
        pair = self._find("sha256", _load_pair)
        return self._find("blobs", lambda code: _load_blobs(code, pair))

    @property
    def reader(self) -> "ManyReaderMaker | None":
        """See Engines."""
        return self._find("file_reader", _load_reader)

    @property
    def may_read_batches(self) -> bool:
        """See Engines."""
        return bool(self._folder) and can_compile()

    @property
    def writer(self) -> "ManyWriter | None":
        """See Engines."""
        return self._find("file_writer", _load_writer)

    def compile_all(self) -> None:
        """See Engines."""
        compile_all(self._folder)

    def stop_compiling(self) -> None:
        """See Engines."""
        stop_compiling()

    def _find(self, kind: str, load: Callable[[bytes], T | None]) -> T | None:
        """Return the wrapper of a kind of code; code with wrong results is not tried again."""
        with self._lock:
            if kind not in self._found:
                code = find_code(self._folder, kind, keep=self._keep)
                if code is None:
                    return None
                self._found[kind] = load(code)
            found: T | None = self._found[kind]
            return found


# Code stays in memory until the program ends, so it is loaded once, however many repositories are opened.


@functools.lru_cache(maxsize=1)
def _load_chunker(code: bytes) -> "FirstCut | None":
    from pyrestic.native.chunker import load_code

    return load_code(code)


@functools.lru_cache(maxsize=1)
def _load_scrypt(code: bytes) -> "Scrypt | None":
    from pyrestic.native.scrypt import load_code

    return load_code(code)


@functools.lru_cache(maxsize=1)
def _load_pair(code: bytes) -> "PairCode | None":
    from pyrestic.native.sha256 import load_code

    return load_code(code)


@functools.lru_cache(maxsize=2)
def _load_blobs(code: bytes, pair: "PairCode | None") -> "BlobCode | None":
    from pyrestic.native.blob_batch import load_code

    return load_code(code, pair)


@functools.lru_cache(maxsize=1)
def _load_reader(code: bytes) -> "ManyReaderMaker | None":
    from pyrestic.native.file_reader import load_code

    return load_code(code)


@functools.lru_cache(maxsize=1)
def _load_writer(code: bytes) -> "ManyWriter | None":
    from pyrestic.native.file_writer import load_code

    return load_code(code)
