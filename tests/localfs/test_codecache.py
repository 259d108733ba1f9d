"""Compiled code in files: kept for the next run, and believed only where nobody else could have put it."""

import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pyrestic.format.compress import Compression
from pyrestic.format.crypto import MasterKey
from pyrestic.format.sha256_code import hash_two
from pyrestic.localfs import codecache
from pyrestic.localfs.codecache import (
    chunker_engine,
    find_code,
    load_blob_code,
    load_pair_code,
    load_scrypt,
    many_reader,
)
from pyrestic.repository.codec import BlobCodec

if TYPE_CHECKING:
    from pyrestic.format.blobengine import BlobCode

pytest.importorskip("llvmlite")


def kept(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("code") / "new"
    assert load_scrypt(str(folder), keep=True) is not None
    return kept(folder).read_bytes()


def make(folder: Path, content: bytes) -> Path:
    """A folder whose file has this content."""
    assert load_scrypt(str(folder), keep=True) is not None
    path = kept(folder)
    path.write_bytes(content)
    return path


OTHER_CODE = hashlib.sha256(b"\x31\xc0\xc3").digest() + b"\x31\xc0\xc3"
"""Code that returns at once, in the form of a file."""


def test_code_is_kept_and_used_again(filled: bytes, tmp_path: Path) -> None:
    path = make(tmp_path / "code", filled)
    before = path.stat().st_mtime_ns
    engine = load_scrypt(str(path.parent), keep=False)
    assert engine is not None
    assert engine(b"x", b"y", 16, 8, 5, 64) == hashlib.scrypt(b"x", salt=b"y", n=16, r=8, p=5, dklen=64)
    assert path.stat().st_mtime_ns == before


def test_nothing_is_compiled_that_cannot_be_kept(tmp_path: Path) -> None:
    assert load_scrypt("", keep=True) is None
    assert load_scrypt(str(tmp_path / "code"), keep=False) is None
    assert not (tmp_path / "code").exists()


def test_a_file_that_others_may_write_to_is_not_believed_but_replaced(filled: bytes, tmp_path: Path) -> None:
    path = make(tmp_path / "code", OTHER_CODE)
    path.chmod(0o666)
    assert load_scrypt(str(path.parent), keep=True) is not None
    assert path.read_bytes() == filled
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("length", [0, 20, 33, 2000])
def test_a_file_that_is_not_whole_is_replaced(filled: bytes, tmp_path: Path, length: int) -> None:
    path = make(tmp_path / "code", filled[:length])
    assert load_scrypt(str(path.parent), keep=True) is not None
    assert path.read_bytes() == filled


def test_code_that_does_something_else_is_not_used(tmp_path: Path) -> None:
    path = make(tmp_path / "code", OTHER_CODE)
    assert load_scrypt(str(path.parent), keep=True) is None


def test_code_of_any_module_is_kept(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    folder = str(tmp_path / "code")
    module = "tests.support.compiled"
    assert find_code(folder, "sum", module, keep=False) is None
    assert find_code("", "sum", module, keep=True) is None
    code = find_code(folder, "sum", module, keep=True)
    assert code is not None
    assert kept(tmp_path / "code").name.startswith("sum-")
    assert find_code(folder, "sum", module, keep=False) == code


def test_code_for_many_blobs_is_kept_and_reaches_each_thread_of_a_codec(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    folder = str(tmp_path / "code")
    assert load_blob_code(folder, keep=False) is None
    asked = []

    def find() -> "BlobCode | None":
        asked.append(1)
        return load_blob_code(folder, keep=True)

    codec = BlobCodec(MasterKey.random(), 2, Compression.AUTO, find)
    assert not asked
    with ThreadPoolExecutor(1) as pool:
        engines = [codec.engine, codec.engine, pool.submit(lambda: codec.engine).result()]
    assert None not in engines
    assert engines[0] is engines[1] is not engines[2]
    assert len(asked) == 1
    names = {path.name.partition("-")[0] for path in (tmp_path / "code").iterdir()}
    assert names == ({"blobs", "sha256"} if load_pair_code(folder, keep=False) is not None else {"blobs"})
    assert BlobCodec(MasterKey.random(), 2, Compression.AUTO).engine is None


def test_code_for_hashes_of_pairs_is_kept(tmp_path: Path) -> None:
    folder = str(tmp_path / "code")
    assert load_pair_code("", keep=True) is None
    assert load_pair_code(folder, keep=False) is None
    found = load_pair_code(folder, keep=True)
    if found is None:
        pytest.skip("this processor has no instructions for SHA-256")
    assert kept(tmp_path / "code").name.startswith("sha256-")
    again = load_pair_code(folder, keep=False)
    assert again is not None
    assert hash_two(again, b"one", b"another") == hash_two(found, b"one", b"another")


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
            names.add(codecache._compiler())
    assert len(names) == 3


def test_old_code_of_other_versions_goes_when_new_code_comes(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    month_ago = time.time() - 31 * 86_400
    for name, seconds in (("scrypt-old", month_ago), ("scrypt-young", time.time()), ("other-old", month_ago)):
        (folder / name).touch()
        os.utime(folder / name, (seconds, seconds))
    assert load_scrypt(str(folder), keep=True) is not None
    names = {path.name for path in folder.iterdir()}
    assert len(names) == 3
    assert {"scrypt-young", "other-old"} < names


@pytest.mark.parametrize("module", ["tests.support.no_such_module", "tests.support.compiled_wrong"])
def test_a_compiler_that_fails_in_its_own_way_only_costs_time(tmp_path: Path, module: str) -> None:
    pytest.importorskip("numba")
    assert find_code(str(tmp_path), "sum", module, keep=True) is None
    assert not list(tmp_path.iterdir())


def test_the_compiler_takes_no_memory_of_this_process(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    look = (
        "import sys; from pyrestic.localfs.codecache import *; "
        "assert load_blob_code(sys.argv[1], keep=True); "
        "assert many_reader(sys.argv[1])() and chunker_engine(sys.argv[1])(); "
        "print([name for name in ('numba', 'llvmlite') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", look, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_keeping_nothing_is_written_and_what_is_there_is_used(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    folder = tmp_path / "code"
    chunker, reader = chunker_engine(str(folder), keep=False), many_reader(str(folder), keep=False)
    assert chunker is not None
    assert reader is not None
    assert chunker() is not None
    assert reader() is None
    assert not folder.exists()
    keeping = many_reader(str(folder))
    assert keeping is not None
    assert keeping() is not None
    assert reader() is not None
