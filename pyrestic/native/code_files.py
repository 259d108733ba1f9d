"""Files of machine code: their kinds, compilation, names and content.

A file contains machine code, so it is used only if nobody else can have written it (see
pyrestic.backend.private_folder). Its name identifies the processor and compiler, and its content begins with the
SHA-256 of the rest, because a power loss may leave an incomplete file. An empty rest means that there is no such code
for this machine; that is retried after a day. Files of other versions are removed when a new one is stored, unless they
are recent: two versions may be in use at the same time.
"""

import functools
import hashlib
import importlib
import importlib.util
import os
import time
from typing import Final, NamedTuple

from pyrestic.backend.private_folder import PrivateFolder
from pyrestic.errors import UntrustedError


class CodeKind(NamedTuple):
    """A kind of code: the module whose `compile_code() -> bytes | None` makes it, and those that it uses."""

    module: str
    uses: tuple[str, ...] = ("pyrestic.native.intrinsics",)


_VECTOR_MODULES: Final = ("pyrestic.native.intrinsics", "pyrestic.native.vectors")
_BLOB_MODULES: Final = (
    "pyrestic.native.intrinsics",
    "pyrestic.native.blob_layout",
    "pyrestic.native.sources.blob_steps",
    "pyrestic.native.sources.blob_hash",
    "pyrestic.native.sources.sha256",
    "pyrestic.native.sha256",
)
KINDS: Final = {
    "chunker": CodeKind("pyrestic.native.sources.chunker", uses=()),
    "sha256": CodeKind("pyrestic.native.sources.sha256_pair", _VECTOR_MODULES),
    "file_writer": CodeKind("pyrestic.native.sources.file_writer"),
    "file_reader": CodeKind("pyrestic.native.sources.file_reader"),
    "scrypt": CodeKind("pyrestic.native.sources.scrypt", _VECTOR_MODULES),
    "blobs": CodeKind("pyrestic.native.sources.blob_batch", uses=_BLOB_MODULES),
}
"""All kinds, fastest to compile first."""

_MAX_BYTES: Final = 64 << 10
_DIGEST_BYTES: Final = 32
_OLD_SECONDS: Final = 30 * 86_400
_TRY_AGAIN_SECONDS: Final = 86_400


@functools.cache
def can_compile() -> bool:
    """Tell whether a compiler is installed."""
    return importlib.util.find_spec("numba") is not None


def compile_kind(kind: str) -> bytes:
    """Compile code, which takes seconds and 100 MB; b"" if there is none for this machine."""
    try:
        return importlib.import_module(KINDS[kind].module).compile_code() or b""
    except Exception:
        # A release of numba without support for this language or processor raises errors of its own.
        return b""


def read_code(folder: PrivateFolder, kind: str) -> bytes | None:
    """Return the stored code, b"" if there is none for this machine, None if it must be compiled first."""
    try:
        data = folder.read(file_name(kind), _MAX_BYTES)
        if len(data) == _DIGEST_BYTES:
            changed = os.stat(file_name(kind), dir_fd=folder.descriptor).st_mtime
            if not 0 <= time.time() - changed < _TRY_AGAIN_SECONDS:
                return None
    except (OSError, UntrustedError):
        return None
    code = data[_DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == data[:_DIGEST_BYTES] else None


def write_code(folder: PrivateFolder, kind: str, code: bytes) -> None:
    """Store code, b"" for none; raise OSError."""
    name = file_name(kind)
    folder.replace(name, (hashlib.sha256(code).digest() + code,))
    with os.scandir(folder.descriptor) as entries:
        for entry in entries:
            is_other = entry.name.startswith(f"{kind}-") and entry.name != name
            if is_other and time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD_SECONDS:
                folder.remove(entry.name)


@functools.cache
def file_name(kind: str) -> str:
    """Return a name that identifies the processor, the compiler and the modules of the code."""
    module, uses = KINDS[kind]
    parts = [os.uname().machine, _compiler(), _processor()]
    for name in (module, *uses):
        source = importlib.util.find_spec(name)
        if source is not None and source.origin is not None:
            with open(source.origin, "rb") as file:
                parts.append(hashlib.sha256(file.read()).hexdigest())
    return f"{kind}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:32]}"


def _compiler() -> str:
    """Return a key that differs between releases of numba and llvmlite.

    Reading their versions through importlib.metadata would take 14 ms, as long as everything else that loads stored
    code.
    """
    parts = []
    for package in ("numba", "llvmlite"):
        source = importlib.util.find_spec(package)
        place = os.path.dirname(source.origin or "") if source is not None else ""
        try:
            with open(os.path.join(place, "_version.py"), "rb") as file:
                parts.append(hashlib.sha256(file.read()).hexdigest())
        except OSError:
            from importlib.metadata import version

            parts.append(version(package))
    return "\n".join(parts)


def _processor() -> str:
    """Return the features of the processor as listed by the kernel."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        return ""
