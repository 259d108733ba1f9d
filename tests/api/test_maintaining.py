"""How an opened repository is mended and kept small, and its keys, beside the real restic."""

import io
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pyrestic
from pyrestic.report import NullReporter
from tests.api.test_changing import Stopper
from tests.support.damage import find_file, flip
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program

pytestmark = pytest.mark.restic


@pytest.fixture
def place(tmp_path: Path, newest: Program) -> Path:
    """Three snapshots of restic, the packs of the first two in part used by the third, and two of them removed."""
    place = make_quick_repository(tmp_path / "repository")
    source = tmp_path / "source"
    source.mkdir()
    dice = random.Random(1)
    for number in range(3):
        for name in ("stays", "goes"):
            (source / f"{name} {number}").write_bytes(dice.randbytes(700_000))
        newest.run("backup", source, repository=place)
        (source / f"goes {number}").unlink()
    first, second, _ = newest.snapshots(place)
    newest.run("forget", first["id"], second["id"], repository=place)
    return place


def opened(place: Path, **more: Any) -> pyrestic.OpenRepository:
    return pyrestic.open_repository(place, password=PASSWORD, **more)


def packs(place: Path) -> set[str]:
    return {path.name for path in place.glob("data/*/*")}


def test_a_prune_is_planned_as_restic_plans_it_and_run(place: Path, newest: Program) -> None:
    theirs = newest.run("prune", "--dry-run", "--max-unused=0", "-vv", repository=place).text
    before = packs(place)
    with opened(place) as repository:
        plan = repository.plan_prune(max_unused="0")
        assert f"to repack:    {plan.stats.packs.repack:>10} packs" in theirs
        assert f"to delete:    {plan.stats.packs.remove:>10} packs" in theirs
        assert f"{plan.stats.blobs.repackrm:>10} blobs" in theirs
        assert plan.stats.size.freed > 1_000_000
        assert packs(place) == before
        plan.run()
        assert set(plan.remove) | set(plan.repack) == before - packs(place)
        again = repository.plan_prune(max_unused="0")
        assert (again.remove, again.repack) == ((), ())
        with pytest.raises(pyrestic.PyresticError, match="has changed since the prune was planned"):
            plan.run()
        # What was known of packs is forgotten: nothing is taken for stored that is gone.
        made = repository.backup([place.parent / "source"])
        assert made.snapshot is not None
        for entry in made.snapshot.walk():
            if entry.is_file:
                assert made.snapshot.open(entry.path).read() == Path(entry.path).read_bytes()
    newest.run("check", "--read-data", repository=place)


def test_prune_does_it_at_once_and_is_alone(place: Path, newest: Program) -> None:
    with opened(place) as repository:
        with opened(place), pytest.raises(pyrestic.LockedError):
            repository.prune()
        done = repository.prune(max_unused="0", max_repack_size="1G")
        assert done.blobs.repackrm + done.blobs.remove > 0
        with pytest.raises(pyrestic.UsageError, match="max-unused"):
            repository.prune(max_unused="x")
    newest.run("check", "--read-data", repository=place)
    assert "0 B" in newest.run("prune", "--dry-run", "--max-unused=0", repository=place).text


def test_after_a_forget_and_a_prune_a_backup_stores_what_is_gone_anew(place: Path, newest: Program) -> None:
    data = b"gone and back" * 1000
    with opened(place) as repository:
        made = repository.backup_stream(io.BytesIO(data), "file")
        assert made.snapshot is not None
        repository.forget([made.snapshot])
        repository.prune(max_unused="0")
        assert repository.backup_stream(io.BytesIO(data), "file").summary.data_blobs == 1
    newest.run("check", "--read-data", repository=place)
    assert newest.run("dump", "latest", "/file", repository=place).stdout == data


@pytest.mark.parametrize("after", range(0, 16, 2))
def test_wherever_a_prune_is_cancelled_the_repository_stays_whole(place: Path, newest: Program, after: int) -> None:
    with opened(place) as repository:
        stop = Stopper(after)
        try:
            repository.prune(max_unused="0", report=stop, cancel=stop.cancel)
        except pyrestic.CancelledError:
            assert stop.cancel.is_set()
        assert len(repository.snapshot().entries(place.parent / "source")) == 4
    newest.run("check", "--read-data", repository=place)
    newest.run("prune", "--max-unused=0", repository=place)
    newest.run("check", "--read-data", repository=place)


def test_the_index_is_repaired(place: Path, newest: Program) -> None:
    with opened(place) as repository:
        assert repository.repair_index() == pyrestic.IndexRepair((), (), (), (), (), ())
        for path in (place / "index").iterdir():
            path.unlink()
        assert not repository.check().ok
        assert set(repository.repair_index().added) == packs(place)
        assert repository.check(read_data=True).ok
        flip(find_file(place, "index"))
        assert len(repository.repair_index(read_all_packs=True).added) == len(packs(place))
        stop = threading.Event()
        stop.set()
        with pytest.raises(pyrestic.CancelledError):
            repository.repair_index(cancel=stop)
    newest.run("check", "--read-data", repository=place)


def test_packs_are_repaired(place: Path, tmp_path: Path, newest: Program) -> None:
    damaged = find_file(place, "data pack")
    flip(damaged)
    with opened(place) as repository:
        assert repository.check(read_data=True).broken_packs == (damaged.name,)
        stop = Stopper(1)
        with pytest.raises(pyrestic.CancelledError):
            repository.repair_packs([damaged.name], copies=None, report=stop, cancel=stop.cancel)
        assert damaged.exists()
        done = repository.repair_packs([damaged.name], copies=str(tmp_path))
        assert not damaged.exists()
        assert Path(done.copies[0]).stat().st_size > 0
        assert done.salvaged_blobs + len(done.lost) > 0
        # The blob may be of a snapshot that was removed; if not, restic misses it below.
        repository.repair_snapshots(forget=True)
        with pytest.raises(pyrestic.UsageError, match="no ids"):
            repository.repair_packs([], copies=None)
        with pytest.raises(pyrestic.NotFoundError, match="neither stored nor named"):
            repository.repair_packs(["0" * 64], copies=str(tmp_path))
    newest.run("check", "--read-data", repository=place)


def test_locks_of_others_are_removed_and_ours_is_there_again(place: Path) -> None:
    with opened(place) as repository:
        assert repository.unlock() == 0
        other = opened(place, report=NullReporter())
        assert repository.unlock(remove_all=True) == 1
        assert len(list((place / "locks").iterdir())) == 1
        with pytest.raises(pyrestic.LockedError, match="lock was lost"):
            other.backup_stream(io.BytesIO(b"x"), "file")
        with pytest.raises(pyrestic.LockedError, match="lock was lost"):
            other.close()
        repository.backup_stream(io.BytesIO(b"x"), "file")
        assert len(list((place / "locks").iterdir())) == 1


def test_keys_open_for_restic_and_the_one_in_use_stays(place: Path, newest: Program) -> None:
    with opened(place) as repository:
        (first,) = repository.list_keys()
        assert (first.current, first.username, first.hostname) == (True, "user", "host")
        added = repository.add_key("another", host="there", user="somebody")
        assert newest.run("snapshots", repository=place, RESTIC_PASSWORD="another").code == 0
        assert {(key.id, key.hostname) for key in repository.list_keys()} == {(first.id, "host"), (added, "there")}
        with pytest.raises(pyrestic.UsageError, match="currently used"):
            repository.remove_key(first.id)
        repository.remove_key(added[:12])
        newest.run("snapshots", repository=place, RESTIC_PASSWORD="another", code=12)
        changed = repository.change_password("a new one")
        assert [(key.id, key.current) for key in repository.list_keys()] == [(changed, True)]
        with pytest.raises(pyrestic.UsageError, match="currently used"):
            repository.remove_key(changed)
        assert repository.check().ok
        for verb in (repository.add_key, repository.change_password):
            with pytest.raises(pyrestic.UsageError, match="empty password"):
                verb("")
    newest.run("snapshots", repository=place, code=12)
    assert newest.run("check", repository=place, RESTIC_PASSWORD="a new one").code == 0


def test_a_repository_that_cannot_be_locked_again_is_closed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyrestic.repository.locks import Lock

    repository = opened(place)
    acquire = Lock.acquire

    def taken(self: Lock) -> None:
        if not self._exclusive:
            raise pyrestic.LockedError("somebody came meanwhile")
        acquire(self)

    monkeypatch.setattr(Lock, "acquire", taken)
    with pytest.raises(pyrestic.LockedError, match="came meanwhile"):
        repository.prune()
    with pytest.raises(pyrestic.UsageError, match="was closed"):
        repository.snapshots()
    assert list((place / "locks").iterdir()) == []


def test_keys_and_locks_are_left_alone_once_it_is_cancelled(place: Path) -> None:
    before = {path.name for path in (place / "keys").iterdir()}
    stop = threading.Event()
    stop.set()
    with opened(place, lock=False) as repository, opened(place) as other:
        (key,) = repository.list_keys()
        verbs: list[Callable[[], object]] = [
            lambda: repository.list_keys(cancel=stop),
            lambda: repository.add_key("another", cancel=stop),
            lambda: repository.unlock(cancel=stop),
            lambda: repository.unlock(remove_all=True, cancel=stop),
        ]
        for verb in verbs:
            with pytest.raises(pyrestic.CancelledError):
                verb()
        other.snapshots()
    with opened(place, lock=False) as repository:
        verbs = [
            lambda: repository.change_password("another", cancel=stop),
            lambda: repository.remove_key(key.id, cancel=stop),
        ]
        for verb in verbs:
            with pytest.raises(pyrestic.CancelledError):
                verb()
        told = NullReporter()
        (place / "keys" / ("0" * 64)).write_bytes(b"not a key")
        assert len(repository.list_keys(report=told)) == 1
        assert [item for item, _ in told.errors] == [f"key {'0' * 64}"]
    assert {path.name for path in (place / "keys").iterdir()} == {*before, "0" * 64}
    assert list((place / "locks").iterdir()) == []


def test_a_full_disk_is_pruned_only_for_the_repository_that_was_named(place: Path, newest: Program) -> None:
    before = packs(place)
    with opened(place) as repository:
        for verb in (repository.prune, repository.plan_prune):
            with pytest.raises(pyrestic.UsageError, match=f"must pass id '{repository.id}'"):
                verb(unsafe_recover_no_free_space="0" * 64)
        assert packs(place) == before
        plan = repository.plan_prune(max_unused="0", unsafe_recover_no_free_space=repository.id)
        # Nothing is written before something was removed.
        assert plan.repack == ()
        assert repository.prune(max_unused="0", unsafe_recover_no_free_space=repository.id) == plan.stats
        assert packs(place) < before
    newest.run("check", "--read-data", repository=place)
