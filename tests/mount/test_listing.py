"""Listings of mounted folders by the real kernel: whole, from any place, and without a question for each file."""

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.test_mount import mounted
from tests.support.fuse import why_no_mount
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program

pytestmark = [pytest.mark.restic, pytest.mark.skipif(bool(why_no_mount()), reason=why_no_mount())]

FILES = 1500
"""More than the kernel takes at a time."""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of a folder with many files, some of whose names have bytes that are no text."""
    work = tmp_path_factory.mktemp("listing")
    (work / "source").mkdir()
    for number in range(FILES):
        name = b"%05d" % number + (b"\xff" if number % 100 == 0 else b"") + b"x" * (number % 150)
        (work / "source" / os.fsdecode(name)).write_bytes(b"a" * (number % 7))
    return back_up(work)


def back_up(work: Path) -> Path:
    repository = make_quick_repository(work / "repository")
    program = Program((sys.executable, "-m", "pyrestic"), work / "home", "pyrestic")
    program.run("backup", work / "source", repository=repository)
    return repository


def below(mountpoint: Path, repository: Path) -> Path:
    """Return the mounted folder of the latest snapshot."""
    return mountpoint / "snapshots" / "latest" / (repository.parent / "source").relative_to("/")


class Entries:
    """A folder that is open, read with the system call that says where each next entry is."""

    def __init__(self, folder: Path) -> None:
        self.descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._libc = ctypes.CDLL(None, use_errno=True)

    def take(self, room: int) -> list[tuple[bytes, int]]:
        """Return names and the places after them of as many entries as fit, none at the end."""
        buffer = ctypes.create_string_buffer(room)
        length = self._libc.getdents64(self.descriptor, buffer, ctypes.c_size_t(room))
        assert length >= 0, os.strerror(ctypes.get_errno())
        found, position = [], 0
        while position < length:
            following = int.from_bytes(buffer.raw[position + 8 : position + 16], sys.byteorder)
            size = int.from_bytes(buffer.raw[position + 16 : position + 18], sys.byteorder)
            found.append((buffer.raw[position + 19 : position + size].partition(b"\0")[0], following))
            position += size
        return found

    def rest(self, room: int = 4000) -> Iterator[tuple[bytes, int]]:
        """Iterate all entries from here on."""
        while found := self.take(room):
            yield from found

    def seek(self, place: int) -> None:
        """Go to the place after an entry, 0 for the start."""
        os.lseek(self.descriptor, place, os.SEEK_SET)

    def close(self) -> None:
        os.close(self.descriptor)


@pytest.mark.skipif(sys.platform != "linux", reason="getdents64 is of Linux")
def test_a_listing_goes_on_from_any_place_and_begins_again(pyrestic: Program, repository: Path, tmp_path: Path) -> None:
    expected = {b".", b"..", *os.listdir(os.fsencode(repository.parent / "source"))}
    with mounted(pyrestic, repository, tmp_path / "mnt"):
        folder = below(tmp_path / "mnt", repository)
        entries, others = Entries(folder), Entries(folder)
        whole = list(entries.rest())
        assert len(whole) == FILES + 2
        assert {name for name, _ in whole} == expected
        assert entries.take(4000) == []
        for number in (0, 1, 700, FILES, FILES + 1):
            entries.seek(whole[number][1])
            assert list(entries.rest()) == whole[number + 1 :]
        entries.seek(0)
        # Two at once that take turns, with rooms of different lengths.
        mine, theirs = entries.take(900), others.take(5000)
        while more := entries.take(300):
            mine += more
            theirs += others.take(5000)
        assert mine == theirs == whole
        entries.close()
        others.close()
        assert len(os.listdir(folder)) == FILES


def test_the_kernel_need_not_ask_for_what_was_listed(repository: Path, tmp_path: Path) -> None:
    questions = tmp_path / "questions"
    # libfuse tells of every request on the standard error.
    talking = f"""
import os, mfusepy
from pyrestic.cli.main import run
from pyrestic.mount import filesystem

class Talking(filesystem.MountServer):
    def __init__(self, *arguments, **options):
        os.dup2(os.open({str(questions)!r}, os.O_WRONLY | os.O_CREAT), 2)
        super().__init__(*arguments, debug=True, **options)

filesystem.MountServer = Talking
run()
"""
    program = Program((sys.executable, "-c", talking), tmp_path / "home", "pyrestic")
    with mounted(program, repository, tmp_path / "mnt"):
        folder = below(tmp_path / "mnt", repository)
        os.lstat(folder)
        before = questions.read_text(errors="replace").count("opcode: LOOKUP")
        listed = subprocess.run(["ls", "-l", folder], check=True, capture_output=True).stdout
        said = questions.read_text(errors="replace")
    assert len(listed.splitlines()) == FILES + 1
    assert said.count("opcode: READDIRPLUS") > 10
    assert before > 5
    assert said.count("opcode: LOOKUP") == before
    assert said.count("opcode: GETATTR") < 5


def test_a_new_snapshot_is_the_latest_as_soon_as_the_mount_knows_of_it(pyrestic: Program, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_bytes(b"old")
    repository = back_up(tmp_path)
    impatient = "from pyrestic.vfs import view; view._RELOAD_SECONDS = 0.1; from pyrestic.cli.main import run; run()"
    program = Program((sys.executable, "-c", impatient), tmp_path / "home", "pyrestic")
    with mounted(program, repository, tmp_path / "mnt"):
        file, latest = below(tmp_path / "mnt", repository) / "file", tmp_path / "mnt" / "snapshots" / "latest"
        first = os.readlink(latest)
        assert (file.read_bytes(), file.stat().st_size) == (b"old", 3)
        (tmp_path / "source" / "file").write_bytes(b"newer")
        pyrestic.run("backup", "--time", "2100-01-02 03:04:05", tmp_path / "source", repository=repository)
        time.sleep(0.2)
        assert os.readlink(latest) != first
        assert (file.read_bytes(), file.stat().st_size) == (b"newer", 5)
        assert {first, os.readlink(latest), "latest"} == set(os.listdir(latest.parent))
