"""The lock of an opened repository, and what it knows of packs, when others and it itself change them."""

import io
import os
from pathlib import Path

import pytest

import pyrestic
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_quick_repository(tmp_path / "repository")


class Broken(io.BytesIO):
    """A stream that ends with an error after what it holds."""

    def read(self, length: int | None = -1) -> bytes:
        data = super().read(length)
        if not data:
            raise ValueError("the stream broke")
        return data


@pytest.mark.restic
def test_without_a_lock_a_backup_does_not_rely_on_packs_that_others_have_pruned(place: Path, newest: Program) -> None:
    data = b"pruned meanwhile" * 1000
    with pyrestic.open_repository(place, password=PASSWORD, lock=False) as repository:
        repository.backup_stream(io.BytesIO(data), "file")
        newest.run("forget", "latest", "--prune", repository=place)
        made = repository.backup_stream(io.BytesIO(data), "file")
        assert made.summary.data_blobs == 1
    newest.run("check", "--read-data", repository=place)
    assert newest.run("dump", "latest", "/file", repository=place).stdout == data


@pytest.mark.restic
def test_after_a_backup_that_failed_the_next_one_succeeds(place: Path, newest: Program) -> None:
    with pyrestic.open_repository(place, password=PASSWORD) as repository:
        with pytest.raises(ValueError, match="the stream broke"):
            repository.backup_stream(Broken(b"x" * 5_000_000), "file")
        repository.backup_stream(io.BytesIO(b"whole"), "file")
    newest.run("check", "--read-data", repository=place)
    assert newest.run("dump", "latest", "/file", repository=place).stdout == b"whole"


@pytest.mark.restic
def test_a_forked_process_leaves_the_lock_to_its_parent(place: Path, newest: Program) -> None:
    with pyrestic.open_repository(place, password=PASSWORD) as repository:
        child = os.fork()
        if child == 0:
            try:
                with repository:
                    pass
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(list((place / "locks").iterdir())) == 1
        repository.backup_stream(io.BytesIO(b"content"), "file")
    assert not list((place / "locks").iterdir())
    newest.run("check", "--read-data", repository=place)
