"""The doctor of places: what works is measured, what does not is named."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from pyrestic.backend.base import Backend, FileInfo
from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import AccessError, TransientError
from pyrestic.handle import FileType, Handle
from pyrestic.operations.doctor import Examination, PlaceDoctor, Throughput
from pyrestic.report import NullReporter, Progress
from tests.support.backends import FaultyBackend
from tests.support.cli import Caller
from tests.support.seaweed import BUCKET, open_s3, shared_seaweed


@pytest.fixture
def call(tmp_path: Path) -> Caller:
    return Caller(tmp_path)


class Watching(NullReporter):
    """Keeps the counters that it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[Progress] = []

    def show(self, progress: Progress) -> AbstractContextManager[None]:
        self.shown.append(progress)
        return nullcontext()


def test_the_counter_ends_where_it_says() -> None:
    reporter = Watching()
    backend = MemoryBackend()
    PlaceDoctor(lambda connections: nullcontext(backend), "x.connections", reporter).examine(7 << 20)
    assert [progress.done for progress in reporter.shown] == [progress.total for progress in reporter.shown]


def examine(backend: Backend, sample_bytes: int = 0) -> Examination:
    return PlaceDoctor(lambda connections: nullcontext(backend), "x.connections", NullReporter()).examine(sample_bytes)


def failures(examination: Examination) -> dict[str, str]:
    return {trial.name: trial.failure for trial in examination.trials if trial.failure}


def test_a_healthy_place_is_left_as_it_was() -> None:
    backend = MemoryBackend()
    backend.create()
    result = examine(backend, 3 << 20)
    assert result.well
    assert len(result.trials) == 10
    assert result.request_seconds is not None
    assert [each.connections for each in result.throughputs] == [1, 2, 5, 20]
    assert all(each.upload > 0 and each.download > 0 for each in result.throughputs)
    assert list(backend.list(FileType.PACK)) == []


@pytest.mark.parametrize(
    ("method", "name"),
    [("list", "listing the files"), ("save", "storing a file"), ("load", "reading it"), ("stat", "telling its length")],
)
def test_what_fails_is_named(method: str, name: str) -> None:
    backend = FaultyBackend(MemoryBackend())
    backend.fail(method, lambda: TransientError("the line is busy"), times=100)
    result = examine(backend, 1 << 20)
    assert failures(result)[name] == "the line is busy"
    assert not result.well
    assert result.throughputs == []


class AppendOnly(MemoryBackend):
    def remove(self, handle: Handle) -> None:
        raise AccessError("the server forbids it")


class Forgetful(MemoryBackend):
    """Says that it stored a file, and has another."""

    def load(self, handle: Handle, offset: int = 0, length: int | None = None) -> bytes:
        data = super().load(handle, offset, length)
        return b"x" * len(data)


class Stale(MemoryBackend):
    """Its listing is always empty."""

    def list(self, file_type: FileType) -> Iterator[FileInfo]:
        return iter([FileInfo("0" * 64, 1)])


def test_a_place_that_only_adds_files_is_told_apart() -> None:
    result = examine(AppendOnly())
    assert list(failures(result)) == ["removing it"]
    assert "forget and prune cannot free space" in result.trials[-1].remedy


def test_a_place_that_returns_something_else_is_found_out() -> None:
    assert failures(examine(Forgetful()))["reading it"] == "it is not what was stored"
    assert failures(examine(Stale()))["listing it"] == "the listing lacks it"


def test_more_connections_are_advised_if_they_are_faster_in_both_directions() -> None:
    doctor = PlaceDoctor(lambda connections: pytest.fail("not opened"), "s3.connections", NullReporter())
    result = doctor._result
    result.throughputs = [Throughput(1, 1e6, 1e6), Throughput(5, 4e6, 4e6), Throughput(20, 8e6, 4.4e6)]
    doctor._advise(5)
    assert result.advice == []
    result.throughputs[2] = Throughput(20, 8e6, 6e6)
    doctor._advise(5)
    assert result.advice == ["-o s3.connections=20 would be 1.5 times as fast as 5 connections, in both directions"]


def test_a_place_where_everything_works_is_measured(call: Caller, tmp_path: Path) -> None:
    place = tmp_path / "place"
    (place / "data").mkdir(parents=True)
    shown = call("--repo", place, "doctor", "--size", "2M").out
    assert "works   storing a file" in shown
    assert "20 connections: up " in shown
    told = json.loads(call("--repo", place, "--json", "doctor", "--size", "0").out)
    assert told["well"]
    assert told["throughputs"] == []
    assert list(place.rglob("?" * 64)) == []


def test_a_place_that_is_not_there_ends_with_code_1(call: Caller, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    outcome = call("--repo", tmp_path / "file", "doctor")
    assert outcome.code == 1
    assert "failed  " in outcome.out
    assert "Traceback" not in outcome.err


@pytest.mark.process
def test_its_files_are_not_locked(call: Caller) -> None:
    location = shared_seaweed().location(f"{BUCKET}/doctor")
    keys = shared_seaweed().environment
    # The bucket has no object lock, so that a file with a retention would be refused.
    open_s3(location, keys).create()
    outcome = call("--repo", location, "-o", "s3.retention=30d", "doctor", "--size", "0", **keys)
    assert outcome.code == 0, outcome.out


def test_a_size_that_is_none_is_refused(call: Caller, tmp_path: Path) -> None:
    assert "invalid syntax" in call("--repo", tmp_path, "doctor", "--size", "much").err
