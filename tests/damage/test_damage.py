"""Every kind of damage to every kind of file, under every command: a clear word, and never a wrong byte."""

import functools
import random
import shutil
from pathlib import Path

import pytest

from pyrestic.repository import locks
from pyrestic.repository.held_lock import LockTiming
from tests.support.cli import Caller
from tests.support.damage import DAMAGES, KINDS, find_file
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program

pytestmark = pytest.mark.process


def run_in_process(folder: Path, repository: Path, *arguments: str) -> tuple[int, str, str]:
    """Run our program on a repository; return exit code, output and errors."""
    outcome = Caller(folder)(*arguments, RESTIC_REPOSITORY=str(repository))
    return outcome.code, outcome.out, outcome.err


COMMANDS = ("check", "check --read-data", "restore", "backup", "ls", "drill")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A repository with one snapshot of a small folder, and that folder."""
    work = tmp_path_factory.mktemp("whole")
    source = work / "source"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "text").write_text("some text\n" * 2000)
    (source / "noise").write_bytes(random.Random(1).randbytes(900_000))
    (source / "small").write_text("small")
    repository = make_quick_repository(work / "repository")
    code, _, error = run_in_process(work, repository, "backup", str(source))
    assert code == 0, error
    return repository, source


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_told_in_words_and_never_gives_a_wrong_byte(
    whole: tuple[Path, Path], tmp_path: Path, damage: str, kind: str, command: str
) -> None:
    original, source = whole
    repository = tmp_path / "repository"
    shutil.copytree(original, repository)
    DAMAGES[damage](find_file(repository, kind))
    arguments = {
        "restore": ["restore", f"latest:{source}", "--target", str(tmp_path / "target")],
        "backup": ["backup", str(source)],
        "ls": ["ls", "latest"],
    }.get(command, command.split())
    code, _, error = run_in_process(tmp_path, repository, *arguments)
    assert "Traceback" not in error
    assert "unexpected error" not in error
    if command == "restore":
        restored = contents(tmp_path / "target") if (tmp_path / "target").exists() else {}
        right = contents(source)
        wrong = {name for name, data in restored.items() if data != right[name] and data.strip(b"\0") != b""}
        if code == 0:
            assert restored == right
        else:
            # What could not be restored is named; a file that was begun never has another file's bytes.
            assert error
            assert all(name in error for name in wrong)
    elif command.startswith("check"):
        silent = {("data pack", "flip"), ("tree pack", "flip")} if command == "check" else set()
        harmless = kind == "snapshot" and damage == "delete"
        if not harmless and (kind, damage) not in silent:
            assert code != 0, "the damage was not found"
            assert error
    elif command == "drill":
        assert code != 0, "the damage was not found"
        assert error
    elif code != 0:
        assert error
    if kind == "config" and damage == "delete":
        assert code == 10
    if kind == "key":
        assert code in (1, 12)


@pytest.mark.restic
@pytest.mark.parametrize("kind", ["data pack", "tree pack", "index", "snapshot"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_the_real_check_comes_to_the_same_verdict(
    whole: tuple[Path, Path], newest: Program, pyrestic: Program, tmp_path: Path, damage: str, kind: str
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(whole[0], repository)
    DAMAGES[damage](find_file(repository, kind))
    theirs = newest.run("check", "--read-data", repository=repository, code=None)
    ours = pyrestic.run("check", "--read-data", repository=repository, code=None)
    assert ours.code == theirs.code


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_lock_stops_others_with_a_word_and_unlock_removes_it(
    whole: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    # Locks that cannot be read are looked at again for half a minute in all.
    monkeypatch.setattr(locks, "LockTiming", functools.partial(LockTiming, unreadable_retry=0.01))
    repository = tmp_path / "repository"
    shutil.copytree(whole[0], repository)
    lock = repository / "locks" / ("0" * 64)
    lock.write_bytes(b"\1" * 200)
    DAMAGES[damage](lock)
    code, _, error = run_in_process(tmp_path, repository, "snapshots")
    if damage in ("delete", "empty"):
        assert code == 0, error
    else:
        assert code != 0
        assert "lock" in error
        assert run_in_process(tmp_path, repository, "unlock", "--remove-all")[0] == 0
        assert run_in_process(tmp_path, repository, "snapshots")[0] == 0


def test_a_damaged_backup_is_mended_by_the_next_one_as_far_as_the_source_is_there(
    whole: tuple[Path, Path], tmp_path: Path
) -> None:
    """A missing index makes every blob unknown: the next backup stores them again and says so."""
    repository = tmp_path / "repository"
    shutil.copytree(whole[0], repository)
    find_file(repository, "index").unlink()
    code, _, error = run_in_process(tmp_path, repository, "backup", str(whole[1]))
    assert code == 3
    assert "could not be loaded" in error or "not in the index" in error or "not in the repository" in error
    code, _, _ = run_in_process(tmp_path, repository, "restore", f"latest:{whole[1]}", "--target", str(tmp_path / "t"))
    assert code == 0
    assert contents(tmp_path / "t") == contents(whole[1])
