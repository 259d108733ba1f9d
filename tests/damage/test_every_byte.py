"""Each byte of a small repository damaged, one by one: check finds it, and nothing gives wrong bytes with 0."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cli import Caller, Outcome
from tests.support.quick_repository import remove_empty_folders
from tests.support.restic import Program

READING = (
    "restore latest --target {target}",
    "dump latest /source/file",
    "dump latest /",
    "ls --long latest",
    "find file",
    "diff {first} latest",
    "stats --mode raw-data",
    "snapshots --json",
    "cat tree latest:/",
)
"""Commands whose output, and what they restore, is right or whose exit code is not 0."""

WRITING = (
    "backup source",
    "backup --force source",
    "prune --max-unused 0",
    "forget --keep-last 1 --prune",
    "rewrite --exclude nothing",
    "tag --add more",
    "repair index",
    "repair index --read-all-packs",
)
"""Commands after which every snapshot restores what is right, or its restore does not end with 0."""


@dataclass(frozen=True)
class Whole:
    """A repository, its files, and what it restores to, in a folder that it may be copied from."""

    folder: Path
    first: str
    contents: dict[str, bytes]

    def positions(self) -> Iterator[tuple[Path, int]]:
        """Iterate every byte of every file: pack, index, snapshot, key, config."""
        for path in sorted(self.folder.joinpath("repository").rglob("*")):
            if path.is_file():
                for position in range(path.stat().st_size):
                    yield path.relative_to(self.folder), position


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    call = Caller(tmp_path_factory.mktemp("whole"))
    call.create()
    source = call.folder / "source"
    source.mkdir()
    contents = {"file": b"some words\n" * 20, "other": os.urandom(40)}
    for number, (name, data) in enumerate(contents.items()):
        (source / name).write_bytes(data)
        os.utime(source / name, (number, number))
    os.utime(source, (5, 5))
    for _ in range(2):
        assert call("backup", "--group-by", "", "source").code == 0
    remove_empty_folders(call.repository)
    listed = call("snapshots", "--json").json
    return Whole(call.folder, str(listed[0]["id"]), contents)


@contextlib.contextmanager
def damaged(folder: Path, name: Path, position: int) -> Iterator[Caller]:
    """Give a caller while one bit of one byte is another."""
    path = folder / name
    path.chmod(0o600)
    right = path.read_bytes()
    wrong = bytearray(right)
    wrong[position] ^= 1 << position % 8
    path.write_bytes(wrong)
    try:
        yield Caller(folder)
    finally:
        if path.exists():
            path.chmod(0o600)
            path.write_bytes(right)


def contents_below(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(whole: Whole, call: Caller, line: str) -> Outcome:
    words = line.format(target=call.folder / "target", first=whole.first).split(" ")
    return call("--no-cache", *words)


def read(whole: Whole, call: Caller, line: str) -> tuple[int, str, dict[str, bytes]]:
    """Return the exit code, the output without how long it took, and what was restored."""
    outcome = run(whole, call, f"--no-lock {line}")
    restored = contents_below(call.folder / "target") if "{target}" in line else {}
    return outcome.code, "" if restored else outcome.out, restored


def restores_nothing_wrong(whole: Whole, call: Caller) -> bool:
    for path in (call.folder / "repository" / "snapshots").iterdir():
        target = call.folder / f"restored {path.name}"
        outcome = call("--no-cache", "--no-lock", "restore", f"{path.name}:/source", "--target", target)
        if outcome.code == 0 and contents_below(target) != whole.contents:
            return False
    return True


def check_reads(whole: Whole, lines: tuple[str, ...], every: int, offset: int) -> None:
    """Damage some bytes, or every one, and run one of the commands after each, in turn."""
    expected = {line: read(whole, Caller(whole.folder), line) for line in lines}
    assert all(code == 0 for code, _, _ in expected.values())
    wrong = []
    for number, (name, position) in enumerate(list(whole.positions())[offset::every]):
        line = lines[number % len(lines)]
        with damaged(whole.folder, name, position) as call:
            shutil.rmtree(call.folder / "target", ignore_errors=True)
            code, out, restored = read(whole, call, line)
        if code == 0 and (out, restored) != expected[line][1:]:
            wrong.append(f"{line}: {name}, byte {position}")
    assert wrong == []


def check_writes(whole: Whole, folder: Path, lines: tuple[str, ...], every: int, offset: int) -> None:
    """Damage some bytes, or every one, and run one of the commands after each, in turn."""
    wrong = []
    for number, (name, position) in enumerate(list(whole.positions())[offset::every]):
        line = lines[number % len(lines)]
        shutil.copytree(whole.folder, folder / "copy")
        with damaged(folder / "copy", name, position) as call:
            outcome = run(whole, call, line)
            right = restores_nothing_wrong(whole, call)
        if not right or "Traceback" in outcome.err or "unexpected error" in outcome.err:
            wrong.append(f"{line}: {name}, byte {position}: {outcome.err}")
        shutil.rmtree(folder / "copy")
    assert wrong == []


PARTS = 4
"""Parts of a test, which may run at the same time."""


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_check_finds_a_change_of_any_byte(whole: Whole, part: int) -> None:
    missed = []
    places = list(whole.positions())
    assert len(places) > 1500
    for name, position in places[part::PARTS]:
        with damaged(whole.folder, name, position) as call:
            outcome = call("--no-cache", "--no-lock", "check", "--read-data")
        if outcome.code == 0 or not outcome.err:
            missed.append(f"{name}, byte {position}")
    assert missed == []


@pytest.mark.slow
def test_what_is_read_from_damaged_files_is_right_or_does_not_end_with_0(whole: Whole) -> None:
    check_reads(whole, READING, 3, 1)


@pytest.mark.slow
def test_what_is_written_beside_damaged_files_never_restores_wrong_bytes(whole: Whole, tmp_path: Path) -> None:
    check_writes(whole, tmp_path, WRITING, 41, 7)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("line", READING)
def test_every_command_reads_right_bytes_whichever_is_damaged(whole: Whole, line: str) -> None:
    check_reads(whole, (line,), 1, 0)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("line", WRITING)
def test_every_command_writes_right_bytes_whichever_is_damaged(whole: Whole, tmp_path: Path, line: str) -> None:
    check_writes(whole, tmp_path, (line,), 1, 0)


@pytest.mark.restic
@pytest.mark.slow
def test_the_real_check_agrees(whole: Whole, newest: Program) -> None:
    """A key file that fails its hash is an error for ours alone: restic's check does not look at it."""
    places = list(whole.positions())
    compared = 0
    for name, position in places[3 :: len(places) // 12]:
        if name.parent.name == "keys":
            continue
        with damaged(whole.folder, name, position) as call:
            theirs = newest.run("check", "--read-data", "--no-lock", repository=call.repository, code=None)
        assert theirs.code != 0, f"{name}, byte {position}"
        compared += 1
    assert compared > 5
