"""Paths on the command line: as stored, or else as on this machine."""

from pathlib import Path

import pytest

from tests.support.cli import Caller


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """Three snapshots of a home; a letter is in the first two alone."""
    folder = tmp_path_factory.mktemp("paths")
    call = Caller(folder)
    call.create()
    docs = folder / "home" / "docs"
    docs.mkdir(parents=True)
    (docs / "notes.txt").write_text("notes")
    (docs / "letter").write_text("dear")
    for day in (1, 2, 3):
        if day == 3:
            (docs / "letter").unlink()
        assert call("backup", "-q", "--time", f"2026-03-0{day} 12:00:00", folder / "home").code == 0
    call.environment["HOME"] = str(folder / "home")
    return call


@pytest.fixture
def call(filled: Caller) -> Caller:
    filled.cwd = filled.folder / "home" / "docs"
    return filled


def test_a_relative_path_and_a_tilde_mean_this_machine_and_it_is_said(call: Caller, tmp_path: Path) -> None:
    notes = call.folder / "home" / "docs" / "notes.txt"
    for path in ("notes.txt", "~/docs/notes.txt", "../docs/notes.txt"):
        outcome = call("restore", f"latest:{path}", "--target", tmp_path / "back.txt", HOME=str(call.folder / "home"))
        assert outcome.code == 0, outcome.err
        assert f"has no path {path}: using {notes}\n" in outcome.err
        assert (tmp_path / "back.txt").read_text() == "notes"
        (tmp_path / "back.txt").unlink()


def test_a_stored_path_comes_first_and_nothing_is_said(call: Caller, tmp_path: Path) -> None:
    notes = call.folder / "home" / "docs" / "notes.txt"
    outcome = call("restore", f"latest:{notes}", "--target", tmp_path / "back.txt")
    assert (outcome.code, outcome.err) == (0, "")
    call.cwd = call.folder / "home"
    outcome = call("ls", f"latest:{str(call.folder)[1:]}")
    assert (outcome.code, outcome.err) == (0, "")


def test_every_command_that_names_a_stored_path_takes_it(call: Caller) -> None:
    call.cwd = call.folder / "home"
    docs = call.folder / "home" / "docs"
    listed = call("ls", "latest:docs")
    assert (listed.code, listed.out) == (0, f"{listed.out.splitlines()[0]}\n/notes.txt\n")
    assert f"using {docs}" in listed.err
    assert call("ls", "latest", "docs").out.splitlines()[1:] == [str(docs), f"{docs}/notes.txt"]
    assert call("dump", "latest", "docs/notes.txt", "--target", call.folder / "dumped").code == 0
    assert (call.folder / "dumped").read_text() == "notes"
    compared = call("diff", "latest~1:docs", "latest:docs")
    assert compared.code == 1 or "-    /letter" in compared.out
    ids = [one["id"] for one in call("snapshots", "--json").json]
    assert "-    /letter" in call("diff", f"{ids[1]}:docs", f"{ids[2]}:docs").out
    assert call("cat", "tree", "latest:docs").out == call("cat", "tree", f"latest:{docs}").out


def test_a_miss_names_the_newest_other_snapshot_that_has_the_path(call: Caller, tmp_path: Path) -> None:
    letter = call.folder / "home" / "docs" / "letter"
    ids = [one["id"] for one in call("snapshots", "--json").json]
    for path in ("letter", str(letter), f"{str(letter)[1:]}"):
        outcome = call("restore", f"latest:{path}", "--target", tmp_path / "back")
        assert outcome.code == 1
        assert f"Snapshot {ids[1][:8]} of 2026-03-02 12:00:00 has {letter}." in outcome.err
    outcome = call("dump", "latest", "letter")
    assert f"Snapshot {ids[1][:8]} of 2026-03-02 12:00:00 has {letter}." in outcome.err
    outcome = call("restore", "latest:nothing", "--target", tmp_path / "back")
    assert outcome.code == 1
    assert "Snapshot " not in outcome.err


def test_what_cannot_be_dumped_is_not_looked_for_elsewhere(tmp_path: Path) -> None:
    call = Caller(tmp_path)
    call.create()
    (tmp_path / "a").symlink_to("b")
    call.cwd = tmp_path
    assert call("backup", "-q", "a").code == 0
    (tmp_path / "home").mkdir()
    call.cwd = tmp_path / "home"
    (tmp_path / "home" / "a").write_text("another file")
    assert call("backup", "-q", tmp_path / "home").code == 0
    first = call("snapshots", "--json").json[0]["id"]
    outcome = call("dump", first, "a")
    assert (outcome.code, outcome.out) == (1, "")
    assert "'a' should be a file, but is a 'symlink'" in outcome.err


def test_a_relative_filter_that_is_not_stored_is_refused_as_by_restic(call: Caller) -> None:
    outcome = call("ls", "latest", "nothing")
    assert outcome.code == 1
    assert "All path filters must be absolute, starting with a forward slash '/'" in outcome.err
