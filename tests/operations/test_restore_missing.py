"""Restores of only what the target lacks."""

import os
import shutil
from pathlib import Path

import pytest

from pyrestic.errors import LocalFileError
from pyrestic.localfs.write import TargetWriter
from pyrestic.operations import missing, restore_tree
from tests.support.cli import Caller, Outcome
from tests.support.sourcetree import describe, difference


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """A repository of a folder of everything that may be missing."""
    folder = tmp_path_factory.mktemp("missing")
    call = Caller(folder)
    call.create()
    source = folder / "source"
    (source / "docs" / "deep" / "deeper").mkdir(parents=True)
    (source / "empty").mkdir()
    for number in range(6):
        (source / "docs" / f"{number}.txt").write_text(f"text {number}")
    (source / "docs" / "deep" / "deeper" / "low").write_bytes(os.urandom(3000))
    (source / "docs" / "link").symlink_to("0.txt")
    os.link(source / "docs" / "1.txt", source / "docs" / "again")
    (source / "docs" / "deep" / "locked").mkdir()
    (source / "docs" / "deep" / "locked" / "in").write_text("in")
    (source / "docs" / "deep" / "locked").chmod(0o555)
    os.mkfifo(source / "pipe")
    for path in sorted(source.rglob("*"), reverse=True):
        os.utime(path, (1_700_000_000, 1_700_000_000), follow_symlinks=False)
    assert call("backup", source).code == 0
    return call


@pytest.fixture
def target(made: Caller, tmp_path: Path) -> Path:
    """A complete copy of the source."""
    copy = tmp_path / "target"
    shutil.copytree(
        made.folder / "source", copy, symlinks=True, ignore=shutil.ignore_patterns("pipe", "again", "1.txt")
    )
    os.mkfifo(copy / "pipe")
    shutil.copystat(made.folder / "source" / "pipe", copy / "pipe")
    shutil.copy2(made.folder / "source" / "docs" / "1.txt", copy / "docs" / "1.txt")
    os.link(copy / "docs" / "1.txt", copy / "docs" / "again")
    for name in ("docs", "."):
        shutil.copystat(made.folder / "source" / name, copy / name)
    return copy


def restore(made: Caller, target: Path, *more: str) -> Outcome:
    return made("restore", f"latest:{made.folder}/source", "--missing", "--target", str(target), *more)


def inner(folder: Path) -> dict[bytes, dict[str, object]]:
    """Describe everything in a folder, but not itself."""
    return {path: what for path, what in describe(folder).items() if path.strip(b"./")}


def staging(target: Path) -> list[str]:
    return [path.name for path in target.iterdir() if path.name.startswith(".pyrestic-missing-")]


def test_everything_that_is_gone_comes_back_and_the_rest_stays(made: Caller, target: Path) -> None:
    (target / "docs" / "0.txt").write_text("mine")
    (target / "docs" / "own").write_text("own")
    (target / "docs" / "deep").chmod(0o700)
    os.utime(target / "docs" / "deep", (1, 1))
    for name in ("docs/2.txt", "docs/1.txt", "docs/again", "docs/link", "pipe", "empty/", "docs/deep/deeper/"):
        path = target / name
        shutil.rmtree(path) if name.endswith("/") else path.unlink()
    outcome = restore(made, target, "--verify")
    assert (outcome.code, staging(target)) == (0, []), outcome.err
    assert (target / "docs" / "0.txt").read_text() == "mine"
    assert (target / "docs" / "own").read_text() == "own"
    assert (target / "docs" / "deep").stat().st_mode & 0o777 == 0o700
    (target / "docs" / "own").unlink()
    shutil.copy2(made.folder / "source" / "docs" / "0.txt", target / "docs" / "0.txt")
    shutil.copystat(made.folder / "source" / "docs" / "deep", target / "docs" / "deep")
    shutil.copystat(made.folder / "source" / "docs", target / "docs")
    assert difference(inner(made.folder / "source"), inner(target)) == []
    assert (target / "docs" / "1.txt").stat().st_ino == (target / "docs" / "again").stat().st_ino


def test_nothing_missing_changes_nothing(made: Caller, target: Path) -> None:
    def look() -> dict[Path, tuple[int, ...]]:
        found = {path: path.lstat() for path in (target, *target.rglob("*"))}
        return {path: (one.st_ino, one.st_mode, one.st_mtime_ns, one.st_ctime_ns) for path, one in found.items()}

    before = look()
    assert restore(made, target).code == 0
    assert look() == before


def test_a_link_or_file_in_place_of_a_folder_is_left_and_not_followed(
    made: Caller, target: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.rmtree(target / "docs")
    (target / "docs").symlink_to(elsewhere)
    (target / "empty").rmdir()
    (target / "empty").write_text("a file")
    assert restore(made, target).code == 0
    assert (target / "docs").is_symlink()
    assert list(elsewhere.iterdir()) == []
    assert (target / "empty").read_text() == "a file"


def test_a_dry_run_and_patterns(made: Caller, target: Path) -> None:
    for name in ("docs/2.txt", "docs/3.txt"):
        (target / name).unlink()
    dry = restore(made, target, "--dry-run", "-vv")
    assert dry.code == 0
    assert "/docs/2.txt" in dry.out
    assert "/docs/4.txt" not in dry.out
    assert not (target / "docs" / "2.txt").exists()
    assert restore(made, target, "--include", "3.txt").code == 0
    assert (target / "docs" / "3.txt").read_text() == "text 3"
    assert not (target / "docs" / "2.txt").exists()
    assert staging(target) == []


def test_a_new_target_gets_everything(made: Caller, tmp_path: Path) -> None:
    assert restore(made, tmp_path / "new" / "target").code == 0
    assert difference(inner(made.folder / "source"), inner(tmp_path / "new" / "target")) == []


def test_an_interrupted_restore_leaves_no_incomplete_file(
    made: Caller, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(target / "docs" / "deep" / "deeper")
    (target / "docs" / "2.txt").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(restore_tree.TreeRestorer, "_leave", _interrupt)
        assert restore(made, target).code == 130
    assert not (target / "docs" / "2.txt").exists()
    assert not (target / "docs" / "deep" / "deeper").exists()
    assert staging(target) == []
    assert restore(made, target).code == 0
    assert (target / "docs" / "2.txt").read_text() == "text 2"
    assert (target / "docs" / "deep" / "deeper" / "low").stat().st_size == 3000
    assert staging(target) == []


def test_what_a_killed_run_or_another_user_left_is_never_used(made: Caller, target: Path, tmp_path: Path) -> None:
    (target / "docs" / "2.txt").unlink()
    shutil.rmtree(target / "docs" / "deep" / "deeper")
    left = target / ".pyrestic-missing-0123456789abcdef" / "docs" / "deep" / "deeper"
    left.mkdir(parents=True)
    (left / "low").write_text("half")
    (target / ".pyrestic-missing-link").symlink_to(tmp_path)
    assert restore(made, target, "--include", "2.txt").code == 0
    assert (target / "docs" / "2.txt").read_text() == "text 2"
    assert not (target / "docs" / "deep" / "deeper").exists()
    assert restore(made, target).code == 0
    assert (target / "docs" / "deep" / "deeper" / "low").stat().st_size == 3000
    assert (left / "low").read_text() == "half"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_one_entry_that_cannot_be_moved_does_not_stop_the_others(
    made: Caller, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("1.txt", "again", "2.txt", "3.txt"):
        (target / "docs" / name).unlink()
    adopt = TargetWriter.adopt

    def refuse(self: TargetWriter, location: bytes, other: TargetWriter) -> bool:
        if location.endswith(b"/2.txt"):
            raise LocalFileError("another file system")
        return adopt(self, location, other)

    monkeypatch.setattr(TargetWriter, "adopt", refuse)
    outcome = restore(made, target)
    assert outcome.code == 1
    assert "not everything was restored: another file system" in outcome.err
    assert not (target / "docs" / "2.txt").exists()
    assert (target / "docs" / "3.txt").read_text() == "text 3"
    assert staging(target) == []


def test_a_damaged_file_costs_only_itself(made: Caller, target: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(made.repository, repository)
    shutil.rmtree(target / "docs" / "deep")
    nodes = made("cat", "tree", f"latest:{made.folder}/source/docs/deep/deeper").json["nodes"]
    blob = nodes[0]["content"][0]
    for index in made("list", "index").out.split():
        for one in made("cat", "index", index).json["packs"]:
            for stored in one["blobs"]:
                if stored["id"] == blob:
                    path = repository / "data" / one["id"][:2] / one["id"]
                    data = bytearray(path.read_bytes())
                    data[stored["offset"] + 20] ^= 1
                    path.chmod(0o600)
                    path.write_bytes(data)
    outcome = restore(made, target, "--no-cache", "--repo", str(repository))
    assert outcome.code == 1
    assert (target / "docs" / "deep" / "locked" / "in").read_text() == "in"
    assert not (target / "docs" / "deep" / "deeper" / "low").exists()
    assert staging(target) == []


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_what_appears_meanwhile_is_not_replaced(made: Caller, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (target / "docs" / "2.txt").unlink()
    (target / "docs" / "3.txt").unlink()
    move = missing.MissingOnly.move_from

    def appear(self: missing.MissingOnly, writer: TargetWriter, failed: list[bytes]) -> object:
        (target / "docs" / "2.txt").write_text("new")
        return move(self, writer, failed)

    monkeypatch.setattr(missing.MissingOnly, "move_from", appear)
    outcome = restore(made, target)
    assert outcome.code == 1
    assert "2.txt exists by now" in outcome.err
    assert (target / "docs" / "2.txt").read_text() == "new"
    assert (target / "docs" / "3.txt").read_text() == "text 3"
    assert staging(target) == []


def test_it_excludes_what_contradicts_it(made: Caller, target: Path) -> None:
    for flags in (["--delete"], ["--overwrite", "never"]):
        outcome = restore(made, target, *flags)
        assert outcome.code == 1
        assert f"--missing and {flags[0]} are mutually exclusive" in outcome.err
