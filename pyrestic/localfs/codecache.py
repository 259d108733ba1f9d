"""Compiled functions kept in files, so that later runs need neither the compiler nor its time and memory.

A file lies in the cache folder of pyrestic and holds machine code, so it is believed only where nobody else can have
put it (see pyrestic.backend.private_folder); its name says for which processor and compiler it was made. Those of
other versions go when a new one comes, unless they are young: somebody may use two versions side by side.
"""

import hashlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pyrestic.backend.private_folder import PrivateFolder, distrust, open_private
from pyrestic.errors import UntrustedError

if TYPE_CHECKING:
    # At run time only when a long file comes: it brings numpy.
    from pyrestic.format.blobengine import BlobCode
    from pyrestic.format.rabin import FirstCut
    from pyrestic.format.scrypt_code import Scrypt
    from pyrestic.format.sha256_code import PairCode
    from pyrestic.localfs.readmany import ManyReaderMaker

_MAX_BYTES = 64 << 10
# What the loops for many blobs depend on.
_BLOB_MODULES = [
    f"pyrestic.format.{name}"
    for name in ("blobslots", "blobsteps_numba", "blobhash_numba", "sha256_numba", "sha256_code")
]
_DIGEST_BYTES = 32
_OLD_SECONDS = 30 * 86_400
_COMPILE_SECONDS = 120
_COMPILE = """\
import sys
sys.path[:] = sys.argv[2:]
import importlib
sys.stdout.buffer.write(importlib.import_module(sys.argv[1]).compile_code() or b"")
"""


def chunker_engine(folder: str, *, keep: bool = True) -> "Callable[[], FirstCut] | None":
    """Return what gives the fast engine when it is first needed, None if this installation has no compiler.

    `folder` is where the code is kept, "" for nowhere; with `keep` it is put there. Trouble with it only costs time.
    """
    if not folder or importlib.util.find_spec("numba") is None:
        return None
    return lambda: _load_chunker(folder, keep=keep)


def find_code(folder: str, name: str, module: str, *, keep: bool, uses: Sequence[str] = ()) -> bytes | None:
    """Return the machine code that a module of pyrestic.format makes with numba, None if there is none.

    `module` has `compile_code() -> bytes | None` and builds on pyrestic.format.addresses. `folder` is where the code is
    kept, "" for nowhere; where it is not there yet it is compiled only to be kept, which takes a second or two.
    `uses` names further modules that the code depends on. Before the code is used its answers have to be compared with
    those of another engine.
    """
    if not folder or importlib.util.find_spec("numba") is None:
        return None
    path = os.path.join(folder, f"{name}-{_tag(module, _compiler(), 'pyrestic.format.addresses', *uses)}")
    code = _read(path)
    if code is None and keep:
        code = _compile(folder, module)
        if code is not None:
            _write(path, code)
    return code


def load_blob_code(folder: str, *, keep: bool) -> "BlobCode | None":
    """Return the code that works through many blobs at once, None if there is none; folder and keep as in find_code."""
    code = find_code(folder, "blobs", "pyrestic.format.blobengine_numba", keep=keep, uses=_BLOB_MODULES)
    if code is None:
        return None
    # It brings numpy, which short commands do without.
    from pyrestic.format.blobengine import load_code

    return load_code(code, load_pair_code(folder, keep=keep))


def load_pair_code(folder: str, *, keep: bool) -> "PairCode | None":
    """Return what hashes two messages at a time, None if there is none; folder and keep as in find_code."""
    code = _find_llvm_code(folder, "sha256", "pyrestic.format.sha256_llvm", keep=keep)
    if code is None:
        return None
    from pyrestic.format.sha256_code import load_code

    return load_code(code)


def _compile(folder: str, module: str) -> bytes | None:
    """Return what a module compiles, in a process of its own: with it go the compiler's 100 MB, whatever befalls it.

    None if there was trouble, such as a release of numba or llvmlite that does not know this language or processor.
    """
    # It takes some milliseconds, and code is compiled once.
    import subprocess

    if not sys.executable or distrust(folder) is not None:
        return None
    command = [sys.executable, "-P", "-c", _COMPILE, module, *sys.path]
    try:
        code = subprocess.check_output(  # noqa: S603 - the running Python
            command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_COMPILE_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return code or None


def many_reader(folder: str, *, keep: bool = True) -> "Callable[[], ManyReaderMaker | None] | None":
    """Return what gives what reads many small files at once, None if this installation has no compiler.

    `folder` and `keep` are as in find_code.
    """
    if not folder or importlib.util.find_spec("numba") is None:
        return None
    return lambda: _load_many_reader(folder, keep=keep)


def _load_many_reader(folder: str, *, keep: bool) -> "ManyReaderMaker | None":
    from pyrestic.localfs.readmany import load_code

    code = find_code(folder, "readmany", "pyrestic.localfs.readmany_code", keep=keep)
    return load_code(code) if code is not None else None


def load_scrypt(folder: str, *, keep: bool) -> "Scrypt | None":
    """Return the fast engine, None if there is none.

    `folder` is where the code is kept, "" for nowhere. Where it is not there yet it is compiled only to be kept, since
    that takes longer than what is gained.
    """
    code = _find_llvm_code(folder, "scrypt", "pyrestic.format.scrypt_llvm", keep=keep)
    if code is None:
        return None
    from pyrestic.format.scrypt_code import load_code

    return load_code(code)


def _find_llvm_code(folder: str, name: str, module: str, *, keep: bool) -> bytes | None:
    """Return what find_code returns, of a module that needs nothing but llvmlite; what is kept needs not even that."""
    if not folder:
        return None
    path = os.path.join(folder, f"{name}-{_tag(module)}")
    code = _read(path)
    if code is None and keep and importlib.util.find_spec("llvmlite") is not None:
        code = _compile(folder, module)
        if code is not None:
            _write(path, code)
    return code


def _load_chunker(folder: str, *, keep: bool) -> "FirstCut":
    from pyrestic.format.chunker_code import load_code

    path = os.path.join(folder, f"chunker-{_tag('pyrestic.format.chunker_numba', _compiler())}")
    code = _read(path)
    engine = load_code(code) if code is not None else None
    if engine is not None:
        return engine
    code = _compile(folder, "pyrestic.format.chunker_numba")
    engine = load_code(code) if code is not None else None
    if code is None or engine is None:
        # Without code that can be moved it is compiled where it is used.
        from pyrestic.format.chunker_numba import compile_engine

        return compile_engine().first_cut
    if keep:
        _write(path, code)
    return engine


def _tag(module: str, compiler: str = "", *more_modules: str) -> str:
    """Return a name for the processor, the compiler and the modules that the code depends on."""
    parts = [os.uname().machine, compiler, _processor()]
    for name in (module, *more_modules):
        source = importlib.util.find_spec(name)
        if source is not None and source.origin is not None:
            with open(source.origin, "rb") as file:
                parts.append(hashlib.sha256(file.read()).hexdigest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _compiler() -> str:
    """Return something that other releases of numba and llvmlite have not in common with these.

    To ask importlib.metadata for their versions would take 14 ms, as long as all else that leads to kept code.
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
    """Return the features of the processor as the kernel lists them."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            return next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        return ""


def _read(path: str) -> bytes | None:
    folder, _, name = path.rpartition("/")
    try:
        with open_private(folder) as private:
            data = private.read(name, _MAX_BYTES)
    except (OSError, UntrustedError):
        return None
    # A loss of power may leave a file that is there and not whole.
    code = data[_DIGEST_BYTES:]
    return code if hashlib.sha256(code).digest() == data[:_DIGEST_BYTES] else None


def _write(path: str, code: bytes) -> None:
    folder, _, name = path.rpartition("/")
    try:
        with open_private(folder, create=True) as private:
            private.replace(name, (hashlib.sha256(code).digest() + code,))
            _remove_old(private, name)
    except (OSError, UntrustedError):
        return


def _remove_old(folder: PrivateFolder, name: str) -> None:
    kind = name.partition("-")[0] + "-"
    with os.scandir(folder.descriptor) as entries:
        for entry in entries:
            is_other = entry.name.startswith(kind) and entry.name != name
            if is_other and time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD_SECONDS:
                folder.remove(entry.name)
