"""The command for the night: a file as it was, and what a folder has lost."""

import os
import pty
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.cli import Caller
from tests.support.restic import ROOT


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Caller:
    """Four snapshots of a home in which texts change and things are deleted, a day apart."""
    folder = tmp_path_factory.mktemp("back")
    call = Caller(folder)
    call.create()
    home = folder / "home"
    (home / "docs" / "old").mkdir(parents=True)
    for day in range(1, 5):
        write(home / "notes.txt", "".join(f"line {number}\n" for number in range(day)), day)
        write(home / "docs" / "same", "same", 1)
        if day == 1:
            write(home / "docs" / "old" / "letter", "dear", 1)
            write(home / "docs" / "draft", "draft", 1)
        if day == 3:
            shutil.rmtree(home / "docs" / "old")
        if day == 4:
            (home / "docs" / "draft").unlink()
        assert call("backup", "-q", "--host=h", "--time", f"2026-03-0{day} 12:00:00", home).code == 0
    return call


def write(path: Path, text: str, day: int) -> None:
    path.write_text(text)
    os.utime(path, (1_772_355_000 + day * 86_400,) * 2)


@pytest.fixture
def call(filled: Caller) -> Caller:
    """The same with the home as the last snapshot has it."""
    home = filled.folder / "home"
    shutil.rmtree(home)
    assert filled("restore", f"latest:{home}", "--target", home).code == 0
    return filled


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_old_version_comes_beside_the_present_one(call: Caller) -> None:
    home = call.folder / "home"
    outcome = call("back", home / "notes.txt", "--yes")
    assert outcome.code == 0, outcome.err
    assert names(home) == ["docs", "notes (2026-03-04 08.50).txt", "notes.txt"]
    assert (home / "notes (2026-03-04 08.50).txt").read_text() == "line 0\nline 1\nline 2\n"
    assert (home / "notes.txt").read_text().count("\n") == 4
    assert "is the version of 2026-03-04 08:50:00 (snapshot " in outcome.out
    assert call("back", home / "notes.txt", "--yes", "--at", "2026-03-01").code == 0
    assert (home / "notes (2026-03-02 08.50).txt").read_text() == "line 0\n"
    assert call("back", home / "notes.txt", "--yes", "--at", "2026-03-01").code == 0
    assert (home / "notes (2026-03-02 08.50 2).txt").read_text() == "line 0\n"


def test_in_place_keeps_the_present_one_beside_it(call: Caller) -> None:
    home = call.folder / "home"
    write(home / "notes.txt", "precious\n", 9)
    outcome = call("back", "--in-place", home / "notes.txt", "--json")
    assert outcome.json["action"] == "restored"
    assert (outcome.json["to"], outcome.json["kept"]) == (
        str(home / "notes.txt"),
        str(home / "notes (2026-03-10 08.50).txt"),
    )
    assert (home / "notes.txt").read_text().count("\n") == 4
    assert (home / "notes (2026-03-10 08.50).txt").read_text() == "precious\n"
    assert names(home) == ["docs", "notes (2026-03-10 08.50).txt", "notes.txt"]


def test_a_whole_folder_can_take_its_place_again(call: Caller) -> None:
    home = call.folder / "home"
    write(home / "docs" / "mine", "mine", 9)
    assert call("back", "--in-place", "--at", "@2026-03-02", "--yes", home / "docs").code == 0
    assert names(home / "docs") == ["draft", "old", "same"]
    (kept,) = [name for name in names(home) if name.startswith("docs (")]
    assert names(home / kept) == ["mine", "same"]


def test_what_is_gone_comes_back_to_its_place(call: Caller) -> None:
    home = call.folder / "home"
    (home / "notes.txt").unlink()
    shutil.rmtree(home / "docs")
    call.cwd = home
    assert call("back", "notes.txt", "docs", "--yes").code == 0
    call.cwd = call.folder
    assert names(home) == ["docs", "notes.txt"]
    assert (home / "notes.txt").read_text().count("\n") == 4
    assert names(home / "docs") == ["same"]
    outcome = call("back", home / "docs" / "old" / "letter", "--yes")
    assert outcome.code == 1
    assert f"{home}/docs/old is gone, too\n`pyrestic back {home}/docs/old` restores it." in outcome.err
    assert call("back", home / "docs" / "old", "--yes").code == 0
    assert (home / "docs" / "old" / "letter").read_text() == "dear"


def test_a_folder_gets_what_it_lacks(call: Caller) -> None:
    home = call.folder / "home"
    outcome = call("back", home, "--yes")
    assert (outcome.code, outcome.out) == (0, f"{home} lacks nothing\n")
    (home / "docs" / "same").unlink()
    write(home / "notes.txt", "mine", 9)
    outcome = call("back", home, "--yes")
    assert outcome.code == 0
    assert "docs/same" in outcome.out
    assert "restored 1 entry (4 B)" in outcome.out
    assert (home / "notes.txt").read_text() == "mine"
    outcome = call("back", home, "--deleted", "--json")
    lines = [line.split('"to":"')[1].split('"')[0] for line in outcome.out.splitlines()]
    assert lines == [f"{home}/docs/draft", f"{home}/docs/old"]
    assert names(home / "docs") == ["draft", "old", "same"]
    assert (home / "docs" / "old" / "letter").read_text() == "dear"


def test_a_folder_at_a_time_gets_what_it_had_then(call: Caller) -> None:
    home = call.folder / "home"
    assert call("back", home / "docs", "--yes", "--at", "2026-03-03").code == 0
    assert names(home / "docs") == ["draft", "same"]


def test_what_cannot_be_restored_is_told(call: Caller) -> None:
    home = call.folder / "home"
    for words, message in (
        (["back"], "no path specified"),
        (["back", home / "note.txt"], "no snapshot contains"),
        (["back", home / "notes.txt", "--at", "2026-02-01"], "The oldest is of 2026-03-01 12:00:00."),
        (["back", home / "docs" / "old", "--at", "2026-03-03"], "was not there at 2026-03-03 23:59:59"),
        (["back", home / "notes.txt", "--deleted"], "--deleted takes folders"),
        (["back", home, "--deleted", "--in-place"], "--deleted and --in-place are mutually exclusive"),
    ):
        outcome = call(*words, "--yes")
        assert outcome.code == 1
        assert message in outcome.err
    assert names(home) == ["docs", "notes.txt"]


def test_the_only_version_that_is_on_disk_is_no_work(call: Caller) -> None:
    same = call.folder / "home" / "docs" / "same"
    assert call("back", same, "--json").json["action"] == "unchanged"
    assert "there is no other version" in call("back", same, "--yes").out


@pytest.mark.process
def test_on_a_terminal_it_shows_versions_and_the_difference_and_asks(call: Caller) -> None:
    home = call.folder / "home"
    (home / "notes.txt").write_text("line 0\nother\n")
    said = dialog(call, ["back", str(home / "notes.txt")], ["3\n", "y\n"])
    assert "Which version [1]: " in said
    assert "-other\r\n+line 1\r\n" in said
    assert 'Restore it as "notes (2026-03-03 08.50).txt"? [Y/n]: ' in said
    assert (home / "notes (2026-03-03 08.50).txt").read_text() == "line 0\nline 1\n"
    said = dialog(call, ["back", str(home / "notes.txt")], ["\n", "n\n"])
    assert "nothing was restored" in said
    assert len(names(home)) == 3


def dialog(call: Caller, words: list[str], answers: list[str]) -> str:
    """Run the program on a terminal of its own, give it the answers, and return what it showed."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pyrestic", *words],
        cwd=ROOT,
        env=call.environment,
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    shown: list[bytes] = []

    def read() -> None:
        try:
            while data := os.read(ours, 4096):
                shown.append(data)
        except OSError:
            pass

    reader = threading.Thread(target=read)
    reader.start()
    os.write(ours, "".join(answers).encode())
    assert process.wait(60) == 0, b"".join(shown)
    reader.join(10)
    os.close(ours)
    return b"".join(shown).decode()


def test_snapshots_are_chosen_as_elsewhere(call: Caller) -> None:
    notes = call.folder / "home" / "notes.txt"
    for words in (["--host", "other"], ["--tag", "x"], ["--path", "/other"], ["--after", "2026-04-01"]):
        assert f"no snapshot contains {notes}" in call("back", "--yes", *words, notes).err
    outcome = call("back", "--yes", "--json", "--before", "2026-03-02", notes)
    assert outcome.json["size"] == len("line 0\nline 1\n")


def test_a_damaged_snapshot_fails_and_may_be_left_out(call: Caller, tmp_path: Path) -> None:
    notes = call.folder / "home" / "notes.txt"
    repository = tmp_path / "repository"
    shutil.copytree(call.repository, repository)
    newest = call("snapshots", "--json").json[-1]["id"]
    damaged = repository / "snapshots" / newest
    damaged.chmod(0o600)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    outcome = call("back", "--json", notes, "--no-cache", RESTIC_REPOSITORY=str(repository))
    assert outcome.code == 1
    assert newest[:8] in outcome.err
    outcome = call("back", "--json", "--skip-damaged", notes, "--no-cache", RESTIC_REPOSITORY=str(repository))
    assert (outcome.code, outcome.json["action"]) == (0, "restored")


def test_permissions_are_those_of_the_newest_snapshot_that_has_the_version(tmp_path: Path) -> None:
    call = Caller(tmp_path)
    call.create()
    secret = tmp_path / "d" / "in" / "secret"
    secret.parent.mkdir(parents=True)
    secret.write_text("secret")
    for mode in (0o644, 0o600):
        secret.chmod(mode)
        secret.parent.chmod(mode | 0o111)
        assert call("backup", "-q", tmp_path / "d").code == 0
    secret.unlink()
    assert call("back", "--yes", secret).code == 0
    assert secret.stat().st_mode & 0o777 == 0o600
    shutil.rmtree(secret.parent)
    assert call("back", "--yes", tmp_path / "d").code == 0
    assert (secret.stat().st_mode & 0o777, secret.parent.stat().st_mode & 0o777) == (0o600, 0o711)


def test_another_hosts_files_stay_away_unless_this_one_has_none(tmp_path: Path) -> None:
    call = Caller(tmp_path)
    call.create()
    home = tmp_path / "h"
    home.mkdir()
    (home / "a").write_text("a")
    assert call("backup", "-q", home).code == 0
    (home / "theirs").write_text("theirs")
    assert call("backup", "-q", "--host", "desktop", home).code == 0
    (home / "theirs").unlink()
    assert "lacks nothing" in call("back", "--yes", home).out
    outcome = call("back", "--yes", home / "theirs")
    assert outcome.code == 0
    assert "using those of desktop" in outcome.err
    assert (home / "theirs").read_text() == "theirs"


def test_a_folder_that_was_never_backed_up_gets_nothing(call: Caller, tmp_path: Path) -> None:
    call.cwd = tmp_path
    for path in (".", str(call.folder)[1:]):
        outcome = call("back", "--yes", path)
        assert (outcome.code, list(tmp_path.iterdir())) == (1, [])
    call.cwd = call.folder


def test_what_a_folder_had_lost_before_it_went_comes_back_too(tmp_path: Path) -> None:
    call = Caller(tmp_path)
    call.create()
    plans = tmp_path / "doc" / "plans"
    plans.mkdir(parents=True)
    for name in ("x", "y"):
        (plans / name).write_text(name)
    assert call("backup", "-q", tmp_path / "doc").code == 0
    (plans / "x").unlink()
    assert call("backup", "-q", tmp_path / "doc").code == 0
    shutil.rmtree(plans)
    assert call("backup", "-q", tmp_path / "doc").code == 0
    assert call("back", "--yes", "--deleted", tmp_path / "doc").code == 0
    assert names(plans) == ["x", "y"]
    for name in ("x", "y"):
        (plans / name).unlink()
    assert call("back", "--yes", "--deleted", tmp_path / "doc").code == 0
    assert names(plans) == ["x", "y"]


def test_a_link_in_place_of_a_folder_is_not_followed(call: Caller, tmp_path: Path) -> None:
    home = call.folder / "home"
    shutil.rmtree(home / "docs")
    (home / "docs").symlink_to(tmp_path)
    assert call("back", "--yes", "--deleted", home).code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_takes_the_place_of_a_file(call: Caller) -> None:
    home = call.folder / "home"
    shutil.rmtree(home / "docs")
    write(home / "docs", "a file", 9)
    assert call("back", "--in-place", "--yes", home / "docs").code == 0
    assert names(home) == ["docs", "docs (2026-03-10 08.50)", "notes.txt"]
    assert (home / "docs" / "same").read_text() == "same"
    assert (home / "docs (2026-03-10 08.50)").read_text() == "a file"


def test_hard_links_of_a_folder_stay_links(tmp_path: Path) -> None:
    call = Caller(tmp_path)
    call.create()
    home = tmp_path / "h"
    home.mkdir()
    (home / "a").write_text("a")
    os.link(home / "a", home / "b")
    assert call("backup", "-q", home).code == 0
    for name in ("a", "b"):
        (home / name).unlink()
    assert call("back", "--yes", home).code == 0
    assert (home / "a").stat().st_ino == (home / "b").stat().st_ino
