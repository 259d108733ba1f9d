"""Stored machine code, or code compiled in the background if there is none yet.

Only `compile_all` waits for a compiler. `folder` is the location of stored code, "" for none. Without `keep`, stored
code is used, but nothing is added, and only the chunker is compiled, in memory: without it, a large file takes several
times as long.
"""

from pyrestic.backend.private_folder import distrust, open_private
from pyrestic.errors import UntrustedError
from pyrestic.native.background_compiler import Compiler, compiler_for
from pyrestic.native.code_files import KINDS, can_compile, read_code

_being_made: dict[tuple[str, str], Compiler] = {}
"""Code that this process has requested, by folder and kind: the folder is not read again."""


def find_code(folder: str, kind: str, *, keep: bool) -> bytes | None:
    """Return the machine code of a kind, None if there is none yet or none for this machine."""
    if (folder, kind) in _being_made:
        return _being_made[folder, kind].find(kind)
    if not can_compile():
        # Without a compiler, the right file is unknown as well: its name depends on the compiler.
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
    """Compile and store all missing kinds, and wait for them."""
    compiler = compiler_for(folder)
    for kind in KINDS:
        find_code(folder, kind, keep=True)
    compiler.wait()


def stop_compiling() -> None:
    """End what compiles for this process."""
    for compiler in list(_being_made.values()):
        compiler.stop()


def _read(folder: str, kind: str) -> bytes | None:
    if not folder:
        return None
    try:
        with open_private(folder) as private:
            return read_code(private, kind)
    except (OSError, UntrustedError):
        return None
