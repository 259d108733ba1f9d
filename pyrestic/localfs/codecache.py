"""The compiled chunker kept in a file, so that later runs need neither the compiler nor its half second and 100 MB.

The file lies in the cache folder of pyrestic and holds machine code, so it is believed only if it belongs to the user
who runs the program and nobody else may write to it; its name says for which processor and compiler it was made.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # At run time only when a long file comes: it brings numpy.
    from pyrestic.format.rabin import FirstCut

_MAX_BYTES = 64 << 10


def chunker_engine(folder: str) -> "Callable[[], FirstCut] | None":
    """Return what gives the fast engine when it is first needed, None if this installation has no compiler.

    `folder` is where the code is kept; it is made if it is missing. Trouble with it only costs time.
    """
    if importlib.util.find_spec("numba") is None:
        return None
    return lambda: _load(folder)


def _load(folder: str) -> "FirstCut":
    from pyrestic.format.chunker_code import load_code

    path = os.path.join(folder, f"chunker-{_tag()}")
    code = _read(path)
    engine = load_code(code) if code is not None else None
    if engine is not None:
        return engine
    from pyrestic.format.chunker_numba import compile_code

    compiled = compile_code()
    if compiled.code is not None:
        _write(path, compiled.code)
    return compiled.first_cut


def _tag() -> str:
    """Return a name for the processor, the compiler and the source that the code depends on."""
    parts = [platform.machine(), importlib.metadata.version("numba"), _processor()]
    source = importlib.util.find_spec("pyrestic.format.chunker_numba")
    if source is not None and source.origin is not None:
        with open(source.origin, "rb") as file:
            parts.append(hashlib.sha256(file.read()).hexdigest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _processor() -> str:
    """Return the features of the processor as the kernel lists them."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        return ""


def _read(path: str) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        trusted = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022
        return os.read(descriptor, _MAX_BYTES) if trusted and status.st_size < _MAX_BYTES else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _write(path: str, code: bytes) -> None:
    temporary = f"{path}-{os.getpid()}"
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, code)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except OSError:
        return
