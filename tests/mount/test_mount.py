"""The mounted repository, by the real kernel, beside the real restic's mount."""

import contextlib
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import usage
from tests.support.fuse import why_no_mount
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program
from tests.support.sourcetree import describe, difference, make_source

pytestmark = [pytest.mark.restic, pytest.mark.skipif(bool(why_no_mount()), reason=why_no_mount())]


@contextlib.contextmanager
def mounted(program: Program, repository: Path, folder: Path, *flags: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Mount for the time of a with block; the process ends with it."""
    folder.mkdir(exist_ok=True)
    usage.note(program.name, ["mount", *flags], {})
    command = [*program.command, "-r", str(repository), "mount", *flags, str(folder)]
    process = subprocess.Popen(
        command, env=program.environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not os.path.ismount(folder):
            if process.poll() is not None or time.monotonic() > deadline:
                said = process.stdout.read() if process.stdout is not None else b""
                pytest.fail(f"{program.name} did not mount: {said!r}")
            time.sleep(0.02)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()
        assert not os.path.ismount(folder)


@pytest.fixture
def repository(pyrestic: Program, tmp_path: Path) -> Path:
    """A repository with several snapshots by host, tag and time, two of them of the same second."""
    source = tmp_path / "source"
    make_source(source, large=True)
    repository = make_quick_repository(tmp_path / "repository")
    for moment, host, tags in (
        ("2026-01-02 03:04:05", "one", []),
        ("2026-01-02 03:04:05", "two", ["--tag", "a,b"]),
        ("2026-02-03 04:05:06", "one", ["--tag", "with/slash"]),
    ):
        pyrestic.run("backup", "--host", host, "--time", moment, *tags, source, repository=repository)
    return repository


def names_below(folder: Path, depth: int) -> dict[str, str]:
    """Return the names above the snapshots, and where links lead."""
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = "folder"
            if depth > 1:
                found |= {f"{name}/{below}": kind for below, kind in names_below(path, depth - 1).items()}
    return found


def test_the_folders_and_links_are_those_of_restics_mount(
    pyrestic: Program, newest: Program, repository: Path, tmp_path: Path
) -> None:
    for flags in (
        (),
        ("--time-template", "2006-01-02_15-04-05 Mon Jan _2 PM .000"),
        ("--path-template", "%u/by %h/%I", "--path-template", "plain/%t/%T"),
        ("--host", "one"),
        ("--tag", "a"),
        ("--path", str(tmp_path / "source")),
        ("--path", "/nowhere"),
        ("--allow-other",),
        ("--allow-other", "--no-default-permissions"),
        ("--snapshot-template", "2006"),
    ):
        found = []
        for program in (pyrestic, newest):
            with mounted(program, repository, tmp_path / "mnt", *flags):
                found.append(names_below(tmp_path / "mnt", 2))
        assert found[0] == found[1], flags
    for flags in (("--after", "2026-01-03"), ("--before", "2026-01-02")):
        with mounted(pyrestic, repository, tmp_path / "mnt", *flags):
            found.append(names_below(tmp_path / "mnt" / "ids", 1))
    assert [len(names) for names in found[-2:]] == [1, 2]


def test_files_are_what_they_were(pyrestic: Program, repository: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    expected = describe(source)
    with mounted(pyrestic, repository, tmp_path / "mnt"):
        shown = describe(tmp_path / "mnt" / "hosts" / "one" / "latest" / source.relative_to("/"))
    assert difference(expected, shown) == []
    assert len(shown) > 20


def test_a_listing_brings_the_attributes_that_each_file_has_when_asked_alone(
    pyrestic: Program, repository: Path, tmp_path: Path
) -> None:
    def look(path: str) -> tuple[int, ...]:
        status = os.lstat(path)
        # Each mount is a device of its own.
        mode, inode, _, *others = status[:7]
        times = status.st_mtime_ns, status.st_atime_ns, status.st_ctime_ns
        return mode, inode, *others, *times, status.st_rdev, status.st_blocks

    listed: dict[str, tuple[int, ...]] = {}
    with mounted(pyrestic, repository, tmp_path / "mnt"):
        for folder, folders, names in os.walk(tmp_path / "mnt"):
            paths = [os.path.join(folder, name) for name in (*folders, *names)]
            listed |= {path: look(path) for path in paths}
    # A kernel that has listed nothing yet.
    with mounted(pyrestic, repository, tmp_path / "mnt"):
        alone = {path: look(path) for path in listed}
    assert alone == listed
    assert any(stat.S_ISREG(attributes[0]) for attributes in listed.values())


def test_all_attributes_are_given_where_the_kernel_asks_for_them() -> None:
    from pyrestic.mount.server import ALL_GIVEN, LISTING_WANTED, MountServer

    entries = [
        ("first", {"st_mode": stat.S_IFREG | 0o640, "st_ino": 5, "st_size": 9, "st_mtime": 3 * 10**9 + 4}, 1),
        ("second", {"st_mode": stat.S_IFDIR | 0o500, "st_ino": 6}, 2),
        ("third", {"st_mode": stat.S_IFIFO | 0o400, "st_ino": 7}, 3),
    ]

    class Three:
        def readdir_with_offset(self, path: str, offset: int, number: int) -> list[tuple[str, dict[str, int], int]]:
            assert (path, number) == ("/folder", 7)
            return entries[offset:]

    given = []

    def fill(_: int, name: bytes, status: Any, offset: int, flags: int) -> bool:
        given.append((name, status.st_mode, status.st_ino, status.st_size, offset, flags))
        return name == b"second"

    server = MountServer.__new__(MountServer)
    server.operations = Three()
    server.encoding, server.errors = "utf-8", "surrogateescape"
    info = SimpleNamespace(contents=SimpleNamespace(fh=7))
    assert server.readdir_fuse_3(b"/folder", 0, fill, 0, info, LISTING_WANTED) == 0
    assert given == [
        (b"first", stat.S_IFREG | 0o640, 5, 9, 1, ALL_GIVEN),
        (b"second", stat.S_IFDIR | 0o500, 6, 0, 2, ALL_GIVEN),
    ]
    given.clear()
    assert server.readdir_fuse_3(b"/folder", 0, fill, 2, info, LISTING_WANTED) == 0
    assert given == [(b"third", stat.S_IFIFO | 0o400, 7, 0, 3, ALL_GIVEN)]
    given.clear()
    assert server.readdir_fuse_3(b"/folder", 0, fill, 0, info, 0) == 0
    assert [(name, kind, offset, flags) for name, kind, _, _, offset, flags in given] == [
        (b"first", stat.S_IFREG | 0o640, 1, 0),
        (b"second", stat.S_IFDIR | 0o500, 2, 0),
    ]


def test_any_part_of_a_file_is_read(pyrestic: Program, tmp_path: Path) -> None:
    source, repository = tmp_path / "source", tmp_path / "repository"
    source.mkdir()
    dice = random.Random(9)
    data = dice.randbytes(13_000_000)
    (source / "file").write_bytes(data)
    (source / "empty").write_bytes(b"")
    make_quick_repository(repository)
    pyrestic.run("backup", source, repository=repository)
    with mounted(pyrestic, repository, tmp_path / "mnt"):
        folder = tmp_path / "mnt" / "snapshots" / "latest" / source.relative_to("/")
        assert (folder / "empty").read_bytes() == b""
        with (folder / "file").open("rb", buffering=0) as file:
            for _ in range(60):
                offset, length = dice.randrange(14_000_000), dice.randrange(1, 300_000)
                assert os.pread(file.fileno(), length, offset) == data[offset : offset + length]
        assert (folder / "file").read_bytes() == data
        with pytest.raises(OSError, match="Read-only"):
            (folder / "new").write_bytes(b"")
        with pytest.raises(OSError, match="Read-only"):
            (folder / "file").unlink()
        with pytest.raises(FileNotFoundError):
            (folder / "absent").read_bytes()


def test_a_damaged_file_is_an_input_error_and_the_rest_is_read(pyrestic: Program, tmp_path: Path) -> None:
    source, repository = tmp_path / "source", tmp_path / "repository"
    source.mkdir()
    make_quick_repository(repository)
    for name in ("a", "b"):
        (source / name).write_bytes(random.Random(name).randbytes(2_000_000))
        pyrestic.run("backup", source / name, repository=repository)
    largest = max((repository / "data").glob("??/*"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[1000] ^= 1
    largest.chmod(0o600)
    largest.write_bytes(data)
    results = []
    with mounted(pyrestic, repository, tmp_path / "mnt", "--path-template", "%i"):
        for snapshot in sorted((tmp_path / "mnt").iterdir()):
            for name in ("a", "b"):
                path = snapshot / source.relative_to("/") / name
                if path.exists():
                    try:
                        results.append(path.read_bytes() == (source / name).read_bytes())
                    except OSError as error:
                        results.append(error.strerror == "Input/output error")
    assert results == [True, True]


def test_signals_unmount_and_release_the_lock(
    pyrestic: Program, newest: Program, repository: Path, tmp_path: Path
) -> None:
    codes = {}
    for program in (pyrestic, newest):
        for number in (signal.SIGINT, signal.SIGTERM):
            with mounted(program, repository, tmp_path / "mnt") as process:
                assert len(os.listdir(repository / "locks")) == 1
                process.send_signal(number)
                process.wait(60)
            codes[program.name, number] = process.returncode
            assert os.listdir(repository / "locks") == []
    assert [code for (name, _), code in codes.items() if name == "pyrestic"] == [
        code for (name, _), code in codes.items() if name != "pyrestic"
    ]


def test_unmounting_from_outside_ends_the_program(pyrestic: Program, repository: Path, tmp_path: Path) -> None:
    with mounted(pyrestic, repository, tmp_path / "mnt") as process:
        subprocess.run(["fusermount3", "-u", str(tmp_path / "mnt")], check=True)
        assert process.wait(60) == 0
        assert process.stdout is not None
        said = process.stdout.read().decode()
    assert f"Now serving the repository at {tmp_path / 'mnt'}" in said


def test_it_says_when_it_is_ready_even_with_json_and_quiet(
    pyrestic: Program, newest: Program, repository: Path, tmp_path: Path
) -> None:
    said = []
    for program in (pyrestic, newest):
        with mounted(program, repository, tmp_path / "mnt", "--json", "--quiet") as process:
            assert process.stdout is not None
            said.append([process.stdout.readline() for _ in range(4)])
    assert said[0] == said[1]
    assert said[0][1].decode() == f"Now serving the repository at {tmp_path / 'mnt'}\n"


def test_owners_are_root_where_that_is_asked_for(
    pyrestic: Program, newest: Program, repository: Path, tmp_path: Path
) -> None:
    for program in (pyrestic, newest):
        with mounted(program, repository, tmp_path / "mnt", "--owner-root"):
            for path in (tmp_path / "mnt" / "ids", *(tmp_path / "mnt" / "ids").iterdir()):
                assert (path.stat().st_uid, path.stat().st_gid) == (0, 0)
                assert stat.S_ISDIR(path.stat().st_mode)


@pytest.mark.parametrize("case", ["absent", "file", "nothing", "template", "empty template", "repository", "inside"])
def test_what_cannot_be_mounted_is_refused_as_by_restic(
    pyrestic: Program, newest: Program, tmp_path: Path, case: str
) -> None:
    repository = tmp_path / "repository"
    make_quick_repository(repository)
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "mnt").mkdir()
    words: dict[str, list[str | Path]] = {
        "absent": [tmp_path / "absent"],
        "file": [tmp_path / "file"],
        "nothing": [],
        "template": ["--time-template", "/x", tmp_path / "mnt"],
        "empty template": ["--time-template", "", tmp_path / "mnt"],
        "repository": [repository],
        "inside": [repository / "data"],
    }
    ours = pyrestic.run("mount", *words[case], repository=repository, code=1)
    theirs = newest.run("mount", *words[case], repository=repository, code=1)
    assert ours.stderr.splitlines()[0] == theirs.stderr.splitlines()[0]


def test_without_the_library_one_sentence_says_what_to_install(pyrestic: Program, tmp_path: Path) -> None:
    (tmp_path / "mfusepy.py").write_text("raise ImportError('not installed')\n")
    program = Program((sys.executable, "-m", "pyrestic"), tmp_path / "home", "pyrestic")
    ended = program.run("-r", tmp_path, "mount", tmp_path, code=1, PYTHONPATH=f"{tmp_path}:{os.environ['PYTHONPATH']}")
    assert b"mount needs mfusepy" in ended.stderr
    assert b"pip install" in ended.stderr
