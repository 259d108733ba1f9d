"""The note of a restore that is under way."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyrestic.errors import LocalFileError
from pyrestic.localfs import identity, restore_journal
from pyrestic.localfs.restore_journal import RestoreNote

WHAT = ("repository", "tree", "/target")


def finished(file: Path) -> tuple[bytes, int, int]:
    status = file.stat()
    return bytes(file), status.st_ino, status.st_ctime_ns


def noted(folder: Path, *files: Path) -> RestoreNote:
    """Return a note that was left by an interrupted run which had finished these files."""
    note = RestoreNote(str(folder), WHAT)
    for file in files:
        note.add([finished(file)])
    note.close(done=False)
    return RestoreNote(str(folder), WHAT)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    return path


def test_finished_files_are_known_until_anything_changes_them(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    note = noted(tmp_path / "state", file)
    assert note.knows(bytes(file), file.stat())
    assert not note.knows(bytes(other), other.stat())
    assert not note.knows(bytes(other), file.stat())
    before = file.stat()
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    # Length and time of modification are those of before.
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert not note.knows(bytes(file), file.stat())


def test_each_run_adds_to_the_note_and_the_last_one_removes_it(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    note = noted(tmp_path / "state", file)
    note.add([finished(other)])
    note.close(done=False)
    again = RestoreNote(str(tmp_path / "state"), WHAT)
    assert len(again) == 2
    assert again.knows(bytes(other), other.stat())
    again.close(done=True)
    assert len(RestoreNote(str(tmp_path / "state"), WHAT)) == 0
    assert list((tmp_path / "state" / "restores").iterdir()) == []


def test_other_restores_and_other_boots_have_other_notes(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted(tmp_path / "state", file)
    assert len(RestoreNote(str(tmp_path / "state"), ("repository", "other tree", "/target"))) == 0
    (tmp_path / "boot").write_text("another boot\n")
    monkeypatch.setattr(identity, "_BOOT_ID", str(tmp_path / "boot"))
    assert len(RestoreNote(str(tmp_path / "state"), WHAT)) == 0
    monkeypatch.setattr(identity, "_BOOT_ID", str(tmp_path / "nothing"))
    noted(tmp_path / "state", file)
    assert len(RestoreNote(str(tmp_path / "state"), WHAT)) == 0


@given(st.binary(max_size=31) | st.binary(min_size=33, max_size=63))
def test_a_record_that_was_cut_is_passed_over_and_written_over(
    tmp_path_factory: pytest.TempPathFactory, rest: bytes
) -> None:
    folder = tmp_path_factory.mktemp("note")
    file, other = folder / "file", folder / "other"
    file.touch()
    other.touch()
    path = noted(folder / "state", file).path
    with open(path, "ab") as note:
        note.write(rest)
    again = noted(folder / "state", other)
    assert again.knows(bytes(file), file.stat())
    assert again.knows(bytes(other), other.stat())


def test_only_so_many_notes_are_kept(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restore_journal, "_MAX_NOTES", 3)
    for number in range(6):
        note = RestoreNote(str(tmp_path), (str(number),))
        note.add([finished(file)])
        note.close(done=False)
        os.utime(note.path, (number, number))
    kept = {path.name for path in (tmp_path / "restores").iterdir()}
    assert len(kept) == 4
    assert os.path.basename(RestoreNote(str(tmp_path), ("5",)).path) in kept


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, file: Path) -> None:
    note = RestoreNote(str(file), WHAT)
    note.add([finished(file)])
    with pytest.raises(LocalFileError, match="file/restores"):
        note.close(done=False)
