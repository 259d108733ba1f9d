"""docs/moving.md to the letter: each block of commands, with the old program where Debian has it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.compat.test_readme import Reader
from tests.support.cli import Caller
from tests.support.needs import need_program
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import NEWEST, PASSWORD, ROOT, find_restic

PAGE = (ROOT / "docs" / "moving.md").read_text()
SECTIONS = dict(zip(*[iter(re.split(r"^## (.*)$", "intro\n" + PAGE, flags=re.MULTILINE)[1:])] * 2, strict=True))
DATES = ("2026-02-01", "2026-03-01")
TEXTS = ("first", "second, and longer")
pytestmark = pytest.mark.process


def blocks(text: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


class Mover(Reader):
    """Who moves a home directory with one file of two versions."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.notes = self.home / "notes.txt"
        self.replaced |= {"/media/me/disk": f"{folder}/bit"}
        repository = make_quick_repository(folder / "repository")
        self.variables = f"export RESTIC_REPOSITORY={repository} RESTIC_PASSWORD='{PASSWORD}'\n"
        self.notes.write_text(TEXTS[0])

    def write(self, number: int) -> None:
        """Make the version of the file that a date has."""
        self.notes.write_text(TEXTS[number])
        os.utime(self.notes, (1_700_000_000 + number, 1_700_000_000 + number))

    def go_through(self, section: str) -> str:
        """Run the blocks of a section and return what they printed."""
        found = blocks(SECTIONS[section])
        assert found
        # A line break, for a block that begins with a variable is no line that only sets one.
        return "".join(self.type(f"\n{block}") for block in found)

    def check(self) -> None:
        """Look that both versions came with their dates, at their path, and that a backup goes on from there."""
        call = Caller(self.folder)
        call.environment |= {"RESTIC_PASSWORD": PASSWORD, "HOME": str(self.home)}
        snapshots = call("snapshots", "--json").json
        assert [one["time"][:10] for one in snapshots] == list(DATES)
        assert {tuple(one["paths"]) for one in snapshots} == {(str(self.home),)}
        for snapshot, text in zip(snapshots, TEXTS, strict=True):
            assert call("dump", snapshot["id"], self.notes).out == text
        assert call("backup", self.home).code == 0
        assert call("snapshots", "--json").json[-1]["parent"] == snapshots[-1]["id"]


@pytest.fixture
def mover(tmp_path: Path) -> Mover:
    return Mover(tmp_path)


def test_every_section_has_a_test() -> None:
    assert list(SECTIONS) == [
        "restic",
        "Back In Time",
        "rsnapshot",
        "rsync, cp and other dated folders",
        "borg",
        "duplicity",
        "SpiderOak",
    ]


@pytest.mark.restic
def test_from_restic(mover: Mover, tmp_path: Path) -> None:
    restic = find_restic(NEWEST, tmp_path)
    done = restic.run("backup", mover.home, RESTIC_REPOSITORY=str(tmp_path / "repository"))
    assert done.code == 0
    printed = mover.go_through("restic")
    assert re.search(r"Files: +0 new, +0 changed, +3 unmodified", printed)
    assert "2 snapshots" in printed
    assert (mover.home / "bin" / "restic").is_symlink()


def test_from_back_in_time(mover: Mover, tmp_path: Path) -> None:
    """With its folders as it makes them; tests/cli/test_import.py has it make some."""
    for number, date in enumerate(DATES):
        mover.write(number)
        folder = tmp_path / "bit/backintime/laptop/me/1" / f"{date.replace('-', '')}-120000-123"
        shutil.copytree(mover.home, folder / "backup" / str(mover.home)[1:])
        (folder / "info").write_text("snapshot_machine=laptop\nsnapshot_profile_id=1\n")
        (folder / "config").write_text(f"profile1.snapshots.include.1.value={mover.home}\n")
    assert "2 dates: 2 imported" in mover.go_through("Back In Time")


def test_from_rsnapshot(mover: Mover, tmp_path: Path) -> None:
    """With its folders as it makes them, likewise."""
    for number, (name, seconds) in enumerate((("daily.0", 1_769_947_200), ("hourly.0", 1_772_366_400))):
        mover.write(number)
        folder = tmp_path / "disk" / "rsnapshot" / name
        shutil.copytree(mover.home, folder / "localhost" / str(mover.home)[1:])
        os.utime(folder, (seconds, seconds))
    mover.go_through("rsnapshot")
    mover.check()


def test_from_copies(mover: Mover, tmp_path: Path) -> None:
    for number, date in enumerate(DATES):
        mover.write(number)
        shutil.copytree(mover.home, tmp_path / "disk" / "copies" / date)
    mover.go_through("rsync, cp and other dated folders")
    (after,) = blocks(PAGE.partition("\n## ")[0])
    assert "2 versions in 2 snapshots" in mover.type(after)
    mover.check()


def test_from_borg(mover: Mover, tmp_path: Path) -> None:
    borg = need_program("borg", "borgbackup")
    mover.variables += "export BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes\n"
    repository = tmp_path / "disk" / "borg"
    repository.parent.mkdir()
    mover.type(f"{borg} init --encryption none {repository}")
    for number, date in enumerate(DATES):
        mover.write(number)
        mover.type(f"{borg} create --timestamp {date}T12:00:00 {repository}::home-{number} {mover.home}")
    mover.go_through("borg")
    mover.check()
    assert os.listdir(tmp_path / "tmp" / "moving") == ["archives"]


def test_from_duplicity(mover: Mover, tmp_path: Path) -> None:
    duplicity = need_program("duplicity", "duplicity")
    (tmp_path / "disk").mkdir()
    # Without a key of GnuPG, which takes long to be used.
    mover.variables += f'duplicity() {{ {duplicity} "$@" --no-encryption; }}\n'
    for number, (action, seconds) in enumerate((("full", 1_769_947_200), ("incremental", 1_772_366_400))):
        mover.write(number)
        words = f"{action} --current-time {seconds} {mover.home} file://{tmp_path}/disk/duplicity"
        subprocess.run(["sh", "-c", mover.variables + f"duplicity {words}"], env=mover.environment(), check=True)
    printed = mover.go_through("duplicity")
    assert "Number of contained backup sets: 2" in printed
    mover.check()


def test_from_spideroak(mover: Mover) -> None:
    (block,) = blocks(SECTIONS["SpiderOak"])
    first, *rest = block.splitlines()
    mover.type(first)
    shutil.copytree(mover.home, mover.folder / "tmp" / "moving" / "2026-03-01", dirs_exist_ok=True)
    assert "1 date: 1 imported" in mover.type("\n".join(rest))
