"""What is tried again, when, and when no more."""

import threading
from collections.abc import Callable

import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.backend.wrap.retry import UNREACHED_SECONDS, RetryBackend
from pyrestic.errors import AccessError, BackendError, FormatError, NotFoundError, TransientError, UnreachedError
from pyrestic.handle import FileType, Handle
from tests.support.backends import FaultyBackend, RecordingBackend

HANDLE = Handle(FileType.PACK, "ab" * 32)


class Clock:
    """Time that passes only while sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


class Stage:
    """A retrying backend over one that fails on cue, with its clock and what it said."""

    def __init__(self, chance: float = 0.5, total_seconds: float | None = None) -> None:
        self.clock = Clock()
        self.notes: list[str] = []
        self.record = RecordingBackend(MemoryBackend())
        self.faulty = FaultyBackend(self.record)
        self.backend = RetryBackend(
            self.faulty,
            on_retry=self.notes.append,
            total_seconds=total_seconds,
            clock=self.clock,
            sleep=self.clock.sleep,
            chance=lambda: chance,
        )
        self.record.save(HANDLE, b"content")


def busy() -> TransientError:
    return TransientError("the server is busy")


OPERATIONS: dict[str, Callable[[RetryBackend], object]] = {
    "save": lambda backend: backend.save(HANDLE, b"content"),
    "load": lambda backend: backend.load(HANDLE),
    "stat": lambda backend: backend.stat(HANDLE),
    "list": lambda backend: list(backend.list(FileType.PACK)),
    "remove": lambda backend: backend.remove(HANDLE),
}


@pytest.mark.parametrize("method", OPERATIONS)
def test_a_passing_error_is_overcome_and_told(method: str) -> None:
    stage = Stage()
    stage.faulty.fail(method, busy, times=3)
    OPERATIONS[method](stage.backend)
    assert stage.clock.sleeps == [1, 2, 4]
    assert len(stage.notes) == 4
    assert "trying again in 1.0 s: the server is busy" in stage.notes[0]
    assert "worked after failing 3 times" in stage.notes[-1]


@pytest.mark.parametrize("method", OPERATIONS)
@pytest.mark.parametrize("kind", [BackendError, AccessError, NotFoundError, FormatError])
def test_other_errors_are_raised_at_once(method: str, kind: type[Exception]) -> None:
    stage = Stage()
    stage.faulty.fail(method, lambda: kind("no"))
    with pytest.raises(kind):
        OPERATIONS[method](stage.backend)
    assert stage.clock.sleeps == []
    assert stage.notes == []


@pytest.mark.parametrize("method", OPERATIONS)
def test_after_a_quarter_of_an_hour_the_error_is_raised(method: str) -> None:
    stage = Stage()
    stage.faulty.fail(method, busy, times=10_000)
    with pytest.raises(TransientError):
        OPERATIONS[method](stage.backend)
    assert stage.clock.sleeps[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert 15 * 60 - 60 <= sum(stage.clock.sleeps) <= 15 * 60


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_a_server_that_was_never_reached_is_tried_for_a_minute_and_a_half(chance: float) -> None:
    stage = Stage(chance)
    stage.faulty.fail("load", lambda: UnreachedError("it refuses connections"), times=10_000)
    with pytest.raises(UnreachedError):
        stage.backend.load(HANDLE)
    assert sum(stage.clock.sleeps) == UNREACHED_SECONDS == 90


def test_whoever_says_for_how_long_to_try_means_that_for_any_failure() -> None:
    stage = Stage(total_seconds=600)
    stage.faulty.fail("load", lambda: UnreachedError("it refuses connections"), times=10_000)
    with pytest.raises(UnreachedError):
        stage.backend.load(HANDLE)
    assert sum(stage.clock.sleeps) == 600


def test_even_without_time_it_is_tried_twice() -> None:
    stage = Stage(total_seconds=0)
    stage.faulty.fail("load", busy, times=1)
    assert stage.backend.load(HANDLE) == b"content"
    stage.faulty.fail("load", busy, times=2)
    with pytest.raises(TransientError):
        stage.backend.load(HANDLE)


@pytest.mark.parametrize(("chance", "expected"), [(0.0, [0.5, 1, 2]), (1.0, [1.5, 3, 6])])
def test_waits_vary_by_half(chance: float, expected: list[float]) -> None:
    stage = Stage(chance)
    stage.faulty.fail("save", busy, times=3)
    stage.backend.save(HANDLE, b"x")
    assert stage.clock.sleeps == expected


def test_what_the_server_asks_for_is_waited() -> None:
    stage = Stage()
    stage.faulty.fail("load", lambda: TransientError("slow down", retry_after_seconds=90), times=2)
    assert stage.backend.load(HANDLE) == b"content"
    assert stage.clock.sleeps == [90, 90]


def test_a_server_that_asks_for_too_long_a_wait_is_given_up() -> None:
    stage = Stage()
    stage.faulty.fail("load", lambda: TransientError("come back tomorrow", retry_after_seconds=86400))
    with pytest.raises(TransientError):
        stage.backend.load(HANDLE)
    assert stage.clock.sleeps == []


def test_a_listing_taken_up_again_repeats_nothing() -> None:
    stage = Stage()
    names = [f"{number:064x}" for number in range(50)]
    for name in names:
        stage.record.save(Handle(FileType.INDEX, name), b"x")
    stage.faulty.fail("list", busy, after=20)
    stage.faulty.fail("list", busy, after=40)
    found = [info.name for info in stage.backend.list(FileType.INDEX)]
    assert sorted(found) == names
    assert len(stage.clock.sleeps) == 2


def test_a_file_that_failed_for_good_fails_fast_for_an_hour() -> None:
    stage = Stage()
    stage.faulty.fail("load", busy, times=10_000)
    with pytest.raises(TransientError):
        stage.backend.load(HANDLE)
    waited = len(stage.clock.sleeps)
    with pytest.raises(BackendError, match="last hour") as caught:
        stage.backend.load(HANDLE, 1, 2)
    assert not isinstance(caught.value, TransientError)
    assert len(stage.clock.sleeps) == waited
    stage.faulty._faults.clear()
    stage.clock.now += 3601
    assert stage.backend.load(HANDLE) == b"content"
    assert stage.backend.load(HANDLE) == b"content"


def test_a_file_that_is_absent_is_asked_for_each_time() -> None:
    stage = Stage()
    stage.record.remove(HANDLE)
    for _ in range(2):
        with pytest.raises(NotFoundError):
            stage.backend.load(HANDLE)
    stage.record.save(HANDLE, b"back")
    assert stage.backend.load(HANDLE) == b"back"


def test_an_interrupt_ends_all_waiting() -> None:
    faulty = FaultyBackend(MemoryBackend())
    faulty.fail("save", busy, times=100)
    waiting = threading.Event()
    backend = RetryBackend(faulty, on_retry=lambda message: waiting.set())
    caught: list[Exception] = []

    def save() -> None:
        try:
            backend.save(HANDLE, b"x")
        except TransientError as error:
            caught.append(error)

    thread = threading.Thread(target=save)
    thread.start()
    assert waiting.wait(5)
    backend.stop_retrying()
    thread.join(5)
    assert not thread.is_alive()
    assert len(caught) == 1
    faulty.fail("load", busy)
    with pytest.raises(TransientError):
        backend.load(HANDLE)
    faulty._faults.clear()
    lock = Handle(FileType.LOCK, HANDLE.name)
    backend.save(lock, b"operations still run once")
    assert backend.load(lock) == b"operations still run once"
    for pack in (lambda: backend.save(HANDLE, b"x"), lambda: backend.load(HANDLE)):
        with pytest.raises(TransientError, match="interrupted"):
            pack()


def test_where_waiting_gains_nothing_the_second_attempt_is_made_at_once_and_in_silence() -> None:
    stage = Stage()
    stage.faulty.fail("load", lambda: TransientError("closed", retry_after_seconds=0.0), times=1)
    assert stage.backend.load(HANDLE) == b"content"
    assert (stage.clock.sleeps, stage.notes) == ([], [])
    stage.faulty.fail("load", lambda: TransientError("closed", retry_after_seconds=0.0), times=3)
    assert stage.backend.load(HANDLE) == b"content"
    assert stage.clock.sleeps == [1.0, 2.0]
    assert len(stage.notes) == 3


def test_a_file_that_is_gone_after_a_failed_removal_was_removed() -> None:
    stage = Stage()
    stage.record.remove(HANDLE)
    with pytest.raises(NotFoundError):
        stage.backend.remove(HANDLE)
    stage.faulty.fail("remove", busy, times=1)
    stage.backend.remove(HANDLE)
