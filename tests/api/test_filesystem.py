"""The file system of fsspec: its own tests of what reads, and what programs do with it."""

import functools
import importlib.metadata
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.tests.abstract import AbstractFixtures, AbstractGetTests

import pyrestic
from pyrestic.api.filesystem import ResticFileSystem
from pyrestic.errors import UsageError, WrongPasswordError
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD

pytestmark = pytest.mark.process

Build = Callable[[Any, Any, Any], str]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_quick_repository(tmp_path_factory.mktemp("fsspec") / "repository")


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    """Where the scenarios are that were made already, by the names of what made them."""
    return {}


class ReadOnlyFixtures(AbstractFixtures):  # type: ignore[misc]
    """Gives fsspec's tests what they read: each scenario is made on this machine and backed up."""

    @pytest.fixture
    def fs(self, shared: Path) -> Iterator[ResticFileSystem]:
        files = ResticFileSystem(str(shared), password=PASSWORD, skip_instance_cache=True)
        yield files
        files.close()

    @pytest.fixture
    def fs_join(self) -> Callable[..., str]:
        return lambda *parts: "/".join(map(str, parts))

    @pytest.fixture
    def fs_path(self, tmp_path: Path) -> str:
        return f"latest{tmp_path}"

    @pytest.fixture
    def scenario(self, shared: Path, made: dict[str, str], tmp_path: Path) -> Callable[[Build], str]:
        """Return what makes a scenario once, backs it up, and returns where it is in the snapshot."""

        def make(build: Build) -> str:
            if build.__name__ in made:
                return made[build.__name__]
            source = build(LocalFileSystem(auto_mkdir=True), os.path.join, str(tmp_path / "made"))
            with pyrestic.open_repository(shared, password=PASSWORD, lock=False) as opened:
                snapshot = opened.backup([source]).snapshot
            assert snapshot is not None
            made[build.__name__] = f"{snapshot.short_id}{source}"
            return made[build.__name__]

        return make

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self, scenario: Callable[[Build], str]) -> str:
        return scenario(self._bulk_operations_scenario_0)

    @pytest.fixture
    def fs_glob_edge_cases_files(self, scenario: Callable[[Build], str]) -> str:
        return scenario(self._glob_edge_cases_files)

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self, scenario: Callable[[Build], str]) -> str:
        return scenario(self._dir_and_file_with_same_name_prefix)

    @pytest.fixture
    def fs_10_files_with_hashed_names(self, scenario: Callable[[Build], str]) -> str:
        return scenario(self._10_files_with_hashed_names)


class TestGet(ReadOnlyFixtures, AbstractGetTests):  # type: ignore[misc]
    """All of fsspec's tests of copying files out."""

    def test_get_directory_recursive(
        self,
        fs: ResticFileSystem,
        fs_join: Any,
        scenario: Callable[[Build], str],
        local_fs: Any,
        local_join: Any,
        local_target: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """As fsspec has it, but what it would write beforehand is there already."""

        def build(some_fs: Any, some_join: Any, some_path: str) -> str:
            some_fs.touch(some_join(some_path, "src", "file"))
            return some_path

        prepared = scenario(build)
        monkeypatch.setattr(fs, "mkdir", lambda path: None)
        monkeypatch.setattr(fs, "touch", lambda path: None)
        super().test_get_directory_recursive(fs, fs_join, prepared, local_fs, local_join, local_target)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    (source / "numbers.csv").write_text("name,number\none,1\ntwo,2\n")
    (source / "below" / "bytes").write_bytes(bytes(range(256)) * 8000)
    os.symlink("numbers.csv", source / "link")
    os.mkfifo(source / "pipe")
    with open(os.fsencode(source) + b"/bad\xffname", "wb") as file:
        file.write(b"x")
    return source


@pytest.fixture
def files(tmp_path: Path, source: Path) -> Iterator[ResticFileSystem]:
    repository = make_quick_repository(tmp_path / "repository")
    with pyrestic.open_repository(repository, password=PASSWORD, lock=False) as opened:
        opened.backup([source], tags=["one"], host="here")
    with ResticFileSystem(str(repository), password=PASSWORD) as opened_files:
        yield opened_files


def test_it_is_registered_and_pandas_reads_through_it(files: ResticFileSystem, source: Path) -> None:
    assert [each.name for each in importlib.metadata.entry_points(group="fsspec.specs")].count("restic") == 1
    options = {"repository": files.storage_args[0], "password": PASSWORD, "tags": ("one",), "host": "here"}
    table = pd.read_csv(f"restic://latest{source}/numbers.csv", storage_options=options)
    assert table.to_dict("list") == {"name": ["one", "two"], "number": [1, 2]}
    with fsspec.open(f"restic://latest{source}/numbers.csv", "rt", **options) as text:
        assert text.readline() == "name,number\n"


def test_it_tells_of_files_what_python_tells_of_them_on_disk(files: ResticFileSystem, source: Path) -> None:
    (snapshot,) = files.ls("", detail=False)
    assert files.info("")["type"] == files.info(snapshot)["type"] == "directory"
    assert files.ls("restic://latest", detail=False) == ["latest/" + source.parts[1]]
    base = f"latest{source}"
    local = LocalFileSystem()
    for info in files.find(base, withdirs=True, detail=True).values():
        path = info["name"].removeprefix("latest")
        status = os.lstat(path)
        assert info["mode"] == status.st_mode
        assert info["mtime"] == pytest.approx(status.st_mtime)
        assert info["size"] == (status.st_size if info["type"] == "file" else 0)
        assert info["islink"] == os.path.islink(path)
        if not info["islink"]:
            assert info["type"] == local.info(path)["type"]
    assert files.info(f"{base}/link")["destination"] == "numbers.csv"
    assert files.modified(f"{base}/numbers.csv") == files.created(f"{base}/numbers.csv")
    assert files.modified(snapshot) == files.modified("latest")
    assert files.ls(f"{base}/numbers.csv") == [files.info(f"{base}/numbers.csv")]
    for pattern in ("*", "**", "**/b*", "below/?ytes"):
        expected = ["latest" + path for path in local.glob(f"{source}/{pattern}")]
        assert files.glob(f"{base}/{pattern}") == expected, pattern
    assert [(path, sorted(below)) for path, _, below in files.walk(base)] == [
        (base, ["bad\udcffname", "link", "numbers.csv", "pipe"]),
        (f"{base}/below", ["bytes"]),
    ]
    assert files.cat_file(f"{base}/bad\udcffname") == b"x"


def test_ranges_are_those_of_the_whole(files: ResticFileSystem, source: Path) -> None:
    path = f"latest{source}/below/bytes"
    whole = (source / "below" / "bytes").read_bytes()
    for start, end in ((None, None), (0, 10), (1_000_000, 1_000_300), (-5, None), (2_000_000, 9_000_000), (10, -10)):
        assert files.cat_file(path, start=start, end=end) == whole[start:end]
    assert files.cat_ranges([path, path], [0, 300], [5, 310]) == [whole[:5], whole[300:310]]
    assert files.tail(path, 3) == whole[-3:]
    assert files.size(path) == len(whole)


def test_later_snapshots_are_seen_when_asked_for(files: ResticFileSystem, source: Path) -> None:
    path = f"latest{source}/new"
    assert not files.exists(path)
    (source / "new").write_bytes(b"new")
    with pyrestic.open_repository(files.storage_args[0], password=PASSWORD, lock=False) as opened:
        opened.backup([source])
    assert not files.exists(path)
    files.invalidate_cache()
    assert files.cat_file(path) == b"new"
    assert not files.exists(f"latest~1{source}/new")
    assert files.exists(f"@today{source}/new")
    assert len(files.ls("")) == 2


def test_it_travels_to_other_processes_and_opens_anew(files: ResticFileSystem, source: Path) -> None:
    sent = pickle.dumps(files)
    ResticFileSystem.clear_instance_cache()
    again = pickle.loads(sent)
    assert again is not files
    assert again == files
    assert again.fsid == files.fsid
    assert again.read_text(f"latest{source}/numbers.csv").startswith("name")
    again.close()


def test_nothing_can_be_written_and_what_is_not_there_is_told_as_python_tells_it(
    files: ResticFileSystem, source: Path
) -> None:
    base = f"latest{source}"
    for use in (
        functools.partial(files.open, f"{base}/new", "wb"),
        functools.partial(files.open, f"{base}/new", "xb"),
        functools.partial(files.pipe_file, f"{base}/new", b"x"),
        functools.partial(files.touch, f"{base}/new"),
        functools.partial(files.mkdir, f"{base}/new"),
        functools.partial(files.makedirs, f"{base}/new"),
        functools.partial(files.rmdir, f"{base}/below"),
        functools.partial(files.rm, f"{base}/numbers.csv"),
        functools.partial(files.cp_file, f"{base}/numbers.csv", f"{base}/new"),
    ):
        with pytest.raises(OSError, match="Read-only file system"):
            use()
    for missing in (f"{base}/nothing", f"{base}/numbers.csv/below", "0123abcd/x", "no such snapshot"):
        assert not files.exists(missing)
        for ask in (files.info, files.ls, files.cat_file, files.modified):
            with pytest.raises(FileNotFoundError):
                ask(missing)
    for folder in ("", "latest", base):
        with pytest.raises(IsADirectoryError):
            files.cat_file(folder)
    with pytest.raises(UsageError, match="not a regular file but of type fifo"):
        files.cat_file(f"{base}/pipe")


def test_who_says_too_little_or_the_wrong_thing_is_told(files: ResticFileSystem) -> None:
    with pytest.raises(UsageError, match="location of the repository"):
        ResticFileSystem(password="x").ls("")
    with pytest.raises(WrongPasswordError):
        ResticFileSystem(files.storage_args[0], password="x").ls("")
