"""A lock that is held, while clocks are set, the machine rests, and the thread that refreshes it meets trouble."""

import threading
import time
from collections.abc import Callable

import pytest

from pyrestic.backend.base import FileInfo
from pyrestic.backend.fence import Fence
from pyrestic.backend.mem import MemoryBackend
from pyrestic.backend.wrap.retry import RetryBackend
from pyrestic.errors import AccessError, LockedError, PyresticError, TransientError
from pyrestic.handle import FileType, Handle
from pyrestic.report import NullReporter
from pyrestic.repository.held_lock import LockTiming
from pyrestic.repository.lock_clock import LockClock
from pyrestic.repository.lock_files import load_lock, remove_all
from pyrestic.repository.locks import Lock
from pyrestic.repository.machine import Machine
from pyrestic.repository.repository import Repository
from tests.support.backends import FaultyBackend, RecordingBackend
from tests.support.repositories import make_repository

START = 1_700_000_000.0
HOUR = 3600.0
PACK = Handle(FileType.PACK, "ab" * 32)
INDEX = Handle(FileType.INDEX, "cd" * 32)


class Clocks:
    """The clock on the wall and the time since boot, apart from each other."""

    def __init__(self) -> None:
        self.wall, self.elapsed = START, 1000.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.elapsed += seconds

    def both(self) -> LockClock:
        return LockClock(wall=lambda: self.wall, elapsed=lambda: self.elapsed, sleep=self.pass_by)


class Stage:
    """A repository behind a fence, and clocks."""

    def __init__(self) -> None:
        self.record = RecordingBackend(MemoryBackend())
        self.faults = FaultyBackend(self.record)
        self.retry = RetryBackend(self.faults, sleep=lambda seconds: None)
        self.repository: Repository = make_repository(self.retry)
        self.clocks = Clocks()

    def lock(self, *, exclusive: bool = True, on_lost: Callable[[LockedError], None] = lambda _: None) -> Lock:
        return Lock(
            self.repository,
            NullReporter(),
            exclusive=exclusive,
            on_lost=on_lost,
            machine=Machine(hostname="here"),
            timing=LockTiming(poll=1000),
            clock=self.clocks.both(),
        )

    def written_at(self, lock: Lock) -> float:
        return load_lock(self.repository, lock.id).time_ns / 1e9


@pytest.fixture
def stage() -> Stage:
    return Stage()


def save_and_lose(stage: Stage, *, then: Callable[[], object] = lambda: None) -> None:
    """Write something, then let another process remove the lock."""
    stage.retry.save(INDEX, b"content")
    remove_all(stage.repository)
    then()


@pytest.mark.parametrize("hours", [-8, -1, 1, 8])
def test_a_clock_that_is_set_makes_no_lock_look_fresh_for_longer_than_it_is(stage: Stage, hours: int) -> None:
    with stage.lock() as lock:
        stage.clocks.wall += hours * HOUR
        stage.faults.fail("save", lambda: AccessError("offline"), times=100, file_type=FileType.LOCK)
        for _ in range(4):
            stage.clocks.pass_by(300)
            lock.held.refresh_if_due()
        stage.clocks.pass_by(151)
        with pytest.raises(LockedError, match="offline"):
            lock.ensure_held()


@pytest.mark.parametrize("hours", [-8, -1, 1, 8])
def test_a_lock_is_dated_anew_as_soon_as_the_clock_is_set(stage: Stage, hours: int) -> None:
    with stage.lock() as lock:
        stage.clocks.pass_by(10)
        stage.clocks.wall += hours * HOUR
        lock.held.refresh_if_due()
        assert abs(stage.written_at(lock) - stage.clocks.wall) < 1
        assert len(list(stage.repository.list_ids(FileType.LOCK))) == 1
        stage.retry.save(INDEX, b"content")


def test_a_lock_is_kept_through_hours_of_jumping_clocks(stage: Stage) -> None:
    with stage.lock() as lock:
        for minute in range(600):
            stage.clocks.pass_by(60)
            stage.clocks.wall += ((minute * 7919) % 13 - 6) * HOUR
            lock.held.refresh_if_due()
            stage.retry.save(INDEX, b"content")
            # As others see it, who have the clock as it is now.
            assert abs(stage.written_at(lock) - stage.clocks.wall) < 6 * 60 or minute % 5
    assert list(stage.repository.list_ids(FileType.LOCK)) == []


def test_a_machine_whose_clocks_both_stood_still_notices_before_it_writes(stage: Stage) -> None:
    """Its virtual machine was stopped for hours; others removed the lock as stale."""
    with pytest.raises(LockedError, match="another process has removed it"), stage.lock():
        save_and_lose(stage, then=lambda: stage.retry.save(INDEX, b"other content"))
    assert stage.record.inner.load(INDEX) == b"content"


@pytest.mark.parametrize(
    "error", [OSError("no space"), MemoryError(), RuntimeError("can't start new thread"), KeyError("x"), ValueError()]
)
@pytest.mark.parametrize("method", ["save", "stat", "remove"])
def test_a_refresh_that_fails_in_any_way_is_tried_again(stage: Stage, method: str, error: Exception) -> None:
    with stage.lock() as lock:
        stage.faults.fail(method, lambda: error, file_type=FileType.LOCK)
        stage.clocks.pass_by(301)
        lock.held.refresh_if_due()
        stage.clocks.pass_by(301)
        lock.held.refresh_if_due()
        assert abs(stage.written_at(lock) - stage.clocks.wall) < 1
        stage.retry.save(INDEX, b"content")
    assert list(stage.repository.list_ids(FileType.LOCK)) == []


@pytest.mark.parametrize("error", [OSError("no space"), MemoryError(), RuntimeError("no thread"), ZeroDivisionError()])
def test_the_run_ends_when_refreshing_goes_on_to_fail_in_any_way(error: Exception) -> None:
    told = threading.Event()
    repository = make_repository()
    timing = LockTiming(second_look=0.01, refresh=0.01, give_up=0.1, poll=0.002)
    machine = Machine(hostname="here")
    lock = Lock(
        repository,
        NullReporter(),
        exclusive=False,
        machine=machine,
        timing=timing,
        on_lost=lambda _: told.set(),
    )
    with lock:

        def fail(*arguments: object, **more: object) -> None:
            raise error

        repository.save_unpacked = fail  # type: ignore[assignment, method-assign]
        assert told.wait(20)
        with pytest.raises(LockedError, match="lost"):
            lock.ensure_held()


def test_a_reporter_that_cannot_print_does_not_end_the_thread() -> None:
    class Broken(NullReporter):
        def note(self, message: str, level: int = 1) -> None:
            raise BrokenPipeError

    stage = Stage()
    lock = stage.lock()
    lock.held._report = Broken()
    with lock:
        stage.faults.fail("save", lambda: AccessError("offline"), file_type=FileType.LOCK)
        for _ in range(2):
            stage.clocks.pass_by(301)
            lock.held.refresh_if_due()
        assert abs(stage.written_at(lock) - stage.clocks.wall) < 1


def test_a_thread_that_ends_all_the_same_ends_the_run() -> None:
    lost: list[LockedError] = []
    told = threading.Event()
    timing = LockTiming(second_look=0.01, poll=0.002)

    def tell(error: LockedError) -> None:
        lost.append(error)
        told.set()

    lock = Lock(
        make_repository(),
        NullReporter(),
        exclusive=False,
        timing=timing,
        on_lost=tell,
    )

    def end() -> None:
        raise SystemExit

    lock.held.refresh_if_due = end  # type: ignore[method-assign]
    with lock:
        assert told.wait(20)
        with pytest.raises(LockedError, match="not refreshed any more"):
            lock.ensure_held()
    assert len(lost) == 1


def test_without_a_thread_there_is_no_lock(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(PyresticError, match="cannot be refreshed"):
        stage.lock().acquire()
    assert list(stage.repository.list_ids(FileType.LOCK)) == []


def test_a_lock_removed_while_it_is_refreshed_is_lost(stage: Stage) -> None:
    with stage.lock() as lock:
        remove_all(stage.repository)
        stage.clocks.pass_by(301)
        lock.held.refresh_if_due()
        with pytest.raises(LockedError, match="another process has removed it"):
            lock.ensure_held()
    assert list(stage.repository.list_ids(FileType.LOCK)) == []


def test_work_that_wrote_ends_as_a_failure_if_the_lock_was_gone_by_then(stage: Stage) -> None:
    with pytest.raises(LockedError, match="another process has removed it") as caught, stage.lock():
        save_and_lose(stage)
    assert "Run the command again" in caught.value.hint
    with stage.lock():
        remove_all(stage.repository)
    with pytest.raises(ZeroDivisionError), stage.lock():
        save_and_lose(stage, then=lambda: 1 // 0)


def test_a_loss_is_told_once_whoever_finds_out_and_not_once_the_lock_is_being_released(stage: Stage) -> None:
    told: list[LockedError] = []
    with pytest.raises(LockedError) as caught, stage.lock(on_lost=told.append):
        save_and_lose(stage, then=lambda: stage.retry.save(INDEX, b"other content"))
    assert told == [caught.value]
    told.clear()
    with pytest.raises(LockedError), stage.lock(on_lost=told.append):
        save_and_lose(stage)
    assert told == []


def test_each_repeated_request_is_asked_about_again(stage: Stage) -> None:
    class Sleeper(FaultyBackend):
        def save(self, handle: Handle, data: object) -> None:
            if handle == INDEX:
                remove_all(stage.repository)
                raise TransientError("the connection was lost")
            super().save(handle, data)  # type: ignore[arg-type]

    stage.retry._inner = Sleeper(stage.record)
    with pytest.raises(LockedError, match="lost"), stage.lock():
        stage.retry.save(INDEX, b"content")


def test_a_lock_that_cannot_be_looked_for_lets_nothing_be_written(stage: Stage) -> None:
    stage.faults.fail("stat", lambda: AccessError("forbidden"), file_type=FileType.LOCK)
    with pytest.raises(LockedError, match="cannot determine whether the lock is still held"), stage.lock():
        stage.retry.save(INDEX, b"content")


def test_nothing_is_written_once_the_lock_was_released_until_another_one_is_taken(stage: Stage) -> None:
    with stage.lock():
        pass
    with pytest.raises(LockedError, match="released"):
        stage.retry.save(PACK, b"content")
    with pytest.raises(LockedError, match="released"):
        stage.retry.remove(PACK)
    with stage.lock():
        stage.retry.save(PACK, b"content")


def test_a_pack_costs_no_look_and_other_files_cost_one_each(stage: Stage) -> None:
    with stage.lock():
        stage.record.calls.clear()
        stage.retry.save(PACK, b"content")
        assert stage.record.count("stat") == 0
        stage.retry.save(INDEX, b"content")
        assert stage.record.count("stat", FileType.LOCK) == 1
        stage.retry.remove(INDEX)
        assert stage.record.count("stat", FileType.LOCK) == 2
        # Both clocks stand still here, so where a look is charged the last one still counts.
        stage.repository.fence.costly = True
        stage.retry.save(INDEX, b"content")
        assert stage.record.count("stat", FileType.LOCK) == 2
        stage.clocks.pass_by(2)
        stage.retry.save(INDEX, b"content")
        assert stage.record.count("stat", FileType.LOCK) == 3


def test_many_removals_at_once_share_their_looks(stage: Stage) -> None:
    class Slow(RecordingBackend):
        def stat(self, handle: Handle) -> FileInfo:
            time.sleep(0.02)
            return super().stat(handle)

    slow = Slow(stage.record.inner)
    stage.retry._inner = slow
    handles = [Handle(FileType.SNAPSHOT, f"{number:064x}") for number in range(8)]
    with stage.lock():
        for handle in handles:
            stage.record.inner.save(handle, b"content")
        threads = [threading.Thread(target=stage.retry.remove, args=(handle,)) for handle in handles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert slow.count("remove", FileType.SNAPSHOT) == 8
        assert 1 < slow.count("stat", FileType.LOCK) <= 8


def test_a_fence_without_a_lock_lets_everything_pass() -> None:
    Fence().check(INDEX, removes=True)
