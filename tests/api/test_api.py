"""Repositories opened from a program, beside the real restic."""

import io
import logging
import os
import random
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest

import pyrestic
from pyrestic.errors import (
    LockedError,
    NotFoundError,
    PyresticError,
    UsageError,
    WrongPasswordError,
)
from pyrestic.report import NullReporter
from tests.support.engines import keep_code
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import PASSWORD, Program
from tests.support.sourcetree import describe, difference, make_source


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return make_quick_repository(tmp_path / "repository")


@pytest.mark.process
def test_importing_it_loads_nothing_and_all_names_are_there() -> None:
    code = (
        "import sys, pyrestic\n"
        "heavy = [name for name in sys.modules if name.startswith(('pyrestic.', 'numpy', 'msgspec', 'click'))]\n"
        "assert not heavy, heavy\n"
        "missing = [name for name in pyrestic.__all__ if not hasattr(pyrestic, name)]\n"
        "assert not missing, missing\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pyrestic.nonsense


@pytest.mark.restic
def test_walking_tells_what_restic_lists_and_restoring_gives_it_back(
    place: Path, tmp_path: Path, newest: Program
) -> None:
    make_source(tmp_path / "source", large=False)
    newest.run("backup", tmp_path / "source", repository=place)
    listed = newest.run("ls", "latest", "--json", repository=place).messages[1:]
    with pyrestic.open_repository(place, password=PASSWORD) as repository:
        snapshot = repository.snapshot()
        ours = list(snapshot.walk())
        # Restic's JSON has replacement characters for what is not UTF-8.
        shown = [entry.path.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for entry in ours]
        assert [(each["type"], each.get("size", 0)) for each in listed] == [(one.type, one.size) for one in ours]
        assert [each["path"].count("/") for each in listed] == [path.count("/") for path in shown]
        assert {path for path in shown if "\ufffd" not in path} <= {each["path"] for each in listed}
        for entry in ours:
            if entry.is_file:
                with snapshot.open(entry.path) as stream, open(entry.path, "rb") as file:
                    assert stream.read() == file.read()
        folder = snapshot.entry(tmp_path / "source" / "names of files")
        assert folder.is_folder
        below = snapshot.entries(folder.path)
        assert [entry.name for entry in below] == sorted(os.listdir(folder.path), key=os.fsencode)
        link = snapshot.entry(tmp_path / "source" / "types" / "link dangling")
        assert link.link_target == "nowhere/to be found"
        snapshot.restore(tmp_path / "back", tmp_path / "source", verify=True)
    assert not difference(describe(tmp_path / "source"), describe(tmp_path / "back"))


@pytest.mark.restic
def test_what_it_backs_up_has_restics_tree_and_a_later_snapshot_of_restic_is_found(
    place: Path, tmp_path: Path, newest: Program
) -> None:
    source = tmp_path / "source"
    make_source(source, large=False)
    with pyrestic.open_repository(place, password=PASSWORD) as repository:
        made = repository.backup([source], tags=["one"], host="here")
        assert made.snapshot is not None
        assert made.failures == ()
        assert made.snapshot.open(source / "contents" / "text").read(8) == b"All work"
        (source / "new").write_bytes(b"new")
        newest.run("backup", "--host=here", source, repository=place)
        theirs = repository.snapshot(host="here")
        assert theirs.open(source / "new").read() == b"new"
        assert [each.id for each in repository.snapshots()] == [made.snapshot.id, theirs.id]
        assert [each.id for each in repository.snapshots(tags=["one"], paths=[str(source)])] == [made.snapshot.id]
        assert repository.backup([source], host="here", skip_if_unchanged=True).snapshot is None
    first, second = newest.snapshots(place)
    assert second["parent"] == first["id"]
    assert second["summary"]["files_new"] == 1
    assert second["summary"]["data_blobs"] == 1
    newest.run("check", "--read-data", repository=place)


@pytest.mark.restic
def test_a_stream_of_any_kind_becomes_a_file(place: Path, newest: Program) -> None:
    data = random.Random(1).randbytes(3 << 20)
    with (
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
        pyrestic.open_repository(place, password=PASSWORD, lock=False) as repository,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        writer = subprocess.Popen(
            [sys.executable, "-c", "import random, sys; sys.stdout.buffer.write(random.Random(1).randbytes(3 << 20))"],
            stdout=process.stdin,
        )
        process.stdin.close()
        made = repository.backup_stream(process.stdout, "dumps/it")  # type: ignore[arg-type]
        assert writer.wait() == 0
        assert made.snapshot is not None
        assert made.snapshot.paths == ("/dumps/it",)
        with pytest.raises(UsageError, match="not a file path"):
            repository.backup_stream(process.stdout, "/..")  # type: ignore[arg-type]
    assert newest.run("dump", "latest", "/dumps/it", repository=place).stdout == data


def locks(place: Path) -> int:
    return len(list((place / "locks").iterdir()))


def test_it_holds_a_lock_while_open_or_only_while_it_writes(place: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pyrestic.open_repository(place, password=PASSWORD):
        assert locks(place) == 1
    assert locks(place) == 0
    seen = []

    class Source:
        def read(self, length: int) -> bytes:
            seen.append(locks(place))
            return b""

    with pyrestic.open_repository(place, password=PASSWORD, lock=False) as repository:
        assert locks(place) == 0
        repository.backup_stream(Source(), "file")  # type: ignore[arg-type]
        assert locks(place) == 0
    assert seen[0] == 1


def test_an_exclusive_lock_keeps_it_out_and_leaves_nothing_open(place: Path) -> None:
    from pyrestic.backend.local import LocalBackend
    from pyrestic.repository.locks import Lock
    from pyrestic.repository.repository import Repository

    with Lock(Repository.open(LocalBackend(str(place)), PASSWORD), NullReporter(), exclusive=True):
        with pytest.raises(LockedError):
            pyrestic.open_repository(place, password=PASSWORD)
        pyrestic.open_repository(place, password=PASSWORD, lock=False).close()


@pytest.mark.process
def test_passwords_come_from_where_they_are_said_to_be(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{PASSWORD}\r\n")
    monkeypatch.setenv("RESTIC_PASSWORD", PASSWORD)
    pyrestic.open_repository(place, password_file=secret).close()
    pyrestic.open_repository(str(place), password_command=f"cat '{secret}'").close()
    for wrong in ({}, {"password": PASSWORD, "password_file": secret}):
        with pytest.raises(UsageError, match="one of password, password_file and password_command"):
            pyrestic.open_repository(place, **wrong)  # type: ignore[arg-type]
    with pytest.raises(WrongPasswordError):
        pyrestic.open_repository(place, password="another")


def test_the_environment_is_not_asked_for_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("B2_ACCOUNT_ID", "somebody")
    monkeypatch.setenv("B2_ACCOUNT_KEY", "a secret")
    with pytest.raises(UsageError, match="B2_ACCOUNT_ID is empty"):
        pyrestic.open_repository("b2:a-bucket:x", password=PASSWORD)
    with pytest.raises(UsageError, match="b2\\.nonsense is not known") as caught:
        pyrestic.open_repository(
            "b2:a-bucket:x", password=PASSWORD, environment=os.environ, options={"b2.nonsense": "1"}
        )
    assert "a secret" not in repr(caught.value)


def test_a_cache_is_used_where_a_folder_for_it_is_known(place: Path, tmp_path: Path) -> None:
    pyrestic.open_repository(place, password=PASSWORD).close()
    pyrestic.open_repository(place, password=PASSWORD, cache_dir=tmp_path / "one").close()
    with pyrestic.open_repository(place, password=PASSWORD, environment={"HOME": str(tmp_path / "home")}) as repository:
        identifier = repository.id
    assert (tmp_path / "one" / identifier).is_dir()
    assert (tmp_path / "home" / ".cache" / "restic" / identifier).is_dir()


def test_what_cannot_be_read_is_told_and_what_can_be_given_back_is(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    dice = random.Random(2)
    for name in ("one", "two"):
        (source / name).write_bytes(dice.randbytes(1000))
        with pyrestic.open_repository(place, password=PASSWORD) as repository:
            # A pack of its own for each.
            repository.backup([source])
    with pyrestic.open_repository(place, password=PASSWORD) as repository:
        with caplog.at_level(logging.WARNING, "pyrestic"):
            made = repository.backup(["/proc/self/mem", source])
        assert [failure.item for failure in made.failures] == ["/proc/self/mem"]
        assert "/proc/self/mem" in caplog.text
        assert made.snapshot is not None
        snapshot = made.snapshot
        content = snapshot.entry(source / "one").content
        pack = next(place.glob("data/*/*" + _pack_of(repository, content[0])))
        pack.write_bytes(bytes(pack.stat().st_size))
        with pytest.raises(PyresticError, match=r"1 files could not be restored, the first of them .*/one"):
            snapshot.restore(tmp_path / "back", source)
        with snapshot.open(source / "one") as stream, pytest.raises(PyresticError):
            stream.read()
    assert (tmp_path / "back" / "two").read_bytes() == (source / "two").read_bytes()


def _pack_of(repository: pyrestic.OpenRepository, blob: str) -> str:
    from pyrestic.handle import BlobHandle, BlobType

    found = repository._content.repository.index.find(BlobHandle(BlobType.DATA, bytes.fromhex(blob)))
    assert found is not None
    return found.pack.hex()


def test_what_makes_no_sense_is_refused_with_a_sentence(place: Path, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"x")
    with pyrestic.open_repository(place, password=PASSWORD) as repository:
        with pytest.raises(UsageError, match="no snapshot found"):
            repository.snapshot()
        with pytest.raises(PyresticError, match="missing does not exist"):
            repository.backup([tmp_path / "missing"])
        with pytest.raises(UsageError, match="pass sources as a list"):
            repository.backup(str(tmp_path))
        snapshot = repository.backup([tmp_path / "source"]).snapshot
        assert snapshot is not None
        with pytest.raises(NotFoundError, match=r"/nowhere is not in snapshot"):
            snapshot.open("nowhere")
        with pytest.raises(UsageError, match="not a regular file but of type dir"):
            snapshot.open(tmp_path)
        with pytest.raises(UsageError, match="not a folder but of type file"):
            snapshot.entries(tmp_path / "source" / "file")
        with pytest.raises(UsageError, match="not an overwrite mode"):
            snapshot.restore(tmp_path / "back", overwrite="perhaps")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="refusing to delete everything else under /"):
            snapshot.restore("/", delete=True)
        stream = snapshot.open(tmp_path / "source" / "file")
    for use in (repository.snapshots, repository.snapshot, snapshot.entries, lambda: repository.backup([tmp_path])):
        with pytest.raises(UsageError, match="was closed"):
            use()
    stream.close()
    repository.close()


def test_history_tells_each_version_once_and_opens_it(place: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    path = source / "file"
    with pyrestic.open_repository(place, password=PASSWORD, environment={"HOME": str(tmp_path)}) as repository:
        assert repository.history(path) == []
        for content in (b"one", b"one", b"another", None, b"one"):
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
            repository.backup([source], tags=["x"])
        for _ in range(2):
            # From the trees, then from what was kept of them.
            newest, older = repository.history(path)
            assert [newest.open().read(), older.open().read()] == [b"one", b"another"]
            assert (newest.count, newest.came_back, newest.size, older.change) == (3, True, 3, 4)
            assert newest.entry is not None
            assert newest.mtime == newest.entry.mtime
            snapshots = repository.snapshots()
            assert [newest.first.id, newest.last.id] == [snapshots[0].id, snapshots[-1].id]
        every = repository.history(path, absences=True, tags=["x"])
        assert [version.entry is None for version in every] == [False, True, False]
        with pytest.raises(NotFoundError, match="did not exist in snapshot"):
            every[1].open()
        # Each time the folder has another time of change.
        assert len(repository.history(source)) == 5
        assert repository.history(path, host="elsewhere") == []
    assert list((tmp_path / ".cache" / "pyrestic" / "history").iterdir())


def test_snapshots_are_chosen_by_time_and_by_all_names_of_the_command_line(place: Path, tmp_path: Path) -> None:
    with pyrestic.open_repository(place, password=PASSWORD) as repository:
        made = [repository.backup_stream(io.BytesIO(b"x"), f"file {number}").snapshot for number in range(3)]
        ids = [snapshot.id for snapshot in made if snapshot is not None]
        times = [snapshot.time for snapshot in repository.snapshots()]

        def chosen(after: datetime | None = None, before: datetime | None = None) -> list[str]:
            return [snapshot.id for snapshot in repository.snapshots(after=after, before=before)]

        # A microsecond more: nanoseconds are cut off.
        later = timedelta(microseconds=1)
        assert chosen(after=times[0] + later) == ids[1:]
        assert chosen(before=times[1] + later) == ids[:2]
        assert chosen(after=times[1], before=(times[1] + later).astimezone().replace(tzinfo=None)) == [ids[1]]
        assert repository.snapshot("latest~2").id == ids[0]
        assert repository.snapshot(before=times[1] + later).id == ids[1]
        assert repository.snapshot("@today").id == ids[2]
        with pytest.raises(UsageError, match="names a folder"):
            repository.snapshot(f"{ids[0]}:/folder")
        with pytest.raises(UsageError, match="pass tags as a list"):
            repository.snapshots(tags="daily")


def test_a_restore_is_planned_and_gives_back_single_files(place: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"content")
    (source / "link").symlink_to("file")
    with pyrestic.open_repository(place, password=PASSWORD) as repository:
        snapshot = repository.backup([source]).snapshot
        assert snapshot is not None
        plan = snapshot.plan_restore(tmp_path / "back", source)
        assert (plan.files, plan.bytes_to_write, plan.whole, plan.fits) == (1, 7, True, True)
        assert not (tmp_path / "back").exists()
        snapshot.restore(tmp_path / "back" / "renamed", source / "file")
        snapshot.restore(tmp_path / "back", source / "link")
        assert (tmp_path / "back" / "renamed").read_bytes() == b"content"
        assert os.readlink(tmp_path / "back" / "link") == "file"
        assert snapshot.plan_restore(tmp_path / "back" / "renamed", source / "file", overwrite="if-changed").files == 0
        with pytest.raises(UsageError, match="--delete and --strip-components work only for folders"):
            snapshot.restore(tmp_path / "back", source / "file", delete=True)
        content = snapshot.entry(source / "file").content
        next(place.glob("data/*/" + _pack_of(repository, content[0]))).unlink()
        assert not snapshot.plan_restore(tmp_path / "other", source).whole


KILLED = """
import io, os, sys, time
from pathlib import Path
import pyrestic

place, password = sys.argv[1:]
class Source(io.BytesIO):
    def read(self, length=-1):
        data = super().read(length)
        if not data:
            deadline = time.monotonic() + 60
            while not [pack for pack in Path(place).glob("data/*/*") if len(pack.name) == 64]:
                if time.monotonic() > deadline:
                    os._exit(8)
                time.sleep(0.01)
            os._exit(9)
        return data

pyrestic.open_repository(place, password=password).backup_stream(Source(sys.stdin.buffer.read()), "file")
"""


@pytest.mark.restic
def test_a_program_that_was_killed_leaves_nothing_to_mend_and_nothing_is_stored_twice(
    place: Path, newest: Program
) -> None:
    data = random.Random(3).randbytes(48 << 20)
    command = [sys.executable, "-c", KILLED, str(place), PASSWORD]
    assert subprocess.run(command, input=data, timeout=120).returncode == 9
    assert locks(place) == 1
    notes = []

    class Notes(NullReporter):
        def note(self, message: str, level: int = 1) -> None:
            notes.append(message)

    with pyrestic.open_repository(place, password=PASSWORD, report=Notes()) as repository:
        assert locks(place) == 1
        made = repository.backup_stream(io.BytesIO(data), "file")
        assert made.summary.data_added < 0.8 * len(data)
        repository.backup_stream(io.BytesIO(data), "file")
    assert len([note for note in notes if "took over" in note]) == 1
    newest.run("check", "--read-data", repository=place)


@pytest.mark.slow
def test_a_repository_that_was_made_or_opened_has_compiled_code(tmp_path: Path) -> None:
    pytest.importorskip("numba")
    keep_code(tmp_path / "pyrestic", "chunker", "file_reader")
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    for get in (pyrestic.create_repository, pyrestic.open_repository):
        with get(tmp_path / "repository", password=PASSWORD, environment=environment) as repository:
            engines = repository._repository.engines
            assert engines.may_read_batches
            assert None not in (engines.chunker, engines.reader)
