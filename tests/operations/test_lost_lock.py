"""A machine sleeps, or is stopped, at every request of every command that writes; meanwhile others remove its lock."""

import functools
from collections.abc import Callable
from itertools import count

import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import LockedError, NotFoundError, PyresticError
from pyrestic.handle import BlobHandle, BlobType, FileType, Handle
from pyrestic.ids import parse_id
from pyrestic.localfs.select import Patterns
from pyrestic.operations.copy import Copy
from pyrestic.operations.migrate import MIGRATIONS
from pyrestic.operations.recover import Maker, find_roots, save_recovered
from pyrestic.operations.repair_index import repair_index
from pyrestic.operations.repair_packs import repair_packs
from pyrestic.operations.replace_snapshot import ReplaceOptions
from pyrestic.operations.rewrite import Changes, rewrite
from pyrestic.operations.tag import TagChange, change_tags
from pyrestic.report import NullReporter
from pyrestic.repository.keys import add_key, remove_key
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import load_snapshots
from tests.support.machines import (
    HOUR,
    Command,
    Place,
    Process,
    World,
    backup_command,
    forget_command,
    prune_command,
    take_lock,
    unlock_command,
)
from tests.support.repositories import PASSWORD, QUICK, make_repository

pytestmark = pytest.mark.slow

NEW = b"what the sleeper saves " * 100
Work = Callable[[Repository, Callable[[], None]], object]


def locked(work: Work, *, exclusive: bool = True) -> Command:
    """Return a command that does something under a lock, the index loaded."""

    def command(process: Process, repository: Repository) -> None:
        with take_lock(process, repository, exclusive=exclusive) as lock:
            repository.load_index(NullReporter())
            work(repository, lock.ensure_held)
        repository.close()

    return command


def tag(repository: Repository, ensure_locked: Callable[[], None]) -> None:
    found = list(load_snapshots(repository, NullReporter()))
    list(change_tags(repository, found, TagChange(added=("new",)), NullReporter(), ensure_locked))


def repair_all_packs(repository: Repository, ensure_locked: Callable[[], None]) -> None:
    packs = [pack for pack, _ in repository.index.by_pack()]
    repair_packs(repository, packs[:2], NullReporter(), ensure_locked)


def rebuild(repository: Repository, ensure_locked: Callable[[], None]) -> None:
    repair_index(repository, NullReporter(), ensure_locked, read_all_packs=True)


def recover(repository: Repository, ensure_locked: Callable[[], None]) -> None:
    roots = find_roots(repository, NullReporter(), ensure_locked)
    save_recovered(repository, roots, Maker("host", "user", 0, 0), 0, ensure_locked)


def change_password(repository: Repository, ensure_locked: Callable[[], None]) -> None:
    who = {"hostname": "host", "username": "user", "created": "2024-01-01T00:00:00Z"}
    key = add_key(repository.backend, repository.key, PASSWORD, params=QUICK, **who)
    ensure_locked()
    remove_key(repository.backend, repository.key_id, current=key.id)


def rewrite_all(repository: Repository, ensure_locked: Callable[[], None], *, forget: bool = False) -> None:
    """Both a tree and what stands in the snapshots change."""
    changes = Changes(excludes=Patterns(("/folder/file",)).lists(), hostname="another")
    options = ReplaceOptions("rewrite", forget=forget)
    found = list(load_snapshots(repository, NullReporter()))
    rewrite(repository, found, lambda: changes, options, NullReporter(), ensure_locked)


def rewrite_and_forget(repository: Repository, ensure_locked: Callable[[], None]) -> None:
    rewrite_all(repository, ensure_locked, forget=True)


@functools.cache
def make_source() -> MemoryBackend:
    """Two snapshots to be copied, in a repository of their own."""
    world = World()
    world.add_machine("gamma", "id-c")
    for content in (b"four " * 500, b"five " * 600):
        do(world.machines[0], backup_command(content))
        world.advance(60)
    return world.place


def copy_all(source: Repository, target: Repository, ensure_locked: Callable[[], None]) -> None:
    report = NullReporter()
    Copy(source, target, report, ensure_locked).run(load_snapshots(source, report))


def copy_from_elsewhere(repository: Repository, ensure_locked: Callable[[], None]) -> None:
    source = Repository.open(make_source(), PASSWORD)
    source.load_index(NullReporter())
    copy_all(source, repository, ensure_locked)


def migrate(repository: Repository, ensure_locked: Callable[[], None]) -> None:
    ensure_locked()
    MIGRATIONS[0].apply(repository, lambda old: "nowhere")


def forget_one(world: World) -> Command:
    return forget_command({next(iter(world.reported))})


COMMANDS: dict[str, Callable[[World], Command]] = {
    "backup": lambda world: backup_command(NEW),
    "forget": forget_one,
    "prune": lambda world: prune_command(),
    "tag": lambda world: locked(tag),
    "repair index": lambda world: locked(rebuild),
    "repair packs": lambda world: locked(repair_all_packs),
    "recover": lambda world: locked(recover, exclusive=False),
    "rewrite": lambda world: locked(rewrite_all, exclusive=False),
    "rewrite --forget": lambda world: locked(rewrite_and_forget),
    "copy": lambda world: locked(copy_from_elsewhere, exclusive=False),
    "key passwd": lambda world: locked(change_password),
    "migrate": lambda world: locked(migrate),
}


def make_world(*, version: int = 2) -> World:
    """Three snapshots that share data, one of them forgotten: prune has to repack and to remove."""
    made = make_first_world(version)
    world = World(files=made.place.files())
    world.now = made.now
    world.reported = made.reported.copy()
    add_machines(world)
    return world


def add_machines(world: World) -> None:
    world.add_machine("alpha", "id-a")
    world.add_machine("beta", "id-b")


@functools.cache
def make_first_world(version: int) -> World:
    """Return the world whose files the others copy."""
    world = World(version=version)
    add_machines(world)
    alpha = world.machines[0]
    for content in (b"one " * 200, b"two " * 300, b"three " * 400):
        do(alpha, backup_command(content))
        world.advance(60)
    first = next(iter(world.reported))
    do(alpha, forget_command({first}))
    return world


def do(machine: object, command: Command) -> Process:
    """Run a command to its end."""
    process = Process(machine, command)  # type: ignore[arg-type]
    process.finish()
    if process.error is not None:
        raise process.error
    return process


def sleep_for_hours(world: World) -> None:
    world.machines[0].sleep()
    world.advance(8 * HOUR)


def stop_for_hours(world: World) -> None:
    """Stop the virtual machine: when it goes on, neither of its clocks has noticed."""
    world.machines[0].stop()
    world.advance(8 * HOUR)


def look_away(world: World) -> None:
    """Nothing happens to the machine: a person elsewhere removes its lock in a hurry."""


ACCIDENTS = {"sleep": sleep_for_hours, "stop": stop_for_hours, "unlock --remove-all": look_away}


def others_clean_up(world: World, accident: Callable[[World], None]) -> None:
    beta = world.machines[1]
    do(beta, unlock_command(everything=accident is look_away))
    do(beta, prune_command())
    world.machines[0].wake()


def suspended_at(command: str, request: int, *, in_flight: bool = False) -> tuple[World, Process] | None:
    """Return a world in which alpha stands before a request of a command, None if it ended before."""
    world = make_world(version=1 if command == "migrate" else 2)
    world.start = len(world.place.changes)
    process = Process(world.machines[0], COMMANDS[command](world), in_flight=in_flight)
    process.step(request)
    if not process.runs:
        world.end()
        return None
    return world, process


def file_changes(world: World, since: int) -> list[tuple[str, Handle]]:
    return [change for change in world.place.changes[since:] if change[1].type is not FileType.LOCK]


@pytest.mark.parametrize("accident", ACCIDENTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_whoever_lost_the_lock_writes_nothing_more(command: str, accident: str) -> None:
    lost_locks = 0
    for request in count():
        suspended = suspended_at(command, request)
        if suspended is None:
            break
        world, process = suspended
        held = bool(world.place.names(FileType.LOCK))
        wrote = bool(file_changes(world, world.start))
        ACCIDENTS[accident](world)
        others_clean_up(world, ACCIDENTS[accident])
        since = len(world.place.changes)
        process.finish()
        mine = file_changes(world, since)
        if accident == "unlock --remove-all" or accident == "stop":
            # Nobody relies on a pack before an index names it, so no look is taken before it is saved.
            mine = [(method, handle) for method, handle in mine if (method, handle.type) != ("save", FileType.PACK)]
        if held:
            lost_locks += 1
            assert mine == [], f"request {request}"
            if wrote:
                # Who reads meanwhile may miss a file first.
                assert isinstance(process.error, LockedError | NotFoundError), f"request {request}: {process.error!r}"
        assert all(world.is_whole(bytes.fromhex(name)) for name in world.place.names(FileType.SNAPSHOT))
        assert len(world.place.names(FileType.SNAPSHOT)) >= (1 if command == "forget" else 2)
        assert world.missing_packs() == set()
        again = do(world.machines[1], backup_command(NEW))
        assert again.saved is not None
        assert world.is_whole(again.saved)
        world.end()
    assert lost_locks > 1


@pytest.mark.parametrize("command", ["backup", "forget", "prune", "tag", "rewrite", "rewrite --forget", "copy"])
def test_what_was_on_its_way_when_the_lock_was_lost_is_the_last_and_counts_as_a_failure(command: str) -> None:
    for request in count():
        suspended = suspended_at(command, request, in_flight=True)
        if suspended is None:
            break
        world, process = suspended
        held = bool(world.place.names(FileType.LOCK))
        wrote = bool(file_changes(world, world.start))
        sleep_for_hours(world)
        others_clean_up(world, sleep_for_hours)
        since = len(world.place.changes)
        process.finish()
        if held and (wrote or file_changes(world, since)):
            assert len(file_changes(world, since)) <= world.place.connections, f"request {request}"
            assert isinstance(process.error, PyresticError), f"request {request}: {process.error!r}"
            assert process.saved is None
        world.end()


def restore_all(place: MemoryBackend) -> int:
    """Load all that the snapshots of a repository refer to, and return how many there are."""
    repository = Repository.open(place, PASSWORD)
    repository.load_index(NullReporter())
    found = load_snapshots(repository, NullReporter())
    for stored in found:
        for folder in repository.load_tree(stored.snapshot.tree_id):
            for node in repository.load_tree(parse_id(folder.subtree or "")):
                for blob in node.content or ():
                    repository.load_blob(BlobHandle(BlobType.DATA, parse_id(blob)))
    return len(found)


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_a_copy_that_lost_the_lock_of_its_source_saves_no_snapshot_or_whole_ones(accident: str) -> None:
    """The target has a lock of its own, and what is copied is verified; but who has slept has no business there."""
    stopped = copied = 0
    for request in count():
        world, target = make_world(), Place()
        make_repository(target)

        def work(repository: Repository, ensure_locked: Callable[[], None], target: Place = target) -> None:
            writing = Repository.open(target, PASSWORD)
            writing.load_index(NullReporter())
            copy_all(repository, writing, ensure_locked)

        process = Process(world.machines[0], locked(work, exclusive=False))
        process.step(request)
        if not process.runs:
            break
        held = bool(world.place.names(FileType.LOCK))
        before = target.names(FileType.SNAPSHOT)
        ACCIDENTS[accident](world)
        others_clean_up(world, ACCIDENTS[accident])
        process.finish()
        if held and accident == "sleep" and not before:
            assert target.names(FileType.SNAPSHOT) == set(), f"request {request}"
            assert isinstance(process.error, PyresticError), f"request {request}: {process.error!r}"
        stopped += process.error is not None
        copied += restore_all(target)
        world.end()
    assert stopped > 1
    assert copied or accident == "sleep"
