"""Calls that make no sense, come too late or come from several threads: each gets an error, and nothing is stored."""

import inspect
import io
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import pyrestic
from pyrestic.errors import LocalFileError, NotFoundError, PyresticError, UsageError
from pyrestic.report import Progress
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program

NUL, SURROGATE = "a\0b", "\ud800"
CONTENT = os.urandom(300_000)


@dataclass
class Stage:
    """An opened repository with two snapshots of a folder."""

    folder: Path
    repository: pyrestic.OpenRepository
    snapshot: pyrestic.OpenSnapshot

    @property
    def place(self) -> Path:
        """Where the repository is."""
        return self.folder / "repository"

    @property
    def source(self) -> Path:
        """The folder that was saved."""
        return self.folder / "source"

    def stored(self) -> int:
        """Return how many snapshots there are, all of which have to be readable."""
        return len(self.repository.snapshots())


def make_stage(folder: Path, *, lock: bool = True) -> Stage:
    place, source = make_quick_repository(folder / "repository"), folder / "source"
    (source / "below").mkdir(parents=True)
    (source / "below" / "file").write_bytes(b"x")
    (source / "file").write_bytes(b"old")
    repository = pyrestic.open_repository(place, password=PASSWORD, lock=lock)
    repository.backup([source], host="here")
    (source / "file").write_bytes(CONTENT)
    snapshot = repository.backup([source], host="here").snapshot
    assert snapshot is not None
    return Stage(folder, repository, snapshot)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = make_stage(tmp_path)
    yield made
    made.repository.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One for all tests whose calls change nothing."""
    made = make_stage(tmp_path_factory.mktemp("hostile"))
    yield made
    made.repository.close()


Call = Callable[[Stage, Any], object]


def open_with(**more: Any) -> None:
    pyrestic.open_repository(**{"password": PASSWORD, **more}).close()


def restore(stage: Stage, **more: Any) -> object:
    return stage.snapshot.restore(stage.folder / "back", **more)


TEXTS: dict[str, Call] = {
    "password": lambda s, v: open_with(location=s.place, password=v),
    "new password": lambda s, v: pyrestic.create_repository(s.folder / "new", password=v),
    "password_command": lambda s, v: open_with(location=s.place, password=None, password_command=v),
    "compression": lambda s, v: open_with(location=s.place, compression=v),
    "variable": lambda s, v: open_with(location=s.place, environment={"HOME": v}),
    "name of a variable": lambda s, v: open_with(location=s.place, environment={v: "x"}),
    "option": lambda s, v: open_with(location=s.place, options={"local.connections": v}),
    "host": lambda s, v: s.repository.snapshots(host=v),
    "tag": lambda s, v: s.repository.snapshots(tags=[v]),
    "path": lambda s, v: s.repository.snapshot(paths=[v]),
    "name": lambda s, v: s.repository.snapshot(v),
    "host of history": lambda s, v: s.repository.history(s.source, host=v),
    "host of backup": lambda s, v: s.repository.backup([s.source], host=v),
    "tag of backup": lambda s, v: s.repository.backup([s.source], tags=[v]),
    "pattern of backup": lambda s, v: s.repository.backup([s.source], exclude=[v]),
    "tag of stream": lambda s, v: s.repository.backup_stream(io.BytesIO(b"x"), "/file", tags=[v]),
    "path of stream": lambda s, v: s.repository.backup_stream(io.BytesIO(b"x"), v),
    "include": lambda s, v: restore(s, include=[v]),
    "exclude": lambda s, v: s.snapshot.plan_restore(s.folder / "back", exclude=[v]),
    "overwrite": lambda s, v: restore(s, overwrite=v),
    "diff": lambda s, v: s.repository.diff(s.snapshot, v),
    "find": lambda s, v: s.repository.find([v]),
    "find_uses": lambda s, v: s.repository.find_uses(blobs=[v]),
    "snapshot of stats": lambda s, v: s.repository.stats([v]),
    "subset": lambda s, v: s.repository.check(read_data_subset=v),
    "drill": lambda s, v: s.repository.drill(v),
    "forget": lambda s, v: s.repository.forget([v]),
    "keep_within": lambda s, v: s.repository.plan_forget(keep_within=v),
    "keep_tags": lambda s, v: s.repository.plan_forget(keep_tags=[[v]]),
    "tag of tag": lambda s, v: s.repository.tag([s.snapshot], add=[v]),
    "new_host": lambda s, v: s.repository.rewrite([s.snapshot], new_host=v),
    "max_unused": lambda s, v: s.repository.plan_prune(max_unused=v),
    "pack": lambda s, v: s.repository.repair_packs([v], copies=None),
    "new_password": lambda s, v: s.repository.add_key(v),
    "changed password": lambda s, v: s.repository.change_password(v),
    "user": lambda s, v: s.repository.add_key("x", user=v),
    "key": lambda s, v: s.repository.remove_key(v),
}
PATHS: dict[str, Call] = {
    "location": lambda s, v: open_with(location=v),
    "new location": lambda s, v: pyrestic.create_repository(v, password=PASSWORD),
    "password_file": lambda s, v: open_with(location=s.place, password=None, password_file=v),
    "entry": lambda s, v: s.snapshot.entry(v),
    "entries": lambda s, v: s.snapshot.entries(v),
    "walk": lambda s, v: list(s.snapshot.walk(v)),
    "open": lambda s, v: s.snapshot.open(v),
    "history": lambda s, v: s.repository.history(v),
    "source": lambda s, v: s.repository.backup([v]),
    "target": lambda s, v: s.snapshot.restore(v),
    "target of plan": lambda s, v: s.snapshot.plan_restore(v),
    "folder to restore": lambda s, v: s.snapshot.restore(s.folder / "back", v),
}
LISTS: dict[str, Call] = {
    "cacert": lambda s, v: open_with(location=s.place, cacert=v),
    "tags": lambda s, v: s.repository.snapshots(tags=v),
    "paths": lambda s, v: s.repository.snapshot(paths=v),
    "sources": lambda s, v: s.repository.backup(v),
    "tags of backup": lambda s, v: s.repository.backup([s.source], tags=v),
    "patterns of backup": lambda s, v: s.repository.backup([s.source], exclude=v),
    "include": lambda s, v: restore(s, include=v),
    "find": lambda s, v: s.repository.find(v),
    "forget": lambda s, v: s.repository.forget(v),
    "tags of tag": lambda s, v: s.repository.tag([s.snapshot], set_to=v),
    "keep_tags": lambda s, v: s.repository.plan_forget(keep_tags=v),
    "group_by": lambda s, v: s.repository.plan_forget(keep_last=1, group_by=v),
    "packs": lambda s, v: s.repository.repair_packs(v, copies=None),
    "snapshots of stats": lambda s, v: s.repository.stats(v),
}
OTHERS: dict[str, tuple[Call, tuple[object, ...]]] = {
    "environment": (lambda s, v: open_with(location=s.place, environment=v), (5, "x", [])),
    "options": (lambda s, v: open_with(location=s.place, options=v), (5, "x", [])),
    "lock": (lambda s, v: open_with(location=s.place, lock=v), (None, "no", [])),
    "retry_lock_seconds": (lambda s, v: open_with(location=s.place, retry_lock_seconds=v), (None, "1")),
    "version": (lambda s, v: pyrestic.create_repository(s.folder / "new", password="x", version=v), (None, "2", 2.0)),
    "after": (lambda s, v: s.repository.snapshots(after=v), (5, "2024-01-01")),
    "oldest": (lambda s, v: s.repository.find(["*"], oldest=v), (5, "2024-01-01")),
    "skip_damaged": (lambda s, v: s.repository.snapshots(skip_damaged=v), (None, "no")),
    "delete": (lambda s, v: restore(s, delete=v), (None, "no", [1])),
    "strip": (lambda s, v: restore(s, strip_components=v), (None, "1", 1.5)),
    "stream": (lambda s, v: s.repository.backup_stream(v, "/file"), (None, 5, "text", b"x")),
    "report": (lambda s, v: s.repository.backup([s.source], report=v), (5, "x", [], object())),
    "report of restore": (lambda s, v: restore(s, report=v), (5, [])),
    "cancel": (lambda s, v: s.repository.stats(cancel=v), (5, True)),
    "budget": (lambda s, v: s.repository.check(budget=v), (None, 1.5, b"1G")),
    "source of copy": (lambda s, v: s.repository.copy(v), (None, 5, "place", b"place")),
    "keep_last": (lambda s, v: s.repository.plan_forget(keep_last=v), (None, 1.5, [])),
    "dry_run": (lambda s, v: s.repository.rewrite(exclude=["x"], dry_run=v), (None, "no")),
    "remove_all": (lambda s, v: s.repository.unlock(remove_all=v), (None, "no")),
    "repack": (lambda s, v: s.repository.plan_prune(repack_uncompressed=v), (None, "no")),
    "seed": (lambda s, v: s.repository.drill(seed=v), ("x", 1.5)),
}


def refuse(stage: Stage, call: Call, values: tuple[object, ...], kind: type[Exception]) -> None:
    """See that a call with each of the values raises just this, and that nothing has come of it."""
    before = stage.stored()
    for value in values:
        with pytest.raises(kind) as caught:
            call(stage, value)
        assert caught.type is kind, repr(value)
    assert stage.stored() == before
    assert not (stage.folder / "back").exists()
    assert not (stage.folder / "new").exists()


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_a_text(shared: Stage, name: str) -> None:
    wrong: tuple[object, ...] = (5, 1.5, b"bytes", ["a"], {}, object())
    refuse(shared, TEXTS[name], wrong if name == "drill" else (*wrong[:3], [], wrong[4], wrong[5]), TypeError)
    refuse(shared, TEXTS[name], (SURROGATE,), UsageError)


@pytest.mark.parametrize("name", PATHS)
def test_a_path_is_a_path(shared: Stage, name: str) -> None:
    wrong: tuple[object, ...] = (5, 1.5, [], {}, object(), True)
    refuse(shared, PATHS[name], wrong if name == "password_file" else (None, *wrong), TypeError)
    refuse(shared, PATHS[name], (NUL, SURROGATE, Path(NUL)), UsageError)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_a_list(shared: Stage, name: str) -> None:
    wrong: tuple[object, ...] = (5, {"a": "b"}, [5], [None])
    refuse(shared, LISTS[name], wrong if name == "snapshots of stats" else (None, *wrong), TypeError)
    refuse(shared, LISTS[name], ("text", b"bytes", Path("text")), UsageError)


@pytest.mark.parametrize("name", OTHERS)
def test_other_arguments_are_what_they_are_meant_to_be(shared: Stage, name: str) -> None:
    call, values = OTHERS[name]
    refuse(shared, call, values, TypeError)


@pytest.mark.parametrize(
    "call",
    [
        lambda s: open_with(location=s.place, retry_lock_seconds=float("nan")),
        lambda s: open_with(location=s.place, environment={"HOME": NUL}),
        lambda s: open_with(location=s.place, options={"local.connections": "9" * 400}),
        lambda s: s.repository.backup_stream(io.BytesIO(b"x"), NUL),
        lambda s: s.repository.backup([]),
        lambda s: s.repository.check(budget=-1),
        lambda s: s.repository.drill(budget=-1),
        lambda s: restore(s, strip_components=-1),
        lambda s: s.repository.stats(mode="nonsense"),
        *(
            lambda s, name=name: s.repository.snapshot(name)
            for name in ("", "latest~-1", f"latest~{'9' * 30}", f"@{'9' * 30}", "@0000-00-00", "@\0", "f" * 10_000, ":")
        ),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(shared: Stage, call: Callable[[Stage], object]) -> None:
    refuse(shared, lambda stage, _: call(stage), (0,), UsageError)


def test_generators_and_bytes_are_taken_where_they_make_sense(stage: Stage) -> None:
    sources: Any = (path for path in [stage.source])
    tags: Any = (tag for tag in ("a", "b"))
    made = stage.repository.backup(sources, tags=tags)
    assert made.snapshot is not None
    assert made.snapshot.tags == ("a", "b")
    assert made.snapshot.open(os.fsencode(stage.source / "file")).read() == CONTENT
    pyrestic.open_repository(stage.place, password=PASSWORD, cache_dir=os.fsencode(stage.folder / "cache")).close()  # type: ignore[arg-type]
    assert list((stage.folder / "cache").iterdir())


def test_every_method_looks_at_its_arguments() -> None:
    methods: list[Any] = [
        function
        for kind in (pyrestic.OpenRepository, pyrestic.OpenSnapshot, pyrestic.ForgetPlan, pyrestic.PrunePlan)
        for name, function in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and len(inspect.signature(function).parameters) > 1
    ]
    methods += [pyrestic.open_repository, pyrestic.create_repository]
    assert [function.__qualname__ for function in methods if not hasattr(function, "__wrapped__")] == []


@pytest.mark.process
def test_a_password_that_is_missing_makes_no_repository_without_one(tmp_path: Path) -> None:
    place, file = tmp_path / "place", tmp_path / "file"
    for data in (b"", b"\n \n"):
        file.write_bytes(data)
        with pytest.raises(UsageError, match="password file gives an empty password"):
            pyrestic.create_repository(place, password_file=file)
    with pytest.raises(UsageError, match="password command gives an empty password"):
        pyrestic.create_repository(place, password_command="true")
    nothings: tuple[Any, ...] = ([], {}, 0, False, b"")
    for nothing in nothings:
        with pytest.raises(TypeError, match="password must be str"):
            pyrestic.create_repository(place, password=nothing)
    assert not place.exists()
    pyrestic.create_repository(place, password="").close()
    pyrestic.open_repository(place, password="").close()
    with pytest.raises(UsageError, match="empty password"):
        pyrestic.open_repository(place, password_file=file)


def test_no_message_tells_a_password(tmp_path: Path) -> None:
    secrets: tuple[Any, ...] = (["a secret"], b"a secret", SURROGATE + "a secret")
    for secret in secrets:
        with pytest.raises((TypeError, UsageError)) as caught:
            pyrestic.create_repository(tmp_path / "place", password=secret)
        assert "secret" not in str(caught.value)


def test_the_ends_of_the_calendar_set_no_limit(shared: Stage) -> None:
    everything = [snapshot.id for snapshot in shared.repository.snapshots()]
    east, west = timezone(timedelta(hours=23)), timezone(timedelta(hours=-23))
    for zone in (None, UTC, east, west):
        first, last = datetime.min.replace(tzinfo=zone), datetime.max.replace(tzinfo=zone)
        assert [snapshot.id for snapshot in shared.repository.snapshots(after=first, before=last)] == everything
        assert shared.repository.snapshots(after=last) == shared.repository.snapshots(before=first) == []


def test_a_target_that_is_too_long_is_told_before_anything_is_made(shared: Stage) -> None:
    with pytest.raises(LocalFileError, match=r"(?i)file name too long"):
        shared.snapshot.restore(f"{shared.folder}{'/deep' * 2000}")
    assert not (shared.folder / "deep").exists()


class Falsy:
    """A Reporter that counts as false, as an empty list of its own would."""

    def __init__(self) -> None:
        self.shown = 0

    def __len__(self) -> int:
        return 0

    def error(self, item: str, error: Exception) -> None:
        """Nothing."""

    def note(self, message: str, level: int = 1) -> None:
        """Nothing."""

    def show(self, progress: Progress) -> AbstractContextManager[None]:
        self.shown += 1
        return nullcontext()


def test_a_reporter_that_counts_as_false_is_told_all_the_same(stage: Stage) -> None:
    for use in (
        lambda report: stage.repository.backup([stage.source], report=report),
        lambda report: stage.repository.stats(report=report),
        lambda report: stage.snapshot.restore(stage.folder / "back", report=report),
    ):
        report = Falsy()
        use(report)
        assert report.shown


def read_all(stream: pyrestic.ContentStream) -> bytes:
    stream.seek(0)
    return stream.read()


def test_a_stream_answers_nonsense_as_those_of_python_do(shared: Stage, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(CONTENT)
    uses: dict[str, Callable[[Any], object]] = {
        "seek before the beginning": lambda f: f.seek(-1),
        "seek far before the end": lambda f: f.seek(-(10**9), os.SEEK_END),
        "seek too far": lambda f: f.seek(1 << 63),
        "seek much too far": lambda f: f.seek(1 << 200),
        "seek in no way": lambda f: f.seek(0, 9),
        "seek to nothing": lambda f: f.seek(None),
        "seek between bytes": lambda f: f.seek(1.5),
        "read a negative number": lambda f: f.read(-5),
        "read a text": lambda f: f.read("x"),
        "read into what cannot change": lambda f: f.readinto(b"xx"),
        "write": lambda f: f.write(b"x"),
        "cut": lambda f: f.truncate(0),
    }
    with shared.snapshot.open(shared.source / "file") as ours, open(tmp_path / "file", "rb") as theirs:
        for name, use in uses.items():
            raised = []
            for stream in (ours, theirs):
                with pytest.raises((ValueError, TypeError, OverflowError, OSError)) as caught:
                    use(stream)
                raised.append(caught.type)
            # A system call says OSError of places that there cannot be.
            assert raised[0] is raised[1] or raised == [ValueError, OSError], name
            assert read_all(ours) == CONTENT
        # Whatever a program asks for, no more memory is taken than the content needs.
        for much in (1 << 40, 1 << 62, 1 << 70):
            ours.seek(10)
            assert ours.read(much) == CONTENT[10:]
        ours.seek((1 << 63) - 1)
        assert (ours.read(10), ours.read1(10), ours.peek(10)) == (b"", b"", b"")
    for late in (ours.read, ours.readline, ours.tell, ours.peek):
        with pytest.raises(ValueError, match="closed"):
            late()
    ours.close()


def test_nothing_that_knows_the_key_is_pickled(shared: Stage) -> None:
    for thing in (shared.repository, shared.snapshot, shared.snapshot.open(shared.source / "file")):
        with pytest.raises(TypeError):
            pickle.dumps(thing)


class Source(io.RawIOBase):
    """A stream of a few bytes that calls something before its end."""

    def __init__(self, call: Callable[[], object], data: object = b"") -> None:
        super().__init__()
        self._call = call
        self._parts: list[object] = [data, b"some bytes"]

    def read(self, length: int = -1) -> Any:
        if len(self._parts) == 1:
            self._call()
        return self._parts.pop() if self._parts else b""


@pytest.mark.parametrize("given", ["text", None, 5, [], ["x"]])
def test_a_stream_that_gives_no_bytes_is_a_type_error(stage: Stage, given: object) -> None:
    before = stage.stored()
    with pytest.raises(TypeError, match="must return bytes"):
        stage.repository.backup_stream(Source(lambda: None, given), "/file")  # type: ignore[arg-type]
    assert stage.stored() == before


def test_a_stream_that_gives_too_much_or_raises_makes_no_snapshot(stage: Stage) -> None:
    before = stage.stored()
    with pytest.raises(UsageError, match="more bytes than requested"):
        stage.repository.backup_stream(Source(lambda: None, bytes(64 << 20)), "/file")  # type: ignore[arg-type]

    def fail() -> None:
        raise KeyError("of the program's own")

    with pytest.raises(KeyError, match="of the program's own"):
        stage.repository.backup_stream(Source(fail), "/file")  # type: ignore[arg-type]
    closed = io.BytesIO(b"x")
    closed.close()
    with pytest.raises(ValueError, match="closed file"):
        stage.repository.backup_stream(closed, "/file")
    assert stage.stored() == before
    assert stage.repository.backup_stream(io.BytesIO(b"x"), "/file").snapshot is not None


@pytest.mark.parametrize("lock", [True, False])
def test_a_backup_that_fails_takes_nothing_from_what_is_open(tmp_path: Path, lock: bool) -> None:
    stage = make_stage(tmp_path, lock=lock)
    with stage.repository as repository:
        walk = stage.snapshot.walk(stage.source)
        stream = stage.snapshot.open(stage.source / "file")
        first = next(walk)
        with pytest.raises(TypeError):
            repository.backup_stream(Source(lambda: None, "text"), "/file")  # type: ignore[arg-type]
        assert stream.read() == CONTENT
        assert len([first, *walk]) == 3


@pytest.mark.parametrize("lock", [True, False])
@pytest.mark.parametrize("call", ["backup", "stream", "check", "prune", "plan", "unlock"])
def test_a_verb_that_begins_within_another_is_refused(tmp_path: Path, call: str, lock: bool) -> None:
    stage = make_stage(tmp_path, lock=lock)
    with stage.repository as repository:
        plan = repository.plan_forget(keep_last=1)
        calls: dict[str, Callable[[], object]] = {
            "prune": repository.prune,
            "plan": plan.run,
            "unlock": repository.unlock,
            "backup": lambda: repository.backup([stage.source]),
            "stream": lambda: repository.backup_stream(io.BytesIO(b"x"), "/inner"),
            "check": repository.check,
        }
        before = stage.stored()
        with pytest.raises(UsageError, match="from within"):
            repository.backup_stream(Source(calls[call]), "/outer")  # type: ignore[arg-type]
        assert stage.stored() == before
        # What only reads may be asked meanwhile.
        assert repository.backup_stream(Source(repository.stats), "/outer").snapshot is not None  # type: ignore[arg-type]
        calls[call]()


def verbs(stage: Stage) -> dict[str, Callable[[], object]]:
    repository, snapshot = stage.repository, stage.snapshot
    return {
        "history": lambda: repository.history(stage.source),
        "backup_stream": lambda: repository.backup_stream(io.BytesIO(b"x"), "/file"),
        "diff": lambda: repository.diff(snapshot, snapshot),
        "find": lambda: repository.find(["*"]),
        "find_uses": lambda: repository.find_uses(trees=[snapshot.tree]),
        "stats": repository.stats,
        "check": repository.check,
        "forget": lambda: repository.forget([snapshot]),
        "plan_forget": lambda: repository.plan_forget(keep_last=1),
        "tag": lambda: repository.tag([snapshot], add=["x"]),
        "rewrite": lambda: repository.rewrite([snapshot], exclude=["x"]),
        "copy": lambda: repository.copy(repository),
        "prune": repository.prune,
        "repair_index": repository.repair_index,
        "unlock": repository.unlock,
        "list_keys": repository.list_keys,
        "add_key": lambda: repository.add_key("x"),
        "drill": repository.drill,
        "entry": lambda: snapshot.entry(stage.source),
        "walk": lambda: list(snapshot.walk()),
        "open": lambda: snapshot.open(stage.source / "file"),
        "restore": lambda: snapshot.restore(stage.folder / "back"),
        "plan_restore": lambda: snapshot.plan_restore(stage.folder / "back"),
    }


def test_after_the_end_nothing_can_be_done_or_read(stage: Stage) -> None:
    snapshot = stage.snapshot
    stream, begun = snapshot.open(stage.source / "file"), snapshot.open(stage.source / "file")
    assert begun.read(10) == CONTENT[:10]
    walk, unbegun = snapshot.walk(), snapshot.walk()
    next(walk)
    entry = snapshot.entry(stage.source / "file")
    version = stage.repository.history(stage.source / "file")[0]
    stage.repository.close()
    stage.repository.close()
    calls = verbs(stage) | {
        "stream": stream.read,
        "begun stream": lambda: (begun.seek(len(CONTENT) - 1), begun.read()),
        "begun walk": lambda: list(walk),
        "walk": lambda: list(unbegun),
        "version": version.open,
    }
    for name, call in calls.items():
        with pytest.raises(UsageError, match="was closed"):
            call()
        assert not (stage.folder / "back").exists(), name
    # What was said already stays.
    assert (entry.size, snapshot.hostname, version.size) == (len(CONTENT), "here", len(CONTENT))
    assert list((stage.place / "locks").iterdir()) == []


def test_what_was_not_read_to_its_end_keeps_nothing_open(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    stage.repository.close()
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    with pyrestic.open_repository(stage.place, password=PASSWORD) as repository:
        snapshot = repository.snapshot()
        walk = snapshot.walk()
        next(walk)
        stream = snapshot.open(stage.source / "file")
        stream.read(1)
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == (descriptors, threads)
    assert list((stage.place / "locks").iterdir()) == []
    del walk, stream


@pytest.mark.restic
@pytest.mark.parametrize("lock", [True, False])
def test_a_backup_whose_repository_is_closed_ends_and_harms_nothing(
    tmp_path: Path, lock: bool, newest: Program
) -> None:
    stage = make_stage(tmp_path, lock=lock)
    before = [snapshot.id for snapshot in stage.repository.snapshots()]
    reading, closed = threading.Event(), threading.Event()

    def wait() -> None:
        reading.set()
        assert closed.wait(60)

    raised: list[BaseException] = []

    def save() -> None:
        try:
            stage.repository.backup_stream(Source(wait), "/file")  # type: ignore[arg-type]
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=save)
    thread.start()
    assert reading.wait(60)
    stage.repository.close()
    closed.set()
    thread.join(60)
    assert not thread.is_alive()
    assert [isinstance(error, PyresticError) for error in raised] == [True], raised
    assert [found["id"] for found in newest.snapshots(stage.place)] == before
    newest.run("check", "--read-data", repository=stage.place)
    assert list((stage.place / "locks").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("lock", [True, False])
def test_threads_read_the_truth_while_others_write_and_fail(tmp_path: Path, lock: bool) -> None:
    stage = make_stage(tmp_path, lock=lock)
    repository, snapshot = stage.repository, stage.snapshot
    wrong: list[object] = []

    def fail() -> None:
        with pytest.raises(TypeError):
            repository.backup_stream(Source(lambda: None, "text"), "/file")  # type: ignore[arg-type]

    def read() -> None:
        with snapshot.open(stage.source / "file") as stream:
            assert stream.read() == CONTENT

    works: list[Callable[[], object]] = [
        fail,
        lambda: repository.backup_stream(io.BytesIO(os.urandom(1000)), "/file"),
        read,
        read,
        lambda: [entry.path for entry in snapshot.walk(stage.source)][2],
        lambda: repository.history(stage.source / "file")[0].size == len(CONTENT) or 1 / 0,
        lambda: repository.stats([snapshot]),
        lambda: snapshot.plan_restore(stage.folder / "back"),
    ]

    def run(work: Callable[[], object]) -> None:
        for _ in range(15):
            try:
                work()
            except BaseException as error:
                wrong.append((works.index(work), error))
                return

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []
    repository.close()


def test_fsspec_paths_are_texts(shared: Stage) -> None:
    filesystem = pytest.importorskip("pyrestic.api.filesystem")
    files = filesystem.ResticFileSystem(str(shared.place), password=PASSWORD, skip_instance_cache=True)
    for use in (files.ls, files.info, files.open, files.modified, files.cat_file, files.du, files.head):
        for wrong in (None, 5, b"latest/x", {}, object()):
            with pytest.raises(TypeError, match="path must be str"):
                use(wrong)
    path = f"latest{shared.source}/file"
    for start, end in ((-5, None), (-(10**30), None), (0, -1), (0, 1 << 64), (1 << 40, None)):
        assert files.cat_file(path, start, end) == CONTENT[start:end]
    for start, end in ((1 << 63, None), (5, 2)):
        with pytest.raises((ValueError, OverflowError)):
            files.cat_file(path, start, end)
    with pytest.raises(FileNotFoundError):
        files.info("latest" + "/x" * 5000)
    files.close()
    files.close()
    assert files.cat_file(path) == CONTENT
    files.close()


def test_a_name_that_nothing_has_is_not_found_whatever_it_looks_like(shared: Stage) -> None:
    for location in ("x" * 100_000, "/x" * 5000, "\udcff", "/" + shared.source.name, "..\\x", "\r\n"):
        for use in (shared.snapshot.entry, shared.snapshot.open, shared.snapshot.entries):
            with pytest.raises(NotFoundError):
                use(location)
        assert shared.repository.history(location) == []
    assert shared.snapshot.entry("/../../.").is_folder
