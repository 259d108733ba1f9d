"""Who excludes whom, who waits, and what happens to locks that are refreshed, lost, dead or damaged."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
from typing_extensions import Buffer

from pyrestic.backend.base import FileInfo
from pyrestic.backend.fence import Fence
from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import AccessError, BackendError, DamageError, FormatError, LockedError, TransientError
from pyrestic.format import gojson
from pyrestic.format import lock as lock_format
from pyrestic.format.keyfile import ScryptParams
from pyrestic.format.lock import LockFile
from pyrestic.handle import FileType, Handle
from pyrestic.ids import ID, hash_id, parse_id, short
from pyrestic.report import NullReporter
from pyrestic.repository.held_lock import LockTiming
from pyrestic.repository.lock_clock import LockClock
from pyrestic.repository.lock_files import format_duration, remove_all, remove_stale
from pyrestic.repository.locks import Lock
from pyrestic.repository.machine import End, Machine
from pyrestic.repository.overlap import Overlap
from pyrestic.repository.repository import Repository
from tests.support.backends import FaultyBackend, RecordingBackend

START = 1_700_000_000.0


class Store:
    """Unpacked files in the clear: the methods that locks need of a repository."""

    def __init__(self) -> None:
        self.fence = Fence()
        self.record = RecordingBackend(MemoryBackend())
        self.backend = FaultyBackend(self.record)

    def list_files(self, file_type: FileType) -> Iterator[FileInfo]:
        return self.backend.list(file_type)

    def load_unpacked(self, file_type: FileType, identifier: ID) -> bytes:
        data = self.backend.load(Handle(file_type, identifier.hex()))
        if hash_id(data) != identifier:
            raise FormatError("another hash")
        return data

    def save_unpacked(
        self, file_type: FileType, data: bytes, remember: Callable[[ID], object] = lambda identifier: None
    ) -> ID:
        remember(hash_id(data))
        self.backend.save(Handle(file_type, hash_id(data).hex()), data)
        return hash_id(data)

    def remove(self, file_type: FileType, identifier: ID) -> None:
        self.backend.remove(Handle(file_type, identifier.hex()))

    def ids(self) -> set[ID]:
        return {parse_id(info.name) for info in self.record.inner.list(FileType.LOCK)}

    def locks(self) -> list[LockFile]:
        return [lock_format.parse(self.load_unpacked(FileType.LOCK, identifier)) for identifier in self.ids()]

    def add(self, **fields: object) -> ID:
        """Put a lock there as another host writes it."""
        values: dict[str, object] = {
            "time": at(START - 90),
            "hostname": "elsewhere",
            "username": "somebody",
            "pid": 4711,
            "uid": 1000,
            "gid": 100,
        }
        return self.save_unpacked(FileType.LOCK, lock_format.encode(LockFile(**(values | fields))))  # type: ignore[arg-type]


class Clock:
    """Time that passes only while sleeping; things may be planned for later."""

    def __init__(self) -> None:
        self.now = START
        self.sleeps: list[float] = []
        self.plans: list[tuple[float, Callable[[], object]]] = []

    def __call__(self) -> float:
        # A step each time, so that no two locks are the same.
        self.now += 1e-6
        return self.now

    def both(self) -> LockClock:
        """Both clocks of a machine that nobody sets."""
        return LockClock(wall=self, elapsed=self, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
        for plan in [plan for plan in self.plans if plan[0] <= self.now]:
            self.plans.remove(plan)
            plan[1]()


class Notes(NullReporter):
    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, message: str, level: int = 1) -> None:
        self.notes.append(message)


class Stage:
    """A store, a clock and a reporter for locks."""

    def __init__(self) -> None:
        self.store = Store()
        self.clock = Clock()
        self.report = Notes()
        self.lost: list[LockedError] = []

    def lock(
        self,
        *,
        exclusive: bool = False,
        retry_seconds: float = 0,
        timing: LockTiming | None = None,
        meanwhile: Callable[[], None] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> Lock:
        overlap = None
        if meanwhile is not None or prepare is not None:
            look, imports = meanwhile or (lambda: None), prepare or (lambda: None)
            overlap = Overlap(lambda _: look(), imports=imports)
            overlap.opened(cast(Repository, self.store), self.report)
        return Lock(
            self.store,
            self.report,
            exclusive=exclusive,
            retry_seconds=retry_seconds,
            on_lost=self.lost.append,
            overlap=overlap,
            machine=Machine(hostname="here"),
            # Only what a test does by hand happens to its locks.
            timing=timing or LockTiming(poll=1000),
            clock=self.clock.both(),
        )


@pytest.fixture
def stage() -> Stage:
    return Stage()


def at(seconds: float) -> str:
    return gojson.format_time(int(seconds * 1e9), 0)


def test_a_lock_is_there_while_it_is_held(stage: Stage) -> None:
    with stage.lock(exclusive=True) as lock:
        assert stage.store.ids() == {lock.id}
        (stored,) = stage.store.locks()
        assert stored.exclusive
        assert stored.hostname == "here"
        assert abs(stored.time_ns / 1e9 - START) < 1
        lock.ensure_held()
    assert stage.store.ids() == set()
    assert stage.clock.sleeps == [pytest.approx(0.2, abs=0.05)]
    assert stage.report.notes == []


def test_work_is_done_between_the_two_looks(stage: Stage) -> None:
    seen: list[set[ID]] = []
    with stage.lock(meanwhile=lambda: seen.append(stage.store.ids())) as lock:
        assert seen == [{lock.id}]
    assert len(stage.clock.sleeps) == 1
    assert 0 < stage.clock.sleeps[0] < 0.2


def test_work_waits_for_the_second_look_if_the_lock_took_long_to_write(stage: Stage) -> None:
    """Somebody whose second look came before our lock may be at work, and leave no trace by ours."""
    seen: list[float] = []
    save = stage.store.save_unpacked

    def save_slowly(file_type: FileType, data: bytes, remember: Callable[[ID], object]) -> ID:
        stage.clock.now += 0.3
        return save(file_type, data, remember)

    stage.store.save_unpacked = save_slowly  # type: ignore[method-assign, assignment]
    with stage.lock(meanwhile=lambda: seen.append(stage.clock.now)):
        assert seen[0] > START + 0.3 + 0.2 - 0.05
    assert stage.clock.sleeps == [pytest.approx(0.2, abs=0.05)]
    # What does not read the repository need not wait.
    prepared: list[float] = []
    with stage.lock(prepare=lambda: prepared.append(stage.clock.now)):
        assert prepared[0] < stage.clock.now - 0.1


def test_what_others_did_in_the_meantime_is_seen_by_the_second_look(stage: Stage) -> None:
    added: list[ID] = []
    lock = stage.lock(meanwhile=lambda: added.append(stage.store.add(exclusive=True)))
    with pytest.raises(LockedError):
        lock.acquire()
    assert stage.store.ids() == set(added)


def test_work_that_fails_leaves_no_lock(stage: Stage) -> None:
    def fail() -> None:
        raise DamageError("the index is damaged")

    with pytest.raises(DamageError), stage.lock(meanwhile=fail):
        pytest.fail("the lock was taken")
    assert stage.store.ids() == set()


def test_a_lock_costs_four_calls(stage: Stage) -> None:
    with stage.lock():
        pass
    assert [call.method for call in stage.store.record.calls] == ["list", "save", "list", "remove"]


def test_a_lock_is_released_when_the_work_fails(stage: Stage) -> None:
    with pytest.raises(KeyboardInterrupt), stage.lock():
        raise KeyboardInterrupt
    assert stage.store.ids() == set()


def test_shared_locks_bear_each_other(stage: Stage) -> None:
    with stage.lock(), stage.lock(), stage.lock():
        assert len(stage.store.ids()) == 3
    stage.store.add(exclusive=False)
    with stage.lock():
        assert len(stage.store.ids()) == 2


@pytest.mark.parametrize(("own", "other"), [(True, True), (True, False), (False, True)])
def test_an_exclusive_lock_excludes_all_others(stage: Stage, own: bool, other: bool) -> None:
    identifier = stage.store.add(exclusive=other)
    with pytest.raises(LockedError):
        stage.lock(exclusive=own).acquire()
    assert stage.store.ids() == {identifier}
    assert stage.clock.sleeps == []


def test_the_error_says_who_holds_the_lock_since_when(stage: Stage) -> None:
    identifier = stage.store.add(exclusive=True, time="2023-11-14T17:13:20.5-05:00")
    with pytest.raises(LockedError) as caught:
        stage.lock().acquire()
    assert str(caught.value) == (
        "repository is already locked exclusively by PID 4711 on elsewhere by somebody (UID 1000, GID 100)\n"
        "lock was created at 2023-11-14 17:13:20 (0s ago)\n"
        f"storage ID {short(identifier)}"
    )
    assert "unlock" in caught.value.hint
    assert caught.value.exit_code == 11


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.9, "59s"), (60, "1m0s"), (3725, "1h2m5s"), (90061, "25h1m1s"), (-5, "0s")]
)
def test_durations_read_as_go_writes_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_who_comes_between_the_two_looks_is_seen(stage: Stage) -> None:
    stage.clock.plans.append((START, lambda: stage.store.add(exclusive=True)))
    with pytest.raises(LockedError):
        stage.lock().acquire()
    (left,) = stage.store.locks()
    assert left.hostname == "elsewhere"


def test_an_interrupt_between_the_two_looks_leaves_no_lock(stage: Stage) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    stage.clock.plans.append((START, interrupt))
    with pytest.raises(KeyboardInterrupt):
        stage.lock().acquire()
    assert stage.store.ids() == set()


def test_of_many_at_once_at_most_one_holds_it_exclusively() -> None:
    store = Store()
    holders: list[int] = []
    timing = LockTiming(second_look=0.02, first_retry=0.01, longest_retry=0.05, poll=1000)
    overlap = []

    def work(number: int) -> None:
        machine = Machine(hostname=f"host-{number}")
        with Lock(
            store,
            NullReporter(),
            exclusive=True,
            retry_seconds=20,
            machine=machine,
            timing=timing,
            clock=LockClock(sleep=lambda seconds: time.sleep(seconds * (1 + number / 7))),
        ):
            holders.append(number)
            overlap.append(len(holders))
            time.sleep(0.005)
            holders.remove(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert overlap == [1, 1, 1, 1]
    assert store.ids() == set()


def test_waiting_takes_longer_each_time_and_is_said_once(stage: Stage) -> None:
    other = stage.store.add(exclusive=True)
    stage.clock.plans.append((START + 160, lambda: stage.store.remove(FileType.LOCK, other)))
    with stage.lock(retry_seconds=300):
        pass
    assert stage.clock.sleeps == [5, 10, 20, 40, 60, 60, 0.2]
    assert stage.report.notes == ["repo already locked, waiting up to 5m0s for the lock"]


def test_waiting_ends_with_the_time_allowed_and_a_last_attempt(stage: Stage) -> None:
    stage.store.add(exclusive=True)
    with pytest.raises(LockedError):
        stage.lock(retry_seconds=12).acquire()
    assert stage.clock.sleeps == pytest.approx([5, 7], abs=0.01)
    other = stage.store.ids().pop()
    stage.clock.plans.append((stage.clock.now + 11, lambda: stage.store.remove(FileType.LOCK, other)))
    with stage.lock(retry_seconds=12):
        pass


def test_an_empty_lock_file_is_passed_over(stage: Stage) -> None:
    stage.store.backend.save(Handle(FileType.LOCK, "ab" * 32), b"")
    with stage.lock(exclusive=True):
        pass


def test_a_lock_that_vanishes_while_being_read_is_no_obstacle(stage: Stage) -> None:
    identifier = stage.store.add(exclusive=True)

    class Vanishing(Store):
        def load_unpacked(self, file_type: FileType, identifier: ID) -> bytes:
            self.remove(file_type, identifier)
            return super().load_unpacked(file_type, identifier)

    vanishing = Vanishing()
    vanishing.backend, vanishing.record = stage.store.backend, stage.store.record
    stage.store = vanishing
    with stage.lock(exclusive=True):
        assert identifier not in stage.store.ids()


@pytest.mark.parametrize("content", [b"damaged", b"{}x", b'{"time":"yesterday"}'])
def test_a_lock_that_cannot_be_read_is_tried_four_times(stage: Stage, content: bytes) -> None:
    stage.store.save_unpacked(FileType.LOCK, content)
    with pytest.raises(DamageError, match="invalid lock file") as caught:
        stage.lock().acquire()
    assert "unlock" in caught.value.hint
    assert "--remove-all" in caught.value.hint
    assert stage.clock.sleeps == [5, 10, 20]
    assert stage.store.record.count("save") == 1


def test_a_lock_that_becomes_readable_is_no_obstacle(stage: Stage) -> None:
    handle = Handle(FileType.LOCK, stage.store.add().hex())
    whole = stage.store.backend.load(handle)
    stage.store.backend.save(handle, whole[:20])
    stage.clock.plans.append((START + 15, lambda: stage.store.backend.save(handle, whole)))
    with stage.lock():
        assert stage.clock.sleeps == [5, 10, 0.2]


def test_a_conflict_is_told_at_once_even_beside_a_lock_that_cannot_be_read(stage: Stage) -> None:
    for number in range(5):
        stage.store.save_unpacked(FileType.LOCK, b"damaged %d" % number)
    stage.store.add(exclusive=True)
    with pytest.raises(LockedError):
        stage.lock().acquire()
    assert stage.clock.sleeps == []


@pytest.mark.parametrize("method", ["list", "load", "save"])
def test_a_backend_that_fails_is_an_error(stage: Stage, method: str) -> None:
    stage.store.add()
    stage.store.backend.fail(method, lambda: AccessError("no permission"))
    with pytest.raises(AccessError):
        stage.lock().acquire()
    assert len(stage.store.ids()) == 1


def test_a_lock_that_cannot_be_removed_at_the_end_is_noted(stage: Stage) -> None:
    with stage.lock():
        stage.store.backend.fail("remove", lambda: AccessError("append only"))
    assert len(stage.report.notes) == 1
    assert "append only" in stage.report.notes[0]


def test_a_lock_somebody_removed_is_released_without_a_word(stage: Stage) -> None:
    with stage.lock():
        remove_all(stage.store)
    assert stage.report.notes == []


def test_a_refresh_writes_a_new_file_before_it_removes_the_old(stage: Stage) -> None:
    with stage.lock(exclusive=True) as lock:
        before = lock.id
        stage.clock.now += 300
        stage.store.record.calls.clear()
        lock.held.refresh()
        assert lock.id != before
        assert [call.method for call in stage.store.record.calls] == ["save", "stat", "remove"]
        (stored,) = stage.store.locks()
        assert stored.time_ns / 1e9 == pytest.approx(START + 300, abs=1)
        assert stored.exclusive
    assert stage.store.ids() == set()


def test_an_old_file_that_could_not_be_removed_goes_at_the_end(stage: Stage) -> None:
    with stage.lock() as lock:
        stage.store.backend.fail("remove", lambda: BackendError("busy"))
        lock.held.refresh()
        assert len(stage.store.ids()) == 2
    assert stage.store.ids() == set()


def test_a_refresh_that_fails_leaves_the_lock_and_is_tried_again(stage: Stage) -> None:
    with stage.lock() as lock:
        before = lock.id
        stage.store.backend.fail("save", lambda: BackendError("busy"))
        stage.clock.now += 300
        lock.held.refresh_if_due()
        assert lock.id == before
        lock.held.refresh_if_due()
        assert lock.id == before
        stage.clock.now += 300
        lock.held.refresh_if_due()
        assert lock.id != before
        assert stage.lost == []
    assert len(stage.report.notes) == 1


def test_nothing_is_refreshed_before_its_time_but_when_the_clock_was_set_back(stage: Stage) -> None:
    with stage.lock() as lock:
        before = lock.id
        stage.clock.now += 299
        lock.held.refresh_if_due()
        assert lock.id == before
        stage.clock.now -= 7200
        lock.held.refresh_if_due()
        assert lock.id != before


def test_after_a_long_sleep_of_the_machine_the_lock_is_taken_up_again(stage: Stage) -> None:
    with stage.lock() as lock:
        before = lock.id
        stage.clock.now += 8 * 3600
        lock.ensure_held()
        assert lock.id != before
        assert stage.store.ids() == {lock.id}
        stage.store.record.calls.clear()
        lock.ensure_held()
        assert stage.store.record.calls == []


def test_a_lock_removed_during_a_long_sleep_is_lost(stage: Stage) -> None:
    with stage.lock() as lock:
        stage.clock.now += 8 * 3600
        remove_stale(stage.store, clock=stage.clock)
        for _ in range(2):
            with pytest.raises(LockedError, match="lost"):
                lock.ensure_held()
        assert stage.store.ids() == set()
    assert stage.store.ids() == set()


def test_a_lock_removed_between_the_looks_of_a_late_refresh_is_lost(stage: Stage) -> None:
    with stage.lock() as lock:
        stage.clock.now += 8 * 3600
        stage.clock.plans.append((0, lambda: stage.store.remove(FileType.LOCK, lock.id)))
        with pytest.raises(LockedError, match="lost"):
            lock.ensure_held()
        assert stage.store.ids() == set()


def test_a_lock_that_cannot_be_refreshed_in_time_is_lost(stage: Stage) -> None:
    with stage.lock() as lock:
        stage.store.backend.fail("save", lambda: BackendError("offline"), times=100)
        for _ in range(4):
            stage.clock.now += 300
            lock.held.refresh_if_due()
            lock.ensure_held()
        stage.clock.now += 151
        with pytest.raises(LockedError, match="offline"):
            lock.ensure_held()
    assert stage.store.ids() == set()


def test_the_thread_refreshes_and_tells_of_a_loss() -> None:
    store, lost, told = Store(), [], threading.Event()

    def on_lost(error: LockedError) -> None:
        lost.append(error)
        told.set()

    timing = LockTiming(second_look=0.01, refresh=0.03, give_up=0.3, poll=0.005)
    lock = Lock(
        store, NullReporter(), exclusive=False, on_lost=on_lost, machine=Machine(hostname="here"), timing=timing
    )
    with lock:
        first = lock.id
        deadline = time.monotonic() + 5
        while lock.id == first and time.monotonic() < deadline:
            time.sleep(0.005)
        assert lock.id != first
        lock.ensure_held()
        store.backend.fail("save", lambda: BackendError("offline"), times=10_000)
        assert told.wait(5)
        with pytest.raises(LockedError):
            lock.ensure_held()
    assert len(lost) == 1
    assert store.ids() == set()


def test_a_refresh_that_comes_back_after_the_end_leaves_nothing() -> None:
    store = Store()
    lock, resume = hanging_refresh(store, LockTiming(second_look=0, refresh=0.01, poll=0.005, release=0.01))
    lock.release()
    assert store.ids() == set()
    thread = lock.held.thread
    assert thread is not None
    resume.set()
    thread.join(5)
    assert store.ids() == set()


@pytest.mark.parametrize("error", [KeyboardInterrupt, BackendError])
@pytest.mark.parametrize("method", ["save", "remove"])
@pytest.mark.parametrize("late", [False, True])
def test_whatever_stops_a_lock_from_being_taken_leaves_none(
    stage: Stage, method: str, error: type[BaseException], late: bool
) -> None:
    if method == "remove":
        # It gives way, and is to be removed.
        stage.clock.plans.append((START, lambda: stage.store.add(exclusive=True)))
    stage.store.backend.fail(method, lambda: error("stopped"), late=late)
    with pytest.raises((error, LockedError)):
        stage.lock().acquire()
    ours = {lock.hostname for lock in stage.store.locks()} & {"here"}
    assert ours == ({"here"} if (method, error, late) == ("remove", BackendError, False) else set())
    assert len(stage.report.notes) == (method == "remove" and error is BackendError)


def test_a_lock_that_arrives_after_its_request_was_cut_off_is_removed(stage: Stage) -> None:
    def cut_off(handle: Handle, data: bytes) -> None:
        stage.clock.plans.append((0, lambda: stage.store.record.save(handle, data)))
        raise KeyboardInterrupt

    stage.store.backend.save = cut_off  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        stage.lock().acquire()
    assert stage.store.record.count("save") == 1
    assert stage.store.ids() == set()


def test_a_place_that_has_not_answered_for_long_is_not_asked_to_remove_what_it_may_not_have(stage: Stage) -> None:
    stage.store.backend.fail("save", lambda: TransientError("offline"))
    with pytest.raises(TransientError):
        stage.lock().acquire()
    assert stage.store.record.count("remove") == 0
    with stage.lock() as lock:
        own = lock.id
        stage.store.backend.fail("save", lambda: TransientError("offline"), times=3)
        for _ in range(3):
            stage.clock.now += 301
            lock.held.refresh_if_due()
        stage.store.backend.fail("remove", lambda: TransientError("offline"))
        stage.report.notes.clear()
    assert len(stage.report.notes) == 1
    assert short(own) in stage.report.notes[0]
    assert stage.store.record.count("remove") == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt, BackendError])
@pytest.mark.parametrize("method", ["save", "remove"])
@pytest.mark.parametrize("late", [False, True])
def test_whatever_stops_a_refresh_leaves_no_lock_in_the_end(
    stage: Stage, method: str, error: type[BaseException], late: bool
) -> None:
    def refresh(lock: Lock) -> None:
        stage.clock.now += 301
        lock.held.refresh_if_due()

    with contextlib.suppress(KeyboardInterrupt), stage.lock() as lock:
        stage.store.backend.fail(method, lambda: error("stopped"), late=late)
        refresh(lock)
        assert error is BackendError
        lock.ensure_held()
    assert stage.store.ids() == set()
    with stage.lock() as lock:
        stage.store.backend.fail(method, lambda: BackendError("stopped"), late=late)
        refresh(lock)
        refresh(lock)
        assert stage.store.ids() == {lock.id}


@pytest.mark.parametrize("late", [False, True])
def test_an_interrupt_while_a_lock_is_released_leaves_none(stage: Stage, late: bool) -> None:
    with pytest.raises(KeyboardInterrupt), stage.lock():
        stage.store.backend.fail("remove", KeyboardInterrupt, late=late)
    assert stage.store.ids() == set()


def hanging_refresh(store: Store, timing: LockTiming) -> tuple[Lock, threading.Event]:
    """Return a lock that is being refreshed, and what lets the new file be stored."""
    entered, resume = threading.Event(), threading.Event()
    lock = Lock(store, NullReporter(), exclusive=False, machine=Machine(hostname="here"), timing=timing)
    lock.acquire()
    save = store.backend.save

    def slow_save(handle: Handle, data: Buffer) -> None:
        entered.set()
        resume.wait(5)
        save(handle, data)

    store.backend.save = slow_save  # type: ignore[method-assign]
    assert entered.wait(5)
    return lock, resume


def test_a_lock_that_is_released_at_once_waits_for_a_refresh_that_ends_soon() -> None:
    store = Store()
    lock, resume = hanging_refresh(store, LockTiming(second_look=0, refresh=0.01, poll=0.005, forced=5))
    resume.set()
    lock.held.release_at_once()
    assert store.ids() == set()


def test_a_lock_whose_release_waits_for_a_refresh_is_released_at_once() -> None:
    store = Store()
    lock, resume = hanging_refresh(store, LockTiming(second_look=0, refresh=0.01, poll=0.005, forced=0.01))
    releasing = threading.Thread(target=lock.release)
    releasing.start()
    assert lock.held._released.wait(5)
    lock.held.release_at_once()
    assert store.ids() == set()
    assert releasing.is_alive()
    resume.set()
    releasing.join(5)
    assert store.ids() == set()


def test_a_lock_whose_process_is_dead_is_removed_and_told(stage: Stage) -> None:
    class Undertaker(Machine):
        def find_end(self, lock: LockFile) -> End | None:
            return End(float("-inf"), True) if lock.pid == 666 else None

    dead = stage.store.add(exclusive=True, pid=666, hostname="here")
    lock = Lock(
        stage.store,
        stage.report,
        exclusive=True,
        machine=Undertaker(hostname="here"),
        clock=stage.clock.both(),
    )
    with lock:
        assert stage.store.ids() == {lock.id}
    assert len(stage.report.notes) == 1
    assert short(dead) in stage.report.notes[0]
    assert "666 on here" in stage.report.notes[0]
    stage.store.add(exclusive=True, pid=666, hostname="here")
    stage.store.backend.fail("remove", lambda: AccessError("append only"))
    lock = Lock(
        stage.store,
        stage.report,
        exclusive=True,
        machine=Undertaker(hostname="here"),
        clock=stage.clock.both(),
    )
    with lock:
        assert len(stage.store.ids()) == 2
    assert "append only" in stage.report.notes[-1]


def test_unlock_removes_only_stale_locks(stage: Stage) -> None:
    young = stage.store.add(time=at(START - 29 * 60))
    future = stage.store.add(time=at(START + 3600))
    stage.store.add(time=at(START - 31 * 60))
    stage.store.add(time=at(START - 31 * 60), hostname="here", exclusive=True)
    gone = stage.store.add(time=at(START - 1), hostname="here", pid=4711)
    alive = stage.store.add(time=at(START - 1), hostname="here", pid=4712)
    damaged = stage.store.save_unpacked(FileType.LOCK, b"damaged")
    stage.store.backend.save(Handle(FileType.LOCK, "ab" * 32), b"")
    machine = Machine(hostname="here", proc="/nowhere", exists=lambda pid: pid == 4712)
    assert remove_stale(stage.store, machine=machine, clock=stage.clock) == 3
    assert stage.store.ids() == {young, future, alive, damaged, bytes.fromhex("ab" * 32)}
    assert gone not in stage.store.ids()
    assert remove_stale(stage.store, machine=machine, clock=stage.clock) == 0


def test_unlock_remove_all_removes_everything(stage: Stage) -> None:
    stage.store.add()
    stage.store.add(exclusive=True)
    stage.store.save_unpacked(FileType.LOCK, b"damaged")
    stage.store.backend.save(Handle(FileType.LOCK, "ab" * 32), b"")
    assert remove_all(stage.store) == 4
    assert stage.store.ids() == set()
    assert remove_all(stage.store) == 0


@pytest.mark.parametrize("version", [1, 2])
def test_a_real_repository_is_locked_and_keeps_the_lock_sealed(version: int) -> None:
    backend = MemoryBackend()
    repository = Repository.create(
        backend,
        "password",
        version=version,
        hostname="here",
        username="user",
        created=at(START),
        params=ScryptParams(16, 1, 1),
    )
    with Lock(repository, NullReporter(), exclusive=True) as lock:
        stored = backend.load(Handle(FileType.LOCK, lock.id.hex()))
        assert hash_id(stored) == lock.id
        assert b"hostname" not in stored
        with pytest.raises(LockedError):
            Lock(repository, NullReporter(), exclusive=False).acquire()
        lock.held.refresh()
        backend.save(Handle(FileType.LOCK, "ab" * 32), stored[:50])
        assert remove_stale(repository) == 0
    assert remove_all(repository) == 1
    assert list(backend.list(FileType.LOCK)) == []
