"""Command lines over all commands and flags, by both programs: exit code, output, JSON, files and repository left."""

import re
from pathlib import Path

import pytest

from tests.support.command_lines import FLAGS, all_lines, is_known, spread
from tests.support.duel import Duel
from tests.support.quick_repository import make_quick_repository
from tests.support.restic import Program

pytestmark = pytest.mark.restic

NAMED = (
    "--json --host two snapshots",
    "--tag c,<&> --json ls latest",
    "--dry-run backup source",
    "-n x version",
    "snapshots --tag=,a --json",
    "forget --tag=,a --dry-run --keep-last=1",
    "backup source --group-by=tags --time=2024-04-15\t12:00:00",
    "backup source --group-by=tags --tag=a,b --json",
    "backup source --time=2024-10-27\t2:30:00.123",
    "snapshots -o local.connections=0x10",
    "snapshots -o local.connections=0",
    "snapshots -o local.connections=0b1",
    "snapshots -o local.connections=0o7",
    "snapshots -o local.connections=1_000",
    "snapshots -o local.connections=08",
    "stats --mode=blobs-per-file {short1} {short2} {short3} {short4} {short5}",
    "stats --mode=blobs-per-file {short5} {short1} --json",
    "restore latest --target=one/two/three",
    "dump --archive=zip latest:{source}/dir/more /",
    "help frobnicate",
    "help key frobnicate",
    "--cacert={password} snapshots",
)
"""Lines in which the two once differed."""
COUNT = 150


@pytest.fixture(scope="module")
def duel(tmp_path_factory: pytest.TempPathFactory) -> Duel:
    return Duel(tmp_path_factory.mktemp("lines"))


def _compare(duel: Duel, line: str) -> None:
    theirs, ours = duel.run(line)
    found = [difference for difference in theirs.differences(ours) if not is_known(line, difference, theirs.errors)]
    assert not found, "\n".join([line, *found, theirs.errors, ours.errors])


@pytest.mark.parametrize("line", [*NAMED, *spread(all_lines(), COUNT - len(NAMED))])
def test_a_line_does_the_same_in_both(duel: Duel, line: str) -> None:
    _compare(duel, line)


@pytest.mark.nightly
@pytest.mark.parametrize("line", all_lines())
def test_every_line_does_the_same_in_both(duel: Duel, line: str) -> None:
    _compare(duel, line)


def test_a_command_for_backup_gets_no_input(newest: Program, pyrestic: Program, tmp_path: Path) -> None:
    repository = make_quick_repository(tmp_path / "repository")
    for program in (newest, pyrestic):
        words = ("backup", "--stdin-from-command", "--", "sh", "-c", "cat; echo end")
        program.run(*words, repository=repository, stdin=b"handed on\n")
        assert program.run("dump", "latest", "stdin", repository=repository).stdout == b"end\n"


@pytest.mark.parametrize("command", sorted(set(FLAGS) - {"help", "rebuild-index"}))
def test_the_table_names_every_flag_that_restic_shows(newest: Program, command: str) -> None:
    """So that the flags of a newer restic are not forgotten."""
    words = [] if command == "*" else command.split()
    shown = newest.run(*words, "--help").text.partition("Global Flags:")[0]
    listed = set(re.findall(r"^ +(?:-\w, )?--([\w-]+)", shown, re.MULTILINE)) - {"help"}
    known = {flag.rpartition("/")[2].rstrip("=") for flag in FLAGS[command].split()}
    assert listed <= known
