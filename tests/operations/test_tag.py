"""Tag through our own parts: a backend that fails on the way, and fields that are not known."""

import json

import pytest

from pyrestic.backend.mem import MemoryBackend
from pyrestic.errors import AccessError, LockedError
from pyrestic.format.snapshot import PARTIAL_TAG
from pyrestic.handle import FileType
from pyrestic.ids import ID
from pyrestic.operations.tag import TagChange, change_tags
from pyrestic.report import NullReporter
from pyrestic.repository.repository import Repository
from pyrestic.repository.snapshots import load_snapshots
from tests.support.backends import FaultyBackend, RecordingBackend
from tests.support.repositories import make_repository


class Notes(NullReporter):
    """Remembers what was noted."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def note(self, message: str, level: int = 1) -> None:
        assert level == 0
        self.lines.append(message)


def store(repository: Repository, number: int, **fields: object) -> ID:
    document = {"time": f"2024-01-01T00:00:{number:02}Z", "tree": "ab" * 32, "paths": ["/"], **fields}
    return repository.save_unpacked(FileType.SNAPSHOT, json.dumps(document).encode())


def run(repository: Repository, change: TagChange, report: NullReporter | None = None) -> list[ID]:
    found = load_snapshots(repository, NullReporter())
    changed = change_tags(repository, found, change, report or NullReporter(), lambda: None)
    return [renewed.new for renewed in changed if renewed.new is not None]


@pytest.mark.parametrize(
    ("change", "before", "after"),
    [
        (TagChange(replacement=("a",)), ["a"], ["a"]),
        # Without its tag, a partial snapshot would displace complete ones.
        (TagChange(replacement=("a",)), ["b", PARTIAL_TAG], ["a", PARTIAL_TAG]),
        (TagChange(removed=(PARTIAL_TAG,)), ["a", PARTIAL_TAG], ["a"]),
        (TagChange(added=("a", "b", "b")), ["a"], ["a", "b"]),
        (TagChange(added=("a",)), ["a"], None),
        (TagChange(removed=("a",)), ["a", "b", "c"], ["c", "b"]),
        (TagChange(removed=("c", "x")), ["a", "b", "c"], ["a", "b"]),
        (TagChange(removed=("x",)), ["a"], None),
        (TagChange(added=("x",), removed=("x",)), ["a"], ["a"]),
        (TagChange(removed=("a",)), ["a", "a"], ["a"]),
        (TagChange(), ["a"], None),
    ],
)
def test_tags_change_as_in_restic(change: TagChange, before: list[str], after: list[str] | None) -> None:
    assert change.apply(before) == after


def test_what_is_not_known_of_a_snapshot_stays() -> None:
    repository = make_repository()
    store(repository, 1, tags=["old"], more={"deep": [1.5, None]}, summary={"files_new": 1, "later": "x"})
    (new,) = run(repository, TagChange(replacement=("new",)))
    document = json.loads(repository.load_unpacked(FileType.SNAPSHOT, new))
    assert document["more"] == {"deep": [1.5, None]}
    assert (document["summary"]["later"], document["summary"]["files_new"]) == ("x", 1)
    assert document["tags"] == ["new"]
    assert list(repository.list_ids(FileType.SNAPSHOT)) == [new]


def test_each_snapshot_costs_one_upload_and_one_removal() -> None:
    backend = RecordingBackend(MemoryBackend())
    repository = make_repository(backend)
    for number in range(20):
        store(repository, number, tags=["x"] * (number % 2))
    backend.calls.clear()
    assert len(run(repository, TagChange(added=("x",)))) == 10
    assert backend.count("save") == backend.count("remove") == 10
    assert backend.count("load") == 20
    assert backend.count("list") == 1


def test_a_snapshot_that_cannot_be_stored_stays_and_the_others_are_changed() -> None:
    inner = MemoryBackend()
    backend = FaultyBackend(inner)
    repository = make_repository(backend)
    old = {store(repository, number) for number in range(3)}
    backend.fail("save", lambda: AccessError("no"), times=1)
    notes = Notes()
    new = run(repository, TagChange(added=("x",)), notes)
    (line,) = notes.lines
    left = set(repository.list_ids(FileType.SNAPSHOT))
    (kept,) = left & old
    assert line == f'unable to modify the tags for snapshot ID "{kept.hex()}", ignoring: no'
    assert left == {kept, *new}


def test_nothing_is_removed_once_the_lock_is_lost() -> None:
    repository = make_repository()
    old = {store(repository, number) for number in range(3)}

    def lost() -> None:
        raise LockedError("the lock was lost")

    found = load_snapshots(repository, NullReporter())
    with pytest.raises(LockedError):
        list(change_tags(repository, found, TagChange(added=("x",)), NullReporter(), lost))
    assert set(repository.list_ids(FileType.SNAPSHOT)) == old
