"""What is special about a repository in a local folder."""

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pyrestic.backend.files import translate
from pyrestic.backend.layout import DEFAULT_LAYOUT
from pyrestic.backend.local import LocalBackend
from pyrestic.errors import AccessError, BackendError, NotFoundError, TransientError
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id

CONFIG = Handle(FileType.CONFIG, "")
DATA = b"some bytes of a pack"
PACK = Handle(FileType.PACK, hash_id(DATA).hex())
NOBODY = 65534
ROOT = Path(__file__).parents[2]


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    backend = LocalBackend(str(tmp_path / "repository"))
    backend.create()
    return backend


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may do anything; as nobody even the path to a test's folder is closed."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def place(backend: LocalBackend, handle: Handle) -> Path:
    return Path(backend.path) / DEFAULT_LAYOUT.path(handle)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def everything(backend: LocalBackend) -> set[str]:
    return {str(path.relative_to(backend.path)) for path in Path(backend.path).rglob("*") if not path.is_dir()}


def test_the_folders_are_those_of_restic_and_private(backend: LocalBackend) -> None:
    base = Path(backend.path)
    assert {path.name for path in base.iterdir()} == {"data", "index", "keys", "locks", "snapshots"}
    assert {path.name for path in (base / "data").iterdir()} == {f"{number:02x}" for number in range(256)}
    assert all(mode(path) == 0o700 for path in [base, *base.rglob("*")])


def test_missing_parents_are_made_private_too(tmp_path: Path) -> None:
    LocalBackend(str(tmp_path / "a" / "b" / "repository")).create()
    assert [mode(tmp_path / part) for part in ("a", "a/b", "a/b/repository")] == [0o700] * 3


def test_files_lie_where_restic_looks_and_are_read_only(backend: LocalBackend) -> None:
    backend.save(CONFIG, DATA)
    for file_type in FileType:
        if file_type is not FileType.CONFIG:
            backend.save(Handle(file_type, PACK.name), DATA)
    name = PACK.name
    assert everything(backend) == {
        "config",
        f"keys/{name}",
        f"locks/{name}",
        f"snapshots/{name}",
        f"index/{name}",
        f"data/{name[:2]}/{name}",
    }
    assert {mode(Path(backend.path) / path) for path in everything(backend)} == {0o400}


def test_a_config_the_group_may_read_opens_the_repository_to_the_group(backend: LocalBackend) -> None:
    backend.save(CONFIG, DATA)
    place(backend, CONFIG).chmod(0o440)
    folder = place(backend, PACK).parent
    folder.rmdir()
    shared = LocalBackend(backend.path)
    old_mask = os.umask(0o022)
    try:
        shared.save(PACK, DATA)
    finally:
        os.umask(old_mask)
    assert mode(place(shared, PACK)) == 0o440
    assert mode(folder) == 0o770 & ~0o022


def test_a_missing_data_folder_is_made_when_saving(backend: LocalBackend) -> None:
    for folder in (Path(backend.path) / "data").iterdir():
        folder.rmdir()
    (Path(backend.path) / "data").rmdir()
    assert list(backend.list(FileType.PACK)) == []
    backend.save(PACK, DATA)
    assert backend.load(PACK) == DATA


def test_a_repository_that_vanished_is_not_made_anew(backend: LocalBackend, tmp_path: Path) -> None:
    os.rename(backend.path, tmp_path / "unmounted")
    with pytest.raises(BackendError, match="is not there") as caught:
        backend.save(PACK, DATA)
    assert "mounted" in caught.value.hint
    assert not os.path.exists(backend.path)


def test_read_only_files_are_removed_and_replaced(backend: LocalBackend) -> None:
    backend.save(CONFIG, b"old")
    backend.save(CONFIG, b"new")
    assert backend.load(CONFIG) == b"new"
    backend.remove(CONFIG)
    assert everything(backend) == set()


def test_temporary_and_foreign_files_are_not_listed(backend: LocalBackend) -> None:
    backend.save(PACK, DATA)
    folder = place(backend, PACK).parent
    (folder / f"{PACK.name}-tmp-123456").write_bytes(b"half")
    (folder / "README").write_bytes(b"")
    (folder / ("0" * 64)).write_bytes(b"in the wrong folder")
    (folder.parent / PACK.name).write_bytes(b"beside the folders")
    (folder / (PACK.name[:2] + "f" * 62)).mkdir()
    (Path(backend.path) / "data" / "stray").mkdir()
    (Path(backend.path) / "snapshots" / f"{PACK.name}-tmp-1").write_bytes(b"half")
    assert [info.name for info in backend.list(FileType.PACK)] == [PACK.name]
    assert list(backend.list(FileType.SNAPSHOT)) == []


def test_links_to_files_are_followed_and_links_to_nothing_are_absent(backend: LocalBackend, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(DATA)
    place(backend, PACK).symlink_to(tmp_path / "elsewhere")
    assert backend.load(PACK) == DATA
    assert [info.length for info in backend.list(FileType.PACK)] == [len(DATA)]
    (tmp_path / "elsewhere").unlink()
    assert list(backend.list(FileType.PACK)) == []
    with pytest.raises(NotFoundError):
        backend.load(PACK)


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop"])
def test_something_else_in_place_of_a_file_is_an_error(backend: LocalBackend, kind: str) -> None:
    path = place(backend, PACK)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path)
    with pytest.raises(BackendError):
        backend.load(PACK)
    with pytest.raises(BackendError):
        backend.stat(PACK)
    if kind == "folder":
        with pytest.raises(BackendError):
            backend.save(PACK, DATA)
        with pytest.raises(BackendError):
            backend.remove(PACK)
        assert list(path.parent.iterdir()) == [path]


def test_a_file_in_place_of_the_repository_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "repository").write_bytes(b"")
    backend = LocalBackend(str(tmp_path / "repository"))
    with pytest.raises(BackendError):
        backend.create()
    with pytest.raises(BackendError):
        list(backend.list(FileType.KEY))
    with pytest.raises(BackendError):
        backend.load(CONFIG)


def test_missing_permission_is_an_access_error(backend: LocalBackend, tmp_path: Path) -> None:
    backend.save(PACK, DATA)
    tmp_path.chmod(0)
    try:
        with without_privileges():
            with pytest.raises(AccessError, match="permission denied"):
                backend.load(PACK)
            with pytest.raises(AccessError):
                backend.save(PACK, DATA)
            with pytest.raises(AccessError):
                backend.remove(PACK)
            with pytest.raises(AccessError):
                list(backend.list(FileType.PACK))
            with pytest.raises(AccessError):
                LocalBackend(backend.path).create()
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, AccessError),
        (errno.EDQUOT, AccessError),
        (errno.EROFS, AccessError),
        (errno.ESTALE, TransientError),
        (errno.EMFILE, TransientError),
        (errno.EIO, BackendError),
        (errno.ENOENT, NotFoundError),
    ],
)
def test_each_error_of_the_system_has_its_class(number: int, expected: type[BackendError]) -> None:
    error = translate(OSError(number, os.strerror(number), "/secret/path"), "writing <data/0123456789>")
    assert type(error) is expected
    assert str(error).startswith("writing <data/0123456789> failed: ")
    assert "/secret/path" not in str(error)


FULL_DISK = """
import resource, sys
from pyrestic.backend.local import LocalBackend
from pyrestic.errors import AccessError
from pyrestic.handle import FileType, Handle
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    LocalBackend(sys.argv[1]).save(Handle(FileType.PACK, "ab" * 32), bytes(20_000_000))
except AccessError as error:
    sys.exit(f"{error} {error.hint}")
"""


@pytest.mark.process
def test_a_write_that_finds_no_room_leaves_nothing_behind(backend: LocalBackend) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, backend.path], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 1
    assert "writing <data/ababababab> failed" in done.stderr
    assert "Free some space" in done.stderr
    assert everything(backend) == set()


SAVE_FOR_EVER = """
import os, sys
from pyrestic.backend.local import LocalBackend
from pyrestic.handle import FileType, Handle
from pyrestic.ids import hash_id
backend = LocalBackend(sys.argv[1])
print("ready", flush=True)
while True:
    data = os.urandom(300_000)
    backend.save(Handle(FileType.PACK, hash_id(data).hex()), data)
"""


@pytest.mark.process
def test_after_a_kill_every_file_is_whole(backend: LocalBackend) -> None:
    chance = random.Random(7)
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", SAVE_FOR_EVER, backend.path], stdout=subprocess.PIPE, cwd=ROOT
        ) as saver:
            assert saver.stdout is not None
            saver.stdout.readline()
            time.sleep(chance.uniform(0.01, 0.08))
            saver.send_signal(signal.SIGKILL)
    names = [info.name for info in backend.list(FileType.PACK)]
    assert names
    for name in names:
        assert hash_id(backend.load(Handle(FileType.PACK, name))).hex() == name
