"""Compiled code: kept for the next run, made beside the run, and believed only where nobody else could have put it."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pyrestic.backend.private_folder import open_private
from pyrestic.format.compress import Compression
from pyrestic.format.crypto import MasterKey
from pyrestic.format.rabin import WINDOW, make_tables
from pyrestic.native import code_files, code_store
from pyrestic.native.background_compiler import Compiler, compiler_for
from pyrestic.native.code_files import CodeKind, compile_kind, file_name, read_code, write_code
from pyrestic.native.code_store import find_code
from pyrestic.native.engines import CompiledEngines
from pyrestic.native.sha256 import hash_two
from pyrestic.repository.codec import BlobCodec
from tests.support.engines import GivenEngines, keep_code, machine_code

if TYPE_CHECKING:
    from pyrestic.native.blob_batch import BlobCode

pytest.importorskip("numba")

OTHER_CODE = hashlib.sha256(b"\x31\xc0\xc3").digest() + b"\x31\xc0\xc3"
"""Code that returns at once, in the form of a file."""


def folder_with(folder: Path, content: bytes, kind: str = "scrypt") -> Path:
    """A folder whose file of a kind has this content."""
    folder.mkdir()
    path = folder / file_name(kind)
    path.write_bytes(content)
    return path


def test_code_is_kept_and_used_again(tmp_path: Path) -> None:
    folder = keep_code(tmp_path / "code", "scrypt")
    engine = CompiledEngines(str(folder), keep=False).scrypt
    assert engine is not None
    assert engine(b"x", b"y", 16, 8, 5, 64) == hashlib.scrypt(b"x", salt=b"y", n=16, r=8, p=5, dklen=64)


def test_nothing_is_made_that_cannot_be_kept(tmp_path: Path) -> None:
    nowhere, unkept = CompiledEngines("", keep=True), CompiledEngines(str(tmp_path / "code"), keep=False)
    for engines in (nowhere, unkept):
        assert (engines.scrypt, engines.blobs, engines.reader, engines.writer) == (None,) * 4
    assert not nowhere.may_read_batches
    assert unkept.may_read_batches
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert CompiledEngines(str(tmp_path / "open" / "code"), keep=True).scrypt is None
    assert not (tmp_path / "code").exists()
    assert not list((tmp_path / "open").iterdir())


@pytest.mark.process
def test_what_is_missing_is_made_beside_this_process_and_then_kept(tmp_path: Path) -> None:
    folder = str(tmp_path / "code")
    engines = CompiledEngines(folder, keep=True)
    before = engines.scrypt
    assert before is None
    assert find_code(folder, "sha256", keep=True) is None
    compiler_for(folder).wait()
    # In this run, without a look into the folder, and in the next ones.
    assert find_code(folder, "scrypt", keep=True) == machine_code("scrypt")
    assert engines.scrypt is not None
    assert CompiledEngines(folder, keep=True).scrypt is engines.scrypt
    with open_private(folder) as private:
        assert read_code(private, "scrypt") == machine_code("scrypt")
        assert read_code(private, "sha256") == machine_code("sha256")
        assert read_code(private, "blobs") is None


@pytest.mark.process
def test_a_file_that_others_may_write_to_is_not_believed_but_replaced(tmp_path: Path) -> None:
    path = folder_with(tmp_path / "code", OTHER_CODE)
    path.chmod(0o666)
    assert CompiledEngines(str(path.parent), keep=True).scrypt is None
    compiler_for(str(path.parent)).wait()
    assert path.read_bytes()[32:] == machine_code("scrypt")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("length", [0, 20, 33, 2000])
def test_a_file_that_is_not_whole_is_made_again(tmp_path: Path, length: int) -> None:
    code = machine_code("scrypt")
    path = folder_with(tmp_path / "code", (hashlib.sha256(code).digest() + code)[:length])
    with open_private(str(path.parent)) as private:
        assert read_code(private, "scrypt") is None
        write_code(private, "scrypt", code)
        assert read_code(private, "scrypt") == code


def test_code_that_does_something_else_is_not_used(tmp_path: Path) -> None:
    path = folder_with(tmp_path / "code", OTHER_CODE)
    assert CompiledEngines(str(path.parent), keep=True).scrypt is None


@pytest.mark.slow
def test_a_compiler_that_fails_in_its_own_way_is_not_asked_again_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tests.support.no_such_module", "tests.support.compiled_wrong"):
        monkeypatch.setitem(code_files.KINDS, "wrong", CodeKind(module))
        file_name.cache_clear()
        assert compile_kind("wrong") == b""
        with open_private(str(tmp_path)) as private:
            assert read_code(private, "wrong") is None
            write_code(private, "wrong", b"")
            assert read_code(private, "wrong") == b""
            assert find_code(str(tmp_path), "wrong", keep=True) is None
            (path,) = tmp_path.iterdir()
            day_ago = time.time() - 86_401
            os.utime(path, (day_ago, day_ago))
            assert read_code(private, "wrong") is None
            path.unlink()
    file_name.cache_clear()


def test_code_of_any_module_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(code_files.KINDS, "sum", CodeKind("tests.support.compiled"))
    assert compile_kind("sum")


def test_without_a_compiler_nothing_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(keep_code(tmp_path / "code", "sha256"))
    monkeypatch.setattr(code_store, "can_compile", lambda: False)
    monkeypatch.setattr(code_files, "file_name", pytest.fail)
    assert find_code(folder, "sha256", keep=True) is None


def test_code_for_many_blobs_reaches_each_thread_of_a_codec_also_when_it_comes_later(tmp_path: Path) -> None:
    folder = str(keep_code(tmp_path / "code", "blobs", "sha256"))
    compiled = CompiledEngines(folder, keep=False)
    asked = []

    def find() -> "BlobCode | None":
        asked.append(1)
        return compiled.blobs if len(asked) > 1 else None

    codec = BlobCodec(MasterKey.random(), 2, Compression.AUTO, GivenEngines(blobs=find))
    assert not asked
    assert codec.engine is None
    with ThreadPoolExecutor(1) as pool:
        engines = [codec.engine, codec.engine, pool.submit(lambda: codec.engine).result()]
    assert None not in engines
    assert engines[0] is engines[1] is not engines[2]
    assert len(asked) == 3
    assert BlobCodec(MasterKey.random(), 2, Compression.AUTO).engine is None


def test_code_for_hashes_of_pairs_is_used(tmp_path: Path) -> None:
    if not machine_code("sha256"):
        pytest.skip("this processor has no instructions for SHA-256")
    found = CompiledEngines(str(keep_code(tmp_path / "code", "blobs", "sha256")), keep=False).blobs
    assert found is not None
    assert found.pair is not None
    assert hash_two(found.pair, b"one", b"two") == tuple(hashlib.sha256(each).digest() for each in (b"one", b"two"))


def test_the_name_of_a_file_says_which_compiler_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    for folder, content in (("one", "1.2"), ("two", "1.3"), ("three", None)):
        for package in ("numba", "llvmlite"):
            place = tmp_path / folder / package
            place.mkdir(parents=True)
            (place / "__init__.py").touch()
            if content is not None:
                (place / "_version.py").write_text(content)
        with monkeypatch.context() as changed:
            changed.syspath_prepend(str(tmp_path / folder))
            changed.delitem(sys.modules, "numba", raising=False)
            changed.delitem(sys.modules, "llvmlite", raising=False)
            names.add(code_files._compiler())
    assert len(names) == 3


def test_old_code_of_other_versions_goes_when_new_code_comes(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    month_ago = time.time() - 31 * 86_400
    for name, seconds in (("scrypt-old", month_ago), ("scrypt-young", time.time()), ("other-old", month_ago)):
        (folder / name).touch()
        os.utime(folder / name, (seconds, seconds))
    keep_code(folder, "scrypt")
    names = {path.name for path in folder.iterdir()}
    assert names == {"scrypt-young", "other-old", file_name("scrypt")}


@pytest.mark.process
def test_the_chunkers_code_is_there_when_it_is_compiled(tmp_path: Path) -> None:
    folder = str(tmp_path / "code")
    engines = CompiledEngines(folder, keep=True)
    before = engines.chunker
    assert before is None
    compiler_for(folder).wait()
    data = np.zeros(1 << 20, np.uint8)
    assert engines.chunker is not None
    assert engines.chunker(data, WINDOW, len(data), make_tables(0x3DA3358B4DC173)) == WINDOW


@pytest.mark.process
def test_without_a_folder_the_chunker_is_made_and_kept_nowhere(tmp_path: Path) -> None:
    compiler = Compiler("")
    assert compiler.find("chunker") is None
    compiler.wait()
    assert compiler.find("chunker") == machine_code("chunker")


@pytest.mark.process
def test_neither_the_compiler_nor_its_memory_is_in_this_process(tmp_path: Path) -> None:
    look = (
        "import sys; from pyrestic.native.engines import *; "
        "engines = CompiledEngines(sys.argv[1], keep=True); "
        "assert not (engines.blobs or engines.chunker or engines.reader); "
        "print([name for name in ('numba', 'llvmlite', 'subprocess') if name in sys.modules])"
    )
    # It is also waited for by nobody: the output ends with the process that asked.
    done = subprocess.run([sys.executable, "-c", look, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert done.stderr == ""


def compilers(folder: Path) -> list[int]:
    """The processes that compile for a folder."""
    found = []
    for name in os.listdir("/proc"):
        try:
            words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
        except (NotADirectoryError, FileNotFoundError, ProcessLookupError):
            continue
        if b"-I" in words and bytes(folder) in words:
            found.append(int(name))
    return found


def started_compiler(folder: Path) -> int:
    """Return the one process that compiles for a folder; it has no words until the kernel has set it up."""
    deadline = time.monotonic() + 30
    while not (found := compilers(folder)) and time.monotonic() < deadline:
        time.sleep(0.01)
    (process,) = found
    return process


@pytest.mark.process
def test_a_compiler_that_is_stopped_ends_its_process_and_starts_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    compiler = Compiler(str(folder))
    compiler.find("scrypt")
    assert started_compiler(folder) > 0
    compiler.stop()
    compiler.wait()
    assert compilers(folder) == []
    assert compiler.find("file_reader") is None
    assert compilers(folder) == []
    compiler.stop()


@pytest.mark.process
def test_a_compiler_is_not_signalled_once_it_has_ended_where_the_kernel_reaps(tmp_path: Path) -> None:
    """Whoever started the program may have set SIGCHLD to be ignored; the PID may belong to another process then."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        compiler = Compiler(str(tmp_path / "code"))
        compiler.find("scrypt")
        process = started_compiler(tmp_path / "code")
        os.kill(process, signal.SIGKILL)
        compiler.wait()
        assert compiler._process == 0
        compiler._process = process
        compiler.stop()
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.process
def test_what_compiles_outlives_who_asked_but_not_for_long_and_holds_nothing_of_it(tmp_path: Path) -> None:
    ask = (
        "import sys, os, time; from pyrestic.native.engines import *; "
        "CompiledEngines(sys.argv[1], keep=True).scrypt; "
        "print('asked', flush=True); time.sleep(600)"
    )
    folder = tmp_path / "code"
    asking = subprocess.Popen(
        [sys.executable, "-c", ask, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    )
    assert asking.stdout is not None
    assert asking.stdout.readline() == b"asked\n"
    process = started_compiler(folder)
    place = Path("/proc", str(process))
    assert os.getsid(process) == process
    asking.send_signal(signal.SIGKILL)
    # The end of its streams is the end of all who hold them.
    assert asking.communicate(timeout=60) == (b"", b"")
    held = {os.readlink(entry) for entry in (place / "fd").iterdir()} if place.exists() else set()
    assert not any("/dev/pts" in name for name in held)
    deadline = time.monotonic() + 120
    while compilers(folder):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with open_private(str(folder)) as private:
        assert read_code(private, "scrypt") == machine_code("scrypt")


@pytest.mark.process
def test_two_at_once_make_one_and_the_same(tmp_path: Path) -> None:
    both = [Compiler(str(tmp_path / "code")) for _ in range(2)]
    for compiler in both:
        compiler.find("file_reader")
    for compiler in both:
        compiler.wait()
        assert compiler.find("file_reader") == machine_code("file_reader")
    made = (tmp_path / "code" / file_name("file_reader")).stat()
    Compiler(str(tmp_path / "code")).find("file_reader")
    assert (tmp_path / "code" / file_name("file_reader")).stat().st_ino == made.st_ino
